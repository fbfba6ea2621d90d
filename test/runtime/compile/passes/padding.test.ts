import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Builder } from '../../../../runtime/compile/builder.ts';
import type { Value } from '../../../../runtime/compile/graph.ts';
import { foldPadding } from '../../../../runtime/compile/passes/padding.ts';
import { build, farthest, kindsOf } from '../graphs.ts';
import { runGraph } from '../run-program.ts';

const window = { kernel: [3, 3], strides: [2, 1], dilations: [1, 1], pads: [1, 0, 0, 1] } as const;

function pad(builder: Builder, x: Value, value: number, begins: readonly number[], ends: readonly number[]): Value {
  return builder.add({ kind: 'pad', mode: 'constant', value, begins, ends }, [x]);
}

for (const group of [1, 2, 8])
  test(`zeros around a picture become pads of the convolution behind (${group} groups)`, () => {
    const { graph, inputs, keys } = build({ x: [2, 6, 5, 8] }, (builder, [x], random) => {
      const weights = builder.constant(random.tensor([8, 8 / group, 3, 3]));
      const wider = pad(builder, x as Value, 0, [0, 1, 2, 0], [0, 3, 0, 0]);
      return [builder.add({ kind: 'conv', window, group }, [wider, weights])];
    });
    const result = foldPadding(graph, keys);
    assert.equal(kindsOf(result), ['conv']);
    assert.ok(farthest(runGraph(result, inputs), runGraph(graph, inputs)) < 1e-5);
  });

test('other borders, and more channels, stay', () => {
  const kept = [
    [1, [0, 1, 1, 0], [0, 1, 1, 0], 8],
    [0, [0, 1, 1, 1], [0, 1, 1, 0], 9],
  ] as const;
  for (const [value, begins, ends, channels] of kept) {
    const { graph, keys } = build({ x: [1, 6, 5, 8] }, (builder, [x], random) => [
      builder.add({ kind: 'conv', window, group: 1 }, [
        pad(builder, x as Value, value, begins, ends),
        builder.constant(random.tensor([4, channels, 3, 3])),
      ]),
    ]);
    assert.equal(kindsOf(foldPadding(graph, keys)), ['pad', 'conv']);
  }
});

test.run();
