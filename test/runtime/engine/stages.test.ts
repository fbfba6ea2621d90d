import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import type { OnnxModel } from '../../../runtime/onnx/graph.ts';
import { Random } from '../../random.ts';
import { type NodeText, onnxModel } from '../compile/graphs.ts';
import { TestModel } from '../compile/run-program.ts';

const random = new Random(7);

const integers = (...values: number[]): Tensor => {
  return { type: 'int64', dims: [values.length], data: BigInt64Array.from(values, BigInt) };
};
const scalar = (type: 'int64' | 'bool' | 'float32', value: number): Tensor => {
  const data = {
    int64: BigInt64Array.of(BigInt(Math.trunc(value))),
    bool: Uint8Array.of(value),
    float32: Float32Array.of(value),
  };
  return { type, dims: [], data: data[type] };
};
const floats = (dims: readonly number[], ...values: number[]): Tensor => {
  return { type: 'float32', dims, data: Float32Array.from(values) };
};

function graphOf(nodes: readonly NodeText[], inputs: readonly string[], outputs: readonly string[]) {
  return onnxModel({ nodes, inputs, outputs }).graph;
}

/** Keeps as many of the largest elements of x, times two, as there are positive ones. */
const keepsPositive: OnnxModel = onnxModel({
  inputs: ['x'],
  outputs: ['y', 'count'],
  initializers: { zero: scalar('float32', 0), two: scalar('float32', 2), one: integers(1), axes: integers(0) },
  nodes: [
    { operator: 'Mul', inputs: ['x', 'two'], outputs: ['d'] },
    { operator: 'Greater', inputs: ['x', 'zero'], outputs: ['p'] },
    { operator: 'Cast', inputs: ['p'], outputs: ['i'], attributes: { to: 7 } },
    { operator: 'ReduceSum', inputs: ['i', 'axes'], outputs: ['count'] },
    { operator: 'TopK', inputs: ['d', 'count'], outputs: ['t', ''] },
    { operator: 'Neg', inputs: ['t'], outputs: ['y'] },
  ],
});

test('a shape that is computed during the run is planned for behind the part that computes it', () => {
  const model = new TestModel(keepsPositive);
  for (const positive of [3, 0, 70, 100, 70]) {
    const data = Float32Array.from({ length: 100 }, (_, i) => (i < positive ? i + 1 : -i));
    const { y, count } = model.run({ x: { type: 'float32', dims: [100], data } });
    assert.is(Number(count?.data[0]), positive);
    assert.equal(
      [...(y as Tensor).data],
      Array.from({ length: positive }, (_, i) => -2 * (positive - i)),
    );
  }
  // One program in front, and one for each of four counts behind.
  assert.is(model.stageCount, 5);
});

test('a loop whose end depends on data runs as long as it has to', () => {
  const body = graphOf(
    [
      { operator: 'Add', inputs: ['v', 'v'], outputs: ['next'] },
      { operator: 'ReduceMax', inputs: ['next'], outputs: ['max'], attributes: { keepdims: 0 } },
      { operator: 'Less', inputs: ['max', 'limit'], outputs: ['goes'] },
    ],
    ['i', 'c', 'v'],
    ['goes', 'next', 'max'],
  );
  const model = new TestModel(
    onnxModel({
      inputs: ['x'],
      outputs: ['y', 'all'],
      initializers: { limit: scalar('float32', 1000), yes: scalar('bool', 1) },
      nodes: [
        { operator: 'Abs', inputs: ['x'], outputs: ['a'] },
        { operator: 'Loop', inputs: ['', 'yes', 'a'], outputs: ['l', 'all'], attributes: { body } },
        { operator: 'Neg', inputs: ['l'], outputs: ['y'] },
      ],
    }),
  );
  for (let trial = 0; trial < 4; trial++) {
    const x = random.tensor([20]);
    const all: number[] = [];
    let values = [...x.data].map((each) => Math.abs(Number(each)));
    do {
      values = values.map((each) => Math.fround(each * 2));
      all.push(Math.max(...values));
    } while ((all.at(-1) as number) < 1000);
    const got = model.run({ x });
    assert.equal([...(got.all as Tensor).data], all);
    assert.equal(
      [...(got.y as Tensor).data],
      values.map((each) => -each),
    );
  }
  assert.ok(model.stageCount <= 6, `${model.stageCount} stages`);
});

