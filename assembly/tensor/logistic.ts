// 1 / (1 + exp(-x)) and x times that. The constants of a row are read once: loaded for each vector, they take as long as the sums.
import { clip, madd, splat } from './simd.ts';

// Limits, -1/ln 2, 1.5 * 2^23 (rounds by addition), ln 2 in two parts, and the coefficients of exp(-r) as exponential.ts has them
// for exp(r): the signs are in the constants, since V8 does not fuse a pair of negations.
const K: usize = memory.data<f32>([
  -89, 87, -1.44269504, 12582912, 0.693359375, -2.12194440e-4,
  1.9875691500e-4, -1.3981999507e-3, 8.3334519073e-3, -4.1665795894e-2, 1.6666665459e-1, -0.5, 1,
], 16);

/** 1 + exp(-x), relative error below 1.5e-7; Infinity below -88.4, so that the power of two can be made in one step. */
// @ts-ignore: decorator
@inline
function denominator(
  x: v128, low: v128, high: v128, toTwo: v128, magic: v128, ln: v128, lnRest: v128,
  c6: v128, c5: v128, c4: v128, c3: v128, c2: v128, c1: v128, one: v128,
): v128 {
  const limited = clip(x, low, high);
  const t = madd(limited, toTwo, magic); // the integer nearest to -x / ln 2, in the low bits
  const n = f32x4.sub(t, magic);
  const r = madd(n, lnRest, madd(n, ln, limited));
  const p = madd(madd(madd(madd(madd(c6, r, c5), r, c4), r, c3), r, c2), r, c1);
  const fraction = f32x4.sub(one, madd(p, f32x4.mul(r, r), r));
  const power = i32x4.add(i32x4.shl(t, 23), one); // the bits of `magic` are shifted out
  return madd(fraction, power, one);
}

// @ts-ignore: decorator
@inline
function denominatorOf(x: v128): v128 {
  return denominator(
    x, splat(K), splat(K + 4), splat(K + 8), splat(K + 12), splat(K + 16), splat(K + 20),
    splat(K + 24), splat(K + 28), splat(K + 32), splat(K + 36), splat(K + 40), splat(K + 44), splat(K + 48),
  );
}

/** Relative error below 2e-7; exactly 1 above 17.4, and 0 below -88.4, where it would be denormal. */
// @ts-ignore: decorator
@inline
export function sigmoid(x: v128): v128 {
  return f32x4.div(splat(K + 48), denominatorOf(x));
}

/** `scaled`: times x. A constant at each call. */
// @ts-ignore: decorator
@inline
function row(scaled: bool, x: usize, y: usize, count: i32): void {
  const low = splat(K), high = splat(K + 4), toTwo = splat(K + 8), magic = splat(K + 12), ln = splat(K + 16), lnRest = splat(K + 20);
  const c6 = splat(K + 24), c5 = splat(K + 28), c4 = splat(K + 32), c3 = splat(K + 36), c2 = splat(K + 40), c1 = splat(K + 44);
  const one = splat(K + 48);
  for (; count >= 8; count -= 8) {
    const a = v128.load(x), b = v128.load(x, 16);
    const c = denominator(a, low, high, toTwo, magic, ln, lnRest, c6, c5, c4, c3, c2, c1, one);
    const d = denominator(b, low, high, toTwo, magic, ln, lnRest, c6, c5, c4, c3, c2, c1, one);
    const left = f32x4.div(scaled ? a : one, c), right = f32x4.div(scaled ? b : one, d);
    v128.store(y, left);
    v128.store(y, right, 16);
    x += 32;
    y += 32;
  }
  for (; count > 0; count--) {
    const a = splat(x);
    v128.store_lane<f32>(y, f32x4.div(scaled ? a : one, denominatorOf(a)), 0);
    x += 4;
    y += 4;
  }
}

export function sigmoidRow(x: usize, y: usize, count: i32): void {
  row(false, x, y, count);
}

/** x · sigmoid(x) */
export function siluRow(x: usize, y: usize, count: i32): void {
  row(true, x, y, count);
}
