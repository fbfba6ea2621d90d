// Reductions of [outer, axis, inner] over the middle axis. Sums run in 8 lanes, which also keeps rounding errors small.
import * as op from '../opcodes.ts';
import { scratch } from './scratch.ts';

// @ts-ignore: decorator
@inline
function begin(kind: i32): f32 {
  if (kind == op.REDUCE_MAX) return -Infinity;
  if (kind == op.REDUCE_MIN) return Infinity;
  if (kind == op.REDUCE_PROD) return 1;
  return 0;
}

// @ts-ignore: decorator
@inline
function vector(kind: i32, sum: v128, x: v128): v128 {
  if (kind == op.REDUCE_MAX) return f32x4.max(sum, x);
  if (kind == op.REDUCE_MIN) return f32x4.min(sum, x);
  if (kind == op.REDUCE_PROD) return f32x4.mul(sum, x);
  if (kind == op.REDUCE_SUM_SQUARE || kind == op.REDUCE_L2) return f32x4.add(sum, f32x4.mul(x, x));
  if (kind == op.REDUCE_L1) return f32x4.add(sum, f32x4.abs(x));
  return f32x4.add(sum, x);
}

// @ts-ignore: decorator
@inline
function scalar(kind: i32, sum: f32, x: f32): f32 {
  if (kind == op.REDUCE_MAX) return max(sum, x);
  if (kind == op.REDUCE_MIN) return min(sum, x);
  if (kind == op.REDUCE_PROD) return sum * x;
  if (kind == op.REDUCE_SUM_SQUARE || kind == op.REDUCE_L2) return sum + x * x;
  if (kind == op.REDUCE_L1) return sum + abs(x);
  return sum + x;
}

/** Joins partial results, for which squares and absolute values have been taken already. */
// @ts-ignore: decorator
@inline
function join(kind: i32, a: f32, b: f32): f32 {
  if (kind == op.REDUCE_MAX || kind == op.REDUCE_MIN || kind == op.REDUCE_PROD) return scalar(kind, a, b);
  return a + b;
}

// @ts-ignore: decorator
@inline
function finish(kind: i32, sum: f32, axis: i32): f32 {
  if (kind == op.REDUCE_MEAN) return sum / <f32>axis;
  if (kind == op.REDUCE_L2) return sqrt(sum);
  return sum;
}

/** inner = 1: one row after the other, [from, to) of each. */
// @ts-ignore: decorator
@inline
function rows(kind: i32, x: usize, y: usize, count: i32, axis: i32, from: i32, to: i32): void {
  for (; count > 0; count--) {
    let low = f32x4.splat(begin(kind)), high = f32x4.splat(begin(kind));
    let left = to - from;
    x += <usize>from << 2;
    for (; left >= 8; left -= 8) {
      low = vector(kind, low, v128.load(x));
      high = vector(kind, high, v128.load(x, 16));
      x += 32;
    }
    v128.store(scratch, low);
    v128.store(scratch, high, 16);
    let sum = load<f32>(scratch);
    for (let lane: usize = 4; lane < 32; lane += 4) sum = join(kind, sum, load<f32>(scratch + lane));
    for (; left > 0; left--) {
      sum = scalar(kind, sum, load<f32>(x));
      x += 4;
    }
    if (from > 0) sum = join(kind, load<f32>(y), sum);
    store<f32>(y, to == axis ? finish(kind, sum, axis) : sum);
    x += <usize>(axis - to) << 2;
    y += 4;
  }
}

