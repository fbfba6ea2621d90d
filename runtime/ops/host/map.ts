/** Maps from labels to values, and features by labels. Source: ONNX Operators-ml.md. */
import { numbersOf, tensorOf } from '../../compile/evaluate.ts';
import { elementCount } from '../../engine/tensor.ts';
import type { MapValue, SequenceValue } from '../../engine/value.ts';
import { numberText } from './cast.ts';
import { type AnyTensor, boundedCount, pick, texts } from './elements.ts';
import type { HostContext } from './host-context.ts';

type Label = string | bigint;

/** The labels of an attribute of texts, or else of the one of whole numbers. */
function labelsOf(node: HostContext, strings: string, numbers: string): Label[] {
  const labels = node.texts(strings) ?? node.ints(numbers)?.map(BigInt);
  if (!labels || labels.length === 0)
    throw new Error(`expected labels in the attribute "${strings}" or "${numbers}", found none`);
  return labels;
}

/** Values under the vocabulary's keys, in its order; [1, C] as onnxruntime gives, so that scalers can follow. */
export function dictVectorizer(node: HostContext): AnyTensor {
  const vocabulary = labelsOf(node, 'string_vocabulary', 'int64_vocabulary');
  const { entries, valueType } = node.map(0);
  return mapTensor(
    valueType,
    vocabulary.map((key) => entries.get(key)),
  );
}

function mapTensor(type: MapValue['valueType'], values: readonly (number | string | undefined)[]): AnyTensor {
  const dims = [1, values.length];
  if (type === 'string')
    return texts(
      dims,
      values.map((value) => `${value ?? ''}`),
    );
  return tensorOf(
    type,
    dims,
    values.map((value) => Number(value ?? 0)),
  );
}

/** A map for each row of scores. */
export function zipMap(node: HostContext): SequenceValue {
  const scores = node.tensor(0);
  const labels = labelsOf(node, 'classlabels_strings', 'classlabels_int64s');
  const { dims } = scores;
  if (scores.type !== 'float32' || dims.length === 0 || dims.length > 2 || dims.at(-1) !== labels.length)
    throw new Error(
      `expected float32 of shape [${labels.length}] or [N, ${labels.length}], got ${scores.type} [${dims}]`,
    );
  const numbers = numbersOf(scores);
  const items = Array.from({ length: numbers.length / labels.length }, (_, row): MapValue => {
    const entries = labels.map((label, i): [Label, number] => [label, numbers[row * labels.length + i] as number]);
    return { type: 'map', valueType: 'float32', entries: new Map(entries) };
  });
  return { type: 'sequence', items };
}

/** Values of a map with whole numbers as keys, in the order of the keys; SPARSE leaves room for the keys between. */
export function castMap(node: HostContext): AnyTensor {
  const { entries } = node.map(0);
  const to = node.text('cast_to', ['TO_FLOAT', 'TO_STRING', 'TO_INT64'], 'TO_FLOAT');
  const sorted = [...entries].map(([key, value]): [bigint, number | string] => {
    if (typeof key !== 'bigint') throw new Error('expected a map with whole numbers as keys, got one with texts');
    return [key, value];
  });
  sorted.sort(([a], [b]) => (a < b ? -1 : 1));
  const values =
    node.text('map_form', ['DENSE', 'SPARSE'], 'DENSE') === 'DENSE' ? sorted.map(([, value]) => value) : [];
  if (node.string('map_form', 'DENSE') === 'SPARSE') {
    const length = node.int('max_map', 1);
    boundedCount([length]);
    values.push(...Array<number>(length).fill(0));
    for (const [key, value] of sorted) {
      if (!(key >= 0n && key < length)) throw new Error(`expected keys from 0 to ${length - 1} (max_map), got ${key}`);
      values[Number(key)] = value;
    }
  }
  if (to === 'TO_STRING') {
    return mapTensor(
      'string',
      values.map((value) => (typeof value === 'number' ? numberText(value) : value)),
    );
  }
  const numbers = values.map((value) => {
    const number = Number(value);
    if (Number.isNaN(number)) throw new Error(`expected values that are numbers, got ${JSON.stringify(value)}`);
    return to === 'TO_INT64' ? Math.trunc(number) : number;
  });
  return mapTensor(to === 'TO_INT64' ? 'int64' : 'float32', numbers);
}

/** A new last axis with 1 at the category of each element. */
export function oneHotEncoder(node: HostContext): AnyTensor {
  const source = node.anyTensor(0);
  const categories = labelsOf(node, 'cats_strings', 'cats_int64s');
  const places = node.once(() => new Map(categories.map((category, place) => [category, place])));
  const keys: Iterable<Label> =
    source.type === 'string' ? source.data : numbersOf(source).map((value) => BigInt(Math.trunc(value)));
  const dims = [...source.dims, categories.length];
  const encoded = new Float32Array(boundedCount(dims));
  let row = 0;
  for (const key of keys) {
    const place = places.get(key);
    if (place !== undefined) encoded[row + place] = 1;
    else if (!node.flag('zeros', true))
      throw new Error(`expected one of the categories, got ${JSON.stringify(`${key}`)}`);
    row += categories.length;
  }
  return { type: 'float32', dims, data: encoded };
}

/** Elements of the last axis at the given places; a vector counts as one row. */
export function arrayFeatureExtractor(node: HostContext): AnyTensor {
  const source = node.anyTensor(0);
  const chosen = node.wholeNumbers(1) ?? [];
  const width = source.dims.at(-1) ?? 0;
  const wrong = chosen.find((place) => !(place >= 0 && place < width));
  if (wrong !== undefined || chosen.length === 0)
    throw new Error(`expected places from 0 to ${width - 1} of [${source.dims}], got ${wrong ?? 'none'}`);
  const rows = elementCount(source.dims) / width;
  const dims = source.dims.length === 1 ? [1, chosen.length] : source.dims.with(-1, chosen.length);
  boundedCount(dims);
  return pick(
    source,
    dims,
    Array.from({ length: rows }, (_, row) => chosen.map((place) => row * width + place)).flat(),
  );
}
