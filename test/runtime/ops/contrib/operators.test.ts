/** Operators of com.microsoft on random models, against onnxruntime, whose own they are. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Tensor } from '../../../../runtime/engine/tensor.ts';
import { Random } from '../../../random.ts';
import { float, int, ints, text } from '../../onnx/attributes.ts';
import { agrees, float32, randomFloats, type SingleNode } from '../single-node.ts';

const SEED = Number(process.env.SEED ?? 1);
const CASES = 8;
console.log(`seed ${SEED}`);

type Drawn = Pick<SingleNode, 'inputs'> & Partial<SingleNode>;

const pick = (random: Random, ...dims: number[]): Tensor => randomFloats(random, dims, 2);
const bytes = (random: Random, type: 'uint8' | 'int8', dims: readonly number[]): Tensor => {
  const values = Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => random.below(256));
  return { type, dims, data: type === 'uint8' ? Uint8Array.from(values) : Int8Array.from(values, (v) => v - 128) };
};
const scale = (value: number): Tensor => float32([], () => value);
const zero = (type: 'uint8' | 'int8', value: number): Tensor => ({
  type,
  dims: [],
  data: type === 'uint8' ? Uint8Array.of(value) : Int8Array.of(value),
});
const mask = (random: Random, ...dims: number[]): Tensor => ({
  type: 'int32',
  dims,
  data: Int32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => (i === 0 ? 1 : random.below(2))),
});

/** Of 8 bits: x, scale, zero point, then scale and zero point of y. */
function eightBits(random: Random, dims: readonly number[], attributes: SingleNode['attributes'] = []): Drawn {
  const type = random.pick(['uint8', 'int8'] as const);
  const inputs = [bytes(random, type, dims), scale(0.03), zero(type, 3), scale(0.02), zero(type, 5)];
  return { attributes, inputs, outputs: [type], weights: [1, 2, 3, 4] };
}

function eightBitPair(random: Random): Drawn {
  const type = random.pick(['uint8', 'int8'] as const);
  const [a, b] = [bytes(random, type, [2, 3, 4]), bytes(random, type, random.pick([[2, 3, 4], [4]]))];
  const inputs = [a, scale(0.03), zero(type, 3), b, scale(0.02), zero(type, 9), scale(0.05), zero(type, 1)];
  return { inputs, outputs: [type] };
}

/** 4- or 8-bit weights in blocks of 16 or 32 of each column. */
function blocks(random: Random): Drawn {
  const [k, n, bits, size] = [
    random.pick([32, 64, 80]),
    1 + random.below(9),
    random.pick([4, 8]),
    random.pick([16, 32]),
  ];
  const count = Math.ceil(k / size);
  const zeros = random.below(2) === 0 ? [bytes(random, 'uint8', [n, Math.ceil((count * bits) / 8)])] : [];
  return {
    attributes: [int('K', k), int('N', n), int('bits', bits), int('block_size', size)],
    inputs: [
      pick(random, 3, k),
      bytes(random, 'uint8', [n, count, (size * bits) / 8]),
      float32([n, count], () => 0.01 + random.next() / 10),
      ...zeros,
    ],
    weights: [1, 2, 3],
  };
}

