/**
 * Operators on shapes that are too much for one instruction (compile/instruction-cost.ts), against onnxruntime, whose own float sums are
 * not better than these tolerances.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AttributeSpec } from '../../../bench/write-model.ts';
import { elementCount, type Tensor } from '../../../runtime/engine/tensor.ts';
import { readModel } from '../../../runtime/onnx/read.ts';
import { Random } from '../../random.ts';
import { TestModel } from '../compile/run-program.ts';
import { float, int, ints, text } from '../onnx/attributes.ts';
import { agrees, bytesOf, float32, randomFloats, type SingleNode } from './single-node.ts';

const random = new Random(20261130);

function int64(dims: readonly number[], make: (index: number) => number): Tensor {
  return {
    type: 'int64',
    dims,
    data: BigInt64Array.from({ length: elementCount(dims) }, (_, i) => BigInt(make(i))),
  };
}

function int32(dims: readonly number[], make: (index: number) => number): Tensor {
  return { type: 'int32', dims, data: Int32Array.from({ length: elementCount(dims) }, (_, i) => make(i)) };
}

function node(
  operator: string,
  inputs: SingleNode['inputs'],
  attributes: readonly AttributeSpec[] = [],
  outputs: readonly string[] = ['float32'],
  version = 17,
): SingleNode {
  return { operator, domain: '', version, inputs, attributes, outputs };
}

const floats = (...dims: number[]): Tensor => randomFloats(random, dims);
const small = (): number => random.below(19) - 9;

/** Prime sizes, so that nothing comes out even. */
const alongAxes = [
  [1, 262_147],
  [1, 70_001, 3],
  [2, 5, 50_021],
  [1, 5003, 70],
];

test('reductions along axes of any size', async () => {
  const axes = int64([1], () => 1);
  for (const dims of alongAxes) {
    const x = floats(...dims);
    for (const operator of ['ReduceMean', 'ReduceMax', 'ReduceL2', 'ReduceProd', 'ReduceL1'])
      await agrees(node(operator, [x], [ints('axes', [1])], ['float32'], 13), 1e-4);
    const values = int32(dims, small);
    for (const operator of ['ReduceMean', 'ReduceMin'])
      await agrees(node(operator, [values], [ints('axes', [1])], ['int32'], 13), 0);
    await agrees(node('ReduceSum', [values, axes], [], ['int32']), 0);
    await agrees(node('ReduceSum', [int64(dims, small), axes], [], ['int64']), 0);
  }
});

test('the place of the largest element', async () => {
  for (const dims of alongAxes)
    for (const last of [0, 1]) {
      const attributes = [int('axis', 1), int('select_last_index', last)];
      await agrees(node('ArgMax', [floats(...dims)], attributes, ['int64']), 0);
      await agrees(node('ArgMin', [int32(dims, small)], attributes, ['int64']), 0);
    }
});

test('softmax and its logarithm', async () => {
  for (const dims of alongAxes)
    for (const operator of ['Softmax', 'LogSoftmax'])
      await agrees(node(operator, [randomFloats(random, dims, 5)], [int('axis', 1)]), 2e-5);
});

test('layer normalisation of long rows, by its formula in double precision', () => {
  for (const [rows, size] of [
    [1, 600_011],
    [2, 540_001],
  ] as const) {
    const [x, scale, bias] = [float32([rows, size], () => 3 + random.next()), floats(size), floats(size)];
    const file = bytesOf(node('LayerNormalization', [x, scale, bias], [float('epsilon', 1e-5)]));
    const y = new TestModel(readModel(file)).run({ x0: x, x1: scale, x2: bias }).y0?.data as Float32Array;
    for (let row = 0; row < rows; row++) {
      const own = Array.from((x.data as Float32Array).subarray(row * size, (row + 1) * size));
      const mean = own.reduce((sum, value) => sum + value, 0) / size;
      const variance = own.reduce((sum, value) => sum + (value - mean) ** 2, 0) / size;
      const error = own.reduce((most, value, i) => {
        const normal = (value - mean) / Math.sqrt(variance + 1e-5);
        const wanted = normal * Number(scale.data[i]) + Number(bias.data[i]);
        return Math.max(most, Math.abs(wanted - (y[row * size + i] as number)));
      }, 0);
      assert.ok(error < 1e-5, `row ${row} of ${size} is off by ${error}`);
    }
  }
});

test('running sums', async () => {
  for (const dims of alongAxes)
    for (const [exclusive, reverse] of [
      [0, 0],
      [1, 1],
      [1, 0],
    ] as const) {
      const attributes = [int('exclusive', exclusive), int('reverse', reverse)];
      const x = float32(dims, small);
      await agrees(node('CumSum', [x, int32([], () => 1)], attributes), 0);
      await agrees(node('CumSum', [int64(dims, small), int32([], () => 1)], attributes, ['int64']), 0);
    }
});

test('the largest elements, in order', async () => {
  for (const dims of [
    [1, 100_003],
    [2, 20_011, 3],
  ])
    for (const k of [1, 100, 15_000]) {
      const attributes = [int('axis', 1), int('largest', k % 2)];
      const inputs = [floats(...dims), int64([1], () => k)];
      await agrees(node('TopK', inputs, attributes, ['float32', 'int64']), 0);
    }
});

test('rows that are gathered and scattered', async () => {
  const wide = [floats(4, 150_001), int64([3], (i) => i - 2)];
  await agrees(node('Gather', wide), 0);
  const indices = int64([2, 1], (i) => 2 - i);
  await agrees(node('ScatterND', [floats(3, 150_001), indices, floats(2, 150_001)]), 0);
  await agrees(node('ScatterND', [floats(3, 150_001), indices, floats(2, 150_001)], [text('reduction', 'add')]), 0);
});

