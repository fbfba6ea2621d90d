// Layer normalisation of rows: the variance is taken around the mean, in a second pass, so that a large mean costs no digits.
import { madd } from './simd.ts';
import { scratch, sumOfScratch } from './scratch.ts';

function rowSum(x: usize, count: i32): f32 {
  let low = f32x4.splat(0), high = f32x4.splat(0);
  for (; count >= 8; count -= 8) {
    low = f32x4.add(low, v128.load(x));
    high = f32x4.add(high, v128.load(x, 16));
    x += 32;
  }
  v128.store(scratch, low);
  v128.store(scratch, high, 16);
  let sum = sumOfScratch();
  for (; count > 0; count--) {
    sum += load<f32>(x);
    x += 4;
  }
  return sum;
}

function rowSquares(x: usize, count: i32, mean: f32): f32 {
  const m = f32x4.splat(mean);
  let low = f32x4.splat(0), high = f32x4.splat(0);
  for (; count >= 8; count -= 8) {
    const l = f32x4.sub(v128.load(x), m), h = f32x4.sub(v128.load(x, 16), m);
    low = madd(l, l, low);
    high = madd(h, h, high);
    x += 32;
  }
  v128.store(scratch, low);
  v128.store(scratch, high, 16);
  let sum = sumOfScratch();
  for (; count > 0; count--) {
    const difference = load<f32>(x) - mean;
    sum += difference * difference;
    x += 4;
  }
  return sum;
}

/** (x - mean) / sqrt(variance + epsilon) * scale + bias, for rows of `size` floats. Not `centred`: the mean is taken for 0. */
export function layerNorm(
  x: usize, y: usize, scale: usize, bias: usize, rows: i32, size: i32, epsilon: f32, centred: bool,
): void {
  for (; rows > 0; rows--) {
    const mean: f32 = centred ? rowSum(x, size) / <f32>size : 0;
    const factor: f32 = 1 / sqrt<f32>(rowSquares(x, size, mean) / <f32>size + epsilon);
    normaliseRow(x, y, scale, bias, size, mean, factor);
    x += <usize>size << 2;
    y += <usize>size << 2;
  }
}

function normaliseRow(x: usize, y: usize, scale: usize, bias: usize, count: i32, mean: f32, factor: f32): void {
  const m = f32x4.splat(mean), f = f32x4.splat(factor);
  for (; count >= 8; count -= 8) {
    const low = f32x4.mul(f32x4.sub(v128.load(x), m), f), high = f32x4.mul(f32x4.sub(v128.load(x, 16), m), f);
    v128.store(y, madd(low, v128.load(scale), v128.load(bias)));
    v128.store(y, madd(high, v128.load(scale, 16), v128.load(bias, 16)), 16);
    x += 32;
    y += 32;
    scale += 32;
    bias += 32;
  }
  for (; count > 0; count--) {
    store<f32>(y, (load<f32>(x) - mean) * factor * load<f32>(scale) + load<f32>(bias));
    x += 4;
    y += 4;
    scale += 4;
    bias += 4;
  }
}
