// Softmax and its logarithm over the middle axis of [outer, axis, inner]; the maximum is subtracted first, so that nothing overflows.
import { exp, exponentials } from './exponential.ts';
import { maximumOfScratch, scratch } from './scratch.ts';
import { log } from './transcendental.ts';
import { turn } from './turn.ts';

// @ts-ignore: decorator
@inline
function log1(x: f32): f32 {
  return f32x4.extract_lane(log(f32x4.splat(x)), 0);
}

function rowMaximum(x: usize, count: i32): f32 {
  let low = f32x4.splat(-Infinity), high = f32x4.splat(-Infinity);
  for (; count >= 8; count -= 8) {
    low = f32x4.pmax(low, v128.load(x));
    high = f32x4.pmax(high, v128.load(x, 16));
    x += 32;
  }
  v128.store(scratch, low);
  v128.store(scratch, high, 16);
  let best = maximumOfScratch();
  for (; count > 0; count--) {
    best = max(best, load<f32>(x));
    x += 4;
  }
  return best;
}

function scaleRow(y: usize, count: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  for (; count >= 8; count -= 8) {
    const low = f32x4.mul(v128.load(y), f), high = f32x4.mul(v128.load(y, 16), f);
    v128.store(y, low);
    v128.store(y, high, 16);
    y += 32;
  }
  for (; count > 0; count--) {
    store<f32>(y, load<f32>(y) * factor);
    y += 4;
  }
}

function softmaxRow(x: usize, y: usize, count: i32): void {
  const sum = exponentials(true, x, y, count, rowMaximum(x, count));
  scaleRow(y, count, 1 / sum);
}

function logSoftmaxRow(x: usize, y: usize, count: i32): void {
  const maximum = rowMaximum(x, count);
  const logarithm = log1(exponentials(false, x, y, count, maximum));
  for (; count > 0; count--) {
    store<f32>(y, load<f32>(x) - maximum - logarithm);
    x += 4;
    y += 4;
  }
}

/** Eight columns (or one, `wide` false), down an axis whose elements are `stride` bytes apart. */
// @ts-ignore: decorator
@inline
function columns(wide: bool, logarithmic: bool, x: usize, y: usize, axis: i32, stride: usize): void {
  const least = f32x4.splat(-Infinity), zero = f32x4.splat(0);
  const bytes = <usize>axis * stride;
  let maxLow = least, maxHigh = least;
  for (let i: usize = 0; i < bytes; i += stride) {
    maxLow = f32x4.pmax(maxLow, wide ? v128.load(x + i) : v128.load_splat<f32>(x + i));
    if (wide) maxHigh = f32x4.pmax(maxHigh, v128.load(x + i, 16));
  }
  let sumLow = zero, sumHigh = zero;
  for (let i: usize = 0; i < bytes; i += stride) {
    const low = exp(f32x4.sub(wide ? v128.load(x + i) : v128.load_splat<f32>(x + i), maxLow));
    sumLow = f32x4.add(sumLow, low);
    if (wide) {
      const high = exp(f32x4.sub(v128.load(x + i, 16), maxHigh));
      sumHigh = f32x4.add(sumHigh, high);
      if (!logarithmic) {
        v128.store(y + i, low);
        v128.store(y + i, high, 16);
      }
    } else if (!logarithmic) {
      v128.store_lane<f32>(y + i, low, 0);
    }
  }
  if (logarithmic) {
    const logLow = log(sumLow), logHigh = log(sumHigh);
    for (let i: usize = 0; i < bytes; i += stride) {
      if (wide) {
        v128.store(y + i, f32x4.sub(f32x4.sub(v128.load(x + i), maxLow), logLow));
        v128.store(y + i, f32x4.sub(f32x4.sub(v128.load(x + i, 16), maxHigh), logHigh), 16);
      } else {
        v128.store_lane<f32>(y + i, f32x4.sub(f32x4.sub(v128.load_splat<f32>(x + i), maxLow), logLow), 0);
      }
    }
    return;
  }
  for (let i: usize = 0; i < bytes; i += stride) {
    if (wide) {
      v128.store(y + i, f32x4.div(v128.load(y + i), sumLow));
      v128.store(y + i, f32x4.div(v128.load(y + i, 16), sumHigh), 16);
    } else {
      v128.store_lane<f32>(y + i, f32x4.div(v128.load_splat<f32>(y + i), sumLow), 0);
    }
  }
}