test('products of many terms, of floats and of integers', async () => {
  for (const k of [100_000, 99_999, 98_305]) await agrees(node('MatMul', [floats(7, k), floats(k, 5)]), 1e-3);
  await agrees(node('Gemm', [floats(2, 70_000), floats(20, 70_000), floats(20)], [int('transB', 1)]), 1e-3);
  await agrees(node('MatMul', [int32([3, 70_001], small), int32([70_001, 2], small)], [], ['int32']), 0);
  await agrees(node('MatMul', [int32([2, 300], small), int32([300, 400], small)], [], ['int32']), 0);
});

test('depthwise convolutions and pools whose rows are long', async () => {
  for (const [width, channels, kernel, stride, dilation] of [
    [3001, 40, 31, 1, 1],
    [6007, 64, 7, 2, 1],
    [2503, 72, 9, 1, 3],
  ] as const) {
    const x = floats(1, channels, width);
    const attributes = [
      ints('kernel_shape', [kernel]),
      ints('strides', [stride]),
      ints('pads', [kernel >> 1, kernel >> 2]),
    ];
    const weights = floats(channels, 1, kernel);
    const conv = [...attributes, int('group', channels), ints('dilations', [dilation])];
    await agrees({ ...node('Conv', [x, weights, floats(channels)], conv), weights: [1, 2] }, 1e-5);
    await agrees(node('MaxPool', [x], attributes), 0);
    for (const padded of [0, 1])
      await agrees(node('AveragePool', [x], [...attributes, int('count_include_pad', padded)]), 1e-5);
  }
  const plane = floats(2, 40, 9, 2003);
  const attributes = [ints('kernel_shape', [5, 5]), ints('pads', [2, 2, 2, 2]), int('group', 40)];
  await agrees({ ...node('Conv', [plane, floats(40, 1, 5, 5)], attributes), weights: [1] }, 1e-5);
});

test('pools of large windows', async () => {
  const attributes = [ints('kernel_shape', [50, 60]), ints('strides', [7, 9]), ints('pads', [10, 12, 14, 16])];
  const x = floats(1, 200, 80, 90);
  await agrees(node('MaxPool', [x], attributes), 0);
  for (const padded of [0, 1])
    await agrees(node('AveragePool', [x], [...attributes, int('count_include_pad', padded)]), 1e-5);
});

test('depthwise convolutions of bytes whose rows are long', async () => {
  for (const [width, channels, kernel, stride] of [
    [3001, 40, 31, 1],
    [6007, 64, 5, 2],
  ] as const) {
    const bytes = (dims: number[], type: 'int8' | 'uint8'): Tensor => {
      const values = Array.from({ length: elementCount(dims) }, () => random.below(100));
      return { type, dims, data: type === 'int8' ? Int8Array.from(values) : Uint8Array.from(values) };
    };
    const scalar = (value: number): Tensor => float32([], () => value);
    const zero: Tensor = { type: 'uint8', dims: [], data: Uint8Array.of(50) };
    const attributes = [
      ints('kernel_shape', [1, kernel]),
      ints('strides', [1, stride]),
      ints('pads', [0, kernel >> 1, 0, kernel >> 1]),
      int('group', channels),
    ];
    const noShift: Tensor = { type: 'int8', dims: [], data: Int8Array.of(0) };
    const inputs = [
      bytes([1, channels, 1, width], 'uint8'),
      scalar(0.02),
      zero,
      bytes([channels, 1, 1, kernel], 'int8'),
      scalar(0.01),
      noShift,
      scalar(0.3),
      zero,
    ];
    await agrees({ ...node('QLinearConv', inputs, attributes, ['uint8']), weights: [1, 2, 3, 4, 5, 6, 7] }, 1);
    await agrees(
      { ...node('ConvInteger', [inputs[0], inputs[3], zero, noShift], attributes, ['int32']), weights: [1, 2, 3] },
      0,
    );
  }
});

test('pictures that are resized to long rows', async () => {
  for (const mode of ['nearest', 'linear']) {
    const inputs = [floats(1, 70, 3, 700), undefined, float32([4], (i) => [1, 1, 2, 3][i] as number)];
    await agrees(node('Resize', inputs, [text('mode', mode)]), 1e-4);
  }
});

test('recurrent layers whose steps are too much', async () => {
  const [time, input, hidden] = [3, 4, 700];
  for (const [operator, gates, extra] of [
    ['LSTM', 4, []],
    ['GRU', 3, []],
    ['GRU', 3, [int('linear_before_reset', 1)]],
    ['RNN', 1, []],
  ] as const)
    for (const batch of [1, 2])
      for (const direction of ['forward', 'reverse']) {
        const size = operator === 'RNN' ? 1700 : hidden;
        const weights = (...dims: number[]): Tensor => randomFloats(random, dims, 0.05);
        const inputs = [
          floats(time, batch, input),
          weights(1, gates * size, input),
          weights(1, gates * size, size),
          weights(1, 2 * gates * size),
        ];
        const attributes = [int('hidden_size', size), text('direction', direction), ...extra];
        const outputs = operator === 'LSTM' ? ['float32', 'float32', 'float32'] : ['float32', 'float32'];
        await agrees({ ...node(operator, inputs, attributes, outputs), weights: [1, 2, 3] }, 1e-4);
      }
});

test('determinants of large matrices', async () => {
  const x = float32([2, 130, 130], (i) => (i % 131 === 0 ? 1 : 0) + (random.next() - 0.5) * 0.02);
  assert.is(await agrees(node('Det', [x]), 1e-3), 2);
});

test.run();
