/** Integer operators on random shapes, with weights in the file and weights that come as inputs, against onnxruntime. */
import * as ort from 'onnxruntime-web';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type AttributeSpec, writeModel } from '../../../bench/write-model.ts';
import { tensorOf } from '../../../runtime/compile/evaluate.ts';
import { elementCount, type Tensor } from '../../../runtime/engine/tensor.ts';
import { readModel } from '../../../runtime/onnx/read.ts';
import { Random } from '../../random.ts';
import { onnxModel } from '../compile/graphs.ts';
import { TestModel } from '../compile/run-program.ts';

ort.env.wasm.numThreads = 1;
ort.env.logLevel = 'error';

const CASES = 60;
/** TensorProto.DataType. */
const types: { readonly [type: string]: number } = { float32: 1, uint8: 2, int8: 3, int32: 6 };

interface Case {
  readonly operator: string;
  readonly inputs: readonly (readonly [name: string, tensor: Tensor])[];
  readonly output: string;
  readonly attributes?: readonly AttributeSpec[];
}

function ints(name: string, values: readonly number[]): AttributeSpec {
  const write: AttributeSpec['write'] = (writer) => {
    for (const value of values) writer.writeVarintField(8, value);
  };
  return { name, type: 7, write };
}

function int(name: string, value: number): AttributeSpec {
  return { name, type: 2, write: (writer) => writer.writeVarintField(3, value) };
}

function bytesOf(data: Tensor['data']): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Tensors named here are inputs of the model; the others are in the file. */
function modelOf({ operator, inputs, output, attributes }: Case, given: ReadonlySet<string>): Uint8Array {
  const specs = inputs.map(([name, { type, dims, data }]) => ({
    name,
    type: types[type] as number,
    dims,
    write: (writer: Parameters<AttributeSpec['write']>[0]) => writer.writeBytesField(9, bytesOf(data)),
  }));
  return writeModel({
    graph: {
      inputs: specs.filter(({ name }) => given.has(name)),
      initializers: specs.filter(({ name }) => !given.has(name)),
      outputs: [
        { name: 'y', type: types[output] as number, dims: (specs[0]?.dims ?? []).map((_, axis) => `d${axis}`) },
      ],
      nodes: [{ operator, inputs: inputs.map(([name]) => name), outputs: ['y'], attributes }],
    },
  });
}

function integers(random: Random, type: 'int8' | 'uint8' | 'int32', dims: readonly number[]): Tensor {
  const values = Array.from({ length: elementCount(dims) }, () => random.below(256) - (type === 'uint8' ? 0 : 128));
  return tensorOf(type, dims, values);
}

function scales(random: Random, dims: readonly number[]): Tensor {
  return tensorOf(
    'float32',
    dims,
    Array.from({ length: elementCount(dims) }, () => 0.01 + random.next() / 10),
  );
}

function convolution(random: Random, quantized: boolean): Case {
  const group = random.pick([1, 1, 2, 3]);
  const perGroup = 1 + random.below(5);
  const m = group * random.pick([perGroup, 1 + random.below(9)]);
  const kernel = [1 + random.below(3), 1 + random.below(3)];
  const pads = [...kernel, ...kernel].map((size) => random.below(size));
  const x = integers(random, 'uint8', [
    1 + random.below(2),
    group * perGroup,
    4 + random.below(6),
    3 + random.below(7),
  ]);
  const w = integers(random, random.pick(['int8', 'uint8']), [m, perGroup, ...kernel]);
  const attributes = [
    int('group', group),
    ints('pads', pads),
    ints('strides', [1 + random.below(2), 1 + random.below(2)]),
  ];
  const [xZero, wZero] = [integers(random, 'uint8', []), integers(random, w.type as 'int8', [])];
  if (!quantized) {
    const inputs = [
      ['x', x],
      ['w', w],
      ['xZero', xZero],
      ['wZero', wZero],
    ] as const;
    return { operator: 'ConvInteger', inputs, output: 'int32', attributes };
  }
  const inputs = [
    ['x', x],
    ['xScale', scales(random, [])],
    ['xZero', xZero],
    ['w', w],
    ['wScale', scales(random, random.pick([[], [m]]))],
    ['wZero', wZero],
    ['yScale', tensorOf('float32', [], [1 + 9 * random.next()])],
    ['yZero', integers(random, 'uint8', [])],
    ['bias', integers(random, 'int32', [m])],
  ] as const;
  return { operator: 'QLinearConv', inputs, output: 'uint8', attributes };
}

