/** Gradient against differences of the function's own values. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type AttributeSpec, type NodeSpec, writeModel } from '../../../bench/write-model.ts';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import { readModel } from '../../../runtime/onnx/read.ts';
import { Random } from '../../random.ts';
import { TestModel } from '../compile/run-program.ts';
import { int, text, texts } from '../onnx/attributes.ts';

const STEP = 1 / 64;

function modelOf(nodes: readonly NodeSpec[], shapes: Readonly<Record<string, number[]>>): TestModel {
  const names = Object.keys(shapes);
  const gradient: NodeSpec = {
    domain: 'ai.onnx.preview.training',
    operator: 'Gradient',
    inputs: names,
    outputs: names.map((name) => `by ${name}`),
    attributes: [texts('xs', names), text('y', 'y')],
  };
  const value = (name: string, dims: number[]) => ({ name, type: 1, dims });
  const bytes = writeModel({
    opsets: { '': 17, 'ai.onnx.preview.training': 1 },
    graph: {
      inputs: names.map((name) => value(name, shapes[name] as number[])),
      outputs: [value('y', []), ...names.map((name) => value(`by ${name}`, shapes[name] as number[]))],
      nodes: [...nodes, gradient],
    },
  });
  return new TestModel(readModel(bytes));
}

/** Central differences of y's sum, element by element, beside what the model says. */
function check(nodes: readonly NodeSpec[], shapes: Readonly<Record<string, number[]>>): void {
  const model = modelOf(nodes, shapes);
  const random = new Random(41);
  const inputs: Record<string, Tensor & { data: Float32Array }> = {};
  for (const [name, dims] of Object.entries(shapes)) {
    const count = dims.reduce((product, size) => product * size, 1);
    inputs[name] = {
      type: 'float32',
      dims,
      data: Float32Array.from({ length: count }, () => 0.2 + 1.3 * random.next()),
    };
  }
  const sum = (): number => Array.from(model.run(inputs).y?.data as Float32Array).reduce((total, each) => total + each);
  const derived = model.run(inputs);
  let seen = 0;
  for (const [name, { data }] of Object.entries(inputs)) {
    const slopes = derived[`by ${name}`]?.data as Float32Array;
    assert.is(slopes.length, data.length);
    for (let i = 0; i < data.length; i++, seen++) {
      const at = data[i] as number;
      data[i] = at + STEP;
      const above = sum();
      data[i] = at - STEP;
      const difference = (above - sum()) / (2 * STEP);
      data[i] = at;
      const slope = slopes[i] as number;
      assert.ok(Math.abs(slope - difference) <= 2e-3 * (1 + Math.abs(slope)), `${name}[${i}]: ${slope}, ${difference}`);
    }
  }
  assert.ok(seen > 0);
}

const node = (operator: string, inputs: string[], output: string, attributes: AttributeSpec[] = []): NodeSpec => ({
  operator,
  inputs,
  outputs: [output],
  attributes,
});

test('arithmetic with broadcasting', () => {
  check(
    [
      node('Mul', ['a', 'b'], 'p'),
      node('Sub', ['p', 'c'], 'q'),
      node('Div', ['q', 'b'], 'r'),
      node('Add', ['r', 'a'], 'y'),
    ],
    { a: [2, 3], b: [3], c: [2, 1] },
  );
});

test('functions of one value', () => {
  for (const operator of [
    'Exp',
    'Log',
    'Sqrt',
    'Reciprocal',
    'Tanh',
    'Sigmoid',
    'Softplus',
    'Sin',
    'Cos',
    'Neg',
    'Abs',
    'Relu',
  ])
    check([node(operator, ['a'], 'f'), node('Mul', ['f', 'a'], 'y')], { a: [7] });
});

test('a layer, its activation and the cross entropy behind it', () => {
  check(
    [
      node('MatMul', ['x', 'w'], 'h'),
      node('Add', ['h', 'b'], 'z'),
      node('Tanh', ['z'], 't'),
      node('MatMul', ['t', 'v'], 'o'),
      node('LogSoftmax', ['o'], 'l'),
      node('Mul', ['l', 'target'], 'm'),
      node('ReduceSum', ['m'], 'y'),
    ],
    { x: [4, 5], w: [5, 6], b: [6], v: [6, 3], target: [4, 3] },
  );
});

test('moves, joins and means', () => {
  check(
    [
      node('Transpose', ['a'], 't'),
      node('Concat', ['t', 'b'], 'c', [int('axis', 1)]),
      node('Softmax', ['c'], 's'),
      node('Mul', ['s', 'c'], 'm'),
      node('ReduceMean', ['m'], 'y'),
    ],
    { a: [3, 4], b: [4, 2] },
  );
});

test('an operation without a known derivative is named', () => {
  const model = () => check([node('Erf', ['a'], 'y')], { a: [3] });
  assert.throws(model, /the gradient of unary erf at "Erf_0" is not supported/);
});

test.run();
