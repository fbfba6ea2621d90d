import * as op from '../../assembly/opcodes.ts';
import type { ReduceName } from '../../runtime/compile/instructions.ts';
import type { Row } from './kernel-table.ts';
import type { Trial } from './machine.ts';
import * as reference from './reference.ts';

const sum = (row: number[]) => row.reduce((total, value) => total + value, 0);
const reductions: Record<ReduceName, (row: number[]) => number> = {
  sum,
  mean: (row) => sum(row) / row.length,
  max: (row) => Math.max(...row),
  min: (row) => Math.min(...row),
  prod: (row) => row.reduce((product, value) => product * value, 1),
  sumSquare: (row) => sum(row.map((value) => value * value)),
  l1: (row) => sum(row.map(Math.abs)),
  l2: (row) => Math.sqrt(sum(row.map((value) => value * value))),
};

/** [outer, axis, inner]. */
const foldShapes = [
  [1, 1, 1],
  [3, 7, 1],
  [2, 8, 1],
  [5, 9, 1],
  [1, 1000, 1],
  [4, 1, 5],
  [2, 13, 7],
  [3, 5, 8],
  [2, 49, 19],
  [700, 100, 1],
  [40, 30, 70],
  [19, 2, 1],
  [17, 4, 1],
] as const;

function reduceRow(name: ReduceName): Row {
  const cases = foldShapes.map(([outer, axis, inner]) => (trial: Trial) => {
    const x = trial.floats(outer * axis * inner, ...(name === 'prod' ? ([0.9, 1.1] as const) : ([-2, 2] as const)));
    const expected = reference.alongAxis(x, outer, axis, inner, reductions[name]);
    trial.assembler.reduce(name, trial.input(x), trial.output(expected), outer, axis, inner);
  });
  return { name: `reduce ${name}`, opcodes: [op.REDUCE], tolerance: 2e-6, cases };
}

const softmaxRow: Row = {
  name: 'softmax',
  opcodes: [op.SOFTMAX],
  tolerance: 1e-6,
  cases: foldShapes.flatMap(([outer, axis, inner]) =>
    [false, true].flatMap((log) =>
      [0, 500].map((shift) => (trial: Trial) => {
        const x = trial.floats(outer * axis * inner, shift - 6, shift + 6);
        const expected = reference.softmax(x, outer, axis, inner, log);
        trial.assembler.softmax(trial.input(x), trial.output(expected), outer, axis, inner, log);
      }),
    ),
  ),
};

/** The error that assembly/tensor/exponential.ts states, that of its argument, and of a sum and a product. */
const smallSharesRow: Row = {
  name: 'softmax over the whole range of exponentials',
  opcodes: [op.SOFTMAX],
  tolerance: 4e-7,
  relative: true,
  cases: [8, 16, 20, 41].map((size) => (trial: Trial) => {
    const rows = Math.floor(10_000 / size);
    // In each row a 0, and numbers at even distances from -0.01 to -86.
    const at = (i: number): number => (i % size === 0 ? 0 : (-86 * (i + 1)) / (rows * size));
    const x = Float32Array.from({ length: rows * size }, (_, i) => at(i));
    const expected = reference.softmax(x, rows, size, 1, false);
    trial.assembler.softmax(trial.input(x), trial.output(expected), rows, size, 1, false);
  }),
};

/** As masks of attention have it. */
const maskedRow: Row = {
  name: 'softmax with elements that have no share',
  opcodes: [op.SOFTMAX],
  tolerance: 0,
  cases: [8, 17, 32, 100].map((size) => (trial: Trial) => {
    const masks = [-Infinity, -1e30, -1000];
    const x = Float32Array.from({ length: 2 * size }, (_, i) => (i % size === 3 ? 2 : (masks[i % 3] as number)));
    const expected = Array.from(x, (value) => (value === 2 ? 1 : 0));
    trial.assembler.softmax(trial.input(x), trial.output(expected), 2, size, 1, false);
  }),
};

const argMaxRow: Row = {
  name: 'argMax',
  opcodes: [op.ARG_MAX],
  tolerance: 0,
  cases: foldShapes.map(([outer, axis, inner]) => (trial: Trial) => {
    const x = trial.floats(outer * axis * inner, 0, 5).map(Math.floor); // many equal elements
    const first = reference.alongAxis(x, outer, axis, inner, (row) => row.indexOf(Math.max(...row)));
    trial.assembler.argMax(trial.input(x), trial.output(first.map(BigInt), 'int64'), outer, axis, inner);
  }),
};

const layerNormRow: Row = {
  name: 'layerNorm',
  opcodes: [op.LAYER_NORM],
  tolerance: 2e-5,
  cases: [
    [1, 1],
    [3, 7],
    [2, 8],
    [5, 17],
    [4, 768],
    [300, 300],
  ].flatMap(([rows, size]) =>
    [0, 100, undefined].map((shift) => (trial: Trial) => {
      const [r, n] = [rows as number, size as number];
      const uncentred = shift === undefined;
      const at = shift ?? 1;
      const [x, scale, bias] = [trial.floats(r * n, at - 2, at + 2), trial.floats(n), trial.floats(n)];
      const expected = reference.layerNorm(x, scale, bias, r, n, 1e-3, uncentred);
      const places = {
        x: trial.input(x),
        y: trial.output(expected),
        scale: trial.input(scale),
        bias: trial.input(bias),
      };
      trial.assembler.layerNorm({ ...places, rows: r, size: n, epsilon: 1e-3, uncentred });
    }),
  ),
};

export const reduceRows: readonly Row[] = [
  ...(Object.keys(reductions) as ReduceName[]).map(reduceRow),
  softmaxRow,
  smallSharesRow,
  maskedRow,
  argMaxRow,
  layerNormRow,
];
