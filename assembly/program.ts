// The executor: walks a flat program and calls the kernels. Nothing outside WebAssembly runs between two operators.
import * as op from './opcodes.ts';
import {
  Activation, Col2im, ConvShape, Depthwise, Gemm, Im2col, PackMatrix, Unary, at, useBases,
} from './operands.ts';
import { activate, gemm, packMatrix } from './tensor/gemm.ts';
import { depthwise } from './tensor/depthwise.ts';
import { col2im, im2col } from './tensor/patches.ts';
import { unary } from './tensor/unary.ts';

const DONE: i32 = -1;
const OK: i32 = -1;

let fault: u32 = 0;

/** Word index of the instruction that faulted last. */
export function faultWord(): u32 {
  return fault;
}

/**
 * Runs the program at `words` from word `pc` on. `bases` points to the arena's, weights' and tables' base pointers (u32 each), `flag` to
 * an i32 that is read after every instruction: when it is not zero, the run is suspended.
 * Returns -1 when the program is done, the word to resume at (>= 0) when suspended, -(2 + fault) when it cannot go on.
 */
export function execute(words: usize, pc: u32, bases: usize, flag: usize): i32 {
  useBases(bases);
  while (true) {
    const instruction = words + (<usize>pc << 2);
    const head = load<u32>(instruction);
    if ((head & 0xff) == op.END) return DONE;
    const opcode = head & 0xff;
    const code = <i32>opcode < INSTRUCTIONS.length ? unchecked(INSTRUCTIONS[opcode])(instruction + 4) : op.FAULT_OPCODE;
    if (code != OK) {
      fault = pc;
      return -(2 + code);
    }
    pc += head >> 8;
    if (atomic.load<i32>(flag) != 0) return pc;
  }
}

type Instruction = (operands: usize) => i32;

/** By opcode. A table, not a switch, so that V8 compiles only what a program uses. */
const INSTRUCTIONS: StaticArray<Instruction> = [
  unknown, runGemm, runPackMatrix, runIm2col, runCol2im, runDepthwise, unknown, runUnary,
];

function unknown(operands: usize): i32 {
  return op.FAULT_OPCODE;
}

function runGemm(operands: usize): i32 {
  const o = changetype<Gemm>(operands);
  const c = at(o.c), ldc = <usize>o.ldc << 2;
  gemm(
    at(o.a), <usize>o.lda << 2, at(o.b), c, ldc, o.m, o.n, o.k, o.panel,
    at(o.bias), at(o.residual), <usize>o.ldr << 2, o.low, o.high,
  );
  activate(o.kind, c, ldc, o.m, o.n, o.alpha, o.beta);
  return OK;
}

function runPackMatrix(operands: usize): i32 {
  const o = changetype<PackMatrix>(operands);
  packMatrix(at(o.b), at(o.packed), o.k, o.n, o.transposed != 0, o.panel, o.begin, o.end);
  return OK;
}

function runUnary(operands: usize): i32 {
  const o = changetype<Unary>(operands);
  unary(o.kind, at(o.x), at(o.y), o.count, o.alpha, o.beta);
  return OK;
}

function runIm2col(operands: usize): i32 {
  const o = changetype<Im2col>(operands);
  im2col(changetype<ConvShape>(operands), at(o.x), at(o.columns), o.channelBegin, o.channels, o.begin, o.end);
  return OK;
}

function runCol2im(operands: usize): i32 {
  const o = changetype<Col2im>(operands);
  col2im(changetype<ConvShape>(operands), at(o.columns), at(o.y), o.channelBegin, o.channels, o.begin, o.end);
  return OK;
}

function runDepthwise(operands: usize): i32 {
  const o = changetype<Depthwise>(operands);
  const activation = changetype<Activation>(operands + offsetof<Depthwise>('low'));
  depthwise(
    changetype<ConvShape>(operands), activation,
    at(o.x), at(o.weights), at(o.bias), at(o.y), <usize>o.yPixelStride << 2, at(o.residual), o.begin, o.end,
  );
  return OK;
}
