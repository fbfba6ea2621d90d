/** Kernels of all element types. What integers give is reckoned in BigInt and cut to the type's width. */
import * as op from '../../assembly/opcodes.ts';
import type { BinaryName, CompareName, ReduceName, UnaryName } from '../../runtime/compile/instructions.ts';
import { arrayOf, type DataType, elementBytes, type TypedArray } from '../../runtime/engine/tensor.ts';
import type { Row } from './kernel-table.ts';
import type { Trial } from './machine.ts';
import * as reference from './reference.ts';

const integers = ['int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64'] as const;
type IntegerType = (typeof integers)[number];

const keys = <Key extends string>(record: Partial<Record<Key, unknown>>) => Object.keys(record) as Key[];

export function wrap(type: IntegerType, value: bigint): bigint {
  const bits = elementBytes(type) * 8;
  return type.startsWith('u') ? BigInt.asUintN(bits, value) : BigInt.asIntN(bits, value);
}

/** Small numbers, and the ends of the type's range. */
function someIntegers(trial: Trial, type: IntegerType, count: number): bigint[] {
  const bits = BigInt(elementBytes(type) * 8);
  const ends = [0n, 1n, -1n, 1n << (bits - 1n), (1n << (bits - 1n)) - 1n];
  return Array.from({ length: count }, () => {
    const choice = Math.floor(trial.random(0, 12));
    return wrap(type, ends[choice] ?? BigInt(Math.floor(trial.random(-100, 100))));
  });
}

function pack(type: DataType, values: readonly bigint[]): TypedArray {
  const data = new (arrayOf(type))(values.length);
  values.forEach((value, i) => {
    data[i] = typeof data[i] === 'bigint' ? value : Number(value);
  });
  return data;
}

const power = (a: bigint, b: bigint, bits: bigint): bigint => {
  if (b < 0n) return a === 1n ? 1n : a === -1n ? (b % 2n === 0n ? 1n : -1n) : 0n;
  let [result, square] = [1n, a];
  for (let rest = b; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = BigInt.asUintN(Number(bits), result * square);
    square = BigInt.asUintN(Number(bits), square * square);
  }
  return result;
};

const whole: Record<BinaryName, (a: bigint, b: bigint, bits: bigint) => bigint> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => (b === 0n ? 0n : a / b),
  pow: power,
  min: (a, b) => (a < b ? a : b),
  max: (a, b) => (a > b ? a : b),
  prelu: (a, b) => (a < 0n ? a * b : a),
  mod: (a, b) => (b === 0n ? 0n : ((a % b) + b) % b),
  fmod: (a, b) => (b === 0n ? 0n : a % b),
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shiftLeft: (a, b, bits) => (b < 0n || b >= bits ? 0n : a << b),
  shiftRight: (a, b, bits) => (b < 0n || b >= bits ? 0n : a >> b),
};

const floatMod = (a: number, b: number) => {
  const rest = a % b;
  return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest;
};

const fractional: Partial<Record<BinaryName, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  pow: (a, b) => Math.abs(a) ** b,
  min: Math.min,
  max: Math.max,
  prelu: (a, b) => (a < 0 ? a * b : a),
  mod: floatMod,
  fmod: (a, b) => a % b,
};

/** [shape, strides of a, strides of b, elements of a, elements of b]. */
const broadcasts: readonly (readonly [number[], number[], number[], number, number])[] = [
  [[0], [1], [1], 0, 0],
  [[1], [1], [1], 1, 1],
  [[400], [1], [1], 400, 400],
  [[70_001], [1], [0], 70_001, 1],
  [[3, 70], [1, 3], [0, 1], 210, 70],
  [[2, 3, 4, 5], [0, 20, 5, 1], [15, 5, 0, 1], 60, 30],
];

/** The long one, which is cut into several instructions, for one type is enough. */
const broadcastsOf = (type: IntegerType) => broadcasts.filter(([, , , aCount]) => aCount < 1000 || type === 'int16');

function integerBinaryRow(name: BinaryName): Row {
  const cases = integers.flatMap((type) =>
    broadcastsOf(type).map(([shape, aStrides, bStrides, aCount, bCount]) => (trial: Trial) => {
      const [a, b] = [someIntegers(trial, type, aCount), someIntegers(trial, type, bCount)];
      const expected: bigint[] = [];
      const bits = BigInt(elementBytes(type) * 8);
      reference.walk(shape, [aStrides, bStrides], ([i, j]) =>
        expected.push(wrap(type, whole[name](a[i as number] as bigint, b[j as number] as bigint, bits))),
      );
      const y = trial.output(pack(type, expected), type);
      trial.assembler.binary(
        name,
        trial.input(pack(type, a)),
        trial.input(pack(type, b)),
        y,
        shape,
        aStrides,
        bStrides,
        type,
      );
    }),
  );
  return { name: `binary ${name} of integers`, opcodes: [op.BINARY], tolerance: 0, cases };
}

