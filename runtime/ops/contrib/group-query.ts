/** GroupQueryAttention and RotaryEmbedding of com.microsoft: language models with a cache. Source: onnxruntime, docs/ContribOperators.md. */
import type { Value } from '../../compile/graph.ts';
import { biasOf, joinHeads } from '../attention.ts';
import type { Build, OperatorContext } from '../context.ts';
import { iota } from '../positions.ts';
import { rotate } from '../rotary.ts';

function whole(node: OperatorContext, value: number): Value {
  return node.builder.literal('int64', [], [value]);
}

function isLess(node: OperatorContext, a: Value, b: Value): Value {
  return node.builder.add({ kind: 'compare', name: 'less' }, [a, b]);
}

/** Input, places (one for each word, or that of the first), cosines and sines by place. */
export const contribRotaryEmbedding: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const [cosines, sines] = [node.input(2), node.input(3)];
  if (node.int('scale', 1) !== 1) throw node.unsupported('an attribute "scale"');
  const turned = 2 * (cosines.dims[1] ?? 0);
  const isSplit = x.dims.length === 4;
  if (!isSplit && x.dims.length !== 3) throw new Error(`expected an input of 3 or 4 axes, got [${x.dims}]`);
  // Without a number of heads, all features of a head are turned.
  const heads = node.int('num_heads', 0) || (x.dims[2] ?? 0) / turned;
  if (!isSplit && (!Number.isInteger(heads) || (x.dims[2] as number) % heads !== 0))
    throw new Error(`expected features in whole heads of ${turned}, got [${x.dims}]`);
  const [batch = 0, , length = 0] = isSplit ? x.dims : [x.dims[0], 0, x.dims[1]];
  const byLength = isSplit
    ? builder.transpose(x, [0, 2, 1, 3])
    : builder.reshape(x, [batch, length, heads, (x.dims[2] as number) / heads]);
  const given = node.input(1);
  const isFirst = given.dims.length === 1 && given.dims[0] === 1;
  const places = isFirst ? builder.binary('add', iota(builder, length, [1, length]), given) : given;
  const [cos, sin] = [builder.gather(cosines, places, 0), builder.gather(sines, places, 0)];
  const y = rotate(node, byLength, cos, sin, node.flag('interleaved'));
  return isSplit ? builder.transpose(y, [0, 2, 1, 3]) : builder.reshape(y, x.dims);
};

interface Sizes {
  readonly batch: number;
  readonly length: number;
  readonly heads: number;
  readonly keyHeads: number;
  readonly size: number;
  /** Rows of the caches that come, and of those that leave. */
  readonly before: number;
  readonly after: number;
}

function sizesOf(node: OperatorContext): Sizes {
  const [heads, keyHeads] = [node.int('num_heads'), node.int('kv_num_heads')];
  const { dims } = node.input(0);
  const [batch = 0, length = 0, width = 0] = dims;
  const share = node.optional(1) ? heads : heads + 2 * keyHeads;
  if (dims.length !== 3 || heads < 1 || keyHeads < 1 || heads % keyHeads !== 0 || width % share !== 0)
    throw new Error(`expected queries of ${heads} heads that ${keyHeads} divide, got [${dims}]`);
  const [total = 0] = node.integers(6);
  const [pastKey, pastValue] = [node.optional(3), node.optional(4)];
  const size = width / share;
  const before = pastKey?.dims[2] ?? 0;
  const cache = [batch, keyHeads, before, size];
  for (const past of [pastKey, pastValue])
    if ((past ?? pastKey ?? pastValue) && `${past?.dims}` !== `${cache}`)
      throw new Error(`expected caches of [${cache}], got [${past?.dims}]`);
  if (total < length) throw new Error(`expected a total length of ${length} or more, got ${total}`);
  return { batch, length, heads, keyHeads, size, before, after: Math.max(total, before) };
}

/** Queries, keys and values as [batch, length, heads, size]. */
function splitAll(node: OperatorContext, { batch, length, heads, keyHeads, size }: Sizes): [Value, Value, Value] {
  const { builder } = node;
  const query = node.input(0);
  const split = (x: Value, count: number): Value => builder.reshape(x, [batch, length, count, size]);
  const [key, value] = [node.optional(1), node.optional(2)];
  if (key && value) return [split(query, heads), split(key, keyHeads), split(value, keyHeads)];
  const all = split(query, heads + 2 * keyHeads);
  const cut = (from: number, count: number): Value => builder.sliceAxis(all, 2, from, from + count);
  return [cut(0, heads), cut(heads, keyHeads), cut(heads + keyHeads, keyHeads)];
}

/** The cache with `own` [batch, heads, length, size] behind the `filled` [batch] rows that it holds; zeros behind those. */
function appended(node: OperatorContext, past: Value | undefined, own: Value, filled: Value, sizes: Sizes): Value {
  const { builder } = node;
  const { batch, length, keyHeads, size, before, after } = sizes;
  const count = before + length + 1;
  const none = builder.expand(builder.literal(own.type, [], [0]), [batch, keyHeads, 1, size]);
  const rows = builder.reshape(builder.concat([...(past && before > 0 ? [past] : []), own, none], 2), [
    batch * keyHeads * count,
    size,
  ]);
  // Row t of the result: of the cache below `filled`, then of the new ones, then zeros.
  const t = iota(builder, after, [1, 1, after]);
  const start = builder.reshape(filled, [batch, 1, 1]);
  const next = builder.binary('sub', t, start);
  const isOwn = isLess(node, next, whole(node, length));
  const later = builder.add({ kind: 'where' }, [
    isOwn,
    builder.binary('add', next, whole(node, before)),
    whole(node, count - 1),
  ]);
  const row = builder.add({ kind: 'where' }, [isLess(node, t, start), t, later]);
  const first = builder.binary('mul', iota(builder, batch * keyHeads, [batch, keyHeads, 1]), whole(node, count));
  const places = builder.binary('add', first, builder.binary('min', row, whole(node, count - 1)));
  return builder.gather(rows, places, 0);
}

