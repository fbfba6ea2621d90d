/**
 * LSTM, GRU, RNN. The inputs' part of all gates is one matrix product over the whole sequence; a kernel operation then
 * goes through the time steps. Source: ONNX LSTM-14, GRU-14, RNN-14.
 */
import type { Builder } from '../compile/builder.ts';
import type { Value } from '../compile/graph.ts';
import type { RecurrentName } from '../compile/recurrent.ts';
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

/** What one direction gives. */
interface States {
  /** [time, batch, hidden] */
  readonly y: Value;
  /** [batch, hidden] */
  readonly last: Value;
  /** Of LSTM, [batch, hidden]. */
  readonly c?: Value;
}

/** The inputs' part of all gates: X · Wᵀ + bias. */
function gatesOf({ builder, x }: Sequence, { w }: Direction, bias: Value): Value {
  return builder.binary('add', builder.matMul(x, w, true), bias);
}

/** All time steps of a direction. `others` are the operands behind the initial state. */
function run(
  sequence: Sequence,
  direction: Direction,
  name: RecurrentName,
  gates: Value,
  r: Value,
  others: readonly (Value | undefined)[] = [],
): States {
  const { builder, time, batch, hidden } = sequence;
  const { h, reverse } = direction;
  const operation = { kind: 'recurrent', name, reverse } as const;
  if (time === 0) return { y: builder.literal('float32', [0, batch, hidden], []), last: h, c: others[0] };
  const [y, c] = builder.addAll(operation, [gates, r, h, ...others]) as [Value, Value?];
  return { y, last: part(builder, y, reverse ? 0 : time - 1), c };
}

/** Y [time, directions, batch, hidden] and Y_h, Y_c [directions, batch, hidden]; batch comes first when `layout` is 1. */
function outputsOf(node: OperatorContext, sequence: Sequence, states: readonly States[]): readonly Value[] {
  const { builder, time, batch, hidden } = sequence;
  const batchFirst = node.flag('layout');
  const all = builder.concat(
    states.map(({ y }) => builder.reshape(y, [time, 1, batch, hidden])),
    1,
  );
  const joined = (values: readonly (Value | undefined)[]): Value[] => {
    const rows = values.flatMap((value) => (value ? [builder.reshape(value, [1, batch, hidden])] : []));
    if (rows.length === 0) return [];
    const each = builder.concat(rows, 0);
    return [batchFirst ? builder.transpose(each, [1, 0, 2]) : each];
  };
  return [
    batchFirst ? builder.transpose(all, [2, 0, 1, 3]) : all,
    ...joined(states.map(({ last }) => last)),
    ...joined(states.map(({ c }) => c)),
  ];
}

export const lstm: Build = (node) => {
  if (node.flag('input_forget')) throw node.unsupported('"input_forget"');
  const sequence = sequenceOf(node, 4, ['Sigmoid', 'Tanh', 'Tanh']);
  const { builder } = sequence;
  const states = sequence.directions.map((direction) => {
    const gates = gatesOf(sequence, direction, builder.binary('add', direction.inputBias, direction.stateBias));
    const peephole = node.optional(7) && part(builder, node.input(7), direction.index);
    const c0 = sequence.state(node.optional(6), direction.index);
    return run(sequence, direction, 'lstm', gates, direction.r, [c0, peephole]);
  });
  return outputsOf(node, sequence, states);
};

export const gru: Build = (node) => {
  const sequence = sequenceOf(node, 3, ['Sigmoid', 'Tanh']);
  const { builder, hidden } = sequence;
  const afterReset = node.flag('linear_before_reset');
  const states = sequence.directions.map((direction) => {
    const { r, inputBias, stateBias } = direction;
    if (afterReset)
      return run(sequence, direction, 'gruResetAfter', gatesOf(sequence, direction, inputBias), r, [stateBias]);
    const gates = gatesOf(sequence, direction, builder.binary('add', inputBias, stateBias));
    const [rGates, rNew] = [builder.sliceAxis(r, 0, 0, 2 * hidden), builder.sliceAxis(r, 0, 2 * hidden, 3 * hidden)];
    return run(sequence, direction, 'gru', gates, rGates, [rNew]);
  });
  return outputsOf(node, sequence, states);
};

export const rnn: Build = (node) => {
  const sequence = sequenceOf(node, 1, ['Tanh']);
  const states = sequence.directions.map((direction) => {
    const bias = sequence.builder.binary('add', direction.inputBias, direction.stateBias);
    return run(sequence, direction, 'rnn', gatesOf(sequence, direction, bias), direction.r);
  });
  return outputsOf(node, sequence, states);
};