function product(random: Random): Case {
  const [m, n, k] = [1 + random.below(9), 1 + random.below(20), 1 + random.below(40)];
  const batch = random.pick([[], [2], [2, 3]]);
  const a = integers(random, 'uint8', [...batch, m, k]);
  const b = integers(random, random.pick(['int8', 'uint8']), [...random.pick([[], batch]), k, n]);
  const [aZero, bZero] = [integers(random, 'uint8', []), integers(random, b.type as 'int8', [])];
  const inputs = [
    ['x', a],
    ['w', b],
    ['xZero', aZero],
    ['wZero', bZero],
  ] as const;
  return { operator: 'MatMulInteger', inputs, output: 'int32' };
}

async function oracle(bytes: Uint8Array, feeds: readonly (readonly [string, Tensor])[]): Promise<ArrayLike<number>> {
  const options = { executionProviders: ['wasm'], logSeverityLevel: 3, graphOptimizationLevel: 'disabled' } as const;
  const session = await ort.InferenceSession.create(bytes, options);
  const tensors = feeds.map(([name, { type, data, dims }]) => [
    name,
    new ort.Tensor(type as 'float32', data as Float32Array, dims),
  ]);
  const { y } = await session.run(Object.fromEntries(tensors));
  await session.release();
  return y?.data as Float32Array;
}

/** Returns how many elements were compared. */
async function compare(each: Case, random: Random, tolerance: number): Promise<number> {
  const given = new Set(random.pick([['x'], ['x', 'w'], ['x', 'xZero', 'wZero'], each.inputs.map(([name]) => name)]));
  const bytes = modelOf(each, given);
  const feeds = each.inputs.filter(([name]) => given.has(name));
  const wanted = await oracle(bytes, feeds);
  const got = new TestModel(readModel(bytes)).run(Object.fromEntries(feeds)).y as Tensor;
  const shown = `${each.operator} ${JSON.stringify(each.inputs.map(([name, { type, dims }]) => [name, type, dims]))}`;
  assert.is(got.data.length, wanted.length, shown);
  for (let i = 0; i < wanted.length; i++)
    assert.ok(
      Math.abs(Number(got.data[i]) - Number(wanted[i])) <= tolerance,
      `${shown}: ${got.data[i]} for ${wanted[i]}`,
    );
  return wanted.length;
}

const SEED = Number(process.env.SEED ?? 1);
console.log(`seed ${SEED}`);

/** Scales that are no powers of two: a result between two steps may go to either. */
const operators: Readonly<Record<string, [make: (random: Random) => Case, tolerance: number]>> = {
  ConvInteger: [(random) => convolution(random, false), 0],
  QLinearConv: [(random) => convolution(random, true), 1],
  MatMulInteger: [product, 0],
};

for (const [name, [make, tolerance]] of Object.entries(operators))
  test(`${name} gives onnxruntime's integers`, async () => {
    const random = new Random(SEED);
    let seen = 0;
    for (let index = 0; index < CASES; index++) seen += await compare(make(random), random, tolerance);
    assert.ok(seen > 1000, `saw only ${seen} elements`);
  });

/** ONNX DynamicQuantizeLinear: steps of (max - min) / 255, zero at round(-min / step), to the even one where it lies between two. */
test('a symmetric tensor has its zero point between two integers, at the even one that the standard names', () => {
  const model = onnxModel({
    nodes: [{ operator: 'DynamicQuantizeLinear', inputs: ['x'], outputs: ['y', 'step', 'zero'] }],
    inputs: ['x'],
    outputs: ['y', 'step', 'zero'],
    opset: 18,
  });
  for (const most of [2 / 3, 1, 3, 7, 11]) {
    const x = tensorOf('float32', [3], [-most, 0, most]);
    const { step, zero } = new TestModel(model).run({ x });
    const wanted = Math.fround(Math.fround(2 * Math.fround(most)) / 255);
    const steps = Math.fround(Math.fround(most) / wanted);
    assert.is(step?.data[0], wanted);
    assert.is(zero?.data[0], steps === 127.5 ? 128 : Math.round(steps));
  }
});

test.run();
