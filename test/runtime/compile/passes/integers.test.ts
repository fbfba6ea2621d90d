import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Builder } from '../../../../runtime/compile/builder.ts';
import { tensorOf } from '../../../../runtime/compile/evaluate.ts';
import type { Value } from '../../../../runtime/compile/graph.ts';
import { multiplyIntegers } from '../../../../runtime/compile/passes/integers.ts';
import { rescaleInPlace } from '../../../../runtime/compile/passes/rescale.ts';
import { elementCount } from '../../../../runtime/engine/tensor.ts';
import type { Random } from '../../../random.ts';
import { type Built, build, kindsOf } from '../graphs.ts';
import { runGraph } from '../run-program.ts';

const window = { kernel: [3, 3], strides: [2, 1], dilations: [1, 1], pads: [1, 0, 1, 2] } as const;

interface Options {
  readonly to?: 'int8' | 'uint8';
  /** What is done between product and quantisation. */
  readonly after?: (builder: Builder, y: Value) => Value;
  readonly biased?: boolean;
  /** Of the weights: 3 takes some of them out of the range of a byte. */
  readonly weightZero?: number;
  /** A scale a channel. */
  readonly perChannel?: boolean;
}

type Layer = (builder: Builder, x: Value, random: Random, options: Options) => Value;

/** Scales are powers of two: float32 sums are as exact as integers, so that both ways must give the very same numbers. */
function weightsOf(
  builder: Builder,
  random: Random,
  dims: readonly number[],
  axis: number,
  { perChannel, weightZero = 3 }: Options,
) {
  const values = Array.from({ length: elementCount(dims) }, () => random.below(256) - 128);
  const scaleDims = perChannel ? dims.map((size, i) => (i === axis ? size : 1)) : [];
  const scales = Array.from({ length: elementCount(scaleDims) }, () => 2 ** -(4 + random.below(3)));
  const quantized = builder.constant(tensorOf('int8', dims, values));
  const scale = builder.constant(tensorOf('float32', scaleDims, scales));
  return builder.add({ kind: 'dequantize' }, [quantized, scale, builder.scalar(weightZero)]);
}

function biasOf(builder: Builder, random: Random, channels: number, { biased = true }: Options): Value[] {
  if (!biased) return [];
  const values = Array.from({ length: channels }, () => (random.below(2048) - 1024) / 256);
  return [builder.constant(tensorOf('float32', [channels], values))];
}

function convolution(channels: number, perGroup: number): Layer {
  return (builder, x, random, options) => {
    const weights = weightsOf(builder, random, [channels, perGroup, 3, 3], 0, options);
    const operands = [x, weights, ...biasOf(builder, random, channels, options)];
    return builder.add({ kind: 'conv', window, group: 8 / perGroup }, operands);
  };
}

const layers: Readonly<Record<string, Layer>> = {
  conv: convolution(12, 8),
  'grouped conv': convolution(12, 4),
  'depthwise conv': convolution(8, 1),
  matMul: (builder, x, random, options) =>
    builder.matMul(x, weightsOf(builder, random, [8, 5], 1, options), false, biasOf(builder, random, 5, options)[0]),
  'matMul behind a reshape': (builder, x, random, options) =>
    (layers.matMul as Layer)(builder, builder.reshape(x, [63, 8]), random, options),
  'matMul of a transposed matrix': (builder, x, random, options) =>
    builder.matMul(x, weightsOf(builder, random, [5, 8], 0, options), true, biasOf(builder, random, 5, options)[0]),
};

function quantize(builder: Builder, x: Value, to: 'int8' | 'uint8', scale: number, zero: number): Value {
  return builder.add({ kind: 'quantize', to }, [x, builder.scalar(scale), builder.scalar(zero)]);
}

