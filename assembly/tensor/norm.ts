// Layer normalisation of rows: the variance is taken around the mean, in a second pass, so that a large mean costs no digits.
import { madd } from './simd.ts';
import { scratch, sumOfScratch } from './scratch.ts';

// Four pairs of sums each: one alone would wait for its own additions.

function rowSum(x: usize, count: i32): f32 {
  const zero = f32x4.splat(0);
  let s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero, s5 = zero, s6 = zero, s7 = zero;
  for (; count >= 32; count -= 32) {
    s0 = f32x4.add(s0, v128.load(x));
    s1 = f32x4.add(s1, v128.load(x, 16));
    s2 = f32x4.add(s2, v128.load(x, 32));
    s3 = f32x4.add(s3, v128.load(x, 48));
    s4 = f32x4.add(s4, v128.load(x, 64));
    s5 = f32x4.add(s5, v128.load(x, 80));
    s6 = f32x4.add(s6, v128.load(x, 96));
    s7 = f32x4.add(s7, v128.load(x, 112));
    x += 128;
  }
  let sum = sumOf(s0, s1, s2, s3, s4, s5, s6, s7);
  for (; count > 0; count--) {
    sum += load<f32>(x);
    x += 4;
  }
  return sum;
}

function rowSquares(x: usize, count: i32, mean: f32): f32 {
  const zero = f32x4.splat(0), m = f32x4.splat(mean);
  let s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero, s5 = zero, s6 = zero, s7 = zero;
  for (; count >= 32; count -= 32) {
    const x0 = f32x4.sub(v128.load(x), m), x1 = f32x4.sub(v128.load(x, 16), m);
    const x2 = f32x4.sub(v128.load(x, 32), m), x3 = f32x4.sub(v128.load(x, 48), m);
    const x4 = f32x4.sub(v128.load(x, 64), m), x5 = f32x4.sub(v128.load(x, 80), m);
    const x6 = f32x4.sub(v128.load(x, 96), m), x7 = f32x4.sub(v128.load(x, 112), m);
    s0 = madd(x0, x0, s0);
    s1 = madd(x1, x1, s1);
    s2 = madd(x2, x2, s2);
    s3 = madd(x3, x3, s3);
    s4 = madd(x4, x4, s4);
    s5 = madd(x5, x5, s5);
    s6 = madd(x6, x6, s6);
    s7 = madd(x7, x7, s7);
    x += 128;
  }
  let sum = sumOf(s0, s1, s2, s3, s4, s5, s6, s7);
  for (; count > 0; count--) {
    const difference = load<f32>(x) - mean;
    sum += difference * difference;
    x += 4;
  }
  return sum;
}

// @ts-ignore: decorator
@inline
function sumOf(s0: v128, s1: v128, s2: v128, s3: v128, s4: v128, s5: v128, s6: v128, s7: v128): f32 {
  const low = f32x4.add(f32x4.add(s0, s2), f32x4.add(s4, s6)), high = f32x4.add(f32x4.add(s1, s3), f32x4.add(s5, s7));
  v128.store(scratch, low);
  v128.store(scratch, high, 16);
  return sumOfScratch();
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
