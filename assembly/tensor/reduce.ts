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

/** inner = 1: one row after the other. */
// @ts-ignore: decorator
@inline
function rows(kind: i32, x: usize, y: usize, count: i32, axis: i32): void {
  for (; count > 0; count--) {
    let low = f32x4.splat(begin(kind)), high = f32x4.splat(begin(kind));
    let left = axis;
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
    store<f32>(y, finish(kind, sum, axis));
    y += 4;
  }
}

/** inner > 1: 8 columns at a time, down the axis. */
// @ts-ignore: decorator
@inline
function columns(kind: i32, x: usize, y: usize, axis: i32, inner: i32): void {
  const stride = <usize>inner << 2;
  const divisor = f32x4.splat(<f32>axis);
  for (; inner >= 8; inner -= 8) {
    let low = f32x4.splat(begin(kind)), high = f32x4.splat(begin(kind));
    let p = x;
    for (let i = 0; i < axis; i++) {
      low = vector(kind, low, v128.load(p));
      high = vector(kind, high, v128.load(p, 16));
      p += stride;
    }
    if (kind == op.REDUCE_MEAN) {
      low = f32x4.div(low, divisor);
      high = f32x4.div(high, divisor);
    }
    if (kind == op.REDUCE_L2) {
      low = f32x4.sqrt(low);
      high = f32x4.sqrt(high);
    }
    v128.store(y, low);
    v128.store(y, high, 16);
    x += 32;
    y += 32;
  }
  for (; inner > 0; inner--) {
    let sum = begin(kind);
    for (let i: usize = 0; i < <usize>axis; i++) sum = scalar(kind, sum, load<f32>(x + i * stride));
    store<f32>(y, finish(kind, sum, axis));
    x += 4;
    y += 4;
  }
}

// @ts-ignore: decorator
@inline
function both(kind: i32, x: usize, y: usize, outer: i32, axis: i32, inner: i32): void {
  if (inner == 1) return rows(kind, x, y, outer, axis);
  for (let i: usize = 0; i < <usize>outer; i++) columns(kind, x + (i * axis * inner << 2), y + (i * inner << 2), axis, inner);
}

function sum(x: usize, y: usize, outer: i32, axis: i32, inner: i32): void { both(op.REDUCE_SUM, x, y, outer, axis, inner); }
function mean(x: usize, y: usize, outer: i32, axis: i32, inner: i32): void { both(op.REDUCE_MEAN, x, y, outer, axis, inner); }
function largest(x: usize, y: usize, outer: i32, axis: i32, inner: i32): void { both(op.REDUCE_MAX, x, y, outer, axis, inner); }
function smallest(x: usize, y: usize, outer: i32, axis: i32, inner: i32): void { both(op.REDUCE_MIN, x, y, outer, axis, inner); }
function product(x: usize, y: usize, outer: i32, axis: i32, inner: i32): void { both(op.REDUCE_PROD, x, y, outer, axis, inner); }
function sumSquare(x: usize, y: usize, outer: i32, axis: i32, inner: i32): void { both(op.REDUCE_SUM_SQUARE, x, y, outer, axis, inner); }
function l1(x: usize, y: usize, outer: i32, axis: i32, inner: i32): void { both(op.REDUCE_L1, x, y, outer, axis, inner); }
function l2(x: usize, y: usize, outer: i32, axis: i32, inner: i32): void { both(op.REDUCE_L2, x, y, outer, axis, inner); }

type Reduction = (x: usize, y: usize, outer: i32, axis: i32, inner: i32) => void;

const REDUCTIONS: StaticArray<Reduction> = [sum, mean, largest, smallest, product, sumSquare, l1, l2];

export function reduce(kind: i32, x: usize, y: usize, outer: i32, axis: i32, inner: i32): void {
  unchecked(REDUCTIONS[kind])(x, y, outer, axis, inner);
}
