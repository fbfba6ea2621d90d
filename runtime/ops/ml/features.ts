/** Operators of ai.onnx.ml that prepare features: scaling, encoding, choosing. */
import { numbersOf } from '../../compile/evaluate.ts';
import type { Value } from '../../compile/graph.ts';
import type { DataType, Tensor } from '../../engine/tensor.ts';
import type { Build, OperatorContext } from '../context.ts';
import { asFloat, choose, isNumber } from './scores.ts';

/** One number for all features, or one for each: the last axis. */
function perFeature(node: OperatorContext, x: Value, name: string, values: readonly number[]): Value {
  const width = x.dims.at(-1) ?? 1;
  if (values.length !== 1 && values.length !== width)
    throw new Error(`attribute "${name}": expected 1 or ${width} numbers, got ${values.length}`);
  return node.builder.literal(x.type, values.length === 1 ? [] : [width], values);
}

/** (x - offset) · scale */
export const scaler: Build = (node) => {
  const x = asFloat(node, node.input(0));
  const offset = perFeature(node, x, 'offset', node.floats('offset') ?? [0]);
  const scale = perFeature(node, x, 'scale', node.floats('scale') ?? [1]);
  return node.builder.binary('mul', node.builder.binary('sub', x, offset), scale);
};

/** Each row over its largest, its sum or its length. */
export const normalizer: Build = (node) => {
  const { builder } = node;
  const x = asFloat(node, node.input(0));
  if (x.dims.length === 0 || x.dims.length > 2) throw new Error(`expected rows of features, got [${x.dims}]`);
  const axes = [x.dims.length - 1];
  const kind = node.text('norm', ['MAX', 'L1', 'L2'], 'MAX');
  const size = builder.reduce(({ MAX: 'max', L1: 'l1', L2: 'l2' } as const)[kind], x, axes);
  const isZero = builder.add({ kind: 'compare', name: 'equal' }, [size, builder.scalar(0)]);
  return builder.binary('div', x, choose(node, isZero, builder.scalar(1), size));
};

export const binarizer: Build = (node) => {
  const x = node.input(0);
  const limit = node.builder.literal(x.type, [], [node.float('threshold', 0)]);
  return node.builder.cast(node.builder.add({ kind: 'compare', name: 'greater' }, [x, limit]), x.type);
};

/** Replaces one number, which may be NaN. */
export const imputer: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const isWhole = x.type === 'int64' || x.type === 'int32';
  const name = isWhole ? 'imputed_value_int64s' : 'imputed_value_floats';
  const values = (isWhole ? node.ints(name) : node.floats(name)) ?? [];
  const instead = perFeature(node, x, name, values);
  const wanted = isWhole ? node.int('replaced_value_int64', 0) : node.float('replaced_value_float', 0);
  if (Number.isNaN(wanted)) return choose(node, isNumber(node, x), x, instead);
  const isWanted = builder.add({ kind: 'compare', name: 'equal' }, [x, builder.literal(x.type, [], [wanted])]);
  return choose(node, isWanted, instead, x);
};

export const oneHotEncoder: Build = (node) => {
  const { builder } = node;
  if ((node.texts('cats_strings') ?? []).length > 0) throw node.unsupported('categories of text');
  const categories = node.ints('cats_int64s') ?? [];
  if (!node.flag('zeros', true)) throw node.unsupported('a check for unknown categories');
  const x = builder.cast(node.input(0), 'int64');
  const wide = builder.reshape(x, [...x.dims, 1]);
  const all = builder.literal('int64', [categories.length], categories);
  return builder.cast(builder.add({ kind: 'compare', name: 'equal' }, [wide, all]), 'float32');
};

/** Columns of x. */
export const arrayFeatureExtractor: Build = (node) => {
  const { builder } = node;
  const [x, places] = [node.input(0), node.input(1)];
  const count = places.dims.reduce((product, size) => product * size, 1);
  const indices = builder.reshape(places, [count]);
  const y = builder.gather(x, indices, x.dims.length - 1);
  // A vector gives one row.
  return x.dims.length === 1 ? builder.reshape(y, [1, count]) : y;
};