function graphOf(layer: Layer, options: Options): Built {
  const { to = 'int8', after = (_, y) => y } = options;
  return build({ x: [1, 9, 7, 8] }, (builder, [x], random) => {
    const integers = quantize(builder, x as Value, 'uint8', 2 ** -7, 120);
    const real = builder.add({ kind: 'dequantize' }, [integers, builder.scalar(2 ** -7), builder.scalar(120)]);
    const made = layer(builder, real, random, options);
    return [quantize(builder, after(builder, made), to, 2 ** -3, to === 'int8' ? -5 : 100)];
  });
}

const variants: readonly Options[] = [
  {},
  { perChannel: true },
  { biased: false, to: 'uint8' },
  { after: (builder, y) => builder.unary('relu', y), perChannel: true, to: 'uint8' },
  { after: (builder, y) => builder.unary('clip', y, -1.3125, 6.1), perChannel: true },
];

for (const [name, layer] of Object.entries(layers))
  test(`${name} between integers multiplies them, and gives the very same integers`, () => {
    for (const options of variants) {
      const { graph, inputs, keys } = graphOf(layer, options);
      const result = multiplyIntegers(graph, keys);
      assert.match(kindsOf(result).join(), /^quantize,center,(reshape,)?(conv|matMul)Integer,requantize$/);
      const [got, wanted] = [runGraph(result, inputs), runGraph(graph, inputs)].map(({ y0 }) => y0);
      assert.equal(got, wanted);
      assert.ok(new Set(wanted?.data as Int8Array).size > 8, 'results that say nothing');
    }
  });

for (const [name, layer] of Object.entries(layers))
  test(`${name} goes from bytes to bytes, and gives the very same integers`, () => {
    for (const options of variants) {
      const { graph, inputs, keys } = graphOf(layer, options);
      const result = rescaleInPlace(multiplyIntegers(graph, keys), keys);
      assert.match(kindsOf(result).join(), /^quantize,(reshape,)*convQuantized(,reshape)?$/);
      const [got, wanted] = [runGraph(result, inputs), runGraph(graph, inputs)].map(({ y0 }) => y0);
      assert.equal(got, wanted);
    }
  });

test('bytes that are multiplied as bytes give the very same integers as those that are multiplied as int16', () => {
  for (const [name, layer] of Object.entries(layers))
    for (const options of variants) {
      const { graph, inputs, keys } = graphOf(layer, { ...options, weightZero: 0 });
      const result = rescaleInPlace(multiplyIntegers(graph, keys), keys);
      const weights = result.nodes.find(({ operation }) => operation.kind === 'convQuantized')?.inputs[1];
      assert.is(weights?.type, 'int8', name);
      const wanted = runGraph(graph, inputs).y0;
      const asBytes = { panel: 8, byteDot: 'unsigned' } as const;
      assert.equal(runGraph(result, inputs).y0, wanted, `${name}, as this machine does it`);
      assert.equal(runGraph(result, inputs, 'plain').y0, wanted, `${name}, as int16`);
      assert.equal(runGraph(result, inputs, 'plain', asBytes).y0, wanted, `${name}, as bytes`);
    }
});

test('what the integers cannot say stays in float32', () => {
  const kept: readonly [string, Options][] = [
    ['tanh', { after: (builder, y) => builder.unary('tanh', y) }],
    [
      'an addition that did not move into the bias',
      { after: (builder, y) => builder.binary('add', y, builder.scalar(1)) },
    ],
  ];
  for (const [what, options] of kept) {
    const { graph, keys } = graphOf(layers.conv as Layer, options);
    assert.ok(kindsOf(multiplyIntegers(graph, keys)).includes('conv'), what);
  }
  const { graph, keys } = build({ x: [1, 9, 7, 8] }, (builder, [x], random) => {
    const made = (layers.conv as Layer)(builder, x as Value, random, {});
    return [quantize(builder, made, 'int8', 1, 0)];
  });
  assert.ok(kindsOf(multiplyIntegers(graph, keys)).includes('conv'), 'an input of floats');
});

test.run();
