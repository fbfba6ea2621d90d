import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Builder } from '../../../../runtime/compile/builder.ts';
import type { Value } from '../../../../runtime/compile/graph.ts';
import { passes } from '../../../../runtime/compile/passes/index.ts';
import type { Random } from '../../../random.ts';
import { build, farthest, kindsOf } from '../graphs.ts';
import { runGraph } from '../run-program.ts';

interface Shape {
  readonly batch: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly size: number;
  readonly mask?: readonly number[];
}

/** As torch exports it: linear layers, heads split and moved outwards, scores, and all of it back. */
function block(shape: Shape, scaling: 'after' | 'before') {
  const { batch, heads, queries, keys, size, mask } = shape;
  const width = heads * size;
  const shapes = { x: [batch, queries, width], memory: [batch, keys, width], ...(mask && { mask }) };
  return build(shapes, (builder, [x, memory, bias], random) => {
    const linear = (from: Value): Value => builder.matMul(from, builder.constant(random.tensor([width, width])));
    const split = (from: Value, length: number): Value =>
      builder.transpose(builder.reshape(linear(from), [batch, length, heads, size]), [0, 2, 1, 3]);
    const q = split(x as Value, queries);
    const k = builder.transpose(split(memory as Value, keys), [0, 1, 3, 2]);
    const v = split(memory as Value, keys);
    const root = builder.scalar(Math.sqrt(size));
    const scores =
      scaling === 'after'
        ? builder.binary('div', builder.matMul(q, k), root)
        : builder.matMul(builder.binary('div', q, root), k);
    const masked = bias ? builder.binary('add', scores, bias) : scores;
    const weights = builder.add({ kind: 'softmax', axis: 3, log: false }, [masked]);
    const joined = builder.transpose(builder.matMul(weights, v), [0, 2, 1, 3]);
    return [linear(builder.reshape(joined, [batch, queries, width]))];
  });
}

const shapes: readonly Shape[] = [
  { batch: 1, heads: 1, queries: 1, keys: 1, size: 4 },
  { batch: 2, heads: 3, queries: 7, keys: 5, size: 9 },
  { batch: 1, heads: 2, queries: 50, keys: 700, size: 16 },
  // More keys than one block of queries can hold scores of.
  { batch: 1, heads: 1, queries: 13, keys: 9000, size: 8 },
  { batch: 2, heads: 3, queries: 7, keys: 5, size: 9, mask: [7, 5] },
  { batch: 2, heads: 3, queries: 90, keys: 400, size: 8, mask: [2, 1, 1, 400] },
  { batch: 2, heads: 3, queries: 90, keys: 401, size: 8, mask: [1, 3, 90, 401] },
  { batch: 2, heads: 2, queries: 4, keys: 6, size: 4, mask: [6] },
];

for (const shape of shapes)
  for (const scaling of ['after', 'before'] as const)
    test(`attention as torch writes it is one operation: ${JSON.stringify(shape)}, scaled ${scaling} the product`, () => {
      const { graph, inputs, keys } = block(shape, scaling);
      const result = passes.reduce((each, pass) => pass(each, keys), graph);
      const kinds = kindsOf(result).filter((kind) => kind !== 'reshape' && kind !== 'transpose');
      assert.equal(kinds, ['matMul', 'matMul', 'matMul', 'attention', 'matMul']);
      const error = farthest(runGraph(result, inputs), runGraph(graph, inputs));
      assert.ok(error < 1e-5, String(error));
    });

function refused(write: (builder: Builder, inputs: readonly Value[], random: Random) => readonly Value[]): string[] {
  const { graph, keys } = build({ q: [2, 4, 8], k: [2, 8, 6], v: [2, 6, 8], mask: [2, 4, 1] }, write);
  return kindsOf(passes.reduce((each, pass) => pass(each, keys), graph));
}

test('attention whose weights are wanted, over other axes, or masked by queries stays as it is', () => {
  const softmax = (builder: Builder, x: Value, axis: number) => builder.add({ kind: 'softmax', axis, log: false }, [x]);
  const wanted = refused((builder, [q, k, v]) => {
    const weights = softmax(builder, builder.matMul(q as Value, k as Value), 2);
    return [weights, builder.matMul(weights, v as Value)];
  });
  const otherAxis = refused((builder, [q, k, v]) => [
    builder.matMul(softmax(builder, builder.matMul(q as Value, k as Value), 1), v as Value),
  ]);
  const byQuery = refused((builder, [q, k, v, mask]) => [
    builder.matMul(
      softmax(builder, builder.binary('mul', builder.matMul(q as Value, k as Value), mask as Value), 2),
      v as Value,
    ),
  ]);
  for (const kinds of [wanted, otherAxis, byQuery]) assert.ok(kinds.includes('softmax'), kinds.join());
});

test.run();
