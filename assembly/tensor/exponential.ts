// exp of four floats, of rows, and as softmax needs it. The constants of a row are read once, as in logistic.ts.
import { scratch, sumOfScratch } from './scratch.ts';
import { clip, madd, splat } from './simd.ts';

// Coefficients of exp: S. Moshier, Cephes, expf.c.
const EXP: usize = memory.data<f32>([
  -104, 89, 1.44269504, 12582912, -0.693359375, 2.12194440e-4, // limits, 1/ln 2, 1.5 * 2^23 (rounds by addition), -ln 2 in two parts
  1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5, 1,
  -87, // the least argument whose exponential is no denormal number
], 16);
const LEAST: usize = EXP + 52;

/** e^r for r within half of ln 2. */
// @ts-ignore: decorator
@inline
function fraction(r: v128, c6: v128, c5: v128, c4: v128, c3: v128, c2: v128, c1: v128, one: v128): v128 {
  const p = madd(madd(madd(madd(madd(c6, r, c5), r, c4), r, c3), r, c2), r, c1);
  return madd(p, f32x4.mul(r, r), f32x4.add(r, one));
}

// @ts-ignore: decorator
@inline
function whole(
  x: v128, low: v128, high: v128, toTwo: v128, magic: v128, ln: v128, lnRest: v128,
  c6: v128, c5: v128, c4: v128, c3: v128, c2: v128, c1: v128, one: v128,
): v128 {
  const limited = clip(x, low, high);
  const t = madd(limited, toTwo, magic); // the integer nearest to x / ln 2, in the low bits
  const n = f32x4.sub(t, magic);
  const p = fraction(madd(n, lnRest, madd(n, ln, limited)), c6, c5, c4, c3, c2, c1, one);
  // Times 2^n in two steps, since 2^n alone may overflow or be denormal where the result is not.
  const i = i32x4.sub(t, magic);
  const half = i32x4.shr_s(i, 1);
  const first = i32x4.add(i32x4.shl(half, 23), one);
  const second = i32x4.add(i32x4.shl(i32x4.sub(i, half), 23), one);
  return f32x4.mul(f32x4.mul(p, first), second);
}

/** Relative error below 1.3e-7; 0 below -104, Infinity above 88.8, denormal results kept. */
// @ts-ignore: decorator
@inline
export function exp(x: v128): v128 {
  return whole(
    x, splat(EXP), splat(EXP + 4), splat(EXP + 8), splat(EXP + 12), splat(EXP + 16), splat(EXP + 20),
    splat(EXP + 24), splat(EXP + 28), splat(EXP + 32), splat(EXP + 36), splat(EXP + 40), splat(EXP + 44), splat(EXP + 48),
  );
}

export function expRow(x: usize, y: usize, count: i32): void {
  const low = splat(EXP), high = splat(EXP + 4), toTwo = splat(EXP + 8), magic = splat(EXP + 12), ln = splat(EXP + 16);
  const lnRest = splat(EXP + 20), c6 = splat(EXP + 24), c5 = splat(EXP + 28), c4 = splat(EXP + 32), c3 = splat(EXP + 36);
  const c2 = splat(EXP + 40), c1 = splat(EXP + 44), one = splat(EXP + 48);
  for (; count >= 8; count -= 8) {
    const left = whole(v128.load(x), low, high, toTwo, magic, ln, lnRest, c6, c5, c4, c3, c2, c1, one);
    const right = whole(v128.load(x, 16), low, high, toTwo, magic, ln, lnRest, c6, c5, c4, c3, c2, c1, one);
    v128.store(y, left);
    v128.store(y, right, 16);
    x += 32;
    y += 32;
  }
  for (; count > 0; count--) {
    v128.store_lane<f32>(y, exp(splat(x)), 0);
    x += 4;
    y += 4;
  }
}

/** e^x for x up to 0; 0 where that would be a denormal number, so that 2^n is one addition to the exponent. */
// @ts-ignore: decorator
@inline
function share(
  x: v128, least: v128, toTwo: v128, magic: v128, ln: v128, lnRest: v128,
  c6: v128, c5: v128, c4: v128, c3: v128, c2: v128, c1: v128, one: v128,
): v128 {
  const limited = f32x4.pmax(x, least);
  const t = madd(limited, toTwo, magic);
  const n = f32x4.sub(t, magic);
  const p = fraction(madd(n, lnRest, madd(n, ln, limited)), c6, c5, c4, c3, c2, c1, one);
  const scaled = i32x4.add(p, i32x4.shl(t, 23)); // the bits of `magic` are shifted out
  return v128.andnot(scaled, f32x4.lt(x, least));
}

/** y = exp(x - maximum), relative error below 1.3e-7 (unless only the sum is wanted, `keep` false, a constant); returns the sum. */
// @ts-ignore: decorator
@inline
export function exponentials(keep: bool, x: usize, y: usize, count: i32, maximum: f32): f32 {
  const m = f32x4.splat(maximum), least = splat(LEAST), toTwo = splat(EXP + 8), magic = splat(EXP + 12), ln = splat(EXP + 16);
  const lnRest = splat(EXP + 20), c6 = splat(EXP + 24), c5 = splat(EXP + 28), c4 = splat(EXP + 32), c3 = splat(EXP + 36);
  const c2 = splat(EXP + 40), c1 = splat(EXP + 44), one = splat(EXP + 48);
  let sumLow = f32x4.splat(0), sumHigh = f32x4.splat(0);
  for (; count >= 8; count -= 8) {
    const a = f32x4.sub(v128.load(x), m), b = f32x4.sub(v128.load(x, 16), m);
    const low = share(a, least, toTwo, magic, ln, lnRest, c6, c5, c4, c3, c2, c1, one);
    const high = share(b, least, toTwo, magic, ln, lnRest, c6, c5, c4, c3, c2, c1, one);
    if (keep) {
      v128.store(y, low);
      v128.store(y, high, 16);
    }
    sumLow = f32x4.add(sumLow, low);
    sumHigh = f32x4.add(sumHigh, high);
    x += 32;
    y += 32;
  }
  v128.store(scratch, sumLow);
  v128.store(scratch, sumHigh, 16);
  let sum = sumOfScratch();
  for (; count > 0; count--) {
    const value = share(f32x4.sub(splat(x), m), least, toTwo, magic, ln, lnRest, c6, c5, c4, c3, c2, c1, one);
    if (keep) v128.store_lane<f32>(y, value, 0);
    sum += f32x4.extract_lane(value, 0);
    x += 4;
    y += 4;
  }
  return sum;
}
