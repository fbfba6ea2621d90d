/** What may be computed together is known by its graph alone: runs that would get anything else than alone are refused. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { followBatch } from '../../../runtime/compile/batch-axes.ts';
import type { Builder } from '../../../runtime/compile/builder.ts';
import type { KernelGraph, Value } from '../../../runtime/compile/graph.ts';
import { build } from './graphs.ts';

type Make = (builder: Builder, x: Value, runs: number) => Value;

/** x [runs, 4, 6] → y0. */
function follow(make: Make): Readonly<Record<string, number>> | string {
  const graphOf = (count: number): KernelGraph =>
    build({ x: [count, 4, 6] }, (builder, [x]) => [make(builder, x as Value, count)]).graph;
  try {
    return followBatch(graphOf(2), { runs: 2, axes: { x: 0 } }, graphOf).axes;
  } catch (error) {
    return (error as Error).message;
  }
}

const numbers = (builder: Builder, dims: readonly number[]): Value =>
  builder.literal(
    'float32',
    dims,
    Array.from({ length: dims.reduce((product, size) => product * size, 1) }, (_, i) => i),
  );

const isApart = (make: Make): void => {
  const axes = follow(make);
  assert.type(axes, 'object', String(axes));
};
const isRefused = (make: Make, why = /mixes the runs of a batch/): void => assert.match(String(follow(make)), why);

test('runs are followed through whatever keeps them apart', () => {
  isApart((b, x) => b.add({ kind: 'softmax', axis: 2, log: false }, [x]));
  isApart((b, x, runs) => b.reshape(x, [runs * 4, 6]));
  isApart((b, x) => b.binary('add', x, numbers(b, [4, 6])));
  isApart((b, x) => b.matMul(x, numbers(b, [6, 3])));
  isApart((b, x) => b.reduce('sum', x, [1]));
  isApart((b, x, runs) => b.concat([x, b.expand(numbers(b, [1, 4, 1]), [runs, 4, 1])], 2));
  isApart((b, x) => b.matMul(x, b.transpose(x, [0, 2, 1])));
  assert.equal(
    follow((b, x) => b.transpose(x, [1, 2, 0])),
    { x: 0, y0: 2 },
  );
});

test('what mixes runs is refused', () => {
  isRefused((b, x) => b.add({ kind: 'softmax', axis: 0, log: false }, [x]));
  isRefused((b, x) => b.reduce('mean', x, [0]));
  isRefused((b, x, runs) => b.binary('mul', x, numbers(b, [runs, 1, 1])));
  isRefused((b, x) => b.matMul(b.transpose(x, [1, 2, 0]), b.transpose(x, [1, 0, 2])));
  isRefused((b, x, runs) => b.reshape(b.transpose(x, [1, 0, 2]), [4 * runs * 6]));
  isRefused((b, x) => b.concat([x, x], 0));
  isRefused((b, x) => b.sliceAxis(x, 0, 0, 1));
  isRefused((b, x) => b.unary('relu', b.add({ kind: 'determinant' }, [b.sliceAxis(x, 2, 0, 4)])));
  isRefused((b) => b.expand(numbers(b, [1]), [3]), /one for all runs/);
});

test('what depends on the number of runs is refused, though it keeps them apart', () => {
  const depends = /depends on the number of runs/;
  isRefused((b, x, runs) => b.binary('div', x, b.scalar(runs)), depends);
  // Shapes that are fixed for two: each run would get rows of another length.
  isRefused((b, x, runs) => b.reshape(x, [6, 4 * runs]), depends);
  isRefused((b, x, runs) => (runs === 1 ? b.unary('exp', x) : b.unary('tanh', x)), depends);
});

test.run();