/** What is added to scores [batch, heads, length, after]: a query at `places` [batch, length] sees no later key, and none beyond the window. */
function maskOf(node: OperatorContext, places: Value, { batch, length, after }: Sizes): Value {
  const { builder } = node;
  const key = iota(builder, after, [after]);
  const place = builder.reshape(places, [batch, 1, length, 1]);
  const mask = biasOf(node, builder.add({ kind: 'compare', name: 'lessOrEqual' }, [key, place]));
  const window = node.int('local_window_size', -1);
  if (window <= 0) return mask;
  // The window counts the query's own key, as in onnxruntime 1.30; its older versions saw one key more.
  const isNear = isLess(node, builder.binary('sub', place, whole(node, window)), key);
  return builder.binary('add', mask, biasOf(node, isNear));
}

/** Softmax over the last axis; a sink of each head, or a zero for all, takes part in the sum and is left out of the result. */
function softmaxOf(node: OperatorContext, scores: Value): Value {
  const { builder } = node;
  const softmax = (x: Value): Value => builder.add({ kind: 'softmax', axis: 3, log: false }, [x]);
  const given = node.optional(11);
  if (!given && !node.flag('smooth_softmax')) return softmax(scores);
  const [batch = 0, heads = 0, length = 0, total = 0] = scores.dims;
  const sink = given ? builder.reshape(given, [1, heads, 1, 1]) : builder.literal(scores.type, [], [0]);
  const wide = builder.concat([scores, builder.expand(sink, [batch, heads, length, 1])], 3);
  return builder.sliceAxis(softmax(wide), 3, 0, total);
}

/** Attention of all query heads; those of one key head are rows of one product, so that keys are not repeated. */
function attend(node: OperatorContext, q: Value, k: Value, v: Value, mask: Value, sizes: Sizes): Value {
  const { builder } = node;
  const { batch, length, heads, keyHeads, size, after } = sizes;
  const rows = (heads / keyHeads) * length;
  const scale = node.float('scale', 0) || 1 / Math.sqrt(size);
  const grouped = builder.reshape(builder.scale(q, scale, 0), [batch, keyHeads, rows, size]);
  const raw = builder.reshape(builder.matMul(grouped, k, true), [batch, heads, length, after]);
  const cap = node.float('softcap', 0);
  const capped = cap > 0 ? builder.scale(builder.unary('tanh', builder.scale(raw, 1 / cap, 0)), cap, 0) : raw;
  const bias = node.optional(10);
  const biased = bias ? builder.binary('add', capped, bias) : capped;
  const weights = softmaxOf(node, builder.binary('add', biased, builder.cast(mask, biased.type)));
  const y = builder.matMul(builder.reshape(weights, [batch, keyHeads, rows, after]), v);
  return joinHeads(node, builder.reshape(y, [batch, heads, length, size]));
}

/**
 * Query (or all three packed), key?, value?, caches of both?, length of each example less one, the largest length, cosines?,
 * sines?, places?, bias of the scores?, sinks? → attention, and the caches with the new keys and values.
 */
export const groupQueryAttention: Build = (node) => {
  const { builder } = node;
  const sizes = sizesOf(node);
  const { batch, length, after } = sizes;
  if (!node.flag('causal', true) || node.flag('sliding_window_cache') || node.isUsed(3))
    throw node.unsupported('attention to later words, a cache of the window alone, or an output of the scores');
  if (node.optional(12) || node.optional(13) || node.optional(14))
    throw node.unsupported('a quantized cache or normalised queries');
  // The whole of the first prompt is new, though some of its examples may be shorter.
  const isPrompt = node.integers(6)[0] === length;
  const lengths = builder.reshape(builder.cast(node.input(5), 'int64'), [batch, 1]);
  const filled = isPrompt
    ? builder.literal('int64', [batch, 1], new Array<number>(batch).fill(0))
    : builder.binary('sub', lengths, whole(node, length - 1));
  const places = builder.binary('add', filled, iota(builder, length, [1, length]));
  const [q, k, v] = splitAll(node, sizes).map((x, i) => {
    if (i === 2 || !node.flag('do_rotary')) return x;
    const [cos, sin] = [7, 8].map((input) => builder.gather(node.input(input), node.optional(9) ?? places, 0));
    return rotate(node, x, cos as Value, sin as Value, node.flag('rotary_interleaved'));
  }) as [Value, Value, Value];
  const [query, key, value] = [q, k, v].map((x) => builder.transpose(x, [0, 2, 1, 3])) as [Value, Value, Value];
  const [allKeys, allValues] =
    isPrompt && after === length
      ? [key, value]
      : [appended(node, node.optional(3), key, filled, sizes), appended(node, node.optional(4), value, filled, sizes)];
  return [attend(node, query, allKeys, allValues, maskOf(node, places, sizes), sizes), allKeys, allValues];
};
