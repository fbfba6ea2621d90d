// Depthwise convolution with 3 or 5 taps a row: four neighbouring outputs, eight channels. The taps stay in registers and every input is
// loaded once for all the outputs that see it.
import { clip, madd } from './simd.ts';

const BLOCK_BYTES: usize = 32;

// @ts-ignore: decorator
@inline
function finish(
  y: usize, step: usize, c0: v128, c1: v128, d0: v128, d1: v128, e0: v128, e1: v128, f0: v128, f1: v128, low: f32, high: f32,
): void {
  const lo = f32x4.splat(low), hi = f32x4.splat(high);
  v128.store(y, clip(c0, lo, hi));
  v128.store(y, clip(c1, lo, hi), 16);
  y += step;
  v128.store(y, clip(d0, lo, hi));
  v128.store(y, clip(d1, lo, hi), 16);
  y += step;
  v128.store(y, clip(e0, lo, hi));
  v128.store(y, clip(e1, lo, hi), 16);
  y += step;
  v128.store(y, clip(f0, lo, hi));
  v128.store(y, clip(f1, lo, hi), 16);
}

/** Outputs one pixel apart. Of `rows` kernel rows the first meets x; bytes between rows (`line`), pixels (`tap`) and outputs (`step`). */
export function fourOfThree(
  x: usize, line: usize, tap: usize, weights: usize, rows: i32, bias: usize, y: usize, step: usize, low: f32, high: f32,
): void {
  let c0 = v128.load(bias), c1 = v128.load(bias, 16);
  let d0 = c0, d1 = c1, e0 = c0, e1 = c1, f0 = c0, f1 = c1;
  for (; rows > 0; rows--) {
    const v0 = v128.load(weights), w0 = v128.load(weights, 16);
    const v1 = v128.load(weights, 32), w1 = v128.load(weights, 48);
    const v2 = v128.load(weights, 64), w2 = v128.load(weights, 80);
    let p = x, a = v128.load(p), b = v128.load(p, 16);
    c0 = madd(a, v0, c0); c1 = madd(b, w0, c1);
    p += tap; a = v128.load(p); b = v128.load(p, 16);
    c0 = madd(a, v1, c0); c1 = madd(b, w1, c1); d0 = madd(a, v0, d0); d1 = madd(b, w0, d1);
    p += tap; a = v128.load(p); b = v128.load(p, 16);
    c0 = madd(a, v2, c0); c1 = madd(b, w2, c1); d0 = madd(a, v1, d0); d1 = madd(b, w1, d1); e0 = madd(a, v0, e0); e1 = madd(b, w0, e1);
    p += tap; a = v128.load(p); b = v128.load(p, 16);
    d0 = madd(a, v2, d0); d1 = madd(b, w2, d1); e0 = madd(a, v1, e0); e1 = madd(b, w1, e1); f0 = madd(a, v0, f0); f1 = madd(b, w0, f1);
    p += tap; a = v128.load(p); b = v128.load(p, 16);
    e0 = madd(a, v2, e0); e1 = madd(b, w2, e1); f0 = madd(a, v1, f0); f1 = madd(b, w1, f1);
    p += tap; a = v128.load(p); b = v128.load(p, 16);
    f0 = madd(a, v2, f0); f1 = madd(b, w2, f1);
    x += line;
    weights += 3 * BLOCK_BYTES;
  }
  finish(y, step, c0, c1, d0, d1, e0, e1, f0, f1, low, high);
}

/** As above, 5 taps a row. */
export function fourOfFive(
  x: usize, line: usize, tap: usize, weights: usize, rows: i32, bias: usize, y: usize, step: usize, low: f32, high: f32,
): void {
  let c0 = v128.load(bias), c1 = v128.load(bias, 16);
  let d0 = c0, d1 = c1, e0 = c0, e1 = c1, f0 = c0, f1 = c1;
  for (; rows > 0; rows--) {
    const v0 = v128.load(weights), w0 = v128.load(weights, 16);
    const v1 = v128.load(weights, 32), w1 = v128.load(weights, 48);
    const v2 = v128.load(weights, 64), w2 = v128.load(weights, 80);
    const v3 = v128.load(weights, 96), w3 = v128.load(weights, 112);
    const v4 = v128.load(weights, 128), w4 = v128.load(weights, 144);
    let p = x, a = v128.load(p), b = v128.load(p, 16);
    c0 = madd(a, v0, c0); c1 = madd(b, w0, c1);
    p += tap; a = v128.load(p); b = v128.load(p, 16);
    c0 = madd(a, v1, c0); c1 = madd(b, w1, c1); d0 = madd(a, v0, d0); d1 = madd(b, w0, d1);
    p += tap; a = v128.load(p); b = v128.load(p, 16);
    c0 = madd(a, v2, c0); c1 = madd(b, w2, c1); d0 = madd(a, v1, d0); d1 = madd(b, w1, d1); e0 = madd(a, v0, e0); e1 = madd(b, w0, e1);
    p += tap; a = v128.load(p); b = v128.load(p, 16);
    c0 = madd(a, v3, c0); c1 = madd(b, w3, c1); d0 = madd(a, v2, d0); d1 = madd(b, w2, d1); e0 = madd(a, v1, e0); e1 = madd(b, w1, e1); f0 = madd(a, v0, f0); f1 = madd(b, w0, f1);
    p += tap; a = v128.load(p); b = v128.load(p, 16);
    c0 = madd(a, v4, c0); c1 = madd(b, w4, c1); d0 = madd(a, v3, d0); d1 = madd(b, w3, d1); e0 = madd(a, v2, e0); e1 = madd(b, w2, e1); f0 = madd(a, v1, f0); f1 = madd(b, w1, f1);
    p += tap; a = v128.load(p); b = v128.load(p, 16);
    d0 = madd(a, v4, d0); d1 = madd(b, w4, d1); e0 = madd(a, v3, e0); e1 = madd(b, w3, e1); f0 = madd(a, v2, f0); f1 = madd(b, w2, f1);
    p += tap; a = v128.load(p); b = v128.load(p, 16);
    e0 = madd(a, v4, e0); e1 = madd(b, w4, e1); f0 = madd(a, v3, f0); f1 = madd(b, w3, f1);
    p += tap; a = v128.load(p); b = v128.load(p, 16);
    f0 = madd(a, v4, f0); f1 = madd(b, w4, f1);
    x += line;
    weights += 5 * BLOCK_BYTES;
  }
  finish(y, step, c0, c1, d0, d1, e0, e1, f0, f1, low, high);
}
