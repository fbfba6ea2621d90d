import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  compileStage,
  NeedsValueError,
  prepare,
  type StageRequest,
  startOf,
} from '../../../runtime/compile/compile.ts';
import { UnsupportedError } from '../../../runtime/compile/program.ts';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import { Random } from '../../random.ts';
import { type NodeText, onnxModel } from './graphs.ts';
import { TestModel } from './run-program.ts';
import { createWeights } from './weights.ts';

const random = new Random(3);

function floats(dims: readonly number[], ...values: number[]): Tensor {
  return { type: 'float32', dims, data: Float32Array.from(values) };
}

function integers(...values: number[]): Tensor {
  return { type: 'int64', dims: [values.length], data: BigInt64Array.from(values, BigInt) };
}

function thrown(body: () => unknown): Error {
  try {
    body();
  } catch (error) {
    return error as Error;
  }
  throw new Error('expected an error');
}

const network = onnxModel({
  inputs: ['x'],
  outputs: ['y'],
  initializers: {
    w: random.tensor([8, 3, 3, 3]),
    gamma: random.tensor([8]),
    beta: random.tensor([8]),
    mean: random.tensor([8]),
    variance: floats([8], 1, 2, 3, 4, 5, 6, 7, 8),
  },
  nodes: [
    { operator: 'Conv', inputs: ['x', 'w'], outputs: ['a'], attributes: { pads: [1, 1, 1, 1] } },
    { operator: 'BatchNormalization', inputs: ['a', 'gamma', 'beta', 'mean', 'variance'], outputs: ['b'] },
    { operator: 'Relu', inputs: ['b'], outputs: ['y'] },
  ],
});

test('programs for other shapes share the weights of the first', () => {
  const model = new TestModel(network);
  model.run({ x: random.tensor([1, 3, 8, 8]) });
  const { byteLength } = model.weights;
  const { y } = model.run({ x: random.tensor([2, 3, 16, 12]) });
  assert.equal(y?.dims, [2, 8, 16, 12]);
  assert.is(model.weights.byteLength, byteLength);
  assert.ok(byteLength > 8 * 27 * 4);
});

test('an unknown operator, domain or version is named when the model is prepared', () => {
  const withNode = (node: { operator: string; domain?: string }, opset = 17) =>
    onnxModel({ inputs: ['x'], outputs: ['y'], opset, nodes: [{ ...node, inputs: ['x'], outputs: ['y'] }] });
  const cases: [ReturnType<typeof withNode>, RegExp][] = [
    [withNode({ operator: 'Hum' }), /node "Hum_0" \(Hum\): .* opset 17 of ai\.onnx/],
    [withNode({ operator: 'constructor' }), /\(constructor\)/],
    [withNode({ operator: 'Relu', domain: 'com.example' }), /\(com\.example:Relu\): .* of com\.example/],
    [withNode({ operator: 'Gelu' }, 19), /opset 19/],
    [withNode({ operator: 'Relu' }, 99), /opset 99/],
  ];
  for (const [model, message] of cases) {
    const error = thrown(() => prepare(model));
    assert.instance(error, UnsupportedError);
    assert.match(error.message, message);
  }
});

test('a shape that depends on an input is compiled for that input’s value', () => {
  const model = onnxModel({
    inputs: ['x', 'shape'],
    outputs: ['y'],
    nodes: [{ operator: 'Reshape', inputs: ['x', 'shape'], outputs: ['y'] }],
  });
  const prepared = prepare(model);
  const request = (value?: Tensor): StageRequest =>
    startOf(model, { x: { type: 'float32', dims: [2, 6] }, shape: { type: 'int64', dims: [2], value } });
  const error = thrown(() => compileStage(prepared, request(), createWeights(), { panel: 8 }));
  assert.instance(error, NeedsValueError);
  assert.equal((error as NeedsValueError).inputs, ['shape']);
  const stage = compileStage(prepared, request(integers(3, 4)), createWeights(), { panel: 8 });
  const program = stage.kind === 'program' ? stage.program : undefined;
  assert.equal(
    program?.inputs.map(({ name }) => name),
    ['x'],
  );
  assert.equal(program?.outputs[0]?.dims, [3, 4]);
});

test('a branch is chosen by the value of its condition', () => {
  const branch = (operator: string) =>
    onnxModel({ inputs: [], outputs: ['z'], nodes: [{ operator, inputs: ['x'], outputs: ['z'] }] }).graph;
  const model = onnxModel({
    inputs: ['x', 'c'],
    outputs: ['y'],
    nodes: [
      {
        operator: 'If',
        inputs: ['c'],
        outputs: ['y'],
        attributes: { then_branch: branch('Neg'), else_branch: branch('Abs') },
      },
    ],
  });
  const run = (condition: number): unknown => {
    const c: Tensor = { type: 'bool', dims: [], data: Uint8Array.of(condition) };
    return new TestModel(model).run({ x: floats([2], -1, 2), c }).y?.data;
  };
  assert.equal([run(1), run(0)], [Float32Array.of(1, -2), Float32Array.of(1, 2)]);
});

