// Time steps of recurrent layers: LSTM (S. Hochreiter, J. Schmidhuber, 1997), GRU (K. Cho et al., 2014) and the plain one, by
// ONNX's equations. The inputs' part of all gates is a matrix product over the whole sequence that was made before; a step adds
// the state's part and applies the gates.
import { RECURRENT_GRU, RECURRENT_GRU_RESET_AFTER, RECURRENT_LSTM } from '../opcodes.ts';
import { Recurrent, at } from '../operands.ts';
import { gemm } from './gemm.ts';
import { madd } from './simd.ts';
import { sigmoid } from './logistic.ts';
import { tanh } from './rational.ts';

// @ts-ignore: decorator
@inline
function read(wide: bool, p: usize): v128 {
  if (wide) return v128.load(p);
  return v128.load_splat<f32>(p);
}

/** The cell of four hidden units, or of one (`wide` false). Gates i, o, f, c are `gate` bytes apart; so are the peephole weights i, o, f. */
// @ts-ignore: decorator
@inline
function cellOf(peeps: bool, wide: bool, gates: usize, gate: usize, c0: usize, peephole: usize): v128 {
  const before = read(wide, c0);
  let input = read(wide, gates), forget = read(wide, gates + gate * 2);
  if (peeps) {
    input = madd(read(wide, peephole), before, input);
    forget = madd(read(wide, peephole + gate * 2), before, forget);
  }
  return madd(sigmoid(forget), before, f32x4.mul(sigmoid(input), tanh(read(wide, gates + gate * 3))));
}

// @ts-ignore: decorator
@inline
function shown(peeps: bool, wide: bool, gates: usize, gate: usize, cell: v128, peephole: usize): v128 {
  let output = read(wide, gates + gate);
  if (peeps) output = madd(read(wide, peephole + gate), cell, output);
  return f32x4.mul(sigmoid(output), tanh(cell));
}

/** One row of `hidden` units; c may be c0. `peeps` is a constant at each call. */
// @ts-ignore: decorator
@inline
function lstmRow(peeps: bool, gates: usize, c0: usize, c: usize, h: usize, peephole: usize, hidden: i32): void {
  const gate = <usize>hidden << 2;
  for (; hidden >= 8; hidden -= 8) {
    const low = cellOf(peeps, true, gates, gate, c0, peephole), high = cellOf(peeps, true, gates + 16, gate, c0 + 16, peephole + 16);
    const left = shown(peeps, true, gates, gate, low, peephole), right = shown(peeps, true, gates + 16, gate, high, peephole + 16);
    v128.store(c, low);
    v128.store(c, high, 16);
    v128.store(h, left);
    v128.store(h, right, 16);
    gates += 32; c0 += 32; c += 32; h += 32; peephole += 32;
  }
  for (; hidden > 0; hidden--) {
    const cell = cellOf(peeps, false, gates, gate, c0, peephole);
    v128.store_lane<f32>(h, shown(peeps, false, gates, gate, cell, peephole), 0);
    v128.store_lane<f32>(c, cell, 0);
    gates += 4; c0 += 4; c += 4; h += 4; peephole += 4;
  }
}

/** (1 - update) · candidate + update · before; `ofState` counts after the reset gate. */
// @ts-ignore: decorator
@inline
function resetAfter(wide: bool, x: usize, ofState: usize, gate: usize, before: usize): v128 {
  const update = sigmoid(f32x4.add(read(wide, x), read(wide, ofState)));
  const reset = sigmoid(f32x4.add(read(wide, x + gate), read(wide, ofState + gate)));
  const candidate = tanh(madd(reset, read(wide, ofState + gate * 2), read(wide, x + gate * 2)));
  return madd(update, f32x4.sub(read(wide, before), candidate), candidate);
}

/** Gates update, reset, new of the inputs and of the state [3 * hidden] each → the new state. */
function gruRowResetAfter(x: usize, ofState: usize, before: usize, h: usize, hidden: i32): void {
  const gate = <usize>hidden << 2;
  for (; hidden >= 8; hidden -= 8) {
    const low = resetAfter(true, x, ofState, gate, before), high = resetAfter(true, x + 16, ofState + 16, gate, before + 16);
    v128.store(h, low);
    v128.store(h, high, 16);
    x += 32; ofState += 32; before += 32; h += 32;
  }
  for (; hidden > 0; hidden--) {
    v128.store_lane<f32>(h, resetAfter(false, x, ofState, gate, before), 0);
    x += 4; ofState += 4; before += 4; h += 4;
  }
}

/** y = sigmoid(gate) · before */
function resetRow(gate: usize, before: usize, y: usize, hidden: i32): void {
  for (; hidden >= 8; hidden -= 8) {
    const low = f32x4.mul(sigmoid(v128.load(gate)), v128.load(before));
    const high = f32x4.mul(sigmoid(v128.load(gate, 16)), v128.load(before, 16));
    v128.store(y, low);
    v128.store(y, high, 16);
    gate += 32; before += 32; y += 32;
  }
  for (; hidden > 0; hidden--) {
    v128.store_lane<f32>(y, f32x4.mul(sigmoid(read(false, gate)), read(false, before)), 0);
    gate += 4; before += 4; y += 4;
  }
}

