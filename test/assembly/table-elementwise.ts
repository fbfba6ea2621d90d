import * as op from '../../assembly/opcodes.ts';
import type { BinaryName, CompareName, UnaryName } from '../../runtime/compile/instructions.ts';
import type { Row } from './kernel-table.ts';
import type { Trial } from './machine.ts';
import * as reference from './reference.ts';

/** Sizes around a pair of vectors (8 floats), and one that is cut into several instructions. */
const counts = [0, 1, 3, 4, 7, 8, 9, 16, 17, 31, 100];
const LONG = 70_001;

const specials = [
  Number.NaN,
  Infinity,
  -Infinity,
  0,
  -0,
  1e30,
  -1e30,
  1e-30,
  -1e-30,
  100,
  -100,
  88.6,
  -87.2,
  1,
  -1,
  0.5,
  -0.5,
  8,
  -8,
  4.2,
  -4.2,
];

interface UnaryFunction {
  readonly f: (x: number, alpha: number, beta: number) => number;
  readonly tolerance: number;
  readonly relative?: boolean;
  readonly range?: readonly [number, number];
  readonly constants?: readonly [alpha: number, beta: number];
  /** Arguments where the function has no useful value in float32. */
  readonly without?: readonly number[];
}

const tanhCubic = (x: number) => Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3));
const roundEven = (x: number) => {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
};

const functions: Record<UnaryName, UnaryFunction> = {
  relu: { f: (x) => (x < 0 ? 0 : x), tolerance: 0 },
  leakyRelu: { f: (x, alpha) => (x < 0 ? alpha * x : x), tolerance: 1e-7, constants: [0.01, 0] },
  clip: { f: (x, low, high) => (x < low ? low : x > high ? high : x), tolerance: 0, constants: [-0.5, 0.75] },
  sigmoid: { f: reference.sigmoid, tolerance: 2e-7, relative: true, range: [-20, 20] },
  silu: { f: (x) => x * reference.sigmoid(x), tolerance: 3e-7, relative: true, range: [-20, 20], without: [-Infinity] },
  hardSigmoid: {
    f: (x, a, b) => Math.min(Math.max(a * x + b, 0), 1),
    tolerance: 2e-7,
    constants: [0.2, 0.5],
    range: [-6, 6],
  },
  hardSwish: {
    f: (x, a, b) => x * Math.min(Math.max(a * x + b, 0), 1),
    tolerance: 5e-7,
    constants: [1 / 6, 0.5],
    range: [-6, 6],
    without: [-Infinity],
  },
  tanh: { f: Math.tanh, tolerance: 3.5e-7, relative: true, range: [-10, 10] },
  exp: { f: Math.exp, tolerance: 2e-7, relative: true, range: [-80, 80] },
  log: { f: Math.log, tolerance: 1e-7, range: [0, 100] },
  sqrt: { f: Math.sqrt, tolerance: 1e-7, relative: true, range: [0, 100] },
  reciprocal: { f: (x) => 1 / x, tolerance: 1e-7, relative: true },
  neg: { f: (x) => -x, tolerance: 0 },
  abs: { f: Math.abs, tolerance: 0 },
  sign: { f: (x) => (x > 0 ? 1 : x < 0 ? -1 : 0), tolerance: 0 },
  floor: { f: Math.floor, tolerance: 0, range: [-5, 5] },
  ceil: { f: Math.ceil, tolerance: 0, range: [-5, 5] },
  round: { f: roundEven, tolerance: 0, range: [-5, 5] },
  erf: { f: reference.erf, tolerance: 4e-7, range: [-5, 5] },
  gelu: {
    f: (x) => 0.5 * x * (1 + reference.erf(x * Math.SQRT1_2)),
    tolerance: 1e-6,
    range: [-8, 8],
    without: [-Infinity],
  },
  geluTanh: { f: (x) => 0.5 * x * (1 + tanhCubic(x)), tolerance: 1e-6, range: [-8, 8], without: [-Infinity] },
  softplus: {
    f: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
    tolerance: 3e-7,
    relative: true,
    range: [-30, 30],
  },
  softsign: { f: (x) => x / (1 + Math.abs(x)), tolerance: 1e-7, without: [Infinity, -Infinity] },
  elu: { f: (x, a) => (x < 0 ? a * Math.expm1(x) : x), tolerance: 2e-7, constants: [1.3, 0], range: [-10, 10] },
  selu: {
    f: (x, a, b) => b * (x < 0 ? a * Math.expm1(x) : x),
    tolerance: 3e-7,
    constants: [1.6732632, 1.050701],
    range: [-10, 10],
  },
  sin: { f: Math.sin, tolerance: 2e-7, range: [-3000, 3000] },
  cos: { f: Math.cos, tolerance: 2e-7, range: [-3000, 3000] },
  scale: { f: (x, a, b) => a * x + b, tolerance: 2e-7, constants: [2.5, -1], without: [-Infinity, Infinity] },
  square: { f: (x) => x * x, tolerance: 1e-7, relative: true },
  asin: { f: Math.asin, tolerance: 3e-7, range: [-1, 1] },
  acos: { f: Math.acos, tolerance: 3e-7, range: [-1, 1] },
  atan: { f: Math.atan, tolerance: 3e-7, relative: true },
  sinh: { f: Math.sinh, tolerance: 5e-7, relative: true, range: [-10, 10] },
  cosh: { f: Math.cosh, tolerance: 5e-7, relative: true, range: [-10, 10] },
  asinh: { f: Math.asinh, tolerance: 5e-7, relative: true },
  acosh: { f: Math.acosh, tolerance: 5e-7, range: [1, 50] },
  atanh: { f: Math.atanh, tolerance: 5e-7, relative: true, range: [-1, 1] },
};

