import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Builder } from '../../../../runtime/compile/builder.ts';
import type { Value } from '../../../../runtime/compile/graph.ts';
import { moveTransposes } from '../../../../runtime/compile/passes/layout.ts';
import { Random } from '../../../random.ts';
import { build, evaluateGraph, farthest, kindsOf } from '../graphs.ts';
import { runGraph } from '../run-program.ts';

const window = { kernel: [3, 3], strides: [1, 1], dilations: [1, 1], pads: [1, 1, 1, 1] } as const;

/** A convolution as ONNX has it: NCHW in, NCHW out. */
function convolution(builder: Builder, x: Value, channels: number, random: Random): Value {
  const weights = builder.constant(random.tensor([channels, x.dims[1] as number, 3, 3]));
  const y = builder.add({ kind: 'conv', window, group: 1 }, [builder.transpose(x, [0, 2, 3, 1]), weights]);
  return builder.transpose(y, [0, 3, 1, 2]);
}

test('a chain of convolutions is transposed at its edges only', () => {
  const { graph, inputs, keys } = build({ x: [1, 3, 8, 8] }, (builder, [x], random) => {
    const first = convolution(builder, x as Value, 8, random);
    const shortcut = builder.unary('relu', first);
    const second = convolution(builder, shortcut, 8, random);
    const biased = builder.binary('add', second, builder.constant(random.tensor([1, 8, 1, 1])));
    const joined = builder.concat([builder.binary('add', biased, shortcut), first], 1);
    return [convolution(builder, builder.sliceAxis(joined, 1, 2, 10), 4, random)];
  });
  const moved = moveTransposes(graph, keys);
  assert.is(kindsOf(graph).filter((kind) => kind === 'transpose').length, 6);
  assert.is(kindsOf(moved).filter((kind) => kind === 'transpose').length, 2);
  assert.ok(farthest(runGraph(moved, inputs), runGraph(graph, inputs)) < 1e-6);
});

test('a transposition that moves only axes of size 1 costs nothing', () => {
  const { graph, inputs, keys } = build({ x: [1, 6, 4, 4] }, (builder, [x], random) => {
    const pooled = builder.reduce('mean', convolution(builder, x as Value, 6, random), [2, 3]);
    return [builder.reshape(pooled, [1, 6])];
  });
  const moved = moveTransposes(graph, keys);
  assert.equal(kindsOf(moved), ['transpose', 'conv', 'mean', 'reshape']);
  assert.ok(farthest(runGraph(moved, inputs), runGraph(graph, inputs)) < 1e-6);
});

test('a second factor that is transposed is multiplied as it lies', () => {
  const { graph, inputs, keys } = build({ a: [2, 5, 4], b: [2, 6, 4] }, (builder, [a, b]) => [
    builder.matMul(a as Value, builder.transpose(b as Value, [0, 2, 1])),
  ]);
  const moved = moveTransposes(graph, keys);
  assert.equal(kindsOf(moved), ['matMul']);
  assert.ok(farthest(runGraph(moved, inputs), runGraph(graph, inputs)) < 1e-6);
});

/** One more operation on values of the graph so far. */
function grow(builder: Builder, values: Value[], random: Random): Value {
  const x = random.pick(values);
  const rank = x.dims.length;
  const axis = random.below(rank);
  switch (random.below(9)) {
    case 0:
    case 1:
    case 2:
      return builder.transpose(x, random.shuffled(rank));
    case 3: {
      const other = values.find((value) => value !== x && value.dims.join() === x.dims.join()) ?? x;
      return builder.binary(random.pick(['add', 'mul', 'max', 'sub']), x, other);
    }
    case 4: {
      const dims = x.dims.map((size, i) => (i === axis ? size : 1)).slice(random.below(axis + 1));
      return builder.binary('add', builder.constant(random.tensor(dims)), x);
    }
    case 5:
      return builder.reduce(random.pick(['sum', 'max', 'mean', 'l2']), x, [axis]);
    case 6: {
      const joined =
        axis > 0
          ? x.dims.flatMap((size, i) => (i === axis ? [] : i === axis - 1 ? [size * (x.dims[axis] as number)] : [size]))
          : [1, ...x.dims];
      return builder.reshape(x, joined.length <= 5 ? joined : [joined.reduce((product, size) => product * size, 1)]);
    }
    case 7:
      return builder.concat([x, builder.unary('sigmoid', x)], axis);
    default: {
      const start = random.below(x.dims[axis] as number);
      return builder.sliceAxis(x, axis, start, x.dims[axis] as number);
    }
  }
}

test('random graphs give the same numbers before and after, and what arithmetic in double precision gives', () => {
  const seed = Number(process.env.SEED ?? 7);
  console.log(`seed ${seed}`);
  let changed = 0;
  for (let round = 0; round < 150; round++) {
    const random = new Random(seed * 1000 + round);
    const dims = [2, 3, 4, 1 + random.below(5)].slice(random.below(2));
    const { graph, inputs, keys } = build(
      { a: dims, b: dims },
      (builder, given) => {
        const values = [...given];
        for (let step = 0; step < 12; step++) {
          const value = grow(builder, values, random);
          if (value.dims.length > 0 && value.dims.reduce((product, size) => product * size, 1) < 5000)
            values.push(value);
        }
        return values.slice(-3);
      },
      random,
    );
    const moved = moveTransposes(graph, keys);
    const [before, after] = [runGraph(graph, inputs), runGraph(moved, inputs)];
    assert.ok(farthest(after, before) < 1e-4, `round ${round}: passes change the result`);
    assert.ok(farthest(before, evaluateGraph(graph, inputs)) < 1e-4, `round ${round}: kernels give other numbers`);
    if (kindsOf(moved).join() !== kindsOf(graph).join()) changed++;
  }
  assert.ok(changed > 40, `only ${changed} graphs changed`);
});

test.run();
