/** Attention of com.microsoft. Source: onnxruntime, docs/ContribOperators.md. */
import type { Value } from '../../compile/graph.ts';
import type { Build, OperatorContext } from '../context.ts';
import { iota } from '../positions.ts';

/** [batch, length, heads · size] → [batch, heads, length, size] */
function split(node: OperatorContext, x: Value, heads: number): Value {
  const [batch = 0, length = 0, width = 0] = x.dims;
  if (x.dims.length !== 3 || heads < 1 || width % heads !== 0)
    throw new Error(`expected [batch, length, width] with a width that ${heads} heads divide, got [${x.dims}]`);
  return node.builder.transpose(node.builder.reshape(x, [batch, length, heads, width / heads]), [0, 2, 1, 3]);
}

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
  const cut = (from: number, to: number): Value => split(node, builder.sliceAxis(all, 2, from, to), heads);
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

/** Query, key, value, bias of the projections?, mask of the keys?, bias of the scores?, past key?, past value? */
export const multiHeadAttention: Build = (node) => {
  const { builder } = node;
  const heads = node.int('num_heads');
  const query = node.input(0);
  const [key, value] = [node.optional(1), node.optional(2)];
  if (query.dims.length !== 3 || !key || !value) throw node.unsupported('packed queries, keys and values');
  const bias = node.optional(3);
  const width = query.dims[2] ?? 0;
  const own = (x: Value, from: number): Value => {
    // Keys that come as [batch, heads, length, size] are projected already.
    if (x.dims.length === 4) return x;
    const size = x.dims[2] ?? 0;
    return split(node, bias ? builder.binary('add', x, builder.sliceAxis(bias, 0, from, from + size)) : x, heads);
  };
  const q = own(query, 0);
  let [k, v] = [own(key, width), own(value, 2 * width)];
  const [pastKey, pastValue] = [node.optional(6), node.optional(7)];
  if (pastKey && pastValue) [k, v] = [builder.concat([pastKey, k], 2), builder.concat([pastValue, v], 2)];
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