/** float64, and of float32 what has no vectors. */
function floatBinaryRow(name: BinaryName): Row {
  const f = fractional[name] as (a: number, b: number) => number;
  const types = name === 'mod' || name === 'fmod' ? (['float32', 'float64'] as const) : (['float64'] as const);
  const cases = types.flatMap((type) =>
    broadcasts.map(([shape, aStrides, bStrides, aCount, bCount]) => (trial: Trial) => {
      const make = (count: number) => {
        const data = new (arrayOf(type))(count) as Float64Array;
        return data.map(() => trial.random(name === 'pow' ? 0.1 : -8, 8));
      };
      const [a, b] = [make(aCount), make(bCount)];
      const expected: number[] = [];
      reference.walk(shape, [aStrides, bStrides], ([i, j]) =>
        expected.push(f(a[i as number] as number, b[j as number] as number)),
      );
      const y = trial.output(expected, type);
      trial.assembler.binary(name, trial.input(a), trial.input(b), y, shape, aStrides, bStrides, type);
    }),
  );
  return { name: `binary ${name} of float64`, opcodes: [op.BINARY], tolerance: 1e-12, cases };
}

const compares: Record<CompareName, (a: bigint, b: bigint) => boolean> = {
  equal: (a, b) => a === b,
  less: (a, b) => a < b,
  lessOrEqual: (a, b) => a <= b,
  greater: (a, b) => a > b,
  greaterOrEqual: (a, b) => a >= b,
};

function compareRow(name: CompareName): Row {
  const cases = integers.flatMap((type) =>
    broadcastsOf(type).map(([shape, aStrides, bStrides, aCount, bCount]) => (trial: Trial) => {
      const [a, b] = [someIntegers(trial, type, aCount), someIntegers(trial, type, bCount)];
      const expected: number[] = [];
      reference.walk(shape, [aStrides, bStrides], ([i, j]) =>
        expected.push(compares[name](a[i as number] as bigint, b[j as number] as bigint) ? 1 : 0),
      );
      const inputs = [trial.input(pack(type, a)), trial.input(pack(type, b))] as const;
      trial.assembler.compare(name, ...inputs, trial.output(expected, 'uint8'), shape, aStrides, bStrides, type);
    }),
  );
  return { name: `compare ${name} of integers`, opcodes: [op.COMPARE], tolerance: 0, cases };
}

const whereRow: Row = {
  name: 'where of all widths',
  opcodes: [op.WHERE],
  tolerance: 0,
  cases: (['uint8', 'int16', 'uint32', 'int64'] as const).flatMap((type) =>
    broadcasts.map(([shape, aStrides, bStrides, aCount, bCount]) => (trial: Trial) => {
      const [a, b] = [someIntegers(trial, type, aCount), someIntegers(trial, type, bCount)];
      const choose = Uint8Array.from({ length: aCount }, () => Math.floor(trial.random(0, 2)));
      const expected: bigint[] = [];
      reference.walk(shape, [aStrides, bStrides], ([i, j]) =>
        expected.push((choose[i as number] ? a[i as number] : b[j as number]) as bigint),
      );
      const y = trial.output(pack(type, expected), type);
      const inputs = [trial.input(choose), trial.input(pack(type, a)), trial.input(pack(type, b))] as const;
      trial.assembler.where(...inputs, y, shape, aStrides, aStrides, bStrides, elementBytes(type));
    }),
  ),
};

const folds: Record<ReduceName, (row: bigint[]) => bigint> = {
  sum: (row) => row.reduce((sum, x) => sum + x, 0n),
  mean: (row) => row.reduce((sum, x) => sum + x, 0n) / BigInt(row.length),
  max: (row) => row.reduce((most, x) => (x > most ? x : most)),
  min: (row) => row.reduce((least, x) => (x < least ? x : least)),
  prod: (row) => row.reduce((product, x) => product * x, 1n),
  sumSquare: (row) => row.reduce((sum, x) => sum + x * x, 0n),
  l1: (row) => row.reduce((sum, x) => sum + (x < 0n ? -x : x), 0n),
  l2: (row) => BigInt(Math.floor(Math.sqrt(Number(row.reduce((sum, x) => sum + x * x, 0n))))),
};

/** [outer, axis, inner]. */
const foldShapes = [
  [1, 1, 1],
  [3, 7, 1],
  [2, 5, 9],
  [300, 3, 40],
] as const;

const rowsOf = (x: readonly bigint[], outer: number, axis: number, inner: number): bigint[][] =>
  Array.from({ length: outer * inner }, (_, i) => {
    const first = Math.floor(i / inner) * axis * inner + (i % inner);
    return Array.from({ length: axis }, (_, j) => x[first + j * inner] as bigint);
  });

