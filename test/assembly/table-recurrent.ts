import * as op from '../../assembly/opcodes.ts';
import { type RecurrentName, recurrentCells, recurrentRoomBytes } from '../../runtime/compile/recurrent.ts';
import type { Row } from './kernel-table.ts';
import type { Trial } from './machine.ts';
import { sigmoid } from './reference.ts';

interface Sizes {
  readonly time: number;
  readonly batch: number;
  readonly hidden: number;
  readonly reverse?: boolean;
  readonly peeps?: boolean;
}

/** One row's state, and what a step reads: sums of a gate's products, by gate and unit. */
interface Step {
  readonly x: (gate: number, unit: number) => number;
  readonly before: readonly number[];
  /** Row `gate · hidden + unit` of the state's weights times a state. */
  readonly product: (state: readonly number[], gate: number, unit: number) => number;
  readonly cell: number[];
  readonly peephole: (gate: number, unit: number) => number;
  readonly bias: (gate: number, unit: number) => number;
}

const steps: Readonly<Record<RecurrentName, (step: Step) => number[]>> = {
  lstm: ({ x, before, product, cell, peephole }) =>
    before.map((_, j) => {
      const sum = (gate: number): number => x(gate, j) + product(before, gate, j);
      const old = cell[j] as number;
      const kept = sigmoid(sum(2) + peephole(2, j) * old) * old;
      const now = kept + sigmoid(sum(0) + peephole(0, j) * old) * Math.tanh(sum(3));
      cell[j] = now;
      return sigmoid(sum(1) + peephole(1, j) * now) * Math.tanh(now);
    }),
  gru: ({ x, before, product }) => {
    const gate = (index: number): number[] => before.map((_, j) => sigmoid(x(index, j) + product(before, index, j)));
    const [update, reset] = [gate(0), gate(1)];
    const after = before.map((value, j) => value * (reset[j] as number));
    return before.map((value, j) => {
      const z = update[j] as number;
      return (1 - z) * Math.tanh(x(2, j) + product(after, 2, j)) + z * value;
    });
  },
  gruResetAfter: ({ x, before, product, bias }) =>
    before.map((value, j) => {
      const ofState = (gate: number): number => product(before, gate, j) + bias(gate, j);
      const [z, r] = [0, 1].map((gate) => sigmoid(x(gate, j) + ofState(gate))) as [number, number];
      return (1 - z) * Math.tanh(x(2, j) + r * ofState(2)) + z * value;
    }),
  rnn: ({ x, before, product }) => before.map((_, j) => Math.tanh(x(0, j) + product(before, 0, j))),
};

function recurrentCase(name: RecurrentName, { time, batch, hidden, reverse = false, peeps = false }: Sizes) {
  return (trial: Trial) => {
    const { gates: count } = recurrentCells[name];
    const gates = trial.floats(time * batch * count * hidden, -2, 2);
    const weights = trial.floats(count * hidden * hidden).map((value) => value / Math.sqrt(hidden));
    const h0 = trial.floats(batch * hidden);
    const c0 = trial.floats(batch * hidden, -2, 2);
    const [peephole, bias] = [trial.floats(3 * hidden), trial.floats(3 * hidden)];
    const y = new Array<number>(time * batch * hidden);
    const cells: number[] = [];
    for (let b = 0; b < batch; b++) {
      let before = Array.from(h0.subarray(b * hidden, (b + 1) * hidden));
      const cell = Array.from(c0.subarray(b * hidden, (b + 1) * hidden));
      for (let i = 0; i < time; i++) {
        const row = (reverse ? time - 1 - i : i) * batch + b;
        before = steps[name]({
          x: (gate, j) => gates[(row * count + gate) * hidden + j] as number,
          before,
          product: (state, gate, j) =>
            state.reduce((sum, value, k) => sum + value * (weights[(gate * hidden + j) * hidden + k] as number), 0),
          cell,
          peephole: (gate, j) => (peeps ? (peephole[gate * hidden + j] as number) : 0),
          bias: (gate, j) => bias[gate * hidden + j] as number,
        });
        for (const [j, value] of before.entries()) y[row * hidden + j] = value;
      }
      cells.push(...cell);
    }
    const { assembler } = trial;
    const packed = (from: number, to: number) =>
      trial.input(
        assembler.packGemm(
          weights.subarray(from * hidden * hidden, to * hidden * hidden),
          hidden,
          (to - from) * hidden,
          true,
        ),
        'weights',
      );
    const second = {
      lstm: () => trial.input(c0),
      gru: () => packed(2, 3),
      gruResetAfter: () => trial.input(assembler.packBias(bias, 3 * hidden), 'weights'),
      rnn: () => undefined,
    }[name]();
    assembler.recurrent({
      ...{ name, reverse, time, batch, hidden, second },
      gates: trial.input(gates),
      r: packed(0, recurrentCells[name].stateGates),
      h0: trial.input(h0),
      c: name === 'lstm' ? trial.output(cells) : undefined,
      peephole: peeps ? trial.input(peephole, 'weights') : undefined,
      y: trial.output(y),
      room: trial.scratch(recurrentRoomBytes(name, batch, hidden)),
    });
  };
}

/** The last two take more than one instruction: by their steps, and by the rows of one step. */
const sizes: readonly Sizes[] = [
  { time: 1, batch: 1, hidden: 1 },
  { time: 3, batch: 2, hidden: 7, reverse: true },
  { time: 4, batch: 3, hidden: 13 },
  { time: 2, batch: 7, hidden: 24, reverse: true },
  { time: 60, batch: 1, hidden: 128 },
  { time: 2, batch: 60, hidden: 96 },
];

export const recurrentRows: readonly Row[] = (['lstm', 'gru', 'gruResetAfter', 'rnn'] as const).map((name) => ({
  name,
  opcodes: [op.RECURRENT],
  tolerance: 5e-6,
  cases: sizes.flatMap((each) => [
    recurrentCase(name, each),
    ...(name === 'lstm' && each.time < 5 ? [recurrentCase(name, { ...each, peeps: true })] : []),
  ]),
}));
