/**
 * LSTM, GRU, RNN. The inputs' part of all gates is one matrix product over the whole sequence; each time step then
 * adds the state's part. Source: ONNX LSTM-14, GRU-14, RNN-14.
 */
import type { Builder } from '../compile/builder.ts';
import type { Value } from '../compile/graph.ts';
import { TIME_STEPS_MAX } from '../compile/limits.ts';
import type { Build, OperatorContext } from './context.ts';

/** One direction's weights. Gates lie one behind the other in the first axis. */
interface Direction {
  /** [gates · hidden, input] */
  readonly w: Value;
  /** [gates · hidden, hidden] */
  readonly r: Value;
  /** [gates · hidden] each */
  readonly inputBias: Value;
  readonly stateBias: Value;
  /** [batch, hidden] */
  readonly h: Value;
  readonly reverse: boolean;
  readonly index: number;
}

interface Sequence {
  readonly builder: Builder;
  /** [time, batch, input] */
  readonly x: Value;
  readonly time: number;
  readonly batch: number;
  readonly hidden: number;
  readonly directions: readonly Direction[];
  /** Initial state `index` of a direction, zeros when absent: [batch, hidden]. */
  state(input: Value | undefined, direction: number): Value;
}

/** x[index], without the first axis. */
function part(builder: Builder, x: Value, index: number): Value {
  return builder.reshape(builder.sliceAxis(x, 0, index, index + 1), x.dims.slice(1));
}

function checkDefaults(node: OperatorContext, activations: readonly string[], directions: number): void {
  const given = node.texts('activations');
  const same = given?.every((name, i) => name.toLowerCase() === activations[i % activations.length]?.toLowerCase());
  if (given && (!same || given.length !== activations.length * directions))
    throw node.unsupported(`activations ${given.join(', ')}`);
  if (node.float('clip', 0) !== 0) throw node.unsupported('"clip"');
}

function sequenceOf(node: OperatorContext, gates: number, activations: readonly string[]): Sequence {
  const { builder } = node;
  const batchFirst = node.flag('layout');
  const x = batchFirst ? builder.transpose(node.input(0), [1, 0, 2]) : node.input(0);
  const [w, r, b] = [node.input(1), node.input(2), node.optional(3)];
  const [time = 0, batch = 0] = x.dims;
  const hidden = r.dims[2] ?? 0;
  const direction = node.text('direction', ['forward', 'reverse', 'bidirectional'], 'forward');
  const count = direction === 'bidirectional' ? 2 : 1;
  const shapes: [string, Value | undefined, number[]][] = [
    ['X', x, [time, batch, x.dims[2] ?? 0]],
    ['W', w, [count, gates * hidden, x.dims[2] ?? 0]],
    ['R', r, [count, gates * hidden, hidden]],
    ['B', b, [count, 2 * gates * hidden]],
  ];
  const wrong = shapes.find(([, value, dims]) => value && value.dims.join() !== dims.join());
  if (wrong) throw new Error(`expected ${wrong[0]} of shape [${wrong[2]}], got [${wrong[1]?.dims}]`);
  if (time > TIME_STEPS_MAX) throw node.unsupported(`a sequence of ${time} steps, more than ${TIME_STEPS_MAX},`);
  const lengths = node.optionalIntegers(4);
  if (lengths?.some((length) => length !== time)) throw node.unsupported('sequences of different lengths');
  checkDefaults(node, activations, count);
  const zeros = (dims: readonly number[]): Value => builder.expand(builder.literal(x.type, [], [0]), dims);
  const state = (input: Value | undefined, index: number): Value => {
    if (!input) return zeros([batch, hidden]);
    return part(builder, batchFirst ? builder.transpose(input, [1, 0, 2]) : input, index);
  };
  const directions = Array.from({ length: count }, (_, index): Direction => {
    const bias = b ? part(builder, b, index) : zeros([2 * gates * hidden]);
    return {
      w: part(builder, w, index),
      r: part(builder, r, index),
      inputBias: builder.sliceAxis(bias, 0, 0, gates * hidden),
      stateBias: builder.sliceAxis(bias, 0, gates * hidden, 2 * gates * hidden),
      h: state(node.optional(5), index),
      reverse: direction === 'reverse' || index === 1,
      index,
    };
  });
  return { builder, x, time, batch, hidden, directions, state };
}

/** Calls `step` for every time step in the direction's order; gives the states in the order of time. */
function unroll(
  sequence: Sequence,
  direction: Direction,
  step: (t: number, h: Value) => Value,
): { all: Value[]; last: Value } {
  const all = new Array<Value>(sequence.time);
  let h = direction.h;
  for (let i = 0; i < sequence.time; i++) {
    const t = direction.reverse ? sequence.time - 1 - i : i;
    h = step(t, h);
    all[t] = h;
  }
  return { all, last: h };
}

/** a · bᵀ + residual */
function productPlus(builder: Builder, a: Value, b: Value, residual: Value): Value {
  return builder.add({ kind: 'matMul', transposeB: true }, [a, b, undefined, residual]);
}