function reduceRow(name: ReduceName): Row {
  const cases = integers.flatMap((type) =>
    foldShapes.map(([outer, axis, inner]) => (trial: Trial) => {
      // Sums that do not wrap where what follows does not commute with it; any elements else.
      const small = name === 'mean' || name === 'l2';
      const x = small
        ? Array.from({ length: outer * axis * inner }, () => BigInt(Math.floor(trial.random(0, 6))))
        : someIntegers(trial, type, outer * axis * inner);
      const expected = rowsOf(x, outer, axis, inner).map((row) => wrap(type, folds[name](row)));
      const y = trial.output(pack(type, expected), type);
      trial.assembler.reduce(name, trial.input(pack(type, x)), y, outer, axis, inner, type);
    }),
  );
  return { name: `reduce ${name} of integers`, opcodes: [op.REDUCE], tolerance: 0, cases };
}

const reduce64Row: Row = {
  name: 'reduce of float64',
  opcodes: [op.REDUCE],
  tolerance: 1e-12,
  cases: (['sum', 'mean', 'max', 'l1', 'l2'] as const).flatMap((name) =>
    foldShapes.map(([outer, axis, inner]) => (trial: Trial) => {
      const x = Float64Array.from({ length: outer * axis * inner }, () => trial.random(-2, 2));
      const sum = (row: number[]) => row.reduce((total, value) => total + value, 0);
      const fold = {
        sum,
        mean: (row: number[]) => sum(row) / row.length,
        max: (row: number[]) => Math.max(...row),
        l1: (row: number[]) => sum(row.map(Math.abs)),
        l2: (row: number[]) => Math.hypot(...row),
      }[name];
      const y = trial.output(reference.alongAxis(x, outer, axis, inner, fold), 'float64');
      trial.assembler.reduce(name, trial.input(x), y, outer, axis, inner, 'float64');
    }),
  ),
};

const argMaxRow: Row = {
  name: 'argMax of all types',
  opcodes: [op.ARG_MAX],
  tolerance: 0,
  cases: [...integers, 'float32' as const, 'float64' as const].flatMap((type) =>
    [0, 1, 2, 3].flatMap((choice) =>
      foldShapes.map(([outer, axis, inner]) => (trial: Trial) => {
        const [least, last] = [choice % 2 === 1, choice > 1];
        const unsigned = type.startsWith('u');
        const x = Array.from({ length: outer * axis * inner }, () =>
          BigInt(Math.floor(trial.random(unsigned ? 120 : -3, unsigned ? 130 : 3))),
        ).map((value) => (type === 'int8' || unsigned ? value % 120n : value));
        const expected = rowsOf(x, outer, axis, inner).map((row) => {
          const wanted = least ? folds.min(row) : folds.max(row);
          return BigInt(last ? row.lastIndexOf(wanted) : row.indexOf(wanted));
        });
        const y = trial.output(expected, 'int64');
        trial.assembler.argMax(trial.input(pack(type, x)), y, outer, axis, inner, type, { least, last });
      }),
    ),
  ),
};

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const ramp = (x: number, a: number, b: number) => Math.min(Math.max(a * x + b, 0), 1);
const unaries: Partial<Record<UnaryName, (x: number, alpha: number, beta: number) => number>> = {
  relu: (x) => Math.max(x, 0),
  leakyRelu: (x, alpha) => (x < 0 ? alpha * x : x),
  clip: (x, low, high) => Math.min(Math.max(x, low), high),
  sigmoid,
  silu: (x) => x * sigmoid(x),
  hardSigmoid: ramp,
  hardSwish: (x, a, b) => x * ramp(x, a, b),
  tanh: Math.tanh,
  exp: Math.exp,
  log: (x) => Math.log(x),
  sqrt: Math.sqrt,
  reciprocal: (x) => 1 / x,
  neg: (x) => -x,
  abs: Math.abs,
  sign: Math.sign,
  floor: Math.floor,
  ceil: Math.ceil,
  round: (x) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x)),
  softplus: (x) => Math.log1p(Math.exp(x)),
  softsign: (x) => x / (1 + Math.abs(x)),
  elu: (x, alpha) => (x < 0 ? alpha * Math.expm1(x) : x),
  selu: (x, alpha, gamma) => gamma * (x < 0 ? alpha * Math.expm1(x) : x),
  sin: Math.sin,
  cos: Math.cos,
  scale: (x, alpha, beta) => alpha * x + beta,
  square: (x) => x * x,
};

const unary64Row: Row = {
  name: 'unary of float64',
  opcodes: [op.UNARY],
  tolerance: 1e-13,
  cases: keys(unaries).flatMap((name) =>
    [0, 33, 66_000].map((count) => (trial: Trial) => {
      const low = name === 'log' || name === 'sqrt' ? 0 : -9;
      const x = Float64Array.from({ length: count }, () => trial.random(low, 9));
      const expected = x.map((value) => (unaries[name] as (...x: number[]) => number)(value, 0.25, 0.5));
      trial.assembler.unary(name, trial.input(x), trial.output(expected, 'float64'), count, 0.25, 0.5, 'float64');
    }),
  ),
};

export const typedRows: readonly Row[] = [
  ...keys(whole).map(integerBinaryRow),
  ...keys(fractional).map(floatBinaryRow),
  ...keys(compares).map(compareRow),
  whereRow,
  ...keys(folds).map(reduceRow),
  reduce64Row,
  argMaxRow,
  unary64Row,
];
