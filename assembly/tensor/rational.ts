// Quotients of polynomials: tanh and GELU. The constants of a row are read once, as in logistic.ts.
import { clip, madd, splat } from './simd.ts';

// Rational minimax approximation of tanh on [-7.9, 7.9], as used by Eigen (ptanh_float). From there to 9.02, where tanh rounds to
// 1, it goes beyond 1 by at most 4e-7, so a limit on its results makes both ends exact.
const TANH: usize = memory.data<f32>([
  -9.02, 9.02,
  1.394553628e-8, 2.102733560e-5, 3.520756727e-3, 1.340216100e-1,
  8.015776984e-7, 3.326951409e-4, 2.597254514e-2, 4.673548340e-1,
  -1, 1,
], 16);

// @ts-ignore: decorator
@inline
function tanhOf(
  x: v128, low: v128, high: v128, p3: v128, p2: v128, p1: v128, p0: v128, q3: v128, q2: v128, q1: v128, q0: v128, least: v128, one: v128,
): v128 {
  x = clip(x, low, high);
  const z = f32x4.mul(x, x);
  const p = madd(madd(madd(madd(p3, z, p2), z, p1), z, p0), z, one);
  const q = madd(madd(madd(madd(q3, z, q2), z, q1), z, q0), z, one);
  return clip(f32x4.div(f32x4.mul(p, x), q), least, one);
}

/** Relative error below 3.5e-7 everywhere (2.9e-7 where products are fused); exactly -1 and 1 beyond ±9.02. */
// @ts-ignore: decorator
@inline
export function tanh(x: v128): v128 {
  return tanhOf(
    x, splat(TANH), splat(TANH + 4), splat(TANH + 8), splat(TANH + 12), splat(TANH + 16), splat(TANH + 20),
    splat(TANH + 24), splat(TANH + 28), splat(TANH + 32), splat(TANH + 36), splat(TANH + 40), splat(TANH + 44),
  );
}

export function tanhRow(x: usize, y: usize, count: i32): void {
  const low = splat(TANH), high = splat(TANH + 4), p3 = splat(TANH + 8), p2 = splat(TANH + 12), p1 = splat(TANH + 16), p0 = splat(TANH + 20);
  const q3 = splat(TANH + 24), q2 = splat(TANH + 28), q1 = splat(TANH + 32), q0 = splat(TANH + 36), least = splat(TANH + 40), one = splat(TANH + 44);
  for (; count >= 8; count -= 8) {
    const left = tanhOf(v128.load(x), low, high, p3, p2, p1, p0, q3, q2, q1, q0, least, one);
    const right = tanhOf(v128.load(x, 16), low, high, p3, p2, p1, p0, q3, q2, q1, q0, least, one);
    v128.store(y, left);
    v128.store(y, right, 16);
    x += 32;
    y += 32;
  }
  for (; count > 0; count--) {
    v128.store_lane<f32>(y, tanh(splat(x)), 0);
    x += 4;
    y += 4;
  }
}

// Half of erf(x / √2): the approximation of erf in transcendental.ts with its coefficients scaled, so that it takes x as it is. Beyond
// the limits erf rounds to 1.
const GELU: usize = memory.data<f32>([
  -5.419983175, 5.419983175,
  5.061352311e-06, 0.0001506266054, 0.00450388969, 0.03274051518, 0.3989422721,
  -1.842437962e-09, 7.358739522e-07, 6.362265799e-05, 0.001758808771, 0.02774626295, 0.2487346256,
  1, 0.5,
], 16);

/** x · (1 + erf(x / √2)) / 2; 0 below the limit, where an error of erf would be magnified by x. */
// @ts-ignore: decorator
@inline
function geluOf(
  x: v128, low: v128, high: v128, p4: v128, p3: v128, p2: v128, p1: v128, p0: v128,
  q5: v128, q4: v128, q3: v128, q2: v128, q1: v128, q0: v128, one: v128, half: v128,
): v128 {
  const limited = clip(x, low, high);
  const z = f32x4.mul(limited, limited);
  const p = madd(madd(madd(madd(p4, z, p3), z, p2), z, p1), z, p0);
  const q = madd(madd(madd(madd(madd(madd(q5, z, q4), z, q3), z, q2), z, q1), z, q0), z, one);
  const y = f32x4.mul(x, f32x4.add(f32x4.div(f32x4.mul(p, limited), q), half));
  return v128.andnot(y, f32x4.lt(x, low));
}

/** Error below 1.2e-6, relative to results beyond 1; it is largest around -5, where an error of erf counts five times. */
export function geluRow(x: usize, y: usize, count: i32): void {
  const low = splat(GELU), high = splat(GELU + 4);
  const p4 = splat(GELU + 8), p3 = splat(GELU + 12), p2 = splat(GELU + 16), p1 = splat(GELU + 20), p0 = splat(GELU + 24);
  const q5 = splat(GELU + 28), q4 = splat(GELU + 32), q3 = splat(GELU + 36), q2 = splat(GELU + 40), q1 = splat(GELU + 44), q0 = splat(GELU + 48);
  const one = splat(GELU + 52), half = splat(GELU + 56);
  for (; count >= 8; count -= 8) {
    const left = geluOf(v128.load(x), low, high, p4, p3, p2, p1, p0, q5, q4, q3, q2, q1, q0, one, half);
    const right = geluOf(v128.load(x, 16), low, high, p4, p3, p2, p1, p0, q5, q4, q3, q2, q1, q0, one, half);
    v128.store(y, left);
    v128.store(y, right, 16);
    x += 32;
    y += 32;
  }
  for (; count > 0; count--) {
    v128.store_lane<f32>(y, geluOf(splat(x), low, high, p4, p3, p2, p1, p0, q5, q4, q3, q2, q1, q0, one, half), 0);
    x += 4;
    y += 4;
  }
}
