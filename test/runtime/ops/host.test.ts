/** Operators that run in JavaScript, against onnxruntime where the official cases are silent. */
import * as ort from 'onnxruntime-web';
import type { PbfWriter } from 'pbf';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type AttributeSpec,
  type ModelSpec,
  type NodeSpec,
  type TensorSpec,
  writeModel,
} from '../../../bench/write-model.ts';
import type { EngineValue } from '../../../runtime/engine/value.ts';
import { readModel } from '../../../runtime/onnx/read.ts';
import { difference } from '../../onnx/difference.ts';
import { TestModel } from '../compile/run-program.ts';

ort.env.wasm.numThreads = 1;
ort.env.logLevel = 'error';

const types: Readonly<Record<string, number>> = { float32: 1, int32: 6, int64: 7, string: 8, bool: 9, float64: 11 };

function writeEach<T>(list: readonly T[], write: (item: T) => void): void {
  for (const item of list) write(item);
}

const texts = (name: string, list: readonly string[]): AttributeSpec => ({
  name,
  type: 8,
  write: (writer) => writeEach(list, (text) => writer.writeBytesField(9, new TextEncoder().encode(text))),
});
const text = (name: string, value: string): AttributeSpec => ({
  name,
  type: 3,
  write: (writer) => writer.writeStringField(4, value),
});
const int = (name: string, value: number): AttributeSpec => ({
  name,
  type: 2,
  write: (writer) => writer.writeVarintField(3, value),
});
const ints = (name: string, list: readonly number[]): AttributeSpec => ({
  name,
  type: 7,
  write: (writer) => writeEach(list, (value) => writer.writeVarintField(8, value)),
});
const floats = (name: string, list: readonly number[]): AttributeSpec => ({
  name,
  type: 6,
  write: (writer) => writeEach(list, (value) => writer.writeFloatField(7, value)),
});

type Given = string[] | bigint[] | Float32Array | Float64Array | Uint8Array;

function typeOf(data: Given): string {
  if (data instanceof Float32Array) return 'float32';
  if (data instanceof Float64Array) return 'float64';
  if (data instanceof Uint8Array) return 'bool';
  return typeof data[0] === 'bigint' ? 'int64' : 'string';
}

function asValue(data: Given, dims: readonly number[]): EngineValue {
  const type = typeOf(data);
  if (type === 'string') return { type: 'string', dims, data: data as string[] };
  const array = type === 'int64' ? BigInt64Array.from(data as bigint[]) : (data as Float32Array);
  return { type: type as 'int64', dims, data: array };
}

interface Trial {
  readonly node: Omit<NodeSpec, 'inputs' | 'outputs'>;
  readonly inputs: readonly (readonly [data: Given, dims: readonly number[]])[];
  readonly gives: string;
  readonly opset?: number;
  readonly initializers?: readonly TensorSpec[];
}

function modelOf({ node, inputs, gives, opset, initializers }: Trial): ModelSpec {
  const names = inputs.map((_, i) => `x${i}`);
  return {
    opsets: { '': 20, ...(node.domain ? { [node.domain]: opset ?? 1 } : opset ? { '': opset } : {}) },
    graph: {
      inputs: inputs.map(([data, dims], i) => ({ name: `x${i}`, type: types[typeOf(data)] as number, dims })),
      outputs: [{ name: 'y', type: types[gives] as number }],
      nodes: [{ ...node, inputs: [...names, ...(initializers ?? []).map(({ name }) => name)], outputs: ['y'] }],
      initializers,
    },
  };
}

function ours(bytes: Uint8Array, trial: Trial): EngineValue | undefined {
  const values = trial.inputs.map(([data, dims], i): [string, EngineValue] => [`x${i}`, asValue(data, dims)]);
  return new TestModel(readModel(bytes)).runValues(Object.fromEntries(values)).y;
}

async function theirs(bytes: Uint8Array, trial: Trial): Promise<EngineValue> {
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'] });
  const feeds = trial.inputs.map(([data, dims], i) => {
    const type = typeOf(data);
    const array = type === 'int64' ? BigInt64Array.from(data as bigint[]) : data;
    return [`x${i}`, new ort.Tensor(type as 'string', array as string[], dims)];
  });
  const y = (await session.run(Object.fromEntries(feeds))).y as ort.Tensor;
  await session.release();
  return { type: y.type as 'string', dims: y.dims, data: y.data as string[] };
}

