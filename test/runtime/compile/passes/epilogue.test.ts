import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Builder } from '../../../../runtime/compile/builder.ts';
import type { Value } from '../../../../runtime/compile/graph.ts';
import { fuseEpilogues } from '../../../../runtime/compile/passes/epilogue.ts';
import type { Random } from '../../../random.ts';
import { build, farthest, kindsOf } from '../graphs.ts';
import { runGraph } from '../run-program.ts';

const window = { kernel: [3, 3], strides: [1, 1], dilations: [1, 1], pads: [1, 1, 1, 1] } as const;

const layers: Readonly<Record<string, (builder: Builder, x: Value, random: Random) => Value>> = {
  conv: (builder, x, random) =>
    builder.add({ kind: 'conv', window, group: 1 }, [x, builder.constant(random.tensor([8, 8, 3, 3]))]),
  depthwise: (builder, x, random) =>
    builder.add({ kind: 'conv', window, group: 8 }, [x, builder.constant(random.tensor([8, 1, 3, 3]))]),
  pointwise: (builder, x, random) =>
    builder.add({ kind: 'conv', window: { ...window, kernel: [1, 1], pads: [0, 0, 0, 0] }, group: 1 }, [
      x,
      builder.constant(random.tensor([8, 8, 1, 1])),
    ]),
  matMul: (builder, x, random) => builder.matMul(x, builder.constant(random.tensor([8, 8]))),
};

const activations: readonly ((builder: Builder, x: Value) => Value)[] = [
  (builder, x) => builder.unary('relu', x),
  (builder, x) => builder.unary('clip', x, -0.5, 0.5),
  (builder, x) => builder.unary('leakyRelu', x, 0.1),
  (builder, x) => builder.unary('sigmoid', x),
  (builder, x) => builder.unary('silu', x),
  (builder, x) => builder.unary('hardSigmoid', x, 0.2, 0.5),
  (builder, x) => builder.unary('hardSwish', x, 1 / 6, 0.5),
  (builder, x) => builder.unary('tanh', x),
  (builder, x) => builder.unary('gelu', x),
  (builder, x) => builder.unary('geluTanh', x),
];

for (const [name, layer] of Object.entries(layers))
  test(`an addition and every activation behind ${name} become part of it`, () => {
    for (const activation of activations) {
      const { graph, inputs, keys } = build({ x: [1, 5, 7, 8], other: [1, 5, 7, 8] }, (builder, [x, other], random) => [
        activation(builder, builder.binary('add', other as Value, layer(builder, x as Value, random))),
      ]);
      const fused = fuseEpilogues(graph, keys);
      assert.is(fused.nodes.length, 1, kindsOf(fused).join());
      const error = farthest(runGraph(fused, inputs), runGraph(graph, inputs));
      assert.ok(error < 1e-5, `${kindsOf(graph)}: ${error}`);
    }
  });

test('what comes after an activation, or is read by others as well, stays apart', () => {
  const { graph, inputs, keys } = build({ x: [1, 5, 7, 8] }, (builder, [x], random) => {
    const first = layers.conv?.(builder, x as Value, random) as Value;
    const active = builder.unary('relu', first);
    return [builder.binary('add', active, x as Value), builder.unary('tanh', active)];
  });
  const fused = fuseEpilogues(graph, keys);
  assert.equal(kindsOf(fused), ['conv', 'add', 'tanh']);
  assert.ok(farthest(runGraph(fused, inputs), runGraph(graph, inputs)) < 1e-6);
});

test.run();
