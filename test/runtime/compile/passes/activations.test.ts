import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Builder } from '../../../../runtime/compile/builder.ts';
import type { Value } from '../../../../runtime/compile/graph.ts';
import { joinActivations } from '../../../../runtime/compile/passes/activations.ts';
import { joinScales } from '../../../../runtime/compile/passes/affine.ts';
import { joinLayerNorm } from '../../../../runtime/compile/passes/layer-norm.ts';
import { build, farthest, kindsOf } from '../graphs.ts';
import { runGraph } from '../run-program.ts';

type Write = (builder: Builder, x: Value) => Value;

function number(builder: Builder, value: number): Value {
  return builder.scalar(value);
}

/** x + 3, cut to 0 … 6 */
const cut: Write = (builder, x) => builder.unary('clip', builder.binary('add', x, number(builder, 3)), 0, 6);
const errorFunction: Write = (builder, x) =>
  builder.binary(
    'add',
    builder.unary('erf', builder.binary('div', x, number(builder, Math.SQRT2))),
    number(builder, 1),
  );

const written: readonly [title: string, write: Write, kinds: readonly string[]][] = [
  ['x · sigmoid(x)', (builder, x) => builder.binary('mul', x, builder.unary('sigmoid', x)), ['silu']],
  ['sigmoid(x) · x', (builder, x) => builder.binary('mul', builder.unary('sigmoid', x), x), ['silu']],
  [
    'x · hardSigmoid(x)',
    (builder, x) => builder.binary('mul', x, builder.unary('hardSigmoid', x, 0.2, 0.5)),
    ['hardSwish'],
  ],
  [
    'clip(x + 3, 0, 6) / 6',
    (builder, x) => builder.binary('div', cut(builder, x), number(builder, 6)),
    ['hardSigmoid'],
  ],
  [
    'x · clip(x + 3, 0, 6) / 6',
    (builder, x) => builder.binary('div', builder.binary('mul', x, cut(builder, x)), number(builder, 6)),
    ['hardSwish'],
  ],
  [
    'x · (clip(x + 3, 0, 6) / 6)',
    (builder, x) => builder.binary('mul', x, builder.binary('div', cut(builder, x), number(builder, 6))),
    ['hardSwish'],
  ],
  [
    'x · (1 + erf(x / √2)) / 2',
    (builder, x) => builder.binary('mul', builder.binary('mul', x, errorFunction(builder, x)), number(builder, 0.5)),
    ['gelu'],
  ],
  [
    '(x / 2) · (1 + erf(x / √2))',
    (builder, x) => builder.binary('mul', builder.binary('mul', x, number(builder, 0.5)), errorFunction(builder, x)),
    ['gelu'],
  ],
];

for (const [title, write, kinds] of written)
  test(`${title} becomes one operation`, () => {
    const { graph, inputs, keys } = build({ x: [300] }, (builder, [x], random) => [
      write(
        builder,
        builder.binary('div', x as Value, builder.unary('square', builder.constant(random.tensor([300])))),
      ),
    ]);
    const result = [joinScales, joinActivations, joinScales].reduce((each, pass) => pass(each, keys), graph);
    assert.equal(kindsOf(result), ['div', ...kinds]);
    assert.ok(farthest(runGraph(result, inputs), runGraph(graph, inputs)) < 1e-6);
  });

test('a gate over another value stays as it is', () => {
  const { graph, keys } = build({ x: [9], y: [9] }, (builder, [x, y]) => [
    builder.binary('mul', x as Value, builder.unary('sigmoid', y as Value)),
  ]);
  assert.equal(kindsOf(joinActivations(graph, keys)), ['sigmoid', 'mul']);
});

test('a layer normalisation that was written out becomes one operation', () => {
  const { graph, inputs, keys } = build({ x: [3, 5, 16] }, (builder, [x]) => {
    const centred = builder.binary('sub', x as Value, builder.reduce('mean', x as Value, [2]));
    const variance = builder.reduce('mean', builder.unary('square', centred), [2]);
    return [builder.binary('div', centred, builder.unary('sqrt', builder.scale(variance, 1, 1e-5)))];
  });
  const joined = joinLayerNorm(graph, keys);
  assert.equal(
    joined.nodes.map(({ operation }) => operation.kind),
    ['layerNorm'],
  );
  assert.ok(farthest(runGraph(joined, inputs), runGraph(graph, inputs)) < 1e-5);
});

test.run();
