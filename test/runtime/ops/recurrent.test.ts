/** LSTM and GRU against their equations, reckoned one number at a time. Source: ONNX LSTM-14 and GRU-14. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import { Random } from '../../random.ts';
import { farthest, onnxModel } from '../compile/graphs.ts';
import { type Tensors, TestModel } from '../compile/run-program.ts';

const [time, batch, input, hidden] = [5, 2, 3, 6];

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

function at(tensor: Tensor, ...index: number[]): number {
  const flat = index.reduce((sum, each, axis) => sum * (tensor.dims[axis] as number) + each, 0);
  return Number(tensor.data[flat]);
}

/** Row `gate`, unit `j` of direction `d`: X·W + H·R + biases, the parts apart. */
function gateParts(tensors: Tensors, gates: number, d: number, gate: number, j: number, x: number[], h: number[]) {
  const { W, R, B } = tensors as Record<'W' | 'R' | 'B', Tensor>;
  const row = gate * hidden + j;
  const ofInput = x.reduce((sum, value, i) => sum + value * at(W, d, row, i), at(B, d, row));
  const ofState = h.reduce((sum, value, i) => sum + value * at(R, d, row, i), at(B, d, gates * hidden + row));
  return { ofInput, ofState };
}

interface State {
  readonly h: number[];
  readonly c: number[];
}

type Step = (tensors: Tensors, d: number, x: number[], state: State) => State;

const lstmStep: Step = (tensors, d, x, { h, c }) => {
  const peephole = tensors.P as Tensor;
  const units = h.map((_, j) => {
    const sum = (gate: number): number => {
      const { ofInput, ofState } = gateParts(tensors, 4, d, gate, j, x, h);
      return ofInput + ofState;
    };
    const before = c[j] as number;
    const i = sigmoid(sum(0) + at(peephole, d, j) * before);
    const f = sigmoid(sum(2) + at(peephole, d, 2 * hidden + j) * before);
    const cell = f * before + i * Math.tanh(sum(3));
    return { cell, out: sigmoid(sum(1) + at(peephole, d, hidden + j) * cell) * Math.tanh(cell) };
  });
  return { h: units.map(({ out }) => out), c: units.map(({ cell }) => cell) };
};

function gruStep(afterReset: boolean): Step {
  return (tensors, d, x, { h, c }) => {
    const gate = (index: number, state: number[]) => h.map((_, j) => gateParts(tensors, 3, d, index, j, x, state));
    const [z, r] = [0, 1].map((index) => gate(index, h).map(({ ofInput, ofState }) => sigmoid(ofInput + ofState)));
    const reset = h.map((value, j) => (r?.[j] as number) * value);
    const candidate = afterReset
      ? gate(2, h).map(({ ofInput, ofState }, j) => Math.tanh(ofInput + (r?.[j] as number) * ofState))
      : gate(2, reset).map(({ ofInput, ofState }) => Math.tanh(ofInput + ofState));
    const next = candidate.map((value, j) => (1 - (z?.[j] as number)) * value + (z?.[j] as number) * (h[j] as number));
    return { h: next, c };
  };
}

/** Y and Y_h (and Y_c) of all directions; the second runs from the end. */
function unroll(tensors: Tensors, directions: readonly ('forward' | 'reverse')[], step: Step): Tensors {
  const count = directions.length;
  const { X, H, C } = tensors as Record<'X' | 'H' | 'C', Tensor>;
  const y = new Float64Array(time * count * batch * hidden);
  const last = new Float64Array(count * batch * hidden);
  const cells = new Float64Array(count * batch * hidden);
  const units = Array.from({ length: hidden }, (_, j) => j);
  directions.forEach((direction, d) => {
    for (let b = 0; b < batch; b++) {
      let state: State = { h: units.map((j) => at(H, d, b, j)), c: units.map((j) => at(C, d, b, j)) };
      for (let i = 0; i < time; i++) {
        const t = direction === 'forward' ? i : time - 1 - i;
        const x = Array.from({ length: input }, (_, k) => at(X, t, b, k));
        state = step(tensors, d, x, state);
        y.set(state.h, ((t * count + d) * batch + b) * hidden);
      }
      last.set(state.h, (d * batch + b) * hidden);
      cells.set(state.c, (d * batch + b) * hidden);
    }
  });
  const tensor = (dims: number[], data: Float64Array): Tensor => ({ type: 'float64', dims, data });
  return {
    Y: tensor([time, count, batch, hidden], y),
    Y_h: tensor([count, batch, hidden], last),
    Y_c: tensor([count, batch, hidden], cells),
  };
}

function check(operator: 'LSTM' | 'GRU', direction: 'forward' | 'reverse' | 'bidirectional', afterReset = 0): void {
  const random = new Random(17);
  const directions = direction === 'bidirectional' ? (['forward', 'reverse'] as const) : [direction];
  const [count, gates] = [directions.length, operator === 'LSTM' ? 4 : 3];
  const tensors = {
    X: random.tensor([time, batch, input]),
    W: random.tensor([count, gates * hidden, input]),
    R: random.tensor([count, gates * hidden, hidden]),
    B: random.tensor([count, 2 * gates * hidden]),
    H: random.tensor([count, batch, hidden]),
    C: random.tensor([count, batch, hidden]),
    P: random.tensor([count, 3 * hidden]),
  };
  const long = operator === 'LSTM';
  const { X, H, C, ...weights } = tensors;
  const model = onnxModel({
    inputs: ['X', 'H', 'C'],
    outputs: long ? ['Y', 'Y_h', 'Y_c'] : ['Y', 'Y_h'],
    initializers: weights,
    nodes: [
      {
        operator,
        inputs: ['X', 'W', 'R', 'B', '', 'H', ...(long ? ['C', 'P'] : [])],
        outputs: long ? ['Y', 'Y_h', 'Y_c'] : ['Y', 'Y_h'],
        attributes: { hidden_size: hidden, direction, ...(long ? {} : { linear_before_reset: afterReset }) },
      },
    ],
  });
  const { Y_c, ...others } = unroll(tensors, directions, long ? lstmStep : gruStep(afterReset === 1));
  const wanted: Tensors = long ? { Y_c: Y_c as Tensor, ...others } : others;
  assert.ok(farthest(new TestModel(model).run({ X, H, C }), wanted) < 1e-5);
}

for (const direction of ['forward', 'reverse', 'bidirectional'] as const) {
  test(`LSTM with peepholes follows its equations: ${direction}`, () => check('LSTM', direction));
  test(`GRU follows its equations: ${direction}`, () => check('GRU', direction));
  test(`GRU that resets after its product follows its equations: ${direction}`, () => check('GRU', direction, 1));
}

test('what the kernels do not reckon is refused by name', () => {
  const random = new Random(1);
  const initializers = { W: random.tensor([1, 4, 3]), R: random.tensor([1, 4, 1]) };
  const run = (attributes: Record<string, string[] | number>): void => {
    const node = {
      operator: 'LSTM',
      inputs: ['X', 'W', 'R'],
      outputs: ['Y'],
      attributes: { hidden_size: 1, ...attributes },
    };
    new TestModel(onnxModel({ inputs: ['X'], outputs: ['Y'], initializers, nodes: [node] })).run({
      X: random.tensor([2, 1, 3]),
    });
  };
  run({});
  assert.throws(() => run({ activations: ['Relu', 'Tanh', 'Tanh'] }), /activations Relu, Tanh, Tanh is not supported/);
  assert.throws(() => run({ clip: 1 }), /"clip" is not supported/);
  assert.throws(() => run({ input_forget: 1 }), /"input_forget" is not supported/);
});

test.run();
