import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { tensorOf } from '../../../runtime/compile/evaluate.ts';
import { elementCount, type Tensor } from '../../../runtime/engine/tensor.ts';
import type { AttributeValue } from '../../../runtime/onnx/graph.ts';
import { onnxModel } from '../compile/graphs.ts';
import { type Tensors, TestModel } from '../compile/run-program.ts';

function floats(...dims: number[]): Tensor {
  return tensorOf(
    'float32',
    dims,
    Array.from({ length: elementCount(dims) }, (_, i) => i % 7),
  );
}

function ints(...values: number[]): Tensor {
  return tensorOf('int64', [values.length], values);
}

interface Case {
  readonly operator: string;
  readonly inputs?: Tensors;
  readonly constants?: Tensors;
  /** Inputs in order, '' for one left out; all of the above when absent. */
  readonly order?: readonly string[];
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  readonly opset?: number;
}

function run({ operator, inputs = {}, constants = {}, order, attributes = {}, opset = 18 }: Case): Tensor {
  const names = order ?? [...Object.keys(inputs), ...Object.keys(constants)];
  const nodes = [{ operator, inputs: names, outputs: ['y'], attributes }];
  const model = onnxModel({ nodes, inputs: Object.keys(inputs), outputs: ['y'], initializers: constants, opset });
  return new TestModel(model).run(inputs).y as Tensor;
}

test('what a file asks for beyond all measure is refused at once, in words that lead to another engine where one may help', () => {
  const cases: [what: Case, sentence: RegExp][] = [
    [
      { operator: 'Split', inputs: { x: floats(4) }, attributes: { num_outputs: 1e8 } },
      /^Error: .*"num_outputs": expected 1, the number of outputs/,
    ],
    [
      {
        operator: 'Resize',
        inputs: { x: floats(1, 1, 1, 1) },
        constants: { s: ints(1, 1, 5e8, 1) },
        order: ['x', '', '', 's'],
      },
      /^UnsupportedError: .*resizing an axis to 500000000 is not/,
    ],
    [
      {
        operator: 'Resize',
        inputs: { x: floats(1, 1, 0, 4) },
        constants: { s: ints(1, 1, 5, 8) },
        order: ['x', '', '', 's'],
      },
      /^Error: .*expected pixels to resize, got shape \[1, 1, 0, 4\]/,
    ],
    [
      { operator: 'Tile', inputs: { x: floats(2, 2, 2, 2, 2) }, constants: { r: ints(2, 2, 2, 2, 2) } },
      /^UnsupportedError: .*10 axes that move apart/,
    ],
    [
      { operator: 'MatMul', inputs: { a: floats(2 ** 18 + 1, 1, 1), b: floats(2 ** 18 + 1, 1, 1) } },
      /^UnsupportedError: .*a batch of 262145 matrices/,
    ],
    [
      {
        operator: 'Pad',
        inputs: { x: floats(2, 0) },
        constants: { p: ints(0, 1, 0, 1) },
        attributes: { mode: 'edge' },
      },
      /^Error: .*expected elements to pad with along axis 1/,
    ],
    [
      {
        operator: 'Relu',
        inputs: {},
        constants: { a: { ...ints(1), type: 'string' as 'int64' } },
      },
      /^UnsupportedError: .*\(Relu\): "a" is not of numbers/,
    ],
    [
      {
        operator: 'Resize',
        inputs: { x: floats(1, 1, 2, 2) },
        constants: { s: ints(1, 2 ** 44, 17, 4) },
        order: ['x', '', '', 's'],
      },
      /^UnsupportedError: .*resizing an axis to 17592186044416 is not/,
    ],
    [
      { operator: 'EyeLike', inputs: { x: floats(2 ** 21, 1) } },
      /^UnsupportedError: .*2097152 positions along an axis/,
    ],
    [
      {
        operator: 'RotaryEmbedding',
        inputs: { x: floats(1, 2, 3, 4, 4), cos: floats(8, 2), sin: floats(8, 2), places: ints(0) },
        opset: 23,
      },
      /^Error: .*expected \[batch, heads, length, size\] or .*, got \[1,2,3,4,4\]/,
    ],
    [
      { operator: 'Add', constants: { a: ints(3), b: floats(1) } },
      /^Error: .*expected operands of one type, got int64 and float32/,
    ],
    [{ operator: 'Max' }, /^Error: .*expected an input 0, found none/],
    [
      {
        operator: 'Slice',
        inputs: { x: floats(4) },
        constants: { starts: tensorOf('float32', [1], [0.5]), ends: ints(3) },
      },
      /^Error: .*input 1: expected whole numbers, got 0.5/,
    ],
  ];
  for (const [what, sentence] of cases) {
    try {
      run(what);
    } catch (error) {
      assert.match(String(error), sentence);
      continue;
    }
    assert.unreachable(`${what.operator} was accepted`);
  }
  assert.is(cases.length, 13);
});

test('sums over nothing are zero', () => {
  assert.equal(run({ operator: 'MatMul', inputs: { a: floats(2, 0), b: floats(0, 3) } }).data, new Float32Array(6));
  const conv = run({ operator: 'Conv', inputs: { x: floats(1, 0, 4, 4) }, constants: { w: floats(3, 0, 3, 3) } });
  assert.equal([conv.dims, conv.data], [[1, 3, 2, 2], new Float32Array(12)]);
});

test('an index that OneHot has no place for leaves all places off', () => {
  const constants = { depth: tensorOf('int64', [], [3]), values: tensorOf('float32', [2], [2, 5]) };
  const indices = [0, 2, 3, 7, 1e12, -1, -3, -4, -1e12, 1.9];
  const expected = [0, 2, -1, -1, -1, 2, 0, -1, -1, 1].flatMap((place) => [0, 1, 2].map((i) => (i === place ? 5 : 2)));
  for (const type of ['float32', 'int64'] as const) {
    const { dims, data } = run({ operator: 'OneHot', inputs: { i: tensorOf(type, [10], indices) }, constants });
    assert.equal([dims, [...(data as Float32Array)]], [[10, 3], expected], type);
  }
});

test.run();