test('what does not fit is refused in a sentence that names the node', () => {
  const cases: [Parameters<typeof onnxModel>[0]['nodes'][number], Record<string, Tensor>, RegExp][] = [
    [
      { operator: 'Conv', inputs: ['x', 'w'], outputs: ['y'], attributes: { group: 3 } },
      { w: random.tensor([4, 2, 3, 3]) },
      /node "Conv_0" \(Conv\): attribute "group": expected a divisor of 4 input channels, got 3/,
    ],
    [
      { operator: 'Add', inputs: ['x', 'w'], outputs: ['y'] },
      { w: random.tensor([5]) },
      /node "Add_0" \(Add\): expected shapes that broadcast, got \[1, 4, 6, 6\] and \[5\]/,
    ],
    [
      { operator: 'Reshape', inputs: ['x', 'w'], outputs: ['y'] },
      { w: integers(7, -1) },
      /\(Reshape\): expected a shape that \[1, 4, 6, 6\] fits into, got \[7,-1\]/,
    ],
    [
      { operator: 'Softmax', inputs: ['x'], outputs: ['y'], attributes: { axis: 4 } },
      {},
      /\(Softmax\): expected an axis from -4 to 3, got 4/,
    ],
    [
      { operator: 'Expand', inputs: ['x', 'w'], outputs: ['y'] },
      { w: integers(100_000, 100_000, 1, 1, 1, 1) },
      /\(Expand\): expected a tensor of less than 1073741824 bytes/,
    ],
    [
      { operator: 'Pad', inputs: ['x', 'w'], outputs: ['y'] },
      { w: integers(0, 0, 0, 0, 0, 0, 2 ** 40, 0) },
      /\(Pad\): expected a tensor of less than/,
    ],
  ];
  for (const [node, initializers, message] of cases) {
    const model = onnxModel({ inputs: ['x'], outputs: ['y'], initializers, nodes: [node] });
    assert.match(thrown(() => new TestModel(model).run({ x: random.tensor([1, 4, 6, 6]) })).message, message);
  }
});

test('an output may be an input, a constant or empty', () => {
  const model = onnxModel({
    inputs: ['x'],
    outputs: ['x', 'k', 'none', 'y'],
    initializers: { k: floats([2], 5, 6), start: integers(3), end: integers(3) },
    nodes: [
      { operator: 'Slice', inputs: ['x', 'start', 'end'], outputs: ['none'] },
      { operator: 'Neg', inputs: ['x'], outputs: ['y'] },
    ],
  });
  const x = floats([3], 1, 2, 3);
  const outputs = new TestModel(model).run({ x });
  assert.equal(outputs.x?.data, x.data);
  assert.equal(outputs.k?.data, Float32Array.of(5, 6));
  assert.equal(outputs.none?.dims, [0]);
  assert.equal(outputs.y?.data, Float32Array.of(-1, -2, -3));
});

test('shape arithmetic, nested and repeated, costs nothing at run time', () => {
  const nodes: NodeText[] = [
    { operator: 'Shape', inputs: ['x'], outputs: ['s'] },
    { operator: 'Gather', inputs: ['s', 'one'], outputs: ['g'] },
    { operator: 'Mul', inputs: ['g', 'two'], outputs: ['m'] },
    { operator: 'Concat', inputs: ['two', 'm'], outputs: ['t'], attributes: { axis: 0 } },
    { operator: 'Cast', inputs: ['t'], outputs: ['f'], attributes: { to: 1 } },
    { operator: 'Floor', inputs: ['f'], outputs: ['h'] },
    { operator: 'Cast', inputs: ['h'], outputs: ['i'], attributes: { to: 7 } },
    { operator: 'Expand', inputs: ['x', 'i'], outputs: ['y'] },
  ];
  const initializers = { one: integers(1), two: integers(2) };
  const model = new TestModel(onnxModel({ inputs: ['x'], outputs: ['y'], initializers, nodes }));
  const x = floats([2, 1], 4, 5);
  assert.equal(model.run({ x }).y?.data, Float32Array.of(4, 4, 5, 5));
  assert.is(model.program({ x }).origins.length, 1);
});

test('a chain of constants that doubles at each step is not unfolded', () => {
  const nodes = Array.from({ length: 40 }, (_, i) => {
    return { operator: 'Concat', inputs: [`v${i}`, `v${i}`], outputs: [`v${i + 1}`], attributes: { axis: 0 } };
  });
  const last = { operator: 'Add', inputs: ['x', 'v40'], outputs: ['y'] };
  const model = onnxModel({
    inputs: ['x'],
    outputs: ['y'],
    initializers: { v0: floats([1], 1) },
    nodes: [...nodes, last],
  });
  assert.match(
    thrown(() => new TestModel(model).run({ x: floats([1], 1) })).message,
    /\(Concat\): expected a tensor of less/,
  );
});

test.run();
