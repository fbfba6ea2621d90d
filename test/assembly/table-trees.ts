import * as op from '../../assembly/opcodes.ts';
import type { Row } from './kernel-table.ts';
import type { Trial } from './machine.ts';

/** Small whole numbers, among which many are equal. */
function numbers(trial: Trial, count: number, low: number, high: number): number[] {
  return Array.from({ length: count }, () => Math.floor(trial.random(low, high)));
}

function typed(type: 'float32' | 'float64', values: readonly number[]) {
  return type === 'float64' ? Float64Array.from(values) : Float32Array.from(values);
}

/** Trees of three leaves: the second question is behind the first's "no". */
export const treesRow: Row = {
  name: 'trees',
  opcodes: [op.TREES],
  tolerance: 1e-6,
  cases: (['float32', 'float64'] as const).flatMap((type) =>
    (['sum', 'min', 'max'] as const).flatMap((name) =>
      [
        [1, 1],
        [7, 20],
        [300, 400],
      ].map(([rows = 0, count = 0]) => (trial: Trial) => {
        const [features, outputs] = [3, 2];
        const x = numbers(trial, rows * features, -3, 4).map((value) => (value === 3 ? Number.NaN : value));
        const nodes: number[] = [];
        const thresholds: number[] = [];
        const [targets, weights] = [numbers(trial, count * 3, 0, outputs), numbers(trial, count * 3, -9, 9)];
        const asked: { kind: number; feature: number; threshold: number }[] = [];
        for (let tree = 0; tree < count; tree++) {
          const first = tree * 5;
          const questions = [0, 1].map(() => {
            const [kind = 0, feature = 0, threshold = 0] = [
              [1, 7],
              [0, features],
              [-2, 3],
            ].map(([low = 0, high = 0]) => numbers(trial, 1, low, high)[0] as number);
            return { kind: kind | (trial.random() > 0 ? op.TREE_MISSING_PASSES : 0), feature, threshold };
          });
          asked.push(...questions);
          questions.forEach(({ kind, feature, threshold }, i) => {
            nodes.push(kind, feature, first + 2 + i, first + (i === 0 ? 1 : 4));
            thresholds.push(threshold);
          });
          for (let leaf = 0; leaf < 3; leaf++) {
            nodes.push(op.TREE_LEAF, 0, tree * 3 + leaf, tree * 3 + leaf + 1);
            thresholds.push(0);
          }
        }
        const holds = (row: number, question: number): boolean => {
          const { kind, feature, threshold } = asked[question] as (typeof asked)[number];
          const value = x[row * features + feature] as number;
          if (Number.isNaN(value) && kind & op.TREE_MISSING_PASSES) return true;
          const results = [value <= threshold, value < threshold, value >= threshold, value > threshold];
          return [...results, value === threshold, value !== threshold][(kind & 7) - 1] as boolean;
        };
        const join = { sum: (a: number, b: number) => a + b, min: Math.min, max: Math.max }[name];
        const expected = new Array<number>(rows * outputs).fill(Number.NaN);
        for (let row = 0; row < rows; row++)
          for (let tree = 0; tree < count; tree++) {
            const leaf = 3 * tree + (holds(row, 2 * tree) ? 0 : holds(row, 2 * tree + 1) ? 1 : 2);
            const at = row * outputs + (targets[leaf] as number);
            const [before, weight] = [expected[at] as number, weights[leaf] as number];
            expected[at] = Number.isNaN(before) ? weight : join(before, weight);
          }
        const roots = Int32Array.from({ length: count }, (_, tree) => tree * 5);
        const tables = {
          nodes: trial.input(Int32Array.from(nodes)),
          thresholds: trial.input(typed(type, thresholds)),
          roots: trial.input(roots),
          targets: trial.input(Int32Array.from(targets)),
          weights: trial.input(typed(type, weights)),
        };
        const places = { x: trial.input(typed(type, x)), y: trial.output(expected, type) };
        trial.assembler.trees({ ...tables, ...places, name, type, rows, features, outputs, trees: count, depth: 400 });
      }),
    ),
  ),
};
