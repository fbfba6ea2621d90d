import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Builder } from '../../../../runtime/compile/builder.ts';
import type { Value } from '../../../../runtime/compile/graph.ts';
import { foldAffine, foldIntoNext, joinScales } from '../../../../runtime/compile/passes/affine.ts';
import type { Random } from '../../../random.ts';
import { build, farthest, kindsOf } from '../graphs.ts';
import { runGraph } from '../run-program.ts';

type Layer = (builder: Builder, x: Value, random: Random) => Value;

const window = { kernel: [3, 3], strides: [1, 1], dilations: [1, 1], pads: [1, 1, 1, 1] } as const;
const shape = [1, 6, 6, 4];

const layers: Readonly<Record<string, Layer>> = {
  conv: (builder, x, random) =>
    builder.add({ kind: 'conv', window, group: 2 }, [x, builder.constant(random.tensor([4, 2, 3, 3]))]),
  'conv with bias': (builder, x, random) =>
    builder.add({ kind: 'conv', window, group: 1 }, [
      x,
      builder.constant(random.tensor([4, 4, 3, 3])),
      builder.constant(random.tensor([4])),
    ]),
  convTranspose: (builder, x, random) =>
    builder.add({ kind: 'convTranspose', window, group: 1, outputSize: [6, 6] }, [
      x,
      builder.constant(random.tensor([4, 4, 3, 3])),
    ]),
  matMul: (builder, x, random) => builder.matMul(x, builder.constant(random.tensor([4, 4]))),
  'matMul transposed': (builder, x, random) => builder.matMul(x, builder.constant(random.tensor([4, 4])), true),
  layerNorm: (builder, x, random) =>
    builder.add({ kind: 'layerNorm', epsilon: 1e-5 }, [
      x,
      builder.constant(random.tensor([4])),
      builder.constant(random.tensor([4])),
    ]),
};

for (const [name, layer] of Object.entries(layers))
  test(`scales and shifts move into ${name}`, () => {
    const { graph, inputs, keys } = build({ x: shape }, (builder, [x], random) => {
      const vector = (): Value => builder.constant(random.tensor([4]));
      let y = layer(builder, x as Value, random);
      y = builder.binary('mul', y, vector());
      y = builder.binary('add', builder.constant(random.tensor([1, 1, 1, 4])), y);
      y = builder.binary('sub', y, vector());
      y = builder.binary('sub', vector(), y);
      y = builder.binary('div', y, builder.scalar(3));
      return [builder.scale(y, 2, 0.5)];
    });
    const folded = foldAffine(graph, keys);
    assert.is(folded.nodes.length, 1);
    assert.ok(farthest(runGraph(folded, inputs), runGraph(graph, inputs)) < 1e-5);
  });

test('what an activation keeps from the convolution before it moves into the one behind it, but for a shift that its padding lacks', () => {
  const cases: [pad: number, beta: number, left: number][] = [
    [0, 0.7, 2],
    [1, 0, 2],
    [1, 0.7, 3],
  ];
  for (const [pad, beta, left] of cases)
    for (const group of [1, 2]) {
      const { graph, inputs, keys } = build({ x: shape }, (builder, [x], random) => {
        const swish = builder.unary('hardSwish', x as Value, 1 / 6, 0.5);
        const operation = { kind: 'conv', window: { ...window, pads: [pad, pad, pad, pad] }, group } as const;
        const weights = builder.constant(random.tensor([4, 4 / group, 3, 3]));
        const bias = group === 1 ? [builder.constant(random.tensor([4]))] : [];
        return [builder.add(operation, [builder.scale(swish, -1.5, beta), weights, ...bias])];
      });
      const folded = foldIntoNext(graph, keys);
      assert.is(folded.nodes.length, left, `padding ${pad}, shift ${beta}`);
      assert.ok(farthest(runGraph(folded, inputs), runGraph(graph, inputs)) < 1e-5);
    }
});

test('a result that others read stays as it is', () => {
  const { graph, inputs, keys } = build({ x: shape }, (builder, [x], random) => {
    const y = layers.conv?.(builder, x as Value, random) as Value;
    return [y, builder.binary('mul', y, builder.constant(random.tensor([4])))];
  });
  const folded = foldAffine(graph, keys);
  assert.equal(kindsOf(folded), ['conv', 'mul']);
  assert.ok(farthest(runGraph(folded, inputs), runGraph(graph, inputs)) < 1e-6);
});

test('a constant that is not the same all over a channel stays an operation', () => {
  const { graph, keys } = build({ x: shape }, (builder, [x], random) => {
    const y = layers.conv?.(builder, x as Value, random) as Value;
    return [builder.binary('add', y, builder.constant(random.tensor([6, 4])))];
  });
  assert.equal(kindsOf(foldAffine(graph, keys)), ['conv', 'add']);
});

test('arithmetic with single numbers joins, and vanishes where it cancels', () => {
  const { graph, inputs, keys } = build({ x: [7] }, (builder, [x]) => {
    const y = builder.binary('mul', builder.binary('add', x as Value, builder.scalar(3)), builder.scalar(6));
    const z = builder.binary('div', builder.scale(x as Value, 6, 0), builder.scalar(6));
    return [builder.binary('sub', builder.scalar(1), y), builder.unary('relu', z)];
  });
  const joined = joinScales(graph, keys);
  assert.equal(kindsOf(joined), ['scale', 'relu']);
  assert.ok(farthest(runGraph(joined, inputs), runGraph(graph, inputs)) < 1e-6);
});

test.run();
