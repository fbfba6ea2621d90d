/** float64 and wide integers against onnxruntime, and where that has no float64 against our own float32. */
import * as ort from 'onnxruntime-web';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { numbersOf, tensorOf } from '../../../runtime/compile/evaluate.ts';
import { type DataType, elementCount, type Tensor } from '../../../runtime/engine/tensor.ts';
import { readModel } from '../../../runtime/onnx/read.ts';
import { type Attributes, type RandomGraph, writeGraphFile } from '../../onnx/random-graphs/graph.ts';
import { Random } from '../../random.ts';
import { TestModel } from '../compile/run-program.ts';

ort.env.wasm.numThreads = 1;
ort.env.logLevel = 'error';

const SEED = Number(process.env.SEED ?? 1);
console.log(`seed ${SEED}`);
const random = new Random(SEED);

interface Case {
  readonly operator: string;
  readonly type: DataType;
  readonly dims: readonly (readonly number[])[];
  readonly attributes?: Attributes;
  readonly outputs?: number;
}

const ints = (...values: number[]) => ({ ints: values });
const cases: readonly Case[] = [
  ...(['float64', 'int32', 'uint32', 'int64', 'uint64'] as const).flatMap((type): Case[] => [
    {
      operator: 'MatMul',
      type,
      dims: [
        [3, 5, 7],
        [7, 4],
      ],
    },
    {
      operator: 'MatMul',
      type,
      dims: [
        [2, 1, 5, 7],
        [3, 7, 4],
      ],
    },
    { operator: 'MatMul', type, dims: [[7], [7]] },
  ]),
  {
    operator: 'Gemm',
    type: 'float64',
    dims: [[7, 5], [4, 7], [4]],
    attributes: { transA: { int: 1 }, transB: { int: 1 }, alpha: { float: 0.3 }, beta: { float: 2 } },
  },
  { operator: 'Softmax', type: 'float64', dims: [[3, 40]] },
  { operator: 'LayerNormalization', type: 'float64', dims: [[3, 40], [40], [40]] },
  { operator: 'LayerNormalization', type: 'float64', dims: [[3, 40], [40]] },
  { operator: 'ReduceLogSumExp', type: 'float64', dims: [[3, 40]] },
  ...(['float64', 'int8', 'uint8'] as const).map(
    (type): Case => ({
      operator: 'MaxPool',
      type,
      dims: [[2, 3, 11, 10]],
      attributes: {
        kernel_shape: ints(3, 2),
        strides: ints(2, 3),
        pads: ints(1, 0, 1, 1),
        dilations: ints(1, 2),
        ceil_mode: { int: 1 },
      },
    }),
  ),
];

function filled(type: DataType, dims: readonly number[]): Tensor {
  const values = Array.from({ length: elementCount(dims) }, () => {
    const value = (random.next() - (type.startsWith('u') ? 0 : 0.5)) * 20;
    return type === 'float32' ? Math.fround(value / 10) : type === 'float64' ? value : Math.trunc(value);
  });
  return tensorOf(type, dims, values);
}

function graphOf({ operator, type, dims, attributes = {}, outputs = 1 }: Case): RandomGraph {
  const tensors = Object.fromEntries(dims.map((each, i) => [`x${i}`, filled(type, each)]));
  const results = Array.from({ length: outputs }, (_, i) => ({ name: `y${i}`, type, dims: [], low: 0, high: 0 }));
  const nodes = [{ operator, inputs: Object.keys(tensors), outputs: results, attributes }];
  return { opset: 20, inputs: tensors, constants: {}, nodes, outputs: results };
}

test('products, normalisation, recurrence and pools of other types are what onnxruntime computes', async () => {
  let seen = 0;
  for (const each of cases) {
    const graph = graphOf(each);
    const file = writeGraphFile(graph);
    const ours = new TestModel(readModel(file)).run(graph.inputs);
    const session = await ort.InferenceSession.create(file, { executionProviders: ['wasm'] });
    const feeds = Object.entries(graph.inputs).map(([name, { type, data, dims }]) => [
      name,
      new ort.Tensor(type as 'float32', data as Float32Array, dims),
    ]);
    const theirs = (await session.run(Object.fromEntries(feeds))) as unknown as Record<string, Tensor>;
    for (const { name } of graph.outputs) {
      const [mine, other] = [ours[name] as Tensor, theirs[name] as Tensor];
      const place = `${each.operator} of ${each.type}, ${name}`;
      assert.equal([mine.type, ...mine.dims], [other.type, ...other.dims], place);
      const expected = numbersOf(other);
      numbersOf(mine).forEach((value, i) => {
        const wanted = expected[i] as number;
        assert.ok(
          Math.abs(value - wanted) <= 1e-12 * (Math.abs(wanted) + 1),
          `${place} [${i}]: ${value}, not ${wanted}`,
        );
      });
      seen++;
    }
    await session.release();
  }
  assert.is(seen, cases.length);
});

test('convolutions, averages and recurrence of float64 are those of float32, within its rounding', () => {
  const window = { strides: ints(2, 1), pads: ints(1, 2, 0, 1) };
  const others: Omit<Case, 'type'>[] = [
    {
      operator: 'LSTM',
      dims: [
        [4, 2, 3],
        [1, 20, 3],
        [1, 20, 5],
        [1, 40],
      ],
      attributes: { hidden_size: { int: 5 } },
    },
    { operator: 'Gelu', dims: [[200]] },

    {
      operator: 'Conv',
      dims: [[2, 6, 9, 8], [4, 3, 3, 2], [4]],
      attributes: { ...window, group: { int: 2 }, dilations: ints(2, 1) },
    },
    {
      operator: 'Conv',
      dims: [
        [1, 4, 20],
        [4, 1, 5],
      ],
      attributes: { group: { int: 4 } },
    },
    {
      operator: 'AveragePool',
      dims: [[1, 3, 9, 8]],
      attributes: { ...window, kernel_shape: ints(2, 4), count_include_pad: { int: 1 } },
    },
    {
      operator: 'AveragePool',
      dims: [[1, 3, 9, 8]],
      attributes: { ...window, kernel_shape: ints(2, 4), ceil_mode: { int: 1 } },
    },
  ];
  for (const each of others) {
    const graph = graphOf({ ...each, type: 'float32' });
    const wide = graphOf({ ...each, type: 'float64' });
    const inputs = Object.fromEntries(
      Object.entries(graph.inputs).map(([name, tensor]) => [name, tensorOf('float64', tensor.dims, numbersOf(tensor))]),
    );
    const [single] = Object.values(new TestModel(readModel(writeGraphFile(graph))).run(graph.inputs)) as [Tensor];
    const [double] = Object.values(new TestModel(readModel(writeGraphFile(wide))).run(inputs)) as [Tensor];
    assert.is(double.type, 'float64');
    assert.equal(double.dims, single.dims);
    const exact = double.data as Float64Array;
    (single.data as Float32Array).forEach((value, i) => {
      const wanted = exact[i] as number;
      assert.ok(Math.abs(value - wanted) <= 1e-5 * (Math.abs(wanted) + 0.1), `${each.operator} [${i}]: ${wanted}`);
    });
  }
});

test.run();
