/** Models with functions of their own, against onnxruntime. */
import * as ort from 'onnxruntime-web';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type FunctionSpec, floats, type GraphSpec, type NodeSpec, writeModel } from '../../../bench/write-model.ts';
import { readModel } from '../../../runtime/onnx/read.ts';
import { hasOperator } from '../../../runtime/ops/index.ts';
import { TestModel } from '../compile/run-program.ts';
import { float, graph, reference } from './attributes.ts';

ort.env.wasm.numThreads = 1;
ort.env.logLevel = 'error';

const x = { name: 'x', type: 1, dims: [4] };
const y = { name: 'y', type: 1, dims: [4] };
const opsets = { '': 17, own: 1 };
const values = Float32Array.of(-2, -0.5, 0.5, 3);

/** leaky(x) + 1 · x, with names that stand in the main graph too. */
const twice: FunctionSpec = {
  domain: 'own',
  name: 'Twice',
  inputs: ['a'],
  outputs: ['b'],
  attributes: ['slope'],
  opsets: { '': 17 },
  nodes: [
    { operator: 'LeakyRelu', inputs: ['a'], outputs: ['y'], attributes: [reference('alpha', 1, 'slope')] },
    { operator: 'Add', inputs: ['y', 'a'], outputs: ['b'] },
  ],
};

/** Twice of twice, with a default slope. */
const nested: FunctionSpec = {
  domain: 'own',
  name: 'Nested',
  inputs: ['a'],
  outputs: ['y'],
  defaults: [float('slope', 0.25)],
  opsets,
  nodes: [
    { operator: 'Twice', domain: 'own', inputs: ['a'], outputs: ['h'], attributes: [reference('slope', 1, 'slope')] },
    { operator: 'Twice', domain: 'own', inputs: ['h'], outputs: ['y'], attributes: [float('slope', 0.5)] },
  ],
};

async function agrees(nodes: readonly NodeSpec[], functions: readonly FunctionSpec[]): Promise<void> {
  const bytes = writeModel({ opsets, graph: { inputs: [x], outputs: [y], nodes }, functions });
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'], logSeverityLevel: 3 });
  const wanted = await session.run({ x: new ort.Tensor('float32', values, [4]) });
  await session.release();
  const got = new TestModel(readModel(bytes)).run({ x: { type: 'float32', dims: [4], data: values } });
  assert.equal(got.y?.data, wanted.y?.data);
}

const call = (operator: string, input: string, output: string, slope?: number): NodeSpec => ({
  operator,
  domain: 'own',
  inputs: [input],
  outputs: [output],
  attributes: slope === undefined ? [] : [float('slope', slope)],
});

test('functions inside functions take attributes from the call, else their defaults', async () => {
  await agrees([call('Twice', 'x', 'y', 0.125)], [twice]);
  await agrees([call('Nested', 'x', 'y')], [nested, twice]);
  await agrees([call('Nested', 'x', 'h', 2), call('Nested', 'h', 'y')], [twice, nested]);
});

test('branches inside a function see its values under their new names', async () => {
  const branch = (operator: string): GraphSpec => ({
    outputs: [{ name: 'out', type: 1, dims: [4] }],
    nodes: [
      { operator, inputs: ['h'], outputs: ['r'] },
      { operator: 'Twice', domain: 'own', inputs: ['r'], outputs: ['out'], attributes: [float('slope', 3)] },
    ],
  });
  const choose: FunctionSpec = {
    domain: 'own',
    name: 'Choose',
    inputs: ['a'],
    outputs: ['z'],
    opsets,
    nodes: [
      { operator: 'Neg', inputs: ['a'], outputs: ['h'] },
      { operator: 'Constant', inputs: [], outputs: ['zero'], attributes: [float('value_float', 0)] },
      { operator: 'Constant', inputs: [], outputs: ['one'], attributes: [float('value_float', 1)] },
      { operator: 'Less', inputs: ['zero', 'one'], outputs: ['isLess'] },
      {
        operator: 'If',
        inputs: ['isLess'],
        outputs: ['z'],
        attributes: [graph('then_branch', branch('Abs')), graph('else_branch', branch('Neg'))],
      },
    ],
  };
  await agrees([call('Choose', 'x', 'h'), call('Choose', 'h', 'y')], [choose, twice]);
});

test('an output may be an input, and the graph may have names like those that are made', () => {
  const pass: FunctionSpec = { domain: 'own', name: 'Pass', inputs: ['a'], outputs: ['a'], opsets, nodes: [] };
  const initializers = [floats('Twice_0/y', [4], Float32Array.of(1, 2, 3, 4))];
  const sum: NodeSpec = { operator: 'Add', inputs: ['p', 'Twice_0/y'], outputs: ['y'] };
  const nodes = [call('Twice', 'x', 't', 1), call('Pass', 't', 'p'), sum];
  const bytes = writeModel({
    opsets,
    graph: { inputs: [x], outputs: [y], nodes, initializers },
    functions: [twice, pass],
  });
  // onnxruntime refuses functions without nodes.
  const got = new TestModel(readModel(bytes)).run({ x: { type: 'float32', dims: [4], data: values } });
  assert.equal(got.y?.data, Float32Array.of(-3, 1, 4, 10));
});

test('a function for an operator that is known is not taken, one for an unknown operator is', () => {
  const spelled = (domain: string): FunctionSpec => ({
    ...{ domain, name: 'Relu', inputs: ['a'], outputs: ['b'], opsets: { '': 17 } },
    nodes: [{ operator: 'Neg', inputs: ['a'], outputs: ['b'] }],
  });
  const read = (domain: string): string | undefined => {
    const nodes = [{ operator: 'Relu', domain, inputs: ['x'], outputs: ['y'] }];
    const bytes = writeModel({ opsets, graph: { inputs: [x], outputs: [y], nodes }, functions: [spelled(domain)] });
    return readModel(bytes, { hasOperator }).graph.nodes[0]?.operator;
  };
  assert.is(read(''), 'Relu');
  assert.is(read('own'), 'Neg');
});

test('recursion, too many inputs and explosions are refused', () => {
  const refuses = (functions: readonly FunctionSpec[], nodes: readonly NodeSpec[], reason: RegExp): void => {
    const bytes = writeModel({ opsets, graph: { inputs: [x], outputs: [y], nodes }, functions });
    assert.throws(() => readModel(bytes), reason);
  };
  const self: FunctionSpec = { ...nested, nodes: [call('Nested', 'a', 'y')] };
  refuses([self], [call('Nested', 'x', 'y')], /own:Nested → own:Nested.*forbids/);
  const wide = { ...call('Twice', 'x', 'y'), inputs: ['x', 'x'] };
  refuses([twice], [wide], /at most 1 inputs and 1 outputs.*got 2 and 1/);
  const doubling = (level: number): FunctionSpec => ({
    ...{ domain: 'own', name: `F${level}`, inputs: ['a'], outputs: ['b'], opsets },
    nodes: [call(`F${level + 1}`, 'a', 'h'), call(`F${level + 1}`, 'h', 'b')],
  });
  const many = Array.from({ length: 30 }, (_, level) => doubling(level));
  refuses([...many, { ...twice, name: 'F30' }], [call('F0', 'x', 'y')], /at most 100000 nodes/);
  const deep = Array.from({ length: 40 }, (_, level) => ({
    ...doubling(level),
    nodes: [call(`F${level + 1}`, 'a', 'b')],
  }));
  refuses([...deep, { ...twice, name: 'F40' }], [call('F0', 'x', 'y')], /at most 32 functions inside each other/);
});

test.run();