test('a branch with a part that depends on data is run in its turn, and sees the names outside', () => {
  const inner = graphOf(keepsPositive.graph.nodes.slice(1), [], ['y']);
  const other = graphOf([{ operator: 'Neg', inputs: ['x'], outputs: ['n'] }], [], ['n']);
  const attributes = { then_branch: inner, else_branch: other };
  const model = new TestModel(
    onnxModel({
      inputs: ['x', 'c'],
      outputs: ['r'],
      initializers: Object.fromEntries(keepsPositive.graph.initializers),
      nodes: [
        { operator: 'Mul', inputs: ['x', 'two'], outputs: ['d'] },
        { operator: 'If', inputs: ['c'], outputs: ['r'], attributes },
      ],
    }),
  );
  const x = floats([9], 1, -2, 3, -4, 5, -6, 7, -8, 9);
  assert.equal([...(model.run({ x, c: scalar('bool', 1) }).r as Tensor).data], [-18, -14, -10, -6, -2]);
  assert.equal(
    [...(model.run({ x, c: scalar('bool', 0) }).r as Tensor).data],
    [...x.data].map((each) => -Number(each)),
  );
});

test('places of what is not zero, and what a computed condition keeps', () => {
  const model = new TestModel(
    onnxModel({
      inputs: ['x', 'limit'],
      outputs: ['places', 'kept'],
      nodes: [
        { operator: 'Relu', inputs: ['x'], outputs: ['r'] },
        { operator: 'NonZero', inputs: ['r'], outputs: ['places'] },
        { operator: 'Greater', inputs: ['x', 'limit'], outputs: ['g'] },
        { operator: 'Flatten', inputs: ['g'], outputs: ['f'], attributes: { axis: 0 } },
        { operator: 'Squeeze', inputs: ['f'], outputs: ['c'] },
        { operator: 'Compress', inputs: ['x', 'c'], outputs: ['kept'] },
      ],
    }),
  );
  for (const limit of [-0.5, 0.25, 5]) {
    const x = random.tensor([3, 5, 7]);
    const numbers = Array.from(x.data, Number);
    const found = numbers.flatMap((value, at) => (value > 0 ? [at] : []));
    const got = model.run({ x, limit: scalar('float32', limit) });
    assert.equal(got.places?.dims, [3, found.length]);
    const axes = [(at: number) => Math.floor(at / 35), (at: number) => Math.floor(at / 7) % 5, (at: number) => at % 7];
    assert.equal(
      Array.from(got.places?.data ?? [], Number),
      axes.flatMap((coordinate) => found.map(coordinate)),
    );
    assert.equal(
      Array.from(got.kept?.data ?? [], Number),
      numbers.filter((value) => value > limit),
    );
  }
});

test('outputs that are inputs or constants of a model with cuts are copies', () => {
  const constant = floats([2], 5, 6);
  const { nodes, initializers } = keepsPositive.graph;
  const model = new TestModel(
    onnxModel({
      inputs: ['x'],
      outputs: ['y', 'x', 'k'],
      initializers: { ...Object.fromEntries(initializers), k: constant },
      nodes,
    }),
  );
  const x = floats([10], ...Array.from({ length: 10 }, (_, i) => i - 4));
  const got = model.run({ x });
  assert.equal(got.x?.data, x.data);
  assert.is.not(got.x?.data.buffer, x.data.buffer);
  assert.equal(got.k?.data, constant.data);
  assert.is.not(got.k?.data.buffer, constant.data.buffer);
});

test.run();
