// Element-wise functions of two tensors with numpy's broadcasting. The innermost axis is a row; rows are walked block by block along the
// last outer axis, so that positions are computed once a block.
import * as op from '../opcodes.ts';
import { Broadcast, at } from '../operands.ts';
import { Axis, Rows } from './axis.ts';
import { scalar, vector } from './binary.ts';
import { shiftOf } from './element.ts';
import { COMPARE, TYPED, WHERE } from './typed-binary.ts';

const NO_AXIS: usize = memory.data<i32>([1, 0, 0, 0]);

/** Calls `run` for blocks of rows. Elements of a and b have 1 << xShift bytes, those of y 1 << yShift; condition strides are in bytes. */
export function walk(o: Broadcast, xShift: i32, yShift: i32, run: Rows): void {
  const axes = changetype<usize>(o) + offsetof<Broadcast>();
  const last = o.axes ? changetype<Axis>(axes + <usize>(o.axes - 1) * offsetof<Axis>()) : changetype<Axis>(NO_AXIS);
  const condition = at(o.condition), a = at(o.a), b = at(o.b), y = at(o.y);
  for (let row = o.begin; row < o.end; ) {
    let rest = row, conditionOffset = 0, aOffset = 0, bOffset = 0;
    for (let i = o.axes - 1; i >= 0; i--) {
      const axis = changetype<Axis>(axes + <usize>i * offsetof<Axis>());
      const index = rest % axis.size;
      rest /= axis.size;
      conditionOffset += index * axis.conditionStride;
      aOffset += index * axis.aStride;
      bOffset += index * axis.bStride;
    }
    const rows = min(o.end - row, last.size - row % last.size);
    const target = y + (<usize>(row * o.yRow) << yShift);
    run(o, last, rows, condition + conditionOffset, a + (aOffset << xShift), b + (bOffset << xShift), target);
    row += rows;
  }
}

// @ts-ignore: decorator
@inline
function rowsOf(kind: i32, o: Broadcast, axis: Axis, rows: i32, a: usize, b: usize, y: usize): void {
  const aRow = axis.aStride << 2, bRow = axis.bStride << 2, yRow = o.yRow << 2;
  for (; rows > 0; rows--) {
    row(kind, a, b, y, o.count, o.aStep, o.bStep);
    a += aRow;
    b += bRow;
    y += yRow;
  }
}

/** Vectors where both inputs are dense or repeated; one by one where not, and for what is left. */
// @ts-ignore: decorator
@inline
function row(kind: i32, a: usize, b: usize, y: usize, count: i32, aStep: i32, bStep: i32): void {
  if (aStep == 1 && bStep == 1) {
    for (; count >= 8; count -= 8) {
      const low = vector(kind, v128.load(a), v128.load(b)), high = vector(kind, v128.load(a, 16), v128.load(b, 16));
      v128.store(y, low);
      v128.store(y, high, 16);
      a += 32;
      b += 32;
      y += 32;
    }
  } else if (aStep == 1 && bStep == 0) {
    const value = v128.load_splat<f32>(b);
    for (; count >= 8; count -= 8) {
      const low = vector(kind, v128.load(a), value), high = vector(kind, v128.load(a, 16), value);
      v128.store(y, low);
      v128.store(y, high, 16);
      a += 32;
      y += 32;
    }
  } else if (aStep == 0 && bStep == 1) {
    const value = v128.load_splat<f32>(a);
    for (; count >= 8; count -= 8) {
      const low = vector(kind, value, v128.load(b)), high = vector(kind, value, v128.load(b, 16));
      v128.store(y, low);
      v128.store(y, high, 16);
      b += 32;
      y += 32;
    }
  }
  for (; count > 0; count--) {
    store<f32>(y, scalar(kind, load<f32>(a), load<f32>(b)));
    a += aStep << 2;
    b += bStep << 2;
    y += 4;
  }
}

function addRows(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { rowsOf(op.ADD, o, axis, rows, a, b, y); }
function subRows(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { rowsOf(op.SUB, o, axis, rows, a, b, y); }
function mulRows(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { rowsOf(op.MUL, o, axis, rows, a, b, y); }
function divRows(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { rowsOf(op.DIV, o, axis, rows, a, b, y); }
function powRows(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { rowsOf(op.POW, o, axis, rows, a, b, y); }
function minRows(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { rowsOf(op.MIN, o, axis, rows, a, b, y); }
function maxRows(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { rowsOf(op.MAX, o, axis, rows, a, b, y); }
function preluRows(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { rowsOf(op.PRELU, o, axis, rows, a, b, y); }

const BINARY: StaticArray<Rows> = [addRows, subRows, mulRows, divRows, powRows, minRows, maxRows, preluRows];

export function binary(o: Broadcast): void {
  const type = o.kind >> 8;
  if (type == op.FLOAT32 && o.kind < BINARY.length) return walk(o, 2, 2, unchecked(BINARY[o.kind]));
  const shift = shiftOf(type);
  walk(o, shift, shift, unchecked(TYPED[type]));
}

export function compareAll(o: Broadcast): void {
  const type = o.kind >> 8;
  walk(o, shiftOf(type), 0, unchecked(COMPARE[type]));
}

export function where(o: Broadcast): void {
  walk(o, o.kind, o.kind, unchecked(WHERE[o.kind]));
}