const words = ['Ä', 'b', '', 'dd', 'e', 'f'];
const numbers = Float32Array.of(
  0,
  1,
  -1.5,
  3.14159274,
  1e8,
  123456792,
  1e-5,
  1e20,
  Infinity,
  -Infinity,
  Number.NaN,
  0.1,
);
const whole = (name: string, values: readonly number[], dims = [values.length]): TensorSpec => ({
  name,
  type: 7,
  dims,
  write: (writer: PbfWriter) =>
    writer.writeBytesField(9, new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer)),
});
const ml = 'ai.onnx.ml';

const trials: readonly Trial[] = [
  { node: { operator: 'Cast', attributes: [int('to', 8)] }, inputs: [[numbers, [3, 4]]], gives: 'string' },
  {
    node: { operator: 'Cast', attributes: [int('to', 8)] },
    inputs: [[Float64Array.of(0.1, 1 / 3, 1e300), [3]]],
    gives: 'string',
  },
  { node: { operator: 'Cast', attributes: [int('to', 8)] }, inputs: [[[-3n, 2n ** 62n], [2]]], gives: 'string' },
  { node: { operator: 'Cast', attributes: [int('to', 8)] }, inputs: [[Uint8Array.of(0, 1), [2]]], gives: 'string' },
  {
    node: { operator: 'Cast', attributes: [int('to', 1)] },
    inputs: [[['1.5', '-2e3', 'INF', '-INF', 'nan', '+7', '.5'], [7]]],
    gives: 'float32',
  },
  {
    node: { operator: 'Cast', attributes: [int('to', 7)] },
    inputs: [[['9007199254740993', '-4'], [2]]],
    gives: 'int64',
  },
  { node: { operator: 'Transpose', attributes: [ints('perm', [1, 0])] }, inputs: [[words, [2, 3]]], gives: 'string' },
  {
    node: { operator: 'Concat', attributes: [int('axis', 1)] },
    inputs: [
      [words, [2, 3]],
      [
        ['x', 'y'],
        [2, 1],
      ],
    ],
    gives: 'string',
  },
  {
    node: { operator: 'Gather', attributes: [int('axis', 1)] },
    inputs: [
      [words, [2, 3]],
      [[2n, -3n], [2]],
    ],
    gives: 'string',
  },
  { node: { operator: 'Tile' }, inputs: [[words, [2, 3]]], initializers: [whole('r', [2, 2])], gives: 'string' },
  {
    node: { operator: 'Expand' },
    inputs: [
      [
        ['a', 'b'],
        [2, 1],
      ],
    ],
    initializers: [whole('s', [3, 1, 3])],
    gives: 'string',
  },
  { node: { operator: 'Reshape' }, inputs: [[words, [2, 3]]], initializers: [whole('s', [-1, 2])], gives: 'string' },
  { node: { operator: 'Squeeze' }, inputs: [[words, [1, 6, 1]]], initializers: [whole('a', [-1])], gives: 'string' },
  { node: { operator: 'Unsqueeze' }, inputs: [[words, [6]]], initializers: [whole('a', [0, 2])], gives: 'string' },
  { node: { operator: 'Flatten' }, inputs: [[words, [1, 2, 3]]], gives: 'string' },
  { node: { operator: 'Shape' }, inputs: [[words, [2, 3]]], gives: 'int64' },
  { node: { operator: 'Size' }, inputs: [[words, [2, 3]]], gives: 'int64' },
  {
    node: { operator: 'Slice' },
    inputs: [[words, [2, 3]]],
    initializers: [whole('b', [2, 0]), whole('e', [-9, 1]), whole('a', [1, 0]), whole('t', [-2, 1])],
    gives: 'string',
  },
  {
    node: { operator: 'Where' },
    inputs: [
      [Uint8Array.of(1, 0), [2, 1]],
      [words, [2, 3]],
      [['z'], [1]],
    ],
    gives: 'string',
  },
  {
    node: {
      operator: 'LabelEncoder',
      domain: ml,
      attributes: [floats('keys_floats', [1, 2.5, Number.NaN]), texts('values_strings', ['one', 'two', 'none'])],
    },
    inputs: [[Float32Array.of(2.5, 9, Number.NaN), [3]]],
    gives: 'string',
    opset: 4, // before, NaN was no key in onnxruntime
  },
  {
    node: {
      operator: 'LabelEncoder',
      domain: ml,
      attributes: [texts('classes_strings', ['a', 'b']), int('default_int64', 7)],
    },
    inputs: [[['b', 'a', 'c'], [3]]],
    gives: 'int64',
  },
  {
    node: {
      operator: 'CategoryMapper',
      domain: ml,
      attributes: [texts('cats_strings', ['a', 'b']), ints('cats_int64s', [10, 20])],
    },
    inputs: [[[20n, 10n, 5n], [3]]],
    gives: 'string',
  },
  {
    node: { operator: 'OneHotEncoder', domain: ml, attributes: [texts('cats_strings', ['a', 'b', 'Ä'])] },
    inputs: [[words, [2, 3]]],
    gives: 'float32',
  },
  {
    node: { operator: 'ArrayFeatureExtractor', domain: ml },
    inputs: [
      [words, [2, 3]],
      [
        [2n, 0n],
        [1, 2],
      ],
    ],
    gives: 'string',
  },
  {
    node: {
      operator: 'TfIdfVectorizer',
      attributes: [
        text('mode', 'TFIDF'),
        int('min_gram_length', 1),
        int('max_gram_length', 3),
        int('max_skip_count', 2),
        ints('ngram_counts', [0, 2, 6]),
        ints('ngram_indexes', [1, 0, 3, 2, 4]),
        texts('pool_strings', ['a', 'b', 'a', 'b', 'b', 'a', 'a', 'b', 'a']),
        floats('weights', [0.5, 2, 3, 0.25, 4]),
      ],
    },
    inputs: [
      [
        ['a', 'b', 'a', 'b', 'b', 'a', 'c', 'a', 'b', 'a'],
        [2, 5],
      ],
    ],
    gives: 'float32',
  },
  {
    node: { operator: 'RegexFullMatch', attributes: [text('pattern', '(?i)[a-zä]+|\\d{2,3}')] },
    inputs: [[['Äb', '12', '1', 'a b', ''], [5]]],
    gives: 'bool',
  },
  {
    node: {
      operator: 'StringNormalizer',
      attributes: [text('case_change_action', 'LOWER'), texts('stopwords', ['THE'])],
    },
    inputs: [
      [
        ['The', 'CAT', 'the'],
        [1, 3],
      ],
    ],
    gives: 'string',
  },
];