/** inner > 1: 8 columns at a time, down the axis from `from` to `to`. */
// @ts-ignore: decorator
@inline
function columns(kind: i32, x: usize, y: usize, axis: i32, inner: i32, count: i32, from: i32, to: i32): void {
  const stride = <usize>inner << 2, isLast = to == axis;
  const divisor = f32x4.splat(<f32>axis);
  x += <usize>from * stride;
  for (; count >= 8; count -= 8) {
    let low = f32x4.splat(begin(kind)), high = f32x4.splat(begin(kind));
    if (from > 0) {
      low = v128.load(y);
      high = v128.load(y, 16);
    }
    let p = x;
    for (let i = from; i < to; i++) {
      low = vector(kind, low, v128.load(p));
      high = vector(kind, high, v128.load(p, 16));
      p += stride;
    }
    if (kind == op.REDUCE_MEAN && isLast) {
      low = f32x4.div(low, divisor);
      high = f32x4.div(high, divisor);
    }
    if (kind == op.REDUCE_L2 && isLast) {
      low = f32x4.sqrt(low);
      high = f32x4.sqrt(high);
    }
    v128.store(y, low);
    v128.store(y, high, 16);
    x += 32;
    y += 32;
  }
  for (; count > 0; count--) {
    let sum = from > 0 ? load<f32>(y) : begin(kind);
    for (let i: usize = 0; i < <usize>(to - from); i++) sum = scalar(kind, sum, load<f32>(x + i * stride));
    store<f32>(y, isLast ? finish(kind, sum, axis) : sum);
    x += 4;
    y += 4;
  }
}

// @ts-ignore: decorator
@inline
function both(kind: i32, x: usize, y: usize, outer: i32, axis: i32, inner: i32, count: i32, from: i32, to: i32): void {
  if (inner == 1) return rows(kind, x, y, outer, axis, from, to);
  for (let i: usize = 0; i < <usize>outer; i++)
    columns(kind, x + (i * axis * inner << 2), y + (i * inner << 2), axis, inner, count, from, to);
}

function sum(x: usize, y: usize, outer: i32, axis: i32, inner: i32, count: i32, from: i32, to: i32): void { both(op.REDUCE_SUM, x, y, outer, axis, inner, count, from, to); }
function mean(x: usize, y: usize, outer: i32, axis: i32, inner: i32, count: i32, from: i32, to: i32): void { both(op.REDUCE_MEAN, x, y, outer, axis, inner, count, from, to); }
function largest(x: usize, y: usize, outer: i32, axis: i32, inner: i32, count: i32, from: i32, to: i32): void { both(op.REDUCE_MAX, x, y, outer, axis, inner, count, from, to); }
function smallest(x: usize, y: usize, outer: i32, axis: i32, inner: i32, count: i32, from: i32, to: i32): void { both(op.REDUCE_MIN, x, y, outer, axis, inner, count, from, to); }
function product(x: usize, y: usize, outer: i32, axis: i32, inner: i32, count: i32, from: i32, to: i32): void { both(op.REDUCE_PROD, x, y, outer, axis, inner, count, from, to); }
function sumSquare(x: usize, y: usize, outer: i32, axis: i32, inner: i32, count: i32, from: i32, to: i32): void { both(op.REDUCE_SUM_SQUARE, x, y, outer, axis, inner, count, from, to); }
function l1(x: usize, y: usize, outer: i32, axis: i32, inner: i32, count: i32, from: i32, to: i32): void { both(op.REDUCE_L1, x, y, outer, axis, inner, count, from, to); }
function l2(x: usize, y: usize, outer: i32, axis: i32, inner: i32, count: i32, from: i32, to: i32): void { both(op.REDUCE_L2, x, y, outer, axis, inner, count, from, to); }

type Reduction = (x: usize, y: usize, outer: i32, axis: i32, inner: i32, count: i32, from: i32, to: i32) => void;

const REDUCTIONS: StaticArray<Reduction> = [sum, mean, largest, smallest, product, sumSquare, l1, l2];

/** Of `count` of the inner columns, and [from, to) of the axis: what begins later goes on with what lies in y. */
export function reduce(kind: i32, x: usize, y: usize, outer: i32, axis: i32, inner: i32, count: i32, from: i32, to: i32): void {
  unchecked(REDUCTIONS[kind])(x, y, outer, axis, inner, count, from, to);
}
