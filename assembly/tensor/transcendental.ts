// exp, log, tanh and erf of four floats. Constants lie in memory (see `splat`); no branch and no rounding instruction, which
// would keep V8 from fusing pairs. Errors against float64 are held by test/assembly.
import { clip, madd, splat } from './simd.ts';

// Coefficients of exp: S. Moshier, Cephes, expf.c.
const EXP: usize = memory.data<f32>([
  -104, 89, 1.44269504, 12582912, -0.693359375, 2.12194440e-4, // limits, 1/ln 2, 1.5 * 2^23 (rounds by addition), -ln 2 in two parts
  1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5, 1,
], 16);

/** Relative error below 1.3e-7; 0 below -104, Infinity above 88.8, denormal results kept. */
// @ts-ignore: decorator
@inline
export function exp(x: v128): v128 {
  x = clip(x, splat(EXP), splat(EXP + 4));
  const magic = splat(EXP + 12), one = splat(EXP + 48);
  const t = madd(x, splat(EXP + 8), magic); // the integer nearest to x / ln 2, in the low bits
  const n = f32x4.sub(t, magic);
  let r = madd(n, splat(EXP + 16), x);
  r = madd(n, splat(EXP + 20), r);
  let p = madd(splat(EXP + 24), r, splat(EXP + 28));
  p = madd(p, r, splat(EXP + 32));
  p = madd(p, r, splat(EXP + 36));
  p = madd(p, r, splat(EXP + 40));
  p = madd(p, r, splat(EXP + 44));
  p = madd(p, f32x4.mul(r, r), f32x4.add(r, one));
  // Times 2^n in two steps, since 2^n alone may overflow or be denormal where the result is not.
  const i = i32x4.sub(t, magic);
  const half = i32x4.shr_s(i, 1);
  const low = i32x4.add(i32x4.shl(half, 23), one);
  const high = i32x4.add(i32x4.shl(i32x4.sub(i, half), 23), one);
  return f32x4.mul(f32x4.mul(p, low), high);
}

const ONE: usize = EXP + 48;

// Rational minimax approximation of tanh on [-7.9, 7.9], as used by Eigen (ptanh_float). From there to 9.02, where tanh rounds to
// 1, it goes beyond 1 by at most 4e-7, so a limit on its results makes both ends exact.
const TANH: usize = memory.data<f32>([
  -9.02, 9.02,
  1.394553628e-8, 2.102733560e-5, 3.520756727e-3, 1.340216100e-1,
  8.015776984e-7, 3.326951409e-4, 2.597254514e-2, 4.673548340e-1,
  -1, 1,
], 16);

/** Relative error below 3.5e-7 everywhere (2.9e-7 where products are fused); exactly -1 and 1 beyond ±9.02. */
// @ts-ignore: decorator
@inline
export function tanh(x: v128): v128 {
  x = clip(x, splat(TANH), splat(TANH + 4));
  const one = splat(ONE);
  const z = f32x4.mul(x, x);
  let p = madd(splat(TANH + 8), z, splat(TANH + 12));
  p = madd(p, z, splat(TANH + 16));
  p = madd(p, z, splat(TANH + 20));
  p = madd(p, z, one);
  let q = madd(splat(TANH + 24), z, splat(TANH + 28));
  q = madd(q, z, splat(TANH + 32));
  q = madd(q, z, splat(TANH + 36));
  q = madd(q, z, one);
  return clip(f32x4.div(f32x4.mul(p, x), q), splat(TANH + 40), splat(TANH + 44));
}

// Rational minimax approximation of erf, as used by XLA; beyond the limits erf rounds to 1.
const ERF: usize = memory.data<f32>([
  -3.832506856900711, 3.832506856900711, -1, 1,
  2.2905065861350646e-4, 3.4082910107109506e-3, 5.0955695062380861e-2, 1.8520832239976145e-1, 1.128379143519084,
  -1.1791602954361697e-7, 2.3547966471313185e-5, 1.0179625278914885e-3, 1.4070470171167667e-2, 1.1098505178285362e-1,
  4.9746925110067538e-1,
], 16);

/** Error below 4e-7. */
// @ts-ignore: decorator
@inline
export function erf(x: v128): v128 {
  x = clip(x, splat(ERF), splat(ERF + 4));
  const z = f32x4.mul(x, x);
  let p = madd(splat(ERF + 16), z, splat(ERF + 20));
  p = madd(p, z, splat(ERF + 24));
  p = madd(p, z, splat(ERF + 28));
  p = madd(p, z, splat(ERF + 32));
  let q = madd(splat(ERF + 36), z, splat(ERF + 40));
  q = madd(q, z, splat(ERF + 44));
  q = madd(q, z, splat(ERF + 48));
  q = madd(q, z, splat(ERF + 52));
  q = madd(q, z, splat(ERF + 56));
  q = madd(q, z, splat(ONE));
  return clip(f32x4.div(f32x4.mul(p, x), q), splat(ERF + 8), splat(ERF + 12));
}

// FreeBSD msun, e_logf.c: log(2^k * (1 + f)) with s = f / (2 + f).
const LOG: usize = memory.data<f32>([
  1.17549435e-38, 8388608, 23, // smallest normal, 2^23, its logarithm to base 2
  0.66666662693, 0.40000972152, 0.28498786688, 0.24279078841, 0.69313812256, 9.0580006145e-6, 0.5, 2, 1, Infinity,
], 16);

/** -Infinity at 0, NaN below. */
// @ts-ignore: decorator
@inline
export function log(x: v128): v128 {
  const zero = f32x4.splat(0);
  const tiny = f32x4.lt(x, splat(LOG));
  const normal = v128.bitselect(f32x4.mul(x, splat(LOG + 4)), x, tiny);
  const i = i32x4.add(normal, i32x4.splat(0x3f800000 - 0x3f3504f3)); // so that 1 + f lies in [√½, √2)
  const exponent = f32x4.convert_i32x4_s(i32x4.sub(i32x4.shr_u(i, 23), i32x4.splat(127)));
  const k = f32x4.sub(exponent, v128.and(tiny, splat(LOG + 8)));
  const m = i32x4.add(v128.and(i, i32x4.splat(0x007fffff)), i32x4.splat(0x3f3504f3));
  const f = f32x4.sub(m, splat(LOG + 44));
  const s = f32x4.div(f, f32x4.add(f, splat(LOG + 40)));
  const z = f32x4.mul(s, s);
  const w = f32x4.mul(z, z);
  const even = f32x4.mul(w, madd(w, splat(LOG + 24), splat(LOG + 16)));
  const odd = f32x4.mul(z, madd(w, splat(LOG + 20), splat(LOG + 12)));
  const half = f32x4.mul(f32x4.mul(f, f), splat(LOG + 36));
  let y = madd(s, f32x4.add(half, f32x4.add(even, odd)), f32x4.mul(k, splat(LOG + 32)));
  y = madd(k, splat(LOG + 28), f32x4.add(f32x4.sub(y, half), f));
  y = v128.bitselect(x, y, f32x4.eq(x, splat(LOG + 48))); // log ∞ = ∞
  y = v128.bitselect(f32x4.neg(splat(LOG + 48)), y, f32x4.eq(x, zero));
  // All bits set where x < 0 or x is NaN: a NaN.
  return v128.or(y, v128.not(f32x4.ge(x, zero)));
}
