/** Attention of com.microsoft. Source: onnxruntime, docs/ContribOperators.md. */
import type { Value } from '../../compile/graph.ts';
import { splitHeads } from '../attention.ts';
import type { Build, OperatorContext } from '../context.ts';
import { iota } from '../positions.ts';

interface Parts {
  readonly q: Value;
  readonly k: Value;
  readonly v: Value;
  /** Added to the scores; each broadcasts to [batch, heads, length, total]. */
  readonly biases: readonly Value[];
}

/** softmax(q · kᵀ · scale + biases) · v, heads joined again. */
function attend(node: OperatorContext, { q, k, v, biases }: Parts): Value {
  const { builder } = node;
  const [batch = 0, heads = 0, length = 0, size = 0] = q.dims;
  const given = node.float('scale', 0);
  const scale = given === 0 ? 1 / Math.sqrt(size) : given;
  const raw = builder.scale(builder.matMul(q, k, true), scale, 0);
  const scores = biases.reduce((sum, bias) => builder.binary('add', sum, bias), raw);
  const weights = builder.add({ kind: 'softmax', axis: 3, log: false }, [scores]);
  const y = builder.transpose(builder.matMul(weights, v), [0, 2, 1, 3]);
  return builder.reshape(y, [batch, length, heads * (v.dims[3] ?? 0)]);
}

/** 0 where the mask (int32, 1: seen) holds, a very small number elsewhere. */
function maskBias(node: OperatorContext, mask: Value, batch: number, length: number, total: number): Value {
  const { builder } = node;
  const shapes: Readonly<Record<string, readonly number[]>> = {
    [`${[batch, total]}`]: [batch, 1, 1, total],
    [`${[batch, length, total]}`]: [batch, 1, length, total],
  };
  const dims = shapes[`${mask.dims}`];
  if (!dims) throw node.unsupported(`a mask of shape [${mask.dims}]`);
  const seen = builder.add({ kind: 'compare', name: 'greater' }, [mask, builder.literal(mask.type, [], [0])]);
  const none = builder.scalar(node.float('mask_filter_value', -10_000));
  return builder.add({ kind: 'where' }, [builder.reshape(seen, dims), builder.scalar(0), none]);
}

/** A query sees the keys up to its own place. */
function causalBias(node: OperatorContext, length: number, total: number): Value {
  const { builder } = node;
  const last = builder.binary(
    'add',
    iota(builder, length, [length, 1]),
    builder.literal('int64', [], [total - length]),
  );
  const seen = builder.add({ kind: 'compare', name: 'lessOrEqual' }, [iota(builder, total, [total]), last]);
  return builder.add({ kind: 'where' }, [seen, builder.scalar(0), builder.scalar(-Infinity)]);
}

/** Input, weights of all three projections, bias?, mask?, past?, a bias of the scores? */
export const attention: Build = (node) => {
  const { builder } = node;
  const heads = node.int('num_heads');
  if (node.flag('do_rotary')) throw node.unsupported('rotary embedding inside attention');
  const bias = node.optional(2);
  const product = builder.matMul(node.input(0), node.input(1));
  const all = bias ? builder.binary('add', product, bias) : product;
  const [batch = 0, length = 0, width = 0] = all.dims;
  const sizes = node.ints('qkv_hidden_sizes') ?? [width / 3, width / 3, width / 3];
  if (sizes.length !== 3 || sizes.reduce((sum, size) => sum + size, 0) !== width)
    throw new Error(`attribute "qkv_hidden_sizes": expected three sizes that add up to ${width}, got [${sizes}]`);
  const [first = 0, second = 0] = sizes;
  const cut = (from: number, to: number): Value => splitHeads(node, builder.sliceAxis(all, 2, from, to), heads);
  const q = cut(0, first);
  let [k, v] = [cut(first, first + second), cut(first + second, width)];
  const past = node.optional(4);
  if (past) {
    const before = (index: number): Value =>
      builder.reshape(builder.sliceAxis(past, 0, index, index + 1), past.dims.slice(1));
    [k, v] = [builder.concat([before(0), k], 2), builder.concat([before(1), v], 2)];
  }
  const total = k.dims[2] ?? 0;
  const mask = node.optional(3);
  const added = node.optional(5);
  const biases = [
    ...(mask ? [maskBias(node, mask, batch, length, total)] : []),
    ...(added ? [added] : []),
    ...(node.flag('unidirectional') ? [causalBias(node, length, total)] : []),
  ];
  const y = attend(node, { q, k, v, biases });
  if (!node.isUsed(1)) return y;
  return [
    y,
    builder.concat(
      [k, v].map((each) => builder.reshape(each, [1, ...each.dims])),
      0,
    ),
  ];
};