// @ts-ignore: decorator
@inline
function mixed(wide: bool, gate: usize, sums: usize, before: usize): v128 {
  const candidate = tanh(read(wide, sums));
  return madd(sigmoid(read(wide, gate)), f32x4.sub(read(wide, before), candidate), candidate);
}

/** h, which holds the sums of the candidates, becomes the new state. */
function gruRow(update: usize, before: usize, h: usize, hidden: i32): void {
  for (; hidden >= 8; hidden -= 8) {
    const low = mixed(true, update, h, before), high = mixed(true, update + 16, h + 16, before + 16);
    v128.store(h, low);
    v128.store(h, high, 16);
    update += 32; before += 32; h += 32;
  }
  for (; hidden > 0; hidden--) {
    v128.store_lane<f32>(h, mixed(false, update, h, before), 0);
    update += 4; before += 4; h += 4;
  }
}

function tanhRow(h: usize, hidden: i32): void {
  for (; hidden >= 8; hidden -= 8) {
    const low = tanh(v128.load(h)), high = tanh(v128.load(h, 16));
    v128.store(h, low);
    v128.store(h, high, 16);
    h += 32;
  }
  for (; hidden > 0; hidden--) {
    v128.store_lane<f32>(h, tanh(read(false, h)), 0);
    h += 4;
  }
}

/** c [, n] = a [rows, hidden] · packed b + r. Rows of a are one behind the other. A step in parts has its products made before. */
function product(o: Recurrent, a: usize, b: usize, c: usize, n: i32, bias: usize, r: usize, ldr: usize): void {
  if (o.part == 0) gemm(a, <usize>o.hidden << 2, b, c, <usize>n << 2, o.rows, n, o.hidden, o.panel, bias, r, ldr, -Infinity, Infinity);
}

function lstmStep(o: Recurrent, x: usize, before: usize, h: usize, isFirst: bool): void {
  const bytes = <usize>o.hidden << 2, peephole = at(o.peephole);
  let room = at(o.room), c0 = at(isFirst ? o.second : o.c), c = at(o.c);
  product(o, before, at(o.r), room, o.hidden * 4, 0, x, bytes * 4);
  for (let row = 0; row < o.rows; row++) {
    if (peephole) lstmRow(true, room, c0, c, h, peephole, o.hidden);
    else lstmRow(false, room, c0, c, h, 0, o.hidden);
    room += bytes * 4;
    c0 += bytes; c += bytes; h += bytes;
  }
}

function gruStepResetAfter(o: Recurrent, x: usize, before: usize, h: usize): void {
  const bytes = <usize>o.hidden << 2;
  let room = at(o.room);
  product(o, before, at(o.r), room, o.hidden * 3, at(o.second), 0, 0);
  for (let row = 0; row < o.rows; row++) {
    gruRowResetAfter(x, room, before, h, o.hidden);
    x += bytes * 3; room += bytes * 3;
    before += bytes; h += bytes;
  }
}

/** The room has update and reset gates of all rows, and behind them the states that were reset. */
function gruStep(o: Recurrent, x: usize, before: usize, h: usize): void {
  const bytes = <usize>o.hidden << 2, rows = <usize>o.rows, room = at(o.room), wasReset = room + bytes * 2 * rows;
  product(o, before, at(o.r), room, o.hidden * 2, 0, x, bytes * 3);
  for (let row: usize = 0; row < rows && o.part != 2; row++) {
    resetRow(room + row * bytes * 2 + bytes, before + row * bytes, wasReset + row * bytes, o.hidden);
  }
  product(o, wasReset, at(o.second), h, o.hidden, 0, x + bytes * 2, bytes * 3);
  for (let row: usize = 0; row < rows && o.part != 1; row++) gruRow(room + row * bytes * 2, before + row * bytes, h + row * bytes, o.hidden);
}

function plainStep(o: Recurrent, x: usize, before: usize, h: usize): void {
  product(o, before, at(o.r), h, o.hidden, 0, x, <usize>o.hidden << 2);
  tanhRow(h, o.hidden * o.rows);
}

/** Steps [begin, end) in the direction's order. */
export function recurrent(o: Recurrent): void {
  const stepBytes = <isize>o.batch * o.hidden << 2;
  const gates = o.kind == RECURRENT_LSTM ? 4 : o.kind == RECURRENT_GRU || o.kind == RECURRENT_GRU_RESET_AFTER ? 3 : 1;
  for (let i = o.begin; i < o.end; i++) {
    const t = <isize>(o.reverse ? o.time - 1 - i : i);
    const h = at(o.y) + t * stepBytes, x = at(o.gates) + t * stepBytes * gates;
    const before = i == 0 ? at(o.h0) : o.reverse ? h + stepBytes : h - stepBytes;
    if (o.kind == RECURRENT_LSTM) lstmStep(o, x, before, h, i == 0);
    else if (o.kind == RECURRENT_GRU) gruStep(o, x, before, h);
    else if (o.kind == RECURRENT_GRU_RESET_AFTER) gruStepResetAfter(o, x, before, h);
    else plainStep(o, x, before, h);
  }
}
