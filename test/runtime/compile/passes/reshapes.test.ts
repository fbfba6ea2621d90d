import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Builder } from '../../../../runtime/compile/builder.ts';
import type { Value } from '../../../../runtime/compile/graph.ts';
import { passes } from '../../../../runtime/compile/passes/index.ts';
import { moveBeforeReshapes } from '../../../../runtime/compile/passes/reshapes.ts';
import type { Random } from '../../../random.ts';
import { build, farthest, kindsOf } from '../graphs.ts';
import { runGraph } from '../run-program.ts';

type Step = (builder: Builder, x: Value, random: Random) => Value;

/** A matrix product between reshapes, as TensorFlow's Dense of a sequence is exported, and what is done with its result. */
function dense(step: Step, to: readonly number[] = [2, 5, 6]) {
  return build({ x: [2, 5, 8] }, (builder, [x], random) => {
    const weights = builder.constant(random.tensor([8, 6]));
    const product = builder.matMul(builder.reshape(x as Value, [10, 8]), weights);
    return [step(builder, builder.reshape(product, to), random)];
  });
}

const whole: Readonly<Record<string, Step>> = {
  'a function': (builder, x) => builder.unary('tanh', x),
  'a number': (builder, x) => builder.binary('sub', builder.scalar(2), x),
  'a number a channel': (builder, x, random) => builder.binary('add', x, builder.constant(random.tensor([6]))),
  'a number a channel, of as many axes': (builder, x, random) =>
    builder.binary('mul', builder.constant(random.tensor([1, 1, 6])), x),
  'two functions of one value': (builder, x) => builder.binary('mul', x, builder.unary('sigmoid', x)),
  'shift and activation': (builder, x, random) => {
    const shifted = builder.binary('add', x, builder.constant(random.tensor([6])));
    return builder.unary('relu', shifted);
  },
};

for (const [name, step] of Object.entries(whole))
  test(`${name} behind a reshape becomes part of the matrix product before it`, () => {
    const { graph, inputs, keys } = dense(step);
    const result = passes.reduce((each, pass) => pass(each, keys), graph);
    assert.equal(
      kindsOf(result).filter((kind) => kind !== 'reshape'),
      ['matMul'],
    );
    assert.ok(farthest(runGraph(result, inputs), runGraph(graph, inputs)) < 1e-5);
  });

test('numbers for other axes, or for channels that the reshape splits, stay behind it', () => {
  const kept: readonly [Step, readonly number[]][] = [
    [(builder, x, random) => builder.binary('add', x, builder.constant(random.tensor([5, 1]))), [2, 5, 6]],
    [(builder, x, random) => builder.binary('add', x, builder.constant(random.tensor([3]))), [10, 2, 3]],
    [(builder, x, random) => builder.binary('add', x, builder.constant(random.tensor([4, 1, 1, 1]))), [2, 5, 6]],
  ];
  for (const [step, to] of kept) {
    const { graph, inputs, keys } = dense(step, to);
    const result = moveBeforeReshapes(graph, keys);
    assert.equal(kindsOf(result).slice(-2), ['reshape', 'add']);
    assert.equal(runGraph(result, inputs), runGraph(graph, inputs));
  }
});

test.run();
