import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Builder } from '../../../../runtime/compile/builder.ts';
import { tensorOf } from '../../../../runtime/compile/evaluate.ts';
import type { Value } from '../../../../runtime/compile/graph.ts';
import { multiplyIntegers } from '../../../../runtime/compile/passes/integers.ts';
import { foldPadding } from '../../../../runtime/compile/passes/padding.ts';
import { moveIntegers } from '../../../../runtime/compile/passes/quantized-moves.ts';
import { build, kindsOf } from '../graphs.ts';
import { runGraph } from '../run-program.ts';

const SCALE = 0.023;
const ZERO = -7;

function quantize(builder: Builder, x: Value, scale = SCALE): Value {
  return builder.add({ kind: 'quantize', to: 'int8' }, [x, builder.scalar(scale), builder.scalar(ZERO)]);
}

function dequantize(builder: Builder, x: Value): Value {
  return builder.add({ kind: 'dequantize' }, [x, builder.scalar(SCALE), builder.scalar(ZERO)]);
}

const around = { begins: [0, 1, 2, 0], ends: [0, 0, 3, 0] } as const;

const moves: Readonly<Record<string, (builder: Builder, x: Value) => Value>> = {
  transpose: (builder, x) => builder.transpose(x, [0, 3, 1, 2]),
  reshape: (builder, x) => builder.reshape(x, [6, 40]),
  slice: (builder, x) => builder.sliceAxis(x, 1, 2, 5),
  expand: (builder, x) => builder.expand(x, [2, 6, 5, 8]),
  pad: (builder, x) => builder.add({ kind: 'pad', mode: 'constant', value: 0, ...around }, [x]),
  'reflecting pad': (builder, x) => builder.add({ kind: 'pad', mode: 'reflect', value: 0, ...around }, [x]),
};

for (const [name, move] of Object.entries(moves))
  test(`${name} between integers of one scale moves the integers, and gives the very same`, () => {
    const { graph, inputs, keys } = build({ x: [1, 6, 5, 8] }, (builder, [x]) => [
      quantize(builder, move(builder, dequantize(builder, quantize(builder, x as Value)))),
    ]);
    const result = moveIntegers(graph, keys);
    assert.equal(kindsOf(result), ['quantize', name.split(' ').at(-1)]);
    assert.equal(runGraph(result, inputs), runGraph(graph, inputs));
  });

test('a concatenation of one scale joins the integers; of two scales it stays', () => {
  for (const second of [SCALE, 2 * SCALE]) {
    const { graph, inputs, keys } = build({ x: [1, 6, 5, 8], z: [1, 6, 5, 3] }, (builder, [x, z]) => {
      const other = quantize(builder, z as Value, second);
      const scaled = builder.add({ kind: 'dequantize' }, [other, builder.scalar(second), builder.scalar(ZERO)]);
      return [quantize(builder, builder.concat([dequantize(builder, quantize(builder, x as Value)), scaled], 3))];
    });
    const result = moveIntegers(graph, keys);
    assert.is(kindsOf(result).includes('dequantize'), second !== SCALE);
    assert.equal(runGraph(result, inputs), runGraph(graph, inputs));
  }
});

test('quantised padding in front of a quantised convolution becomes its pads', () => {
  const window = { kernel: [3, 3], strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0] } as const;
  const { graph, inputs, keys } = build({ x: [1, 6, 5, 8] }, (builder, [x], random) => {
    const integers = Array.from({ length: 4 * 8 * 9 }, () => random.below(256) - 128);
    const weights = builder.add({ kind: 'dequantize' }, [
      builder.constant(tensorOf('int8', [4, 8, 3, 3], integers)),
      builder.scalar(0.01),
      builder.scalar(0),
    ]);
    const real = dequantize(builder, quantize(builder, x as Value));
    const padded = moves.pad?.(builder, real) as Value;
    const between = dequantize(builder, quantize(builder, padded));
    return [quantize(builder, builder.add({ kind: 'conv', window, group: 1 }, [between, weights]), 0.5)];
  });
  const result = [moveIntegers, multiplyIntegers, foldPadding].reduce((each, pass) => pass(each, keys), graph);
  assert.equal(kindsOf(result), ['quantize', 'center', 'convInteger', 'requantize']);
  const [got, wanted] = [runGraph(result, inputs), runGraph(graph, inputs)].map(({ y0 }) => y0?.data as Int8Array);
  // The scales are no powers of two: a sum that lies between two steps may go to either.
  const far = (wanted as Int8Array).filter((value, i) => Math.abs(value - (got?.[i] as number)) > 1);
  assert.is(far.length, 0);
});

test.run();
