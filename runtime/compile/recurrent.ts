/** Recurrent layers: their shapes, their memory, and their instructions. */
import * as op from '../../assembly/opcodes.ts';
import { assembleGemm } from './assemble-matrix.ts';
import { type Emitter, floats, inputOf, type OperationOf, outputOf, requireFloat32 } from './emission.ts';
import type { Value } from './graph.ts';
import { type Address, NO_ADDRESS } from './instructions.ts';
import { roundUp } from './pack.ts';
import { behind, checkAligned, FLOPS_MAX, inParts, type Writer } from './writer.ts';

/** `gruResetAfter`: the reset gate counts behind the state's product (ONNX linear_before_reset). */
export type RecurrentName = 'lstm' | 'gru' | 'gruResetAfter' | 'rnn';

interface Cell {
  readonly kind: number;
  /** Gates of the inputs, and those of the first product with the state. */
  readonly gates: number;
  readonly stateGates: number;
  /** Floats a row and a hidden unit. */
  readonly room: number;
}

export const recurrentCells: Readonly<Record<RecurrentName, Cell>> = {
  lstm: { kind: op.RECURRENT_LSTM, gates: 4, stateGates: 4, room: 4 },
  gru: { kind: op.RECURRENT_GRU, gates: 3, stateGates: 2, room: 3 },
  gruResetAfter: { kind: op.RECURRENT_GRU_RESET_AFTER, gates: 3, stateGates: 3, room: 3 },
  rnn: { kind: op.RECURRENT_RNN, gates: 1, stateGates: 1, room: 0 },
};

/** What the functions of a gate cost, in floating-point operations a hidden unit. */
const GATE_FLOPS = 128;

export interface RecurrentCall {
  readonly name: RecurrentName;
  /** From the last step to the first. */
  readonly reverse: boolean;
  /** [time, batch, gates · hidden]: the inputs' part, with the biases. */
  readonly gates: Address;
  /** The state's weights, packed. */
  readonly r: Address;
  /** [batch, hidden] */
  readonly h0: Address;
  /** lstm: c0 [batch, hidden]. gru: the packed weights of the new state. gruResetAfter: bias of the state's part, padded as packBias does. */
  readonly second?: Address;
  /** lstm: [batch, hidden], the last cell. */
  readonly c?: Address;
  /** lstm: [3 · hidden] in ONNX's order i, o, f. */
  readonly peephole?: Address;
  /** [time, batch, hidden] */
  readonly y: Address;
  /** `recurrentRoomBytes` of them. */
  readonly room: Address;
  readonly time: number;
  readonly batch: number;
  readonly hidden: number;
}

export function recurrentRoomBytes(name: RecurrentName, batch: number, hidden: number): number {
  return recurrentCells[name].room * batch * hidden * 4;
}

/**
 * Where a step of one row alone takes too long, its products are instructions of their own, which are cut, and cores may share; behind each
 * follow the functions that need it.
 */
function assembleSteps(writer: Writer, panel: number, call: RecurrentCall): void {
  const { name, reverse, gates, r, h0, second = NO_ADDRESS, c = NO_ADDRESS, peephole = NO_ADDRESS, y, room } = call;
  const { time, batch, hidden } = call;
  const cell = recurrentCells[name];
  const [stepElements, gateElements] = [batch * hidden, batch * hidden * cell.gates];
  const product = (a: Address, packedB: Address, c: Address, n: number, bias: Address, residual: Address): void =>
    assembleGemm(writer, panel, {
      ...{ a, lda: hidden, packedB, c, ldc: n, m: batch, n, k: hidden },
      ...(bias === NO_ADDRESS ? { residual } : { bias }),
      ldr: cell.gates * hidden,
    });
  for (let step = 0; step < time; step++) {
    const at = reverse ? time - 1 - step : step;
    const [x, h] = [behind(gates, at * gateElements), behind(y, at * stepElements)];
    const before = step === 0 ? h0 : behind(h, reverse ? stepElements : -stepElements);
    const functions = (part: 1 | 2): void => {
      const states = [gates, r, h0, second, c, peephole, y, room, time, batch, batch, hidden, panel];
      writer.emit(op.RECURRENT, [cell.kind, ...states, reverse ? 1 : 0, step, step + 1, part]);
    };
    if (name === 'gruResetAfter') product(before, r, room, 3 * hidden, second, NO_ADDRESS);
    else product(before, r, name === 'rnn' ? h : room, cell.stateGates * hidden, NO_ADDRESS, x);
    functions(1);
    if (name !== 'gru') continue;
    product(behind(room, 2 * stepElements), second, h, hidden, NO_ADDRESS, behind(x, 2 * hidden));
    functions(2);
  }
}

