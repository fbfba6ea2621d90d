/** Recurrences that stand for attention in models with a state of constant size. Source: ONNX 27. */
import type { Value } from '../compile/graph.ts';
import { TIME_STEPS_MAX } from '../compile/limits.ts';
import type { Build, OperatorContext } from './context.ts';

const rules = ['linear', 'gated', 'delta', 'gated_delta'] as const;

/** [batch, length, heads · size] → [batch, heads, length, size] */
function byHead(node: OperatorContext, x: Value, heads: number): Value {
  const [batch = 0, length = 0, width = 0] = x.dims;
  if (x.dims.length !== 3 || heads < 1 || width % heads !== 0)
    throw new Error(`expected [batch, length, width] with a width that ${heads} heads divide, got [${x.dims}]`);
  return node.builder.transpose(node.builder.reshape(x, [batch, length, heads, width / heads]), [0, 2, 1, 3]);
}

/** state' = decay · state + key ⊗ (value, or beta · what the state does not know of it yet); output = scale · query · state' */
export const linearAttention: Build = (node) => {
  const { builder } = node;
  const [heads, kvHeads] = [node.int('q_num_heads'), node.int('kv_num_heads')];
  const rule = node.text('update_rule', rules, 'gated_delta');
  const wide = (index: number, count: number): Value => byHead(node, builder.cast(node.input(index), 'float32'), count);
  const [q, k, v] = [wide(0, heads), wide(1, kvHeads), wide(2, kvHeads)];
  const decay = rule.includes('gated') ? builder.unary('exp', wide(4, kvHeads)) : undefined;
  const beta = rule.includes('delta') ? builder.cast(node.input(5), 'float32') : undefined;
  const [batch = 0, , length = 0, size = 0] = q.dims;
  const valueSize = v.dims[3] ?? 0;
  if (length > TIME_STEPS_MAX) throw node.unsupported(`a sequence of ${length} steps (at most ${TIME_STEPS_MAX} are)`);
  if (heads % kvHeads !== 0) throw new Error(`expected a number of key heads that divides ${heads}, got ${kvHeads}`);
  const scale = node.float('scale', 0) || 1 / Math.sqrt(size);
  const gates = beta && byHead(node, beta, beta.dims[2] ?? 0);
  const past = node.optional(3);
  let state = past
    ? builder.cast(past, 'float32')
    : builder.expand(builder.scalar(0), [batch, kvHeads, size, valueSize]);
  const outputs: Value[] = [];
  for (let step = 0; step < length; step++) {
    const at = (x: Value): Value => builder.sliceAxis(x, 2, step, step + 1);
    const column = (x: Value): Value => builder.transpose(at(x), [0, 1, 3, 2]);
    if (decay) state = builder.binary('mul', state, column(decay));
    let written = at(v);
    if (gates) written = builder.binary('mul', at(gates), builder.binary('sub', written, builder.matMul(at(k), state)));
    state = builder.binary('add', state, builder.matMul(column(k), written));
    // The query heads of one key head are the rows of one product.
    const rows = builder.reshape(at(q), [batch, kvHeads, heads / kvHeads, size]);
    outputs.push(builder.reshape(builder.matMul(rows, state), [batch, 1, heads * valueSize]));
  }
  const type = node.input(0).type;
  const output = builder.scale(builder.concat(outputs, 1), scale, 0);
  return [builder.cast(output, type), builder.cast(state, past?.type ?? type)];
};

const activations = ['none', '', 'silu', 'swish'] as const;

/** A depthwise convolution that sees only what came before, over [batch, channels, length] behind the state of the last call. */
export const causalConvWithState: Build = (node) => {
  const { builder } = node;
  const [x, weights] = [node.input(0), node.input(1)];
  const [batch = 0, channels = 0, length = 0] = x.dims;
  const kernel = weights.dims[2] ?? 1;
  if (kernel < 1) throw new Error(`expected weights of one tap or more, got [${weights.dims}]`);
  const dims = [batch, channels, kernel - 1];
  const past = node.optional(3) ?? builder.expand(builder.literal(x.type, [], [0]), dims);
  const whole = kernel > 1 ? builder.concat([past, x], 2) : x;
  // One product a tap: kernels are a few samples long and the weights may come during the run.
  const taps = Array.from({ length: kernel }, (_, tap) => {
    const weight = builder.reshape(builder.sliceAxis(weights, 2, tap, tap + 1), [channels, 1]);
    return builder.binary('mul', builder.sliceAxis(whole, 2, tap, tap + length), weight);
  });
  const sum = taps.reduce((total, tap) => builder.binary('add', total, tap));
  const bias = node.optional(2);
  const shifted = bias ? builder.binary('add', sum, builder.reshape(bias, [channels, 1])) : sum;
  const isSilu = ['silu', 'swish'].includes(node.text('activation', activations, 'none'));
  const end = whole.dims[2] ?? 0;
  return [isSilu ? builder.unary('silu', shifted) : shifted, builder.sliceAxis(whole, 2, end - kernel + 1, end)];
};
