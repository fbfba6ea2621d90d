/** Attention and what stands around it in transformers. Source: the operators' descriptions in ONNX 23 to 27. */
import type { Value } from '../compile/graph.ts';
import { isHalf } from '../compile/half.ts';
import type { DataType } from '../engine/tensor.ts';
import type { Build, OperatorContext } from './context.ts';
import { iota } from './positions.ts';

/** [batch, length, heads · size] → [batch, heads, length, size] */
export function splitHeads(node: OperatorContext, x: Value, heads: number): Value {
  const [batch = 0, length = 0, width = 0] = x.dims;
  if (x.dims.length !== 3 || heads < 1 || width % heads !== 0)
    throw new Error(`expected [batch, length, width] with a width that ${heads} heads divide, got [${x.dims}]`);
  return node.builder.transpose(node.builder.reshape(x, [batch, length, heads, width / heads]), [0, 2, 1, 3]);
}

/** [batch, heads, length, size] → [batch, length, heads · size] */
export function joinHeads(node: OperatorContext, x: Value): Value {
  const [batch = 0, heads = 0, length = 0, size = 0] = x.dims;
  return node.builder.reshape(node.builder.transpose(x, [0, 2, 1, 3]), [batch, length, heads * size]);
}

/** Every key head serves the same number of query heads, one behind the other. */
function repeatHeads(node: OperatorContext, x: Value, heads: number): Value {
  const { builder } = node;
  const [batch = 0, own = 0, length = 0, size = 0] = x.dims;
  if (own === heads) return x;
  if (own === 0 || heads % own !== 0)
    throw new Error(`expected a number of key heads that divides ${heads}, got ${own}`);
  const spread = builder.expand(builder.reshape(x, [batch, own, 1, length, size]), [
    batch,
    own,
    heads / own,
    length,
    size,
  ]);
  return builder.reshape(spread, [batch, heads, length, size]);
}

/** 0 where the condition holds, -Infinity elsewhere. */
export function biasOf(node: OperatorContext, allowed: Value): Value {
  const { builder } = node;
  return builder.add({ kind: 'where' }, [allowed, builder.scalar(0), builder.scalar(-Infinity)]);
}

/** What is added to the scores of `length` queries for `total` keys; nothing when every key may be seen. */
function maskOf(node: OperatorContext, batch: number, length: number, total: number, past: number): Value | undefined {
  const { builder } = node;
  const parts: Value[] = [];
  const given = node.optional(3);
  const filled = node.optional(6);
  if (given) {
    const bias = given.type === 'bool' ? biasOf(node, given) : given;
    const missing = total - (bias.dims.at(-1) ?? 0);
    const none = bias.dims.map(() => 0);
    // A mask may be shorter than the keys, of which the rest is not seen.
    const ends = [...none.slice(0, -1), Math.max(missing, 0)];
    parts.push(builder.add({ kind: 'pad', mode: 'constant', begins: none, ends, value: -Infinity }, [bias]));
  }
  const column = iota(builder, total, [total]);
  if (node.flag('is_causal')) {
    const row = iota(builder, length, [length, 1]);
    const last = filled
      ? builder.binary('sub', builder.reshape(filled, [batch, 1, 1, 1]), builder.literal('int64', [], [length]))
      : builder.literal('int64', [], [past]);
    const allowed = builder.add({ kind: 'compare', name: 'lessOrEqual' }, [column, builder.binary('add', row, last)]);
    parts.push(biasOf(node, allowed));
  }
  if (filled) {
    const count = builder.reshape(filled, [batch, 1, 1, 1]);
    parts.push(biasOf(node, builder.add({ kind: 'compare', name: 'less' }, [column, count])));
  }
  return parts.length === 0 ? undefined : parts.reduce((sum, part) => builder.binary('add', sum, part));
}