function unaryRow(name: UnaryName): Row {
  const { f, tolerance, relative, range = [-4, 4], constants = [0, 0], without = [] } = functions[name];
  const [alpha, beta] = [Math.fround(constants[0]), Math.fround(constants[1])];
  const of = (x: Float32Array) => Array.from(x, (value) => f(value, alpha, beta));
  const separate = (trial: Trial, x: Float32Array) =>
    trial.assembler.unary(name, trial.input(x), trial.output(of(x)), x.length, alpha, beta);
  const inPlace = (trial: Trial) => {
    const x = trial.floats(21, ...range);
    const y = trial.inPlace(x, of(x));
    trial.assembler.unary(name, y, y, x.length, alpha, beta);
  };
  const special = Float32Array.from(specials.filter((value) => !without.includes(value)));
  return {
    name: `unary ${name}`,
    opcodes: [op.UNARY],
    tolerance,
    relative,
    cases: [
      ...[...counts, LONG].map((count) => (trial: Trial) => separate(trial, trial.floats(count, ...range))),
      (trial) => separate(trial, special),
      inPlace,
    ],
  };
}

/** Numbers at even distances, both ends included. */
function sweep(low: number, high: number, count = 50_000): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1));
}

function sweptCase(name: 'tanh' | 'sigmoid' | 'exp' | 'gelu', x: Float32Array) {
  return (trial: Trial) =>
    trial.assembler.unary(
      name,
      trial.input(x),
      trial.output(Array.from(x, (v) => functions[name].f(v, 0, 0))),
      x.length,
    );
}

/** The errors that assembly/tensor/transcendental.ts states, over all arguments whose results are no limits. */
const sweptRow: Row = {
  name: 'tanh and sigmoid over their whole range',
  opcodes: [op.UNARY],
  tolerance: 3.5e-7,
  relative: true,
  cases: [
    sweptCase('tanh', sweep(-1, 1)),
    sweptCase('tanh', sweep(1, 9.1)),
    sweptCase('tanh', sweep(-9.1, -1)),
    sweptCase('sigmoid', sweep(-87, 17.5)),
  ],
};

/** The errors that assembly/tensor/exponential.ts and rational.ts state. */
const sweptExpRow: Row = {
  name: 'exp over its whole range',
  opcodes: [op.UNARY],
  tolerance: 1.3e-7,
  relative: true,
  cases: [
    sweptCase('exp', sweep(-87, -20)),
    sweptCase('exp', sweep(-20, -1)),
    sweptCase('exp', sweep(-1, 1)),
    sweptCase('exp', sweep(1, 88.7)),
  ],
};