const draws: Readonly<Record<string, (random: Random) => Drawn>> = {
  Attention: (random) => ({
    attributes: [int('num_heads', 2), int('unidirectional', random.below(2))],
    inputs: [
      pick(random, 2, 5, 6),
      pick(random, 6, 24),
      pick(random, 24),
      random.pick([mask(random, 2, 5), undefined]),
    ],
  }),
  BiasGelu: (random) => ({ inputs: [pick(random, 2, 3, 8), pick(random, 8)] }),
  DynamicQuantizeMatMul: (random) => ({
    inputs: [pick(random, 3, 8), bytes(random, 'uint8', [8, 5]), scale(0.02), zero('uint8', 120), pick(random, 5)],
    weights: [1, 2, 3, 4],
  }),
  FastGelu: (random) => ({ inputs: [pick(random, 2, 3, 8), random.pick([pick(random, 8), undefined])] }),
  FusedConv: (random) => ({
    attributes: [
      text('activation', random.pick(['Relu', 'Tanh', 'Sigmoid'])),
      ints('pads', [1, 1, 1, 1]),
      ints('strides', [2, 1]),
    ],
    inputs: [pick(random, 1, 3, 7, 8), pick(random, 4, 3, 3, 3), pick(random, 4)],
    weights: [1, 2],
  }),
  FusedGemm: (random) => ({
    attributes: [
      text('activation', 'LeakyRelu'),
      float('activation_alpha', 0.2),
      int('transB', 1),
      float('alpha', 0.5),
    ],
    inputs: [pick(random, 3, 4), pick(random, 5, 4), pick(random, 5)],
  }),
  FusedMatMul: (random) => {
    const [transA, transB] = [random.below(2), random.below(2)];
    return {
      attributes: [int('transA', transA), int('transB', transB), float('alpha', 0.3)],
      inputs: [pick(random, 2, ...(transA ? [4, 3] : [3, 4])), pick(random, 2, ...(transB ? [5, 4] : [4, 5]))],
    };
  },
  Gelu: (random) => ({ inputs: [pick(random, 3, 9)] }),
  MatMulIntegerToFloat: (random) => ({
    inputs: [
      ...[bytes(random, 'uint8', [3, 8]), bytes(random, 'uint8', [8, 5]), scale(0.03), scale(0.02)],
      ...[zero('uint8', 7), zero('uint8', 120), random.pick([pick(random, 5), undefined])],
    ],
  }),
  MatMulNBits: blocks,
  MultiHeadAttention: (random) => ({
    attributes: [int('num_heads', 2)],
    inputs: [
      ...[
        pick(random, 2, 3, 8),
        pick(random, 2, 5, 8),
        pick(random, 2, 5, 8),
        random.pick([pick(random, 24), undefined]),
      ],
      random.pick([mask(random, 2, 5), undefined]),
    ],
  }),
  QGemm: (random) => {
    const isFloat = random.below(2) === 0;
    const [a, b] = [bytes(random, 'uint8', [3, 8]), bytes(random, 'uint8', [8, 5])];
    const c: Tensor = { type: 'int32', dims: [5], data: Int32Array.of(100, -50, 7, 0, 2000) };
    const inputs = [a, scale(0.03), zero('uint8', 7), b, scale(0.02), zero('uint8', 120), c];
    return isFloat ? { inputs } : { inputs: [...inputs, scale(0.2), zero('uint8', 100)], outputs: ['uint8'] };
  },
  QLinearAdd: eightBitPair,
  QLinearConcat: (random) => ({
    attributes: [int('axis', 1)],
    inputs: [
      ...[scale(0.05), zero('uint8', 10), bytes(random, 'uint8', [2, 3, 4]), scale(0.03), zero('uint8', 3)],
      ...[bytes(random, 'uint8', [2, 2, 4]), scale(0.05), zero('uint8', 10)],
    ],
    outputs: ['uint8'],
    weights: [0, 1, 3, 4, 6, 7],
  }),
  QLinearGlobalAveragePool: (random) => eightBits(random, [2, 3, 4, 5], [int('channels_last', random.below(2))]),
  QLinearLeakyRelu: (random) => eightBits(random, [3, 7], [float('alpha', 0.1)]),
  QLinearMul: eightBitPair,
  QLinearSigmoid: (random) => eightBits(random, [3, 7]),
  QLinearSoftmax: (random) => eightBits(random, [3, 7], [int('opset', 13), int('axis', -1)]),
  QuickGelu: (random) => ({ attributes: [float('alpha', 1.3)], inputs: [pick(random, 3, 9)] }),
  SkipLayerNormalization: (random) => ({
    attributes: [float('epsilon', 1e-5)],
    inputs: [
      pick(random, 2, 3, 8),
      pick(random, 2, 3, 8),
      pick(random, 8),
      pick(random, 8),
      random.pick([pick(random, 8), undefined]),
    ],
    outputs: ['float32', '', '', 'float32'],
  }),
  SkipSimplifiedLayerNormalization: (random) => ({
    attributes: [float('epsilon', 1e-5)],
    inputs: [pick(random, 2, 3, 8), pick(random, 2, 3, 8), pick(random, 8), random.pick([pick(random, 8), undefined])],
    outputs: ['float32', '', '', 'float32'],
  }),
};

/** Of two results beside a step between two integers either may be right. */
const isInteger = (types: readonly string[]): boolean => types.some((type) => type.endsWith('int8'));

for (const [operator, draw] of Object.entries(draws))
  test(`${operator} gives onnxruntime's numbers`, async () => {
    const random = new Random(SEED);
    let seen = 0;
    for (let index = 0; index < CASES; index++) {
      const drawn: SingleNode = {
        operator,
        domain: 'com.microsoft',
        version: 1,
        outputs: ['float32'],
        ...draw(random),
      };
      seen += await agrees(drawn, isInteger(drawn.outputs) ? 1 : 3e-5);
    }
    assert.ok(seen >= CASES, `saw only ${seen} numbers`);
  });

test('SimplifiedLayerNormalization stands in the default domain and gives onnxruntime’s numbers', async () => {
  const random = new Random(SEED);
  const inputs = [pick(random, 2, 3, 8), pick(random, 8)];
  const node = { operator: 'SimplifiedLayerNormalization', domain: '', version: 17, inputs, outputs: ['float32'] };
  assert.is(await agrees({ ...node, attributes: [float('epsilon', 1e-5)] }, 3e-5), 48);
});

test('EmbedLayerNormalization gives onnxruntime’s numbers', async () => {
  const random = new Random(SEED);
  const ids = (...dims: number[]): Tensor => ({ ...mask(random, ...dims), data: Int32Array.from([3, 1, 0, 2, 4, 1]) });
  const inputs = [
    ...[ids(2, 3), mask(random, 2, 3), pick(random, 5, 8), pick(random, 4, 8), pick(random, 2, 8), pick(random, 8)],
    ...[pick(random, 8), { ...mask(random, 2, 3), data: Int32Array.of(1, 1, 0, 1, 1, 1) }],
  ];
  const node = { operator: 'EmbedLayerNormalization', domain: 'com.microsoft', version: 1, inputs };
  assert.is(await agrees({ ...node, outputs: ['float32', 'int32'] }, 3e-5), 50);
});

test.run();
