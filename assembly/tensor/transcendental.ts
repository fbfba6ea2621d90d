// log and erf of four floats. Constants lie in memory (see `splat`); no branch and no rounding instruction, which
// would keep V8 from fusing pairs. Errors against float64 are held by test/assembly.
import { clip, madd, splat } from './simd.ts';

const ONE: usize = memory.data<f32>([1], 16);

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