const sweptGeluRow: Row = {
  name: 'gelu over its whole range',
  opcodes: [op.UNARY],
  tolerance: 1.2e-6,
  cases: [
    sweptCase('gelu', sweep(-12, -5)),
    sweptCase('gelu', sweep(-5, -1)),
    sweptCase('gelu', sweep(-1, 1)),
    sweptCase('gelu', sweep(1, 12)),
  ],
};

/** Where the results are limits, they are exactly those. */
const saturatedRow: Row = {
  name: 'tanh and sigmoid beyond their range',
  opcodes: [op.UNARY],
  tolerance: 0,
  cases: (
    [
      ['tanh', [9.02, 10.6, 1e9, Infinity], 1],
      ['tanh', [-9.02, -10.6, -1e9, -Infinity], -1],
      ['sigmoid', [17.4, 90, 1e9, Infinity], 1],
      ['sigmoid', [-88.8, -104, -1e9, -Infinity], 0],
    ] as const
  ).map(([name, few, limit]) => (trial: Trial) => {
    const x = Float32Array.from([...few, ...few, ...few].slice(0, 11));
    trial.assembler.unary(name, trial.input(x), trial.output(new Array<number>(x.length).fill(limit)), x.length);
  }),
};

/** Those that have vectors; table-typed.ts has the others. */
type VectorName = Exclude<BinaryName, 'mod' | 'fmod' | 'and' | 'or' | 'xor' | 'shiftLeft' | 'shiftRight'>;

const binaries: Record<VectorName, { f: (a: number, b: number) => number; tolerance: number; positive?: boolean }> = {
  add: { f: (a, b) => a + b, tolerance: 1e-7 },
  sub: { f: (a, b) => a - b, tolerance: 1e-7 },
  mul: { f: (a, b) => a * b, tolerance: 1e-7 },
  div: { f: (a, b) => a / b, tolerance: 1e-7 },
  pow: { f: (a, b) => a ** b, tolerance: 2e-7, positive: true },
  min: { f: Math.min, tolerance: 0 },
  max: { f: Math.max, tolerance: 0 },
  prelu: { f: (a, b) => (a < 0 ? a * b : a), tolerance: 1e-7 },
};

/** [shape, strides of a, strides of b]: same shape, scalars, row and column vectors, permuted axes, up to rank 8. */
const broadcasts: readonly (readonly [number[], number[], number[]])[] = [
  ...counts.map((count): [number[], number[], number[]] => [[count], [1], [1]]),
  [[LONG], [1], [1]],
  [[], [], []],
  [[19], [1], [0]],
  [[19], [0], [1]],
  [
    [5, 24],
    [24, 1],
    [0, 1],
  ],
  [
    [5, 13],
    [0, 1],
    [13, 1],
  ],
  [
    [7, 9],
    [9, 1],
    [1, 0],
  ],
  [
    [4, 6],
    [1, 4],
    [6, 1],
  ],
  [
    [6, 1, 5],
    [5, 5, 1],
    [0, 0, 1],
  ],
  [
    [2, 3, 4, 17],
    [204, 68, 17, 1],
    [0, 17, 0, 1],
  ],
  [
    [3, 4, 8],
    [0, 8, 1],
    [8, 0, 1],
  ],
  [
    [2, 2, 2, 2, 2, 2, 2, 3],
    [0, 3, 0, 6, 0, 12, 0, 1],
    [3, 0, 6, 0, 12, 0, 24, 1],
  ],
  [
    [300, 301],
    [301, 1],
    [0, 1],
  ],
];

const reach = (shape: readonly number[], strides: readonly number[]) =>
  shape.includes(0) ? 0 : 1 + shape.reduce((sum, size, axis) => sum + (size - 1) * (strides[axis] as number), 0);