/** As many steps an instruction as its bound allows. Rows do not depend on each other, so large batches are cut too. */
export function assembleRecurrent(writer: Writer, panel: number, call: RecurrentCall): void {
  const { name, gates, r, h0, second = NO_ADDRESS, c = NO_ADDRESS, peephole = NO_ADDRESS, y, room } = call;
  const { time, batch, hidden } = call;
  checkAligned(gates, r, h0, second, c, peephole, y, room);
  const cell = recurrentCells[name];
  const rowFlops = cell.gates * hidden * (2 * hidden + GATE_FLOPS);
  if (rowFlops > FLOPS_MAX) {
    assembleSteps(writer, panel, call);
    return;
  }
  inParts(batch, FLOPS_MAX / rowFlops, (first, last) => {
    const rowsOf = (base: Address, width: number): Address => behind(base, first * width);
    const state = name === 'lstm' ? rowsOf(second, hidden) : second;
    const states = [rowsOf(h0, hidden), state, rowsOf(c, hidden), peephole, rowsOf(y, hidden), room];
    const operands = [cell.kind, rowsOf(gates, cell.gates * hidden), r, ...states];
    const sizes = [time, batch, last - first, hidden, panel, call.reverse ? 1 : 0];
    inParts(time, FLOPS_MAX / (rowFlops * (last - first)), (begin, end) => {
      writer.emit(op.RECURRENT, [...operands, ...sizes, begin, end, 0]);
    });
  });
}

/** Weights [n, hidden], constant or packed during the run into `room`. */
function packedWeights(emission: Parameters<Emitter['emit']>[0], weights: Value, room: Address): Address {
  const { assembler, at, packed } = emission;
  const [n = 0, k = 0] = weights.dims;
  if (weights.constant)
    return packed(weights, `matMul true ${k} ${n}`, (data) => assembler.packGemm(floats(data), k, n, true));
  assembler.packMatrix(at(weights), room, k, n, true);
  return room;
}

/** gates, r, h0, then c0 and peephole?, the weights of the new state, or the bias of the state's part. */
export const recurrent: Emitter<OperationOf<'recurrent'>> = {
  scratchBytes(node, { name }, assembler) {
    const [, batch = 0, hidden = 0] = outputOf(node).dims;
    const weights = [inputOf(node, 1), ...(name === 'gru' ? [inputOf(node, 3)] : [])];
    const packedBytes = weights.map(({ constant, dims }) =>
      constant ? 0 : roundUp(assembler.packedBytes(hidden, dims[0] as number), 64),
    );
    return packedBytes.reduce((sum, bytes) => sum + bytes, recurrentRoomBytes(name, batch, hidden));
  },
  emit(emission) {
    const { assembler, node, operation, scratch, at, packed } = emission;
    const { name, reverse } = operation;
    const [gates, r, h0, second, peephole] = node.inputs as [Value, Value, Value, Value?, Value?];
    requireFloat32(node, gates, r, h0, second, peephole);
    const [y, c] = node.outputs as [Value, Value?];
    const [time = 0, batch = 0, hidden = 0] = y.dims;
    const behindR = scratch + (r.constant ? 0 : roundUp(assembler.packedBytes(hidden, r.dims[0] as number), 64));
    const isPacked = name === 'gru' && second && !second.constant;
    const room = behindR + (isPacked ? roundUp(assembler.packedBytes(hidden, hidden), 64) : 0);
    const weights = packedWeights(emission, r, scratch);
    const others = {
      lstm: () => at(second as Value),
      gru: () => packedWeights(emission, second as Value, behindR),
      gruResetAfter: () =>
        second?.constant
          ? packed(second, 'bias', (data) => assembler.packBias(floats(data), 3 * hidden))
          : at(second as Value),
      rnn: () => NO_ADDRESS,
    };
    assembler.recurrent({
      ...{ name, reverse, time, batch, hidden, room, gates: at(gates), r: weights, h0: at(h0), y: at(y) },
      ...{ second: others[name](), c: c && at(c), peephole: peephole && at(peephole) },
    });
  },
};