/** A query that may see no key at all gets zeros, not NaN. */
function softmaxOf(node: OperatorContext, scores: Value, mask: Value | undefined): Value {
  const { builder } = node;
  const weights = builder.add({ kind: 'softmax', axis: scores.dims.length - 1, log: false }, [scores]);
  if (!mask) return weights;
  const most = builder.reduce('max', mask, [mask.dims.length - 1]);
  const isBlind = builder.add({ kind: 'compare', name: 'equal' }, [most, builder.literal(most.type, [], [-Infinity])]);
  return builder.add({ kind: 'where' }, [isBlind, builder.literal(weights.type, [], [0]), weights]);
}

interface Heads {
  readonly q: Value;
  readonly k: Value;
  readonly v: Value;
  /** Key and value with what came before them. */
  readonly present: readonly [key: Value, value: Value];
  readonly past: number;
}

function headsOf(node: OperatorContext): Heads {
  const { builder } = node;
  const flat = node.input(0).dims.length === 3;
  const split = (index: number, heads: string): Value =>
    flat ? splitHeads(node, node.input(index), node.int(heads)) : node.input(index);
  const q = split(0, 'q_num_heads');
  if (q.dims.length !== 4) throw new Error(`expected queries of 3 or 4 axes, got [${q.dims}]`);
  const [k, v] = [1, 2].map((index) => {
    const own = split(index, 'kv_num_heads');
    const before = node.optional(index + 3);
    return before ? builder.concat([before, own], 2) : own;
  }) as [Value, Value];
  const heads = q.dims[1] ?? 0;
  const past = node.optional(4)?.dims[2] ?? 0;
  return { q, k: repeatHeads(node, k, heads), v: repeatHeads(node, v, heads), present: [k, v], past };
}

export const attention: Build = (node) => {
  const { builder } = node;
  const { q, k, v, present, past } = headsOf(node);
  const [batch = 0, , length = 0, size = 0] = q.dims;
  const scale = Math.sqrt(node.float('scale', 1 / Math.sqrt(size)));
  const raw = builder.matMul(builder.scale(q, scale, 0), builder.scale(k, scale, 0), true);
  const cap = node.float('softcap', 0);
  const capped = cap > 0 ? builder.scale(builder.unary('tanh', builder.scale(raw, 1 / cap, 0)), cap, 0) : raw;
  const mask = maskOf(node, batch, length, k.dims[2] ?? 0, past);
  const type: DataType = raw.type;
  const scores = mask ? builder.binary('add', capped, builder.cast(mask, type)) : capped;
  const weights = softmaxOf(node, scores, mask);
  const y = builder.matMul(weights, v);
  const stage = [raw, capped, scores, weights][node.int('qk_matmul_output_mode', 0)];
  return [node.input(0).dims.length === 3 ? joinHeads(node, y) : y, ...present, stage as Value];
};

/** Attention whose scores and weights are changed by graphs that the model brings. */
export const flexAttention: Build = (node) => {
  const { builder } = node;
  const q = node.input(0);
  if (q.dims.length !== 4) throw new Error(`expected [batch, heads, length, size], got [${q.dims}]`);
  const [batch = 0, heads = 0, , size = 0] = q.dims;
  const [k, v] = [1, 2].map((index) => {
    const x = node.input(index);
    if (x.dims[0] !== batch) throw new Error(`expected keys and values of batch ${batch}, got [${x.dims}]`);
    return repeatHeads(node, x, heads);
  }) as [Value, Value];
  const scale = Math.sqrt(node.float('scale', 1 / Math.sqrt(size)));
  const changed = (name: string, x: Value): Value => {
    if (!(name in node.node.attributes)) return x;
    const [y] = node.inline(node.graph(name), name, [x]);
    if (!y) throw new Error(`attribute "${name}": expected a graph with an output`);
    return y;
  };
  const product = builder.matMul(builder.scale(q, scale, 0), builder.scale(k, scale, 0), true);
  const wide = isHalf(product.type) ? builder.cast(product, 'float32') : product;
  const scores = changed('score_mod', wide);
  if (scores.dims.join() !== wide.dims.join())
    throw new Error(`attribute "score_mod": expected scores of shape [${wide.dims}], got [${scores.dims}]`);
  const weights = builder.add({ kind: 'softmax', axis: 3, log: false }, [scores]);
  return builder.matMul(builder.cast(changed('prob_mod', weights), v.type), v);
};