function binaryRow(name: VectorName): Row {
  const { f, tolerance, positive } = binaries[name];
  const range: [number, number] = positive ? [0.1, 3] : [-3, 3];
  const general =
    ([shape, aStrides, bStrides]: (typeof broadcasts)[number]) =>
    (trial: Trial) => {
      const a = trial.floats(reach(shape, aStrides), ...range);
      const b = trial.floats(reach(shape, bStrides), ...range);
      const expected: number[] = [];
      reference.walk(shape, [aStrides, bStrides], ([i, j]) =>
        expected.push(f(a[i as number] as number, b[j as number] as number)),
      );
      trial.assembler.binary(name, trial.input(a), trial.input(b), trial.output(expected), shape, aStrides, bStrides);
    };
  const special = (trial: Trial) => {
    const pairs = specials.flatMap((a) =>
      [0, -0, 1, -2, 0.5, Infinity, -Infinity, Number.NaN].map((b) => [a, b] as const),
    );
    const [a, b] = [Float32Array.from(pairs, (pair) => pair[0]), Float32Array.from(pairs, (pair) => pair[1])];
    const expected = Array.from(a, (value, i) => f(value, b[i] as number));
    trial.assembler.binary(name, trial.input(a), trial.input(b), trial.output(expected), [a.length], [1], [1]);
  };
  const inPlace = (trial: Trial) => {
    const [a, b] = [trial.floats(33, ...range), trial.floats(11, ...range)];
    const y = trial.inPlace(
      a,
      Array.from(a, (value, i) => f(value, b[i % 11] as number)),
    );
    trial.assembler.binary(name, y, trial.input(b), y, [3, 11], [11, 1], [0, 1]);
  };
  return {
    name: `binary ${name}`,
    opcodes: [op.BINARY],
    tolerance,
    cases: [...broadcasts.map(general), special, inPlace],
  };
}

const compares: Record<CompareName, (a: number, b: number) => boolean> = {
  equal: (a, b) => a === b,
  less: (a, b) => a < b,
  lessOrEqual: (a, b) => a <= b,
  greater: (a, b) => a > b,
  greaterOrEqual: (a, b) => a >= b,
};

function compareRow(name: CompareName): Row {
  const cases = broadcasts.map(([shape, aStrides, bStrides]) => (trial: Trial) => {
    const values = [-1, 0, 0.5, 1, Number.NaN, Infinity];
    const pick = (count: number) => trial.floats(count, 0, values.length).map((x) => values[Math.floor(x)] as number);
    const [a, b] = [pick(reach(shape, aStrides)), pick(reach(shape, bStrides))];
    const expected: number[] = [];
    reference.walk(shape, [aStrides, bStrides], ([i, j]) =>
      expected.push(compares[name](a[i as number] as number, b[j as number] as number) ? 1 : 0),
    );
    const y = trial.output(expected, 'uint8');
    trial.assembler.compare(name, trial.input(a), trial.input(b), y, shape, aStrides, bStrides);
  });
  return { name: `compare ${name}`, opcodes: [op.COMPARE], tolerance: 0, cases };
}

const whereRow: Row = {
  name: 'where',
  opcodes: [op.WHERE],
  tolerance: 0,
  cases: broadcasts.flatMap(([shape, aStrides, bStrides]) =>
    [aStrides, bStrides].map((conditionStrides) => (trial: Trial) => {
      const condition = Uint8Array.from(trial.floats(reach(shape, conditionStrides)), (x) => (x > 0 ? 1 : 0));
      const [a, b] = [trial.floats(reach(shape, aStrides)), trial.floats(reach(shape, bStrides))];
      const expected: number[] = [];
      reference.walk(shape, [conditionStrides, aStrides, bStrides], ([c, i, j]) =>
        expected.push((condition[c as number] ? a[i as number] : b[j as number]) as number),
      );
      const inputs = [trial.input(condition), trial.input(a), trial.input(b)] as const;
      trial.assembler.where(...inputs, trial.output(expected), shape, conditionStrides, aStrides, bStrides);
    }),
  ),
};

const keys = <Key extends string>(record: Record<Key, unknown>) => Object.keys(record) as Key[];

export const elementwiseRows: readonly Row[] = [
  ...keys(functions).map(unaryRow),
  sweptRow,
  sweptExpRow,
  sweptGeluRow,
  saturatedRow,
  ...keys(binaries).map(binaryRow),
  ...keys(compares).map(compareRow),
  whereRow,
];
