/** Operations on constants, computed at compile time: shape arithmetic, and what exporters leave of weight arithmetic. */
import {
  arrayOf,
  type DataType,
  elementCount,
  isByteFloat,
  isSmallInteger,
  type SmallInteger,
  type Tensor,
  type TypedArray,
} from '../engine/tensor.ts';
import { combineFloats, scaleFloats } from './evaluate-floats.ts';
import { binaryOfIntegers, castIntegers, reduceIntegers } from './evaluate-integers.ts';
import type { Operation } from './graph.ts';
import { fromHalf, toHalf } from './half.ts';
import { inferOutputs } from './infer.ts';
import type { BinaryName, CompareName, ReduceName, UnaryName } from './instructions.ts';
import { type CastMode, fromByteFloat, toByteFloat } from './minifloat.ts';
import { broadcastStrides, stridesOf, walkRows } from './strides.ts';

const integers: ReadonlySet<DataType> = new Set([
  ...(['int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64', 'bool'] as const),
]);

export function isInteger(type: DataType): boolean {
  return integers.has(type);
}

/** Element `index` as a number. Integers beyond 2^53 lose digits: what is to be exact does not come here. */
function numberAt(data: TypedArray, index: number): number {
  return Number(data[index]);
}

/** All elements as numbers. */
export function numbersOf({ type, data }: Tensor): number[] {
  if (type === 'float16' || type === 'bfloat16') return Array.from(data as Uint16Array, (word) => fromHalf(type, word));
  if (isByteFloat(type)) return Array.from(data as Uint8Array, (byte) => fromByteFloat(type, byte));
  return Array.from(data as ArrayLike<number | bigint>, Number);
}

/** Converts as ONNX Cast does: truncation towards zero, wrap-around for integers, any non-zero number is true. */
export function tensorOf(type: DataType, dims: readonly number[], values: ArrayLike<number>, mode?: CastMode): Tensor {
  const data = new (arrayOf(type))(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (type === 'bool') data[i] = value === 0 ? 0 : 1;
    else if (type === 'int64' || type === 'uint64') data[i] = toBigInt(value, type);
    else if (type === 'float16' || type === 'bfloat16') data[i] = toHalf(type, value);
    else if (isByteFloat(type)) data[i] = toByteFloat(type, value, mode);
    else if (isSmallInteger(type)) data[i] = lowBits(type, value);
    else data[i] = value;
  }
  return { type, dims, data };
}

function toBigInt(value: number, type: 'int64' | 'uint64'): bigint {
  const [least, most] = type === 'int64' ? [-(2n ** 63n), 2n ** 63n - 1n] : [0n, 2n ** 64n - 1n];
  if (Number.isNaN(value)) return 0n;
  if (value >= Number(most)) return most;
  if (value <= Number(least)) return least;
  return BigInt(Math.trunc(value));
}

/** What 4 or 2 bits keep of a number that was cut to a whole one. */
function lowBits(type: SmallInteger, value: number): number {
  const [bits, whole] = [type.endsWith('4') ? 4 : 2, toBigInt(value, 'int64')];
  return Number(type.startsWith('u') ? BigInt.asUintN(bits, whole) : BigInt.asIntN(bits, whole));
}

function roundEven(x: number): number {
  return Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x);
}

const unaryFunctions: Partial<Record<UnaryName, (x: number, alpha: number, beta: number) => number>> = {
  relu: (x) => Math.max(x, 0),
  leakyRelu: (x, alpha) => (x < 0 ? alpha * x : x),
  clip: (x, low, high) => Math.min(Math.max(x, low), high),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  tanh: Math.tanh,
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  reciprocal: (x) => 1 / x,
  neg: (x) => -x,
  abs: Math.abs,
  sign: Math.sign,
  floor: Math.floor,
  ceil: Math.ceil,
  round: roundEven,
  sin: Math.sin,
  cos: Math.cos,
  scale: (x, alpha, beta) => alpha * x + beta,
  square: (x) => x * x,
  asin: Math.asin,
  acos: Math.acos,
  atan: Math.atan,
  sinh: Math.sinh,
  cosh: Math.cosh,
  asinh: Math.asinh,
  acosh: Math.acosh,
  atanh: Math.atanh,
};

type Combine = (a: number, b: number) => number;

function binaryFunction(name: BinaryName): Combine | undefined {
  switch (name) {
    case 'add':
      return (a, b) => a + b;
    case 'sub':
      return (a, b) => a - b;
    case 'mul':
      return (a, b) => a * b;
    case 'div':
      return (a, b) => a / b;
    case 'pow':
      return (a, b) => a ** b;
    case 'min':
      return (a, b) => Math.min(a, b);
    case 'max':
      return (a, b) => Math.max(a, b);
    case 'prelu':
      return (a, b) => (a < 0 ? a * b : a);
    case 'mod':
      return (a, b) => a - b * Math.floor(a / b);
    case 'fmod':
      return (a, b) => a % b;
    default:
      return undefined;
  }
}

