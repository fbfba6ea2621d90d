import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Builder } from '../../../../runtime/compile/builder.ts';
import type { Value } from '../../../../runtime/compile/graph.ts';
import { joinActivations } from '../../../../runtime/compile/passes/activations.ts';
import { joinScales } from '../../../../runtime/compile/passes/affine.ts';
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

/** factor · (1 + tanh(√(2/π) · cubic)) */
const tanhGate = (builder: Builder, factor: Value, cubic: Value): Value => {
  const tanh = builder.unary('tanh', builder.binary('mul', cubic, number(builder, Math.sqrt(2 / Math.PI))));
  return builder.binary('mul', factor, builder.binary('add', tanh, number(builder, 1)));
};
const geluTanh: Write = (builder, x) => {
  const cube = builder.binary('mul', builder.binary('pow', x, number(builder, 3)), number(builder, 0.044715));
  return tanhGate(builder, builder.binary('mul', x, number(builder, 0.5)), builder.binary('add', x, cube));
};
const geluProduct: Write = (builder, x) => {
  const cube = builder.binary('mul', builder.binary('mul', builder.binary('mul', x, x), x), number(builder, 0.044715));
  return builder.binary('mul', tanhGate(builder, x, builder.binary('add', cube, x)), number(builder, 0.5));
};
const geluFactored: Write = (builder, x) => {
  const square = builder.binary('mul', builder.unary('square', x), number(builder, 0.044715));
  const cubic = builder.binary('mul', x, builder.binary('add', square, number(builder, 1)));
  return tanhGate(builder, builder.binary('mul', x, number(builder, 0.5)), cubic);
};

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
  ['tanh GELU, as torch writes it', geluTanh, ['geluTanh']],
  ['tanh GELU, x cubed as a product', geluProduct, ['geluTanh']],
  ['tanh GELU, x drawn out', geluFactored, ['geluTanh']],
  [
    'x · sigmoid(1.702 · x)',
    (builder, x) => builder.binary('mul', x, builder.unary('sigmoid', builder.scale(x, 1.702, 0))),
    ['scale', 'silu', 'scale'],
  ],
  [
    '(x / 6) · clip(x + 3, 0, 6)',
    (builder, x) => builder.binary('mul', builder.binary('mul', x, number(builder, 1 / 6)), cut(builder, x)),
    ['hardSwish'],
  ],
  ['max(x, 0)', (builder, x) => builder.binary('max', x, number(builder, 0)), ['relu']],
  ['max(x, -1/4)', (builder, x) => builder.binary('max', x, number(builder, -0.25)), ['clip']],
  ['min(x, 1/4)', (builder, x) => builder.binary('min', x, number(builder, 0.25)), ['clip']],
  ['prelu of one slope', (builder, x) => builder.binary('prelu', x, number(builder, 0.1)), ['leakyRelu']],
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

test.run();