/** Part `index` of [batch, length, heads, parts, size] as [batch, heads, length, size]. */
function packedPart(node: OperatorContext, x: Value, index: number, heads: number): Value {
  const { builder } = node;
  const [batch = 0, length = 0, count = 0, , size = 0] = x.dims;
  if (count !== heads) throw new Error(`expected ${heads} heads, got [${x.dims}]`);
  const part = builder.reshape(builder.sliceAxis(x, 3, index, index + 1), [batch, length, heads, size]);
  return builder.transpose(part, [0, 2, 1, 3]);
}

/** Heads of queries, keys and values, which may come packed: all three in the query, or keys and values in the key. */
function headsOf(node: OperatorContext, heads: number): [q: Value, k: Value, v: Value] {
  const { builder } = node;
  const [query, key, value] = [node.input(0), node.optional(1), node.optional(2)];
  const bias = node.optional(3);
  const isPacked = query.dims.length === 5 || key?.dims.length === 5;
  if (isPacked && bias) throw node.unsupported('a bias of packed queries, keys and values');
  if (query.dims.length === 5 && query.dims[3] === 3 && !key && !value)
    return [0, 1, 2].map((part) => packedPart(node, query, part, heads)) as [Value, Value, Value];
  if (query.dims.length !== 3 || !key) throw node.unsupported(`queries of shape [${query.dims}] without keys`);
  const width = query.dims[2] ?? 0;
  const own = (x: Value, from: number): Value => {
    // Keys that come as [batch, heads, length, size] are projected already.
    if (x.dims.length === 4) return x;
    const size = x.dims[2] ?? 0;
    return splitHeads(node, bias ? builder.binary('add', x, builder.sliceAxis(bias, 0, from, from + size)) : x, heads);
  };
  const q = own(query, 0);
  if (key.dims.length === 5 && key.dims[3] === 2 && !value)
    return [q, packedPart(node, key, 0, heads), packedPart(node, key, 1, heads)];
  if (!value) throw node.unsupported(`keys of shape [${key.dims}] without values`);
  return [q, own(key, width), own(value, 2 * width)];
}

/** Query, key, value, bias of the projections?, mask of the keys?, bias of the scores?, past key?, past value? */
export const multiHeadAttention: Build = (node) => {
  const { builder } = node;
  const [q, ownKey, ownValue] = headsOf(node, node.int('num_heads'));
  const [pastKey, pastValue] = [node.optional(6), node.optional(7)];
  const k = pastKey ? builder.concat([pastKey, ownKey], 2) : ownKey;
  const v = pastValue ? builder.concat([pastValue, ownValue], 2) : ownValue;
  const [batch = 0, , length = 0] = q.dims;
  const total = k.dims[2] ?? 0;
  const [mask, added] = [node.optional(4), node.optional(5)];
  const biases = [
    ...(mask ? [maskBias(node, mask, batch, length, total)] : []),
    ...(added ? [added] : []),
    ...(node.flag('unidirectional') ? [causalBias(node, length, total)] : []),
  ];
  return [attend(node, { q, k, v, biases }), k, v];
};