const compareFunctions: Record<CompareName, (a: number | bigint, b: number | bigint) => boolean> = {
  equal: (a, b) => a === b,
  less: (a, b) => a < b,
  lessOrEqual: (a, b) => a <= b,
  greater: (a, b) => a > b,
  greaterOrEqual: (a, b) => a >= b,
};

const reduceFunctions: Record<
  ReduceName,
  { start: number; step: Combine; finish?: (sum: number, n: number) => number }
> = {
  sum: { start: 0, step: (sum, x) => sum + x },
  mean: { start: 0, step: (sum, x) => sum + x, finish: (sum, n) => sum / n },
  max: { start: -Infinity, step: Math.max },
  min: { start: Infinity, step: Math.min },
  prod: { start: 1, step: (product, x) => product * x },
  sumSquare: { start: 0, step: (sum, x) => sum + x * x },
  l1: { start: 0, step: (sum, x) => sum + Math.abs(x) },
  l2: { start: 0, step: (sum, x) => sum + x * x, finish: Math.sqrt },
};

/** Of one to three operands; `f` gets a number for each of three. */
function combine(
  type: DataType,
  dims: readonly number[],
  inputs: readonly Tensor[],
  f: (a: number, b: number, c: number) => number,
): Tensor {
  const count = elementCount(dims);
  const values = type === 'float32' ? new Float32Array(count) : new Float64Array(count);
  const operands = [0, 1, 2].map((index) => inputs[index] ?? (inputs[0] as Tensor));
  const [a, b, c] = operands.map(({ data }) => asNumbers(data)) as [Numbers, Numbers, Numbers];
  const strides = operands.map((operand) => broadcastStrides(operand.dims, dims));
  walkRows(dims, strides, (first, length, [i = 0, j = 0, k = 0], [iStep = 0, jStep = 0, kStep = 0]) => {
    for (let n = 0; n < length; n++)
      values[first + n] = f(a[i + n * iStep] as number, b[j + n * jStep] as number, c[k + n * kStep] as number);
  });
  return values instanceof Float32Array ? { type, dims, data: values } : tensorOf(type, dims, values);
}

type Numbers = Exclude<TypedArray, BigInt64Array | BigUint64Array>;

function asNumbers(data: TypedArray): Numbers {
  return data instanceof BigInt64Array || data instanceof BigUint64Array ? Float64Array.from(data, Number) : data;
}

/** Numbers compare with bigints too, so this is exact for every type. */
function compare(name: CompareName, a: Tensor, b: Tensor, dims: readonly number[]): Tensor {
  const f = compareFunctions[name];
  const data = new Uint8Array(elementCount(dims));
  const strides = [a, b].map((operand) => broadcastStrides(operand.dims, dims));
  walkRows(dims, strides, (first, length, [i = 0, j = 0], [iStep = 0, jStep = 0]) => {
    for (let n = 0; n < length; n++)
      data[first + n] = f(a.data[i + n * iStep] as number, b.data[j + n * jStep] as number) ? 1 : 0;
  });
  return { type: 'bool', dims, data };
}

/** Moves elements as they stand in memory. */
function choose(condition: Tensor, a: Tensor, b: Tensor, dims: readonly number[]): Tensor {
  const data = new (arrayOf(a.type))(elementCount(dims));
  const strides = [condition, a, b].map((operand) => broadcastStrides(operand.dims, dims));
  walkRows(dims, strides, (first, length, [which = 0, i = 0, j = 0], [whichStep = 0, iStep = 0, jStep = 0]) => {
    for (let n = 0; n < length; n++)
      data[first + n] = (
        condition.data[which + n * whichStep] ? a.data[i + n * iStep] : b.data[j + n * jStep]
      ) as never;
  });
  return { type: a.type, dims, data };
}

function reduce(operation: Operation & { kind: 'reduce' }, x: Tensor, dims: readonly number[]): Tensor {
  const { start, step, finish } = reduceFunctions[operation.name];
  const sums = new Float64Array(elementCount(dims)).fill(start);
  const values = asNumbers(x.data);
  walkRows(x.dims, [broadcastStrides(dims, x.dims)], (first, length, [to = 0], [toStep = 0]) => {
    for (let n = 0; n < length; n++) {
      const at = to + n * toStep;
      sums[at] = step(sums[at] as number, values[first + n] as number);
    }
  });
  const size = x.data.length / sums.length;
  return tensorOf(x.type, dims, finish ? sums.map((sum) => finish(sum, size)) : sums);
}

/** A new array of the elements at `offset` + strides, whatever their type. */
function pick(x: Tensor, shape: readonly number[], strides: readonly number[], offset: number): Tensor {
  const data = new (arrayOf(x.type))(elementCount(shape));
  walkRows(shape, [strides], (first, length, [start = 0], [step = 0]) => {
    const from = offset + start;
    if (step === 1) data.set(x.data.subarray(from, from + length) as never, first);
    else for (let n = 0; n < length; n++) data[first + n] = x.data[from + n * step] as never;
  });
  return { type: x.type, dims: shape, data };
}

