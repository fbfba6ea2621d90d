/** Operators of com.microsoft on random models, against onnxruntime, whose own they are. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromHalf } from '../../../../runtime/compile/half.ts';
import type { Tensor } from '../../../../runtime/engine/tensor.ts';
import { readModel } from '../../../../runtime/onnx/read.ts';
import { Random } from '../../../random.ts';
import { TestModel } from '../../compile/run-program.ts';
import { float, int, ints, text } from '../../onnx/attributes.ts';
import { agrees, bytesOf, float32, randomFloats, runOnnxruntime, type SingleNode } from '../single-node.ts';

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

const int64 = (dims: readonly number[], values: readonly number[]): Tensor => ({
  type: 'int64',
  dims,
  data: BigInt64Array.from(values, BigInt),
});
const int32 = (dims: readonly number[], values: readonly number[]): Tensor => ({
  type: 'int32',
  dims,
  data: Int32Array.from(values),
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
  const zeros = random.pick([bytes(random, 'uint8', [n, Math.ceil((count * bits) / 8)]), undefined]);
  const groups = int32(
    [count * size],
    Array.from({ length: count * size }, () => random.below(count)),
  );
  return {
    attributes: [int('K', k), int('N', n), int('bits', bits), int('block_size', size)],
    inputs: [
      pick(random, 3, k),
      bytes(random, 'uint8', [n, count, (size * bits) / 8]),
      float32([n, count], () => 0.01 + random.next() / 10),
      ...[zeros, random.pick([groups, undefined])],
    ],
    weights: [1, 2, 3, 4],
  };
}

/** A prompt, a prompt behind a cache, or one word behind caches that hold unlike many; keys and values packed or not. */
function groupQuery(random: Random): Drawn {
  const [keyHeads, group, size, rotary] = [1 + random.below(2), 1 + random.below(3), 16, random.below(2)];
  const heads = keyHeads * group;
  const [batch, length, before] = random.pick([
    [2, 5, 0],
    [1, 3, 4],
    [2, 1, 6],
  ] as const);
  // How many rows of the cache each example fills.
  const filled = Array.from({ length: batch }, (_, i) => (i === 0 || length > 1 ? before : 1 + random.below(before)));
  const total = before + length;
  const packed = random.below(2) === 0;
  const width = size * (packed ? heads + 2 * keyHeads : heads);
  const keys = (): Tensor | undefined => (packed ? undefined : pick(random, batch, length, size * keyHeads));
  const cache = (): Tensor | undefined => (before > 0 ? pick(random, batch, keyHeads, before, size) : undefined);
  const angles = (): Tensor | undefined => (rotary ? pick(random, total + 2, size / 2) : undefined);
  const lengths = int32(
    [batch],
    filled.map((count) => count + length - 1),
  );
  return {
    attributes: [
      ...[int('num_heads', heads), int('kv_num_heads', keyHeads), int('do_rotary', rotary)],
      ...[int('rotary_interleaved', random.below(2)), int('local_window_size', random.pick([-1, 2]))],
      ...[float('softcap', random.pick([0, 1.5])), int('smooth_softmax', random.below(2))],
    ],
    inputs: [
      ...[pick(random, batch, length, width), keys(), keys(), cache(), cache(), lengths, int32([1], [total])],
      ...[angles(), angles(), undefined],
      random.pick([pick(random, 1, heads, length, total), undefined]),
      random.pick([pick(random, heads), undefined]),
    ],
    weights: [6],
    outputs: ['float32', 'float32', 'float32'],
  };
}

