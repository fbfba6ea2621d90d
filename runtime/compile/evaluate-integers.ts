/** Arithmetic on constant integers, exactly as the kernels do it: in the type's own width, which wraps around. */
import { arrayOf, type DataType, elementBytes, elementCount, type Tensor } from '../engine/tensor.ts';
import type { Operation } from './graph.ts';
import type { BinaryName, ReduceName } from './instructions.ts';
import { broadcastStrides, walk } from './strides.ts';

type Combine = (a: bigint, b: bigint) => bigint;

/** The width in which a type reckons. */
function bitsOf(type: DataType): number {
  return smallBits[type] ?? 8 * elementBytes(type);
}

const smallBits: Partial<Record<DataType, number>> = { uint4: 4, int4: 4, uint2: 2, int2: 2 };

function least(type: DataType): bigint {
  return type.startsWith('u') || type === 'bool' ? 0n : -(1n << BigInt(bitsOf(type) - 1));
}

function most(type: DataType): bigint {
  return (1n << BigInt(bitsOf(type))) - 1n + least(type);
}

/** What is left of a number in the width of the type. */
function wrapped(type: DataType, value: bigint): bigint {
  const bits = bitsOf(type);
  return least(type) === 0n ? BigInt.asUintN(bits, value) : BigInt.asIntN(bits, value);
}

/** By squaring, so that no power grows beyond the type; a negative exponent leaves a fraction, 0 but for bases 1 and -1. */
function power(type: DataType, a: bigint, b: bigint): bigint {
  if (b < 0n) return a === 1n ? 1n : a === -1n ? (b % 2n === 0n ? 1n : -1n) : 0n;
  let [result, square] = [1n, a];
  for (let rest = b; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = wrapped(type, result * square);
    square = wrapped(type, square * square);
  }
  return result;
}

function modulo(a: bigint, b: bigint): bigint {
  const rest = a % b;
  return rest !== 0n && rest < 0n !== b < 0n ? rest + b : rest;
}

function binaryFunction(name: BinaryName, type: DataType): Combine {
  const bits = BigInt(bitsOf(type));
  switch (name) {
    case 'add':
      return (a, b) => a + b;
    case 'sub':
      return (a, b) => a - b;
    case 'mul':
      return (a, b) => a * b;
    case 'div':
      return (a, b) => (b === 0n ? 0n : a / b);
    case 'pow':
      return (a, b) => power(type, a, b);
    case 'min':
      return (a, b) => (a < b ? a : b);
    case 'max':
      return (a, b) => (a > b ? a : b);
    case 'prelu':
      return (a, b) => (a < 0n ? a * b : a);
    case 'mod':
      return (a, b) => (b === 0n ? 0n : modulo(a, b));
    case 'fmod':
      return (a, b) => (b === 0n ? 0n : a % b);
    case 'and':
      return (a, b) => a & b;
    case 'or':
      return (a, b) => a | b;
    case 'xor':
      return (a, b) => a ^ b;
    case 'shiftLeft':
      return (a, b) => (b >= 0n && b < bits ? a << b : 0n);
    case 'shiftRight':
      return (a, b) => (b >= 0n && b < bits ? a >> b : 0n);
  }
}

/** Elements as integers, written back in the width of the type. */
class Integers {
  readonly tensor: Tensor;

  constructor(type: DataType, dims: readonly number[]) {
    this.tensor = { type, dims, data: new (arrayOf(type))(elementCount(dims)) };
  }

  set(index: number, value: bigint): void {
    const { type, data } = this.tensor;
    const kept = wrapped(type, value);
    data[index] = (elementBytes(type) === 8 ? kept : Number(kept)) as never;
  }
}

function at({ data }: Tensor, index: number | undefined): bigint {
  return BigInt(data[index as number] as number | bigint);
}

export function binaryOfIntegers(name: BinaryName, a: Tensor, b: Tensor, dims: readonly number[]): Tensor {
  const f = binaryFunction(name, a.type);
  const result = new Integers(a.type, dims);
  const strides = [a, b].map((operand) => broadcastStrides(operand.dims, dims));
  walk(dims, strides, (index, [first, second]) => result.set(index, f(at(a, first), at(b, second))));
  return result.tensor;
}

const square = (x: bigint): bigint => x * x;

/** Partial results may grow beyond the type: what wraps at the end is the same. */
const steps: Record<ReduceName, Combine> = {
  sum: (sum, x) => sum + x,
  mean: (sum, x) => sum + x,
  max: (sum, x) => (x > sum ? x : sum),
  min: (sum, x) => (x < sum ? x : sum),
  prod: (product, x) => product * x,
  sumSquare: (sum, x) => sum + square(x),
  l1: (sum, x) => sum + (x < 0n ? -x : x),
  l2: (sum, x) => sum + square(x),
};

export function reduceIntegers(operation: Operation & { kind: 'reduce' }, x: Tensor, dims: readonly number[]): Tensor {
  const { name } = operation;
  const start = name === 'max' ? least(x.type) : name === 'min' ? most(x.type) : name === 'prod' ? 1n : 0n;
  const sums = new Array<bigint>(elementCount(dims)).fill(start);
  walk(x.dims, [broadcastStrides(dims, x.dims)], (index, [to]) => {
    sums[to as number] = wrapped(x.type, steps[name](sums[to as number] as bigint, at(x, index)));
  });
  const size = BigInt(sums.length === 0 ? 0 : x.data.length / sums.length);
  const result = new Integers(x.type, dims);
  sums.forEach((sum, index) => {
    if (name === 'mean') result.set(index, size === 0n ? 0n : sum / size);
    else if (name === 'l2') result.set(index, BigInt(Math.trunc(Math.sqrt(Number(sum)))));
    else result.set(index, sum);
  });
  return result.tensor;
}

/** To another type of integers (bool: whatever is not zero), or to floats, which are rounded once. */
export function castIntegers(x: Tensor, to: DataType, round: (values: number[]) => Tensor): Tensor {
  const values = Array.from({ length: x.data.length }, (_, index) => at(x, index));
  if (to === 'bool')
    return { type: to, dims: x.dims, data: Uint8Array.from(values, (value) => (value === 0n ? 0 : 1)) };
  if (to.includes('float')) return round(values.map(to === 'float64' ? Number : roundToOdd));
  const result = new Integers(to, x.dims);
  for (const [index, value] of values.entries()) result.set(index, value);
  return result.tensor;
}

/** 53 bits whose last one stands for all that are lost, so that rounding to fewer bits afterwards gives the nearest. */
function roundToOdd(value: bigint): number {
  const size = value < 0n ? -value : value;
  if (size <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  const lost = BigInt(size.toString(2).length - 53);
  const kept = ((size >> lost) | (BigInt.asUintN(Number(lost), size) === 0n ? 0n : 1n)) << lost;
  return Number(value < 0n ? -kept : kept);
}