function slice(operation: Operation & { kind: 'slice' }, x: Tensor): Tensor {
  const strides = stridesOf(x.dims);
  const offset = operation.starts.reduce((sum, start, axis) => sum + start * (strides[axis] as number), 0);
  const steps = strides.map((stride, axis) => stride * (operation.steps[axis] as number));
  return pick(x, operation.sizes, steps, offset);
}

function concat(axis: number, inputs: readonly Tensor[], type: DataType, dims: readonly number[]): Tensor {
  const data = new (arrayOf(type))(elementCount(dims));
  const outer = elementCount(dims.slice(0, axis));
  let to = 0;
  for (let block = 0; block < outer; block++) {
    for (const input of inputs) {
      const length = input.data.length / outer;
      data.set(input.data.subarray(block * length, (block + 1) * length) as never, to);
      to += length;
    }
  }
  return { type, dims, data };
}

function gather(axis: number, x: Tensor, indices: Tensor, dims: readonly number[]): Tensor {
  const data = new (arrayOf(x.type))(elementCount(dims));
  const size = x.dims[axis] as number;
  const inner = elementCount(x.dims.slice(axis + 1));
  const outer = elementCount(x.dims.slice(0, axis));
  let to = 0;
  for (let block = 0; block < outer; block++) {
    for (let i = 0; i < indices.data.length; i++) {
      const index = numberAt(indices.data, i);
      if (index < -size || index >= size)
        throw new Error(`expected an index from ${-size} to ${size - 1}, got ${index}`);
      const from = (block * size + (index < 0 ? index + size : index)) * inner;
      data.set(x.data.subarray(from, from + inner) as never, to);
      to += inner;
    }
  }
  return { type: x.type, dims, data };
}

function wrap(x: Tensor, size: number): Tensor {
  const values = numbersOf(x).map((index) => {
    if (index < -size || index >= size) throw new Error(`expected an index from ${-size} to ${size - 1}, got ${index}`);
    return index < 0 ? index + size : index;
  });
  return tensorOf('int64', x.dims, values);
}

/** In float32 like the kernels: what lies between two steps must go to the same one. */
function quantize(to: DataType, dims: readonly number[], inputs: readonly Tensor[]): Tensor | undefined {
  const [low, high] = to === 'int8' ? [-128, 127] : [0, 255];
  if (to !== 'int8' && to !== 'uint8') return undefined;
  return combine(to, dims, inputs, (x, scale, zero) => {
    const whole = roundEven(Math.fround(x / scale)) + zero;
    return Number.isNaN(whole) ? 0 : Math.min(Math.max(whole, low), high);
  });
}

/** The result for constant operands, or `undefined` for an operation that only the kernels can do. */
export function evaluate(operation: Operation, inputs: readonly Tensor[]): Tensor | undefined {
  const [x, y, z] = inputs as [Tensor, Tensor, Tensor];
  const result = inferOutputs(
    operation,
    inputs.map(({ type, dims }) => ({ type, dims })),
  )[0] as { type: DataType; dims: readonly number[] };
  const { type, dims } = result;
  switch (operation.kind) {
    case 'unary': {
      const { name, alpha = 0, beta = 0 } = operation;
      if (name === 'scale' && x.data instanceof Float32Array) return scaleFloats(x.data, dims, alpha, beta);
      const f = unaryFunctions[name];
      return f && combine(type, dims, [x], (value) => f(value, alpha, beta));
    }
    case 'binary': {
      if (isInteger(type)) return binaryOfIntegers(operation.name, x, y, dims);
      const f = binaryFunction(operation.name);
      return f && (combineFloats(operation.name, x, y, dims) ?? combine(type, dims, [x, y], f));
    }
    case 'compare':
      return compare(operation.name, x, y, dims);
    case 'where':
      return choose(x, y, z, dims);
    case 'cast': {
      const round = (values: ArrayLike<number>): Tensor => tensorOf(operation.to, dims, values, operation.mode);
      return isInteger(x.type) || isSmallInteger(x.type) ? castIntegers(x, operation.to, round) : round(numbersOf(x));
    }
    case 'bitCast': {
      const bytes = x.data.slice().buffer as ArrayBuffer;
      return { type, dims, data: new (arrayOf(type))(bytes) };
    }
    case 'reduce':
      return isInteger(type) ? reduceIntegers(operation, x, dims) : reduce(operation, x, dims);
    case 'reshape':
      return { type, dims, data: x.data };
    case 'transpose':
      return pick(
        x,
        dims,
        operation.perm.map((axis) => stridesOf(x.dims)[axis] as number),
        0,
      );
    case 'slice':
      return slice(operation, x);
    case 'concat':
      return concat(operation.axis, inputs, type, dims);
    case 'expand':
      return pick(x, dims, broadcastStrides(x.dims, dims), 0);
    case 'dequantize':
      return combine(type, dims, [x, y, z], (value, scale, zero) => (value - zero) * scale);
    case 'quantize':
      return quantize(operation.to, dims, [x, y, z]);
    case 'center':
      return combine(type, dims, [x, y], (value, zero) => value - zero);
    case 'wrapIndices':
      return wrap(x, operation.size);
    case 'gather':
      return gather(operation.axis, x, y, dims);
    default:
      return undefined;
  }
}