function rotary(random: Random): Drawn {
  const [heads, size, length] = [2, 8, 5];
  const isSplit = random.below(2) === 0;
  const angles = (): Tensor => pick(random, 12, size / 2);
  const places = Array.from({ length: 2 * length }, () => random.below(12));
  return {
    attributes: [int('interleaved', random.below(2)), int('num_heads', random.pick([0, heads]))],
    inputs: [
      isSplit ? pick(random, 2, heads, length, size) : pick(random, 2, length, heads * size),
      random.pick([int64([1], [3]), int64([2, length], places)]),
      ...[angles(), angles()],
    ],
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
  GroupQueryAttention: groupQuery,
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
  QLinearAveragePool: (random) => {
    const isLast = random.below(2);
    const attributes = [
      ints('kernel_shape', [3, 2]),
      ints('strides', [2, 1]),
      ints('pads', [1, 0, 1, 1]),
      int('count_include_pad', random.below(2)),
    ];
    return eightBits(random, isLast ? [2, 7, 8, 3] : [2, 3, 7, 8], [...attributes, int('channels_last', isLast)]);
  },
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
  RotaryEmbedding: rotary,
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

test('MultiHeadAttention takes queries, keys and values packed as it takes them apart', () => {
  const random = new Random(SEED);
  const [heads, size, length] = [2, 4, 3];
  const parts = [0, 1, 2].map(() => pick(random, 1, length, heads * size)) as [Tensor, Tensor, Tensor];
  const pack = (of: readonly Tensor[]): Tensor => {
    const dims = [1, length, heads, of.length, size];
    // Of [length, heads, parts, size].
    const from = (i: number): number => {
      const head = Math.floor(i / (of.length * size));
      return (of[Math.floor(i / size) % of.length] as Tensor).data[head * size + (i % size)] as number;
    };
    return float32(dims, from);
  };
  const run = (...inputs: Tensor[]): Tensor => {
    const attributes = [int('num_heads', heads)];
    const node = { operator: 'MultiHeadAttention', domain: 'com.microsoft', version: 1, attributes, inputs };
    const feeds = Object.fromEntries(inputs.map((tensor, i) => [`x${i}`, tensor]));
    return new TestModel(readModel(bytesOf({ ...node, outputs: ['float32'] }))).run(feeds).y0 as Tensor;
  };
  const wanted = run(...parts);
  for (const packed of [run(pack(parts)), run(parts[0], pack(parts.slice(1)))]) {
    assert.equal(packed.dims, wanted.dims);
    wanted.data.forEach((value, i) => {
      assert.ok(Math.abs((packed.data[i] as number) - Number(value)) < 1e-6);
    });
  }
});

test('SkipLayerNormalization gives the mean and the deviation that LayerNormalization gives of the sum', async () => {
  const random = new Random(SEED);
  const [x, scale] = [pick(random, 2, 3, 8), pick(random, 8)];
  const none = float32([2, 3, 8], () => 0);
  const inputs = [x, none, scale];
  const attributes = [float('epsilon', 1e-3)];
  const skip = { operator: 'SkipLayerNormalization', domain: 'com.microsoft', version: 1, attributes, inputs };
  const outputs = ['float32', 'float32', 'float32'];
  const got = new TestModel(readModel(bytesOf({ ...skip, outputs }))).run({ x0: x, x1: none, x2: scale });
  const norm = { operator: 'LayerNormalization', domain: '', version: 17, attributes, inputs: [x, scale], outputs };
  const wanted = await runOnnxruntime(bytesOf(norm), { x0: x, x1: scale });
  for (const name of ['y0', 'y1', 'y2']) {
    const [ours, theirs] = [got[name] as Tensor, wanted[name] as { data: Float32Array; dims: readonly number[] }];
    assert.equal(ours.dims, theirs.dims, name);
    theirs.data.forEach((value, i) => {
      assert.ok(Math.abs((ours.data[i] as number) - value) < 1e-5, `${name} ${i}: ${ours.data[i]} for ${value}`);
    });
  }
});

test('MatMulNBits takes scales of float16', async () => {
  const random = new Random(SEED);
  const { attributes, inputs, weights } = blocks(random);
  const [x, packed, scales, zeros] = inputs as [Tensor, Tensor, Tensor, Tensor?];
  const words = new Uint16Array(new Float16Array(Array.from(scales.data, Number)).buffer);
  const rounded = float32(scales.dims, (i) => fromHalf('float16', words[i] as number));
  const model = (scale: Tensor): SingleNode => ({
    ...{ operator: 'MatMulNBits', domain: 'com.microsoft', version: 1, attributes, weights, outputs: ['float32'] },
    inputs: [x, packed, scale, ...(zeros ? [zeros] : [])],
  });
  const wanted = await runOnnxruntime(bytesOf(model(rounded)), { x0: x });
  const half = model({ type: 'float16', dims: scales.dims, data: words });
  const got = new TestModel(readModel(bytesOf(half))).run({ x0: x }).y0 as Tensor;
  const { data } = wanted.y0 as { data: Float32Array };
  data.forEach((value, i) => {
    assert.ok(Math.abs((got.data[i] as number) - value) < 1e-4 * Math.max(1, Math.abs(value)));
  });
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