/** Inputs side by side, each cut or filled with zeros to its width. */
export const featureVectorizer: Build = (node) => {
  const { builder } = node;
  const widths = node.ints('inputdimensions') ?? [];
  if (widths.length !== node.inputs.length)
    throw new Error(`attribute "inputdimensions": expected ${node.inputs.length} numbers, got ${widths.length}`);
  const parts = widths.map((width, index) => {
    const given = asFloat(node, node.input(index));
    const [rows = 1, ...rest] = given.dims;
    const own = rest.reduce((product, size) => product * size, 1);
    const x = builder.reshape(given, [rows, own]);
    if (own >= width) return builder.sliceAxis(x, 1, 0, width);
    return builder.add({ kind: 'pad', mode: 'constant', begins: [0, 0], ends: [0, width - own], value: 0 }, [x]);
  });
  return builder.concat(parts, 1);
};

interface Mapping {
  readonly keys: readonly number[];
  readonly keyType: DataType;
  readonly values: readonly number[];
  readonly valueType: DataType;
  readonly otherwise: number;
}

const UNKNOWN = -1;
/** Every key is compared with every element. */
const KEYS_MAX = 4096;

/** Keys or values: a tensor, or a list of whole numbers or of floats. */
function side(node: OperatorContext, prefix: 'keys' | 'values'): { type: DataType; values: readonly number[] } {
  const tensor: Tensor | undefined = node.attributeTensor(`${prefix}_tensor`);
  if (tensor) return { type: tensor.type, values: numbersOf(tensor) };
  const whole = node.ints(`${prefix}_int64s`);
  if (whole) return { type: 'int64', values: whole };
  const real = node.floats(`${prefix}_floats`);
  if (real) return { type: 'float32', values: real };
  throw node.unsupported('a mapping from or to text');
}

function mappingOf(node: OperatorContext): Mapping {
  const [keys, values] = [side(node, 'keys'), side(node, 'values')];
  const given = node.attributeTensor('default_tensor');
  const standard = values.type === 'int64' ? node.int('default_int64', UNKNOWN) : node.float('default_float', -0);
  const otherwise = given ? (numbersOf(given)[0] ?? 0) : standard;
  if (keys.values.length !== values.values.length)
    throw new Error(`expected a value for each of ${keys.values.length} keys, got ${values.values.length}`);
  return { keys: keys.values, keyType: keys.type, values: values.values, valueType: values.type, otherwise };
}

/** Numbers to numbers; NaN is a key like any other. */
export const labelEncoder: Build = (node) => {
  const { builder } = node;
  const { keys, keyType, values, valueType, otherwise } = mappingOf(node);
  const x = node.input(0);
  if (x.type !== keyType) throw new Error(`expected keys of ${x.type}, got ${keyType}`);
  if (keys.length > KEYS_MAX) throw node.unsupported(`a mapping of ${keys.length} keys`);
  const wide = builder.reshape(x, [...x.dims, 1]);
  const equal = (value: Value, list: readonly number[]): Value =>
    builder.add({ kind: 'compare', name: 'equal' }, [value, builder.literal(x.type, [list.length], list)]);
  // A column more, which only those that match nothing reach: argMax gives the first of equal ones.
  const matches = builder.cast(equal(wide, keys), 'float32');
  const missing = keys.findIndex(Number.isNaN);
  const none = builder.expand(builder.scalar(0.5), [...x.dims, 1]);
  const axis = x.dims.length;
  const scores = builder.concat([matches, none], axis);
  const found = builder.add({ kind: 'argMax', axis, least: false, last: false }, [scores]);
  const place = builder.reshape(found, x.dims);
  const known = missing < 0 ? place : choose(node, isNumber(node, x), place, builder.literal('int64', [], [missing]));
  return builder.gather(builder.literal(valueType, [values.length + 1], [...values, otherwise]), known, 0);
};
