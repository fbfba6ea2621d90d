/** Labels to labels by a table. Source: ONNX Operators-ml.md, LabelEncoder and CategoryMapper. */
import { tensorOf } from '../../compile/evaluate.ts';
import { arrayOf, type DataType, elementCount, type Tensor } from '../../engine/tensor.ts';
import { type AnyTensor, int64s, pick, texts } from './elements.ts';
import type { HostContext } from './host-context.ts';

type Key = string | number;

interface LabelTable {
  readonly keyType: string;
  /** Key → place in `values`. */
  readonly places: ReadonlyMap<Key, number>;
  /** The last is for keys that the table does not have. */
  readonly values: AnyTensor;
}

/** int64 keys come as numbers; one that a number cannot hold would be taken for its neighbour. */
function placesOfKeys(keys: readonly Key[]): Map<Key, number> {
  const places = new Map<Key, number>();
  for (const [place, key] of keys.entries()) {
    if (typeof key === 'number' && Number.isInteger(key) && Math.abs(key) > 2 ** 53)
      throw new Error(`expected keys of at most 2^53, got ${key}`);
    if (!places.has(key)) places.set(key, place);
  }
  return places;
}

function keysOf(tensor: AnyTensor): readonly Key[] {
  return tensor.type === 'string' ? tensor.data : Array.from(tensor.data, Number);
}

/** What the table gives for each element of `source`. */
function lookUp(table: LabelTable, source: AnyTensor): AnyTensor {
  if (source.type !== table.keyType) throw new Error(`expected a tensor of ${table.keyType}, got ${source.type}`);
  const unknown = elementCount(table.values.dims) - 1;
  const places = keysOf(source).map((key) => table.places.get(key) ?? unknown);
  return pick(table.values, source.dims, places);
}

const suffixes = ['strings', 'int64s', 'floats', 'tensor'] as const;

/** `keys_…` or `values_…`, whichever of its forms the node has. */
function labelsGiven(node: HostContext, name: 'keys' | 'values'): AnyTensor {
  const given = suffixes.filter((suffix) => node.has(`${name}_${suffix}`));
  if (given.length !== 1)
    throw new Error(`expected one of the attributes ${suffixes.map((suffix) => `${name}_${suffix}`).join(', ')}`);
  const attribute = `${name}_${given[0]}`;
  switch (given[0]) {
    case 'strings': {
      const list = node.texts(attribute) ?? [];
      return texts([list.length], list);
    }
    case 'int64s': {
      const list = node.ints(attribute) ?? [];
      return int64s([list.length], list);
    }
    case 'floats': {
      const list = node.floats(attribute) ?? [];
      return tensorOf('float32', [list.length], list);
    }
    default:
      return node.anyAttributeTensor(attribute);
  }
}

/** What unknown keys become. Defaults of the attributes: Operators-ml.md. */
function defaultLabel(node: HostContext, type: 'string' | DataType): AnyTensor {
  if (node.has('default_tensor')) return node.anyAttributeTensor('default_tensor');
  switch (type) {
    case 'string':
      return texts([1], [node.string('default_string', '_Unused')]);
    case 'int64':
      return int64s([1], [node.int('default_int64', -1)]);
    case 'float32':
      return tensorOf('float32', [1], [node.float('default_float', -0)]);
    default:
      // The standard names no default for the other types; onnx's reference takes -1 for integers and -0 for floats.
      return tensorOf(type, [1], [type.startsWith('float') ? -0 : -1]);
  }
}

function tableOf(node: HostContext, keys: AnyTensor, values: AnyTensor): LabelTable {
  if (elementCount(keys.dims) !== elementCount(values.dims))
    throw new Error(`expected as many keys as values, got [${keys.dims}] and [${values.dims}]`);
  const other = defaultLabel(node, values.type);
  if (other.type !== values.type || elementCount(other.dims) !== 1)
    throw new Error(`expected a default of one ${values.type}, got ${other.type} [${other.dims}]`);
  return { keyType: keys.type, places: placesOfKeys(keysOf(keys)), values: appended(values, other) };
}

function appended(values: AnyTensor, last: AnyTensor): AnyTensor {
  const count = elementCount(values.dims) + 1;
  if (values.type === 'string') return texts([count], [...values.data, ...(last.data as readonly string[])]);
  const data = new (arrayOf(values.type))(count);
  data.set(values.data as never);
  data[count - 1] = (last as Tensor).data[0] as number & bigint;
  return { type: values.type, dims: [count], data };
}

export function labelEncoder(node: HostContext): AnyTensor {
  const table = node.once(() => tableOf(node, labelsGiven(node, 'keys'), labelsGiven(node, 'values')));
  return lookUp(table, node.anyTensor(0));
}

/** Texts to whole numbers or back, whichever the input is not: version 1 of LabelEncoder, and CategoryMapper. */
function bothWays(node: HostContext, strings: readonly string[], numbers: readonly number[]): AnyTensor {
  const tables = node.once(() => {
    const [names, ids] = [texts([strings.length], strings), int64s([numbers.length], numbers)];
    return { byName: tableOf(node, names, ids), byNumber: tableOf(node, ids, names) };
  });
  const source = node.anyTensor(0);
  return lookUp(source.type === 'string' ? tables.byName : tables.byNumber, source);
}

export function labelEncoderByClasses(node: HostContext): AnyTensor {
  const classes = node.texts('classes_strings') ?? [];
  return bothWays(node, classes, [...classes.keys()]);
}

export function categoryMapper(node: HostContext): AnyTensor {
  return bothWays(node, node.texts('cats_strings') ?? [], node.ints('cats_int64s') ?? []);
}

/** Places in a classifier's list of labels → the labels. */
export function classLabel(node: HostContext): AnyTensor {
  const indices = node.wholeNumbers(0) ?? [];
  const labels = node.texts('classlabels_strings') ?? node.ints('classlabels_int64s') ?? node.ints('classlabels_ints');
  const chosen = indices.map((index) => {
    const label = labels?.[index];
    if (label === undefined)
      throw new Error(`expected an index of a label, below ${labels?.length ?? 0}, got ${index}`);
    return label;
  });
  const dims = node.tensor(0).dims;
  return node.has('classlabels_strings') ? texts(dims, chosen as string[]) : int64s(dims, chosen as number[]);
}
