/** Casts from every element type to every other. 16-bit floats are decoded and rounded by Node's own Float16Array. */
import * as op from '../../assembly/opcodes.ts';
import { type CastMode, fromByteFloat, toByteFloat, USUAL_MODE } from '../../runtime/compile/minifloat.ts';
import { arrayOf, type DataType, isByteFloat, isSmallInteger, type TypedArray } from '../../runtime/engine/tensor.ts';
import type { Row } from './kernel-table.ts';
import type { Trial } from './machine.ts';
import { wrap } from './table-typed.ts';

const types: readonly DataType[] = [
  ...(['float32', 'float64', 'float16', 'bfloat16', 'bool'] as const),
  ...(['int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64'] as const),
  ...(['float8e4m3fn', 'float8e4m3fnuz', 'float8e5m2', 'float8e5m2fnuz', 'float8e8m0', 'float4e2m1'] as const),
  ...(['uint4', 'int4', 'uint2', 'int2'] as const),
];
const modes: readonly CastMode[] = [true, false].flatMap((saturate) =>
  (['up', 'down', 'nearest'] as const).map((round) => ({ saturate, round })),
);
const floats = [
  ...[0, -0, 1, -1, 0.5, 1.5, 2.5, 2.7, -2.7, 127.9, 128, -129, 255.5, 300, 2049, 2051, 65_519, 65_520, -70_000],
  ...[3e9, -3e9, 5e9, 1e19, -1e19, 1e30, -1e30, 3.3e38, 6.1e-5, 6e-8, 2.9e-8, 3e-8, 1e-40, 1e-300],
  ...[1 + 2 ** -11, 1 + 2 ** -11 + 2 ** -30, 1 + 2 ** -8, 1 + 3 * 2 ** -8, Number.NaN, Infinity, -Infinity],
];
const integers = [
  ...[0n, 1n, -1n, 127n, 128n, -129n, 255n, 256n, 2049n, 2051n, 65_519n, 65_520n, 70_000n, -70_000n],
  ...[2n ** 31n - 1n, -(2n ** 31n), 2n ** 33n + 5n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)],
];
const isFloat = (type: DataType) => type.includes('float');

/** The nearest bfloat16, ties to even, as a number. */
function roundToBfloat(value: number): number {
  if (!Number.isFinite(value) || value === 0) return value;
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(value))), -126);
  const step = 2 ** (exponent - 7);
  const [low, rest] = [Math.floor(value / step), value / step - Math.floor(value / step)];
  const rounded = (rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low) * step;
  return Math.abs(rounded) >= 2 ** 128 ? Math.sign(value) * Infinity : rounded === 0 ? value * 0 : rounded;
}

const words = new Float32Array(1);

function rounded(type: DataType, value: number): number {
  if (isByteFloat(type)) return fromByteFloat(type, toByteFloat(type, value));
  if (type === 'float16') return new Float16Array([value])[0] as number;
  if (type === 'float32') return Math.fround(value);
  return type === 'bfloat16' ? roundToBfloat(value) : value;
}

/** What stands in memory for a number that the type holds exactly. */
function stored(type: DataType, values: readonly (number | bigint)[], mode = USUAL_MODE): TypedArray {
  if (type === 'float16') return new Uint16Array(new Float16Array(values.map(Number)).buffer);
  if (type === 'bfloat16')
    return Uint16Array.from(values, (value) => {
      words[0] = Number(value);
      return (new Uint32Array(words.buffer)[0] as number) >>> 16;
    });
  if (isByteFloat(type)) return Uint8Array.from(values, (value) => toByteFloat(type, Number(value), mode));
  const data = new (arrayOf(type))(values.length);
  values.forEach((value, i) => {
    data[i] = typeof data[i] === 'bigint' ? BigInt(value) : Number(value);
  });
  return data;
}

const ranges: Partial<Record<DataType, readonly [bigint, bigint]>> = {
  int8: [-128n, 127n],
  uint8: [0n, 255n],
  int16: [-32_768n, 32_767n],
  uint16: [0n, 65_535n],
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
};

/** The lowest bits of a whole number, as the type reads them. */
function lowBits(type: DataType, value: bigint): bigint {
  const bits = type.endsWith('4') ? 4 : 2;
  return type.startsWith('u') ? BigInt.asUintN(bits, value) : BigInt.asIntN(bits, value);
}

function cast(value: number | bigint, to: DataType): number | bigint {
  if (isByteFloat(to)) return value; // rounded when it is stored
  if (isSmallInteger(to)) return lowBits(to, typeof value === 'bigint' ? value : (cast(value, 'int64') as bigint));
  if (to === 'bool') return Number(value) !== 0 ? 1 : 0;
  if (isFloat(to)) return rounded(to, Number(value));
  if (typeof value === 'bigint') return wrap(to as 'int8', value);
  const [low, high] = ranges[to] as [bigint, bigint];
  if (Number.isNaN(value)) return 0n;
  if (value >= Number(high)) return high;
  return value <= Number(low) ? low : BigInt(Math.trunc(value));
}

function samplesOf(type: DataType): (number | bigint)[] {
  if (type === 'bool') return [0n, 1n];
  if (isByteFloat(type))
    return Array.from({ length: type === 'float4e2m1' ? 16 : 256 }, (_, i) => fromByteFloat(type, i));
  if (isFloat(type)) return floats.map((value) => rounded(type, value));
  if (isSmallInteger(type)) return integers.map((value) => lowBits(type, value));
  return integers.map((value) => wrap(type as 'int8', value));
}

/** A block and its rest; of the older types also many blocks, and none. */
function sizesOf(from: DataType, to: DataType): readonly number[] {
  if ([from, to].some((type) => isByteFloat(type) || isSmallInteger(type))) return [300];
  return [0, 1, 41, from === 'float16' || to === 'float32' ? 70_001 : 300];
}

function trialOf(from: DataType, to: DataType, count: number, mode = USUAL_MODE) {
  return (trial: Trial): void => {
    const samples = samplesOf(from);
    const x = Array.from({ length: count }, (_, i) => samples[i % samples.length] as number | bigint);
    const values = x.map((value) => cast(value, to));
    const y = trial.output(stored(to, values, mode), to);
    const given = stored(from, x, { saturate: false, round: 'up' });
    trial.assembler.cast(trial.input(given), from, y, to, count, mode);
  };
}

export const castRow: Row = {
  name: 'cast',
  opcodes: [op.CAST],
  tolerance: 0,
  cases: types.flatMap((from) =>
    types.flatMap((to) => [
      ...sizesOf(from, to).map((count) => trialOf(from, to, count)),
      ...(isByteFloat(to) ? modes.map((mode) => trialOf(from, to, 300, mode)) : []),
    ]),
  ),
};
