/**
 * Nanoseconds that one element takes in operations that do alike with each, as measured in pieces of 32,768 elements on the machine that
 * instruction-cost.ts names. The assembler cuts by them, and the cost model estimates by them.
 */
import * as op from '../../assembly/opcodes.ts';
import { ELEMENTS_MAX, LINE } from './writer.ts';

/** What one instruction is to take at most, and what it is cut for: estimates are off by some. */
export const INSTRUCTION_US_MAX = 250;
export const CUT_NS = 200_000;

/** As many elements as an instruction may have that takes so long for each. */
export function elementsFor(ns: number): number {
  return Math.min(ELEMENTS_MAX, Math.floor(CUT_NS / ns / LINE) * LINE);
}

/** Kinds of UNARY that take longer than the others, by float32 and by float64. */
const slowUnary: ReadonlyMap<number, readonly [float32: number, float64: number]> = new Map([
  [op.TANH, [0.5, 16]],
  [op.ERF, [0.5, 25]],
  [op.GELU, [0.5, 25]],
  [op.GELU_TANH, [0.5, 22]],
  [op.LOG, [0.9, 6]],
  [op.SOFTPLUS, [2.5, 16]],
  [op.SIN, [3, 7]],
  [op.COS, [3, 7]],
  [op.ASIN, [3, 8]],
  [op.ACOS, [3, 8]],
  [op.ATAN, [4, 9]],
  [op.SINH, [12, 17]],
  [op.COSH, [8, 12]],
  [op.ASINH, [11, 17]],
  [op.ACOSH, [6, 7]],
  [op.ATANH, [9, 13]],
]);

/** Without or with few elements' rows; the type is in the bits of the kind from 8 on. */
function unaryNs(kind: number): number {
  const isFloat64 = kind >> 8 === op.FLOAT64;
  return slowUnary.get(kind & 0xff)?.[isFloat64 ? 1 : 0] ?? (isFloat64 ? 5.5 : 0.5);
}

function binaryNs(kind: number): number {
  const [name, type] = [kind & 0xff, kind >> 8];
  const isFloat = type === op.FLOAT32 || type === op.FLOAT64;
  // Powers of whole numbers take a step for each bit of the exponent, remainders of floats one for each bit of the quotient.
  if (name === op.POW) return type === op.FLOAT32 ? 9 : 16;
  if (name === op.MOD || name === op.FMOD) return isFloat ? 16 : 3;
  return type === op.FLOAT32 && name <= op.PRELU ? 0.5 : 2.7;
}

/** Of CAST: from one type to another. */
export function castNs(from: number, to: number): number {
  const most = Math.max(from, to);
  if (most >= op.FLOAT8E4M3FN) return 7;
  return most >= op.FLOAT16 ? 6 : 2.6;
}

/** Of any other operation on each element, by the kind of the instruction. */
export function elementNs(opcode: number, kind: number): number {
  const isFloat32 = kind >> 8 === op.FLOAT32;
  switch (opcode) {
    case op.UNARY:
      return unaryNs(kind);
    case op.BINARY:
      return binaryNs(kind);
    case op.REDUCE:
      return isFloat32 ? 0.6 : 1.2;
    case op.ARG_MAX:
      return 2.5;
    case op.CUMULATE:
      return 3.5;
    case op.COMPARE:
    case op.WHERE:
    case op.REQUANTIZE:
      return 1.5;
    default:
      return 0.5;
  }
}
