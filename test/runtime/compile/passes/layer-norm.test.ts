import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Builder } from '../../../../runtime/compile/builder.ts';
import type { Value } from '../../../../runtime/compile/graph.ts';
import { passes } from '../../../../runtime/compile/passes/index.ts';
import { build, farthest, kindsOf } from '../graphs.ts';
import { runGraph } from '../run-program.ts';

const centre = (builder: Builder, x: Value, axes: readonly number[]): Value =>
  builder.binary('sub', x, builder.reduce('mean', x, axes));
const byRoot = (builder: Builder, x: Value, power: Value): Value =>
  builder.binary('div', x, builder.unary('sqrt', builder.binary('add', power, builder.scalar(1e-5))));
const byReciprocal = (builder: Builder, x: Value, power: Value): Value =>
  builder.binary('mul', builder.unary('reciprocal', builder.unary('sqrt', builder.scale(power, 1, 1e-5))), x);

const forms: Readonly<Record<string, (builder: Builder, x: Value) => Value>> = {
  'over the last axis, as torch writes it': (builder, x) => {
    const centred = centre(builder, x, [2]);
    return byRoot(builder, centred, builder.reduce('mean', builder.unary('square', centred), [2]));
  },
  'by a reciprocal, the square as a product': (builder, x) => {
    const centred = centre(builder, x, [2]);
    return byReciprocal(builder, centred, builder.reduce('mean', builder.binary('mul', centred, centred), [2]));
  },
  'over two axes': (builder, x) => {
    const centred = centre(builder, x, [1, 2]);
    return byRoot(builder, centred, builder.reduce('mean', builder.unary('square', centred), [1, 2]));
  },
  'RMS, by a root': (builder, x) => byRoot(builder, x, builder.reduce('mean', builder.unary('square', x), [2])),
  'RMS, by a reciprocal': (builder, x) =>
    byReciprocal(builder, x, builder.reduce('mean', builder.unary('square', x), [2])),
};

for (const [title, write] of Object.entries(forms))
  test(`a normalisation ${title}, with its scale and shift, is one operation`, () => {
    const { graph, inputs, keys } = build({ x: [3, 5, 16] }, (builder, [x], random) => {
      const scaled = builder.binary('mul', write(builder, x as Value), builder.constant(random.tensor([16])));
      return [builder.binary('add', scaled, builder.constant(random.tensor([16])))];
    });
    const result = passes.reduce((each, pass) => pass(each, keys), graph);
    const rest = title === 'over two axes' ? ['layerNorm', 'mul', 'add'] : ['layerNorm'];
    assert.equal(
      kindsOf(result).filter((kind) => kind !== 'reshape'),
      rest,
    );
    assert.ok(farthest(runGraph(result, inputs), runGraph(graph, inputs)) < 1e-5);
  });

test('what looks alike but averages over other axes stays as it is', () => {
  const { graph, inputs, keys } = build({ x: [3, 5, 16] }, (builder, [x]) => {
    const centred = centre(builder, x as Value, [1]);
    return [byRoot(builder, centred, builder.reduce('mean', builder.unary('square', centred), [2]))];
  });
  const result = passes.reduce((each, pass) => pass(each, keys), graph);
  assert.ok(farthest(runGraph(result, inputs), runGraph(graph, inputs)) < 1e-5, kindsOf(result).join());
});

test.run();