test('operators on texts and labels give what onnxruntime gives', async () => {
  for (const trial of trials) {
    const bytes = writeModel(modelOf(trial));
    const wrong = difference(ours(bytes, trial), await theirs(bytes, trial));
    assert.is(wrong, undefined, `${trial.node.operator}: ${wrong}`);
  }
  assert.is(trials.length, 27);
});

/** What our operator says to inputs that it does not take. */
function refusal(trial: Trial): string {
  try {
    ours(writeModel(modelOf(trial)), trial);
    return 'nothing';
  } catch (error) {
    return (error as Error).message;
  }
}

test('patterns, locales, numbers and sizes that cannot be are refused in a sentence', () => {
  const regex = (pattern: string, given: string): Trial => ({
    node: { operator: 'RegexFullMatch', attributes: [text('pattern', pattern)] },
    inputs: [[[given], [1]]],
    gives: 'bool',
  });
  assert.match(refusal(regex('(a', 'a')), /regular expression of RE2/);
  assert.match(refusal(regex('(a)\\1', 'aa')), /regular expression of RE2/);
  assert.is(refusal(regex('(a+)+$', `${'a'.repeat(50_000)}b`)), 'nothing');
  assert.match(refusal(regex('(x{0,100}){0,9}', 'x'.repeat(1_000_000))), /characters for this pattern/);
  const cast: Trial = {
    node: { operator: 'Cast', attributes: [int('to', 7)] },
    inputs: [[['1.5'], [1]]],
    gives: 'int64',
  };
  assert.match(refusal(cast), /whole numbers in the range of int64, got "1.5"/);
  const tile: Trial = {
    node: { operator: 'Tile' },
    inputs: [[['a'], [1]]],
    initializers: [whole('r', [2 ** 40])],
    gives: 'string',
  };
  assert.match(refusal(tile), /at most 67108864 elements/);
  const locale: Trial = {
    node: { operator: 'StringNormalizer', attributes: [text('locale', 'not a locale')] },
    inputs: [[['a'], [1]]],
    gives: 'string',
  };
  assert.match(refusal(locale), /"locale": expected a locale/);
});

test.run();