function softmaxColumns(x: usize, y: usize, axis: i32, stride: usize): void { columns(true, false, x, y, axis, stride); }
function softmaxColumn(x: usize, y: usize, axis: i32, stride: usize): void { columns(false, false, x, y, axis, stride); }
function logSoftmaxColumns(x: usize, y: usize, axis: i32, stride: usize): void { columns(true, true, x, y, axis, stride); }
function logSoftmaxColumn(x: usize, y: usize, axis: i32, stride: usize): void { columns(false, true, x, y, axis, stride); }

/** Eight rows of fewer than eight elements: turned in scratch, where they are columns. */
function shortRows(logarithmic: bool, x: usize, y: usize, axis: i32): void {
  if (axis == 2) unzip(x);
  else if (axis == 4) turnRows(x, 16, scratch, 32);
  else turnSlowly(x, axis);
  if (logarithmic) logSoftmaxColumns(scratch, scratch, axis, 32);
  else softmaxColumns(scratch, scratch, axis, 32);
  if (axis == 2) return zip(y);
  if (axis == 4) return turnColumns(scratch, 32, y, 16);
  for (let row: usize = 0; row < 8; row++) {
    for (let i: usize = 0; i < <usize>axis; i++) {
      store<f32>(y, load<f32>(scratch + (i << 5) + (row << 2)));
      y += 4;
    }
  }
}

function turnSlowly(x: usize, axis: i32): void {
  for (let row: usize = 0; row < 8; row++) {
    for (let i: usize = 0; i < <usize>axis; i++) {
      store<f32>(scratch + (i << 5) + (row << 2), load<f32>(x));
      x += 4;
    }
  }
}

/** Eight rows of two → two columns in scratch. */
function unzip(x: usize): void {
  const a = v128.load(x), b = v128.load(x, 16), c = v128.load(x, 32), d = v128.load(x, 48);
  v128.store(scratch, v128.shuffle<i32>(a, b, 0, 2, 4, 6));
  v128.store(scratch, v128.shuffle<i32>(c, d, 0, 2, 4, 6), 16);
  v128.store(scratch, v128.shuffle<i32>(a, b, 1, 3, 5, 7), 32);
  v128.store(scratch, v128.shuffle<i32>(c, d, 1, 3, 5, 7), 48);
}

function zip(y: usize): void {
  const a = v128.load(scratch), b = v128.load(scratch, 16), c = v128.load(scratch, 32), d = v128.load(scratch, 48);
  v128.store(y, v128.shuffle<i32>(a, c, 0, 4, 1, 5));
  v128.store(y, v128.shuffle<i32>(a, c, 2, 6, 3, 7), 16);
  v128.store(y, v128.shuffle<i32>(b, d, 0, 4, 1, 5), 32);
  v128.store(y, v128.shuffle<i32>(b, d, 2, 6, 3, 7), 48);
}

/** Eight rows of four → four columns of eight. */
function turnRows(x: usize, xRow: usize, y: usize, yRow: usize): void {
  turn(x, xRow, y, yRow);
  turn(x + xRow * 4, xRow, y + 16, yRow);
}

function turnColumns(x: usize, xRow: usize, y: usize, yRow: usize): void {
  turn(x, xRow, y, yRow);
  turn(x + 16, xRow, y + yRow * 4, yRow);
}

/** Of `count` of the inner columns. */
export function softmax(logarithmic: bool, x: usize, y: usize, outer: i32, axis: i32, inner: i32, count: i32): void {
  const stride = <usize>inner << 2;
  if (inner == 1 && axis < 8)
    for (; outer >= 8; outer -= 8) {
      shortRows(logarithmic, x, y, axis);
      x += <usize>axis << 5;
      y += <usize>axis << 5;
    }
  for (let i = 0; i < outer; i++) {
    let left = count;
    let from = x, to = y;
    if (inner == 1) {
      if (logarithmic) logSoftmaxRow(x, y, axis);
      else softmaxRow(x, y, axis);
      left = 0;
    }
    for (; left >= 8; left -= 8) {
      if (logarithmic) logSoftmaxColumns(from, to, axis, stride);
      else softmaxColumns(from, to, axis, stride);
      from += 32;
      to += 32;
    }
    for (; left > 0; left--) {
      if (logarithmic) logSoftmaxColumn(from, to, axis, stride);
      else softmaxColumn(from, to, axis, stride);
      from += 4;
      to += 4;
    }
    x += <usize>axis * stride;
    y += <usize>axis * stride;
  }
}