/** Y [time, directions, batch, hidden] of all states; batch comes first when `layout` is 1. */
function allStates(node: OperatorContext, sequence: Sequence, states: readonly (readonly Value[])[]): Value {
  const { builder, time, batch, hidden } = sequence;
  const parts = Array.from({ length: time }, (_, t) => states.map((each) => each[t] as Value)).flat();
  const rows = parts.map((value) => builder.reshape(value, [1, batch, hidden]));
  const y = builder.reshape(builder.concat(rows, 0), [time, states.length, batch, hidden]);
  return node.flag('layout') ? builder.transpose(y, [2, 0, 1, 3]) : y;
}

/** [directions, batch, hidden] of the last states; batch comes first when `layout` is 1. */
function lastStates(node: OperatorContext, sequence: Sequence, states: readonly Value[]): Value {
  const { builder, batch, hidden } = sequence;
  const y = builder.concat(
    states.map((value) => builder.reshape(value, [1, batch, hidden])),
    0,
  );
  return node.flag('layout') ? builder.transpose(y, [1, 0, 2]) : y;
}

export const lstm: Build = (node) => {
  if (node.flag('input_forget')) throw node.unsupported('"input_forget"');
  const sequence = sequenceOf(node, 4, ['Sigmoid', 'Tanh', 'Tanh']);
  const { builder } = sequence;
  const results = sequence.directions.map((direction) => {
    const bias = builder.binary('add', direction.inputBias, direction.stateBias);
    const gates = builder.binary('add', builder.matMul(sequence.x, direction.w, true), bias);
    const peephole = node.optional(7) && part(builder, node.input(7), direction.index);
    let c = sequence.state(node.optional(6), direction.index);
    const { all, last } = unroll(sequence, direction, (t, h) => {
      const summed = productPlus(builder, h, direction.r, part(builder, gates, t));
      const [next, cell] = builder.addAll({ kind: 'lstmCell' }, peephole ? [summed, c, peephole] : [summed, c]);
      c = cell as Value;
      return next as Value;
    });
    return { all, last, c };
  });
  return [
    allStates(
      node,
      sequence,
      results.map(({ all }) => all),
    ),
    lastStates(
      node,
      sequence,
      results.map(({ last }) => last),
    ),
    lastStates(
      node,
      sequence,
      results.map(({ c }) => c),
    ),
  ];
};

export const gru: Build = (node) => {
  const sequence = sequenceOf(node, 3, ['Sigmoid', 'Tanh']);
  const { builder, hidden } = sequence;
  const afterReset = node.flag('linear_before_reset');
  const results = sequence.directions.map((direction) => {
    const { r, stateBias } = direction;
    const gates = builder.binary('add', builder.matMul(sequence.x, direction.w, true), direction.inputBias);
    const [rGates, rNew] = [builder.sliceAxis(r, 0, 0, 2 * hidden), builder.sliceAxis(r, 0, 2 * hidden, 3 * hidden)];
    const gateBias = builder.sliceAxis(stateBias, 0, 0, 2 * hidden);
    const newBias = builder.sliceAxis(stateBias, 0, 2 * hidden, 3 * hidden);
    return unroll(sequence, direction, (t, h) => {
      const x = part(builder, gates, t);
      const columns = (value: Value, from: number, to: number): Value =>
        builder.sliceAxis(value, 1, from * hidden, to * hidden);
      const sums = builder.binary('add', productPlus(builder, h, rGates, columns(x, 0, 2)), gateBias);
      const gated = builder.unary('sigmoid', sums);
      const [update, reset] = [columns(gated, 0, 1), columns(gated, 1, 2)];
      const ofState = afterReset
        ? builder.binary('mul', reset, builder.binary('add', builder.matMul(h, rNew, true), newBias))
        : builder.binary('add', builder.matMul(builder.binary('mul', reset, h), rNew, true), newBias);
      const candidate = builder.unary('tanh', builder.binary('add', columns(x, 2, 3), ofState));
      // (1 - z) · candidate + z · h
      return builder.binary('add', candidate, builder.binary('mul', update, builder.binary('sub', h, candidate)));
    });
  });
  return [
    allStates(
      node,
      sequence,
      results.map(({ all }) => all),
    ),
    lastStates(
      node,
      sequence,
      results.map(({ last }) => last),
    ),
  ];
};

export const rnn: Build = (node) => {
  const sequence = sequenceOf(node, 1, ['Tanh']);
  const { builder } = sequence;
  const results = sequence.directions.map((direction) => {
    const bias = builder.binary('add', direction.inputBias, direction.stateBias);
    const inputs = builder.binary('add', builder.matMul(sequence.x, direction.w, true), bias);
    return unroll(sequence, direction, (t, h) =>
      builder.unary('tanh', productPlus(builder, h, direction.r, part(builder, inputs, t))),
    );
  });
  return [
    allStates(
      node,
      sequence,
      results.map(({ all }) => all),
    ),
    lastStates(
      node,
      sequence,
      results.map(({ last }) => last),
    ),
  ];
};
