// Winograd's transforms along one axis, on eight channels at a time. Interpolation points are 0, ±5/8, ±3/2 and infinity, or 0, ±3/8,
// ±3/4, ±5/4, ±7/4 and infinity, instead of the integers of the paper: all constants stay exact in float32, and the error is near that
// of the plain sum. A point and its negative share the even and the odd part of their polynomial.
import { madd, splat } from './simd.ts';

const A: f32 = 0.625, B: f32 = 1.5;
const SIX = memory.data<f32>([
  A * A * B * B, -A * A - B * B, -B * B, -A * A, A, B, A * A, B * B, A * A * A, B * B * B,
], 16);

/** Six values at `source`, `stride` bytes apart → six at `target`, `step` bytes apart; eight channels. */
// @ts-ignore: decorator
@inline
export function forwardSix(source: usize, stride: usize, target: usize, step: usize): void {
  const product = splat(SIX), sum = splat(SIX + 4), minusB = splat(SIX + 8), minusA = splat(SIX + 12);
  const a = splat(SIX + 16), b = splat(SIX + 20);
  const s1 = source + stride, s2 = s1 + stride, s3 = s2 + stride, s4 = s3 + stride, s5 = s4 + stride;
  const x0 = v128.load(source), y0 = v128.load(source, 16), x1 = v128.load(s1), y1 = v128.load(s1, 16);
  const x2 = v128.load(s2), y2 = v128.load(s2, 16), x3 = v128.load(s3), y3 = v128.load(s3, 16);
  const x4 = v128.load(s4), y4 = v128.load(s4, 16), x5 = v128.load(s5), y5 = v128.load(s5, 16);
  v128.store(target, madd(product, x0, madd(sum, x2, x4)));
  v128.store(target, madd(product, y0, madd(sum, y2, y4)), 16);
  const evenX = madd(minusB, x2, x4), evenY = madd(minusB, y2, y4);
  const oddX = f32x4.mul(a, madd(minusB, x1, x3)), oddY = f32x4.mul(a, madd(minusB, y1, y3));
  target += step;
  v128.store(target, f32x4.add(evenX, oddX));
  v128.store(target, f32x4.add(evenY, oddY), 16);
  target += step;
  v128.store(target, f32x4.sub(evenX, oddX));
  v128.store(target, f32x4.sub(evenY, oddY), 16);
  const wideX = madd(minusA, x2, x4), wideY = madd(minusA, y2, y4);
  const farX = f32x4.mul(b, madd(minusA, x1, x3)), farY = f32x4.mul(b, madd(minusA, y1, y3));
  target += step;
  v128.store(target, f32x4.add(wideX, farX));
  v128.store(target, f32x4.add(wideY, farY), 16);
  target += step;
  v128.store(target, f32x4.sub(wideX, farX));
  v128.store(target, f32x4.sub(wideY, farY), 16);
  target += step;
  v128.store(target, madd(product, x1, madd(sum, x3, x5)));
  v128.store(target, madd(product, y1, madd(sum, y3, y5)), 16);
}

/** Six values at `source`, `stride` bytes apart → four at `target`, `step` bytes apart (a kernel of 3); eight channels. */
// @ts-ignore: decorator
@inline
export function backwardSixToFour(source: usize, stride: usize, target: usize, step: usize): void {
  const a = splat(SIX + 16), b = splat(SIX + 20), a2 = splat(SIX + 24), b2 = splat(SIX + 28);
  const a3 = splat(SIX + 32), b3 = splat(SIX + 36);
  const s1 = source + stride, s2 = s1 + stride, s3 = s2 + stride, s4 = s3 + stride, s5 = s4 + stride;
  const x0 = v128.load(source), y0 = v128.load(source, 16), x1 = v128.load(s1), y1 = v128.load(s1, 16);
  const x2 = v128.load(s2), y2 = v128.load(s2, 16), x3 = v128.load(s3), y3 = v128.load(s3, 16);
  const x4 = v128.load(s4), y4 = v128.load(s4, 16), x5 = v128.load(s5), y5 = v128.load(s5, 16);
  const sumX = f32x4.add(x1, x2), sumY = f32x4.add(y1, y2), farSumX = f32x4.add(x3, x4), farSumY = f32x4.add(y3, y4);
  v128.store(target, f32x4.add(f32x4.add(x0, sumX), farSumX));
  v128.store(target, f32x4.add(f32x4.add(y0, sumY), farSumY), 16);
  const oddX = f32x4.sub(x1, x2), oddY = f32x4.sub(y1, y2), farX = f32x4.sub(x3, x4), farY = f32x4.sub(y3, y4);
  target += step;
  v128.store(target, madd(a, oddX, f32x4.mul(b, farX)));
  v128.store(target, madd(a, oddY, f32x4.mul(b, farY)), 16);
  target += step;
  v128.store(target, madd(a2, sumX, f32x4.mul(b2, farSumX)));
  v128.store(target, madd(a2, sumY, f32x4.mul(b2, farSumY)), 16);
  target += step;
  v128.store(target, madd(a3, oddX, madd(b3, farX, x5)));
  v128.store(target, madd(a3, oddY, madd(b3, farY, y5)), 16);
}

/** As above, but two results (a kernel of 5). */
// @ts-ignore: decorator
@inline
export function backwardSixToTwo(source: usize, stride: usize, target: usize, step: usize): void {
  const a = splat(SIX + 16), b = splat(SIX + 20);
  const s1 = source + stride, s2 = s1 + stride, s3 = s2 + stride, s4 = s3 + stride, s5 = s4 + stride;
  const x0 = v128.load(source), y0 = v128.load(source, 16), x1 = v128.load(s1), y1 = v128.load(s1, 16);
  const x2 = v128.load(s2), y2 = v128.load(s2, 16), x3 = v128.load(s3), y3 = v128.load(s3, 16);
  const x4 = v128.load(s4), y4 = v128.load(s4, 16), x5 = v128.load(s5), y5 = v128.load(s5, 16);
  v128.store(target, f32x4.add(f32x4.add(x0, f32x4.add(x1, x2)), f32x4.add(x3, x4)));
  v128.store(target, f32x4.add(f32x4.add(y0, f32x4.add(y1, y2)), f32x4.add(y3, y4)), 16);
  v128.store(target + step, madd(a, f32x4.sub(x1, x2), madd(b, f32x4.sub(x3, x4), x5)));
  v128.store(target + step, madd(a, f32x4.sub(y1, y2), madd(b, f32x4.sub(y3, y4), y5)), 16);
}

const C: f32 = 0.375, D: f32 = 0.75, E: f32 = 1.25, F: f32 = 1.75;
const C2: f32 = C * C, D2: f32 = D * D, E2: f32 = E * E, F2: f32 = F * F;
/** Coefficients of (z - D2)(z - E2)(z - F2) and of the other three products that leave one point out, and that of all four. */
const TEN = memory.data<f32>([
  -D2 * E2 * F2, D2 * E2 + D2 * F2 + E2 * F2, -D2 - E2 - F2,
  -C2 * E2 * F2, C2 * E2 + C2 * F2 + E2 * F2, -C2 - E2 - F2,
  -C2 * D2 * F2, C2 * D2 + C2 * F2 + D2 * F2, -C2 - D2 - F2,
  -C2 * D2 * E2, C2 * D2 + C2 * E2 + D2 * E2, -C2 - D2 - E2,
  C2 * D2 * E2 * F2, -(C2 * D2 * E2 + C2 * D2 * F2 + C2 * E2 * F2 + D2 * E2 * F2),
  C2 * D2 + C2 * E2 + C2 * F2 + D2 * E2 + D2 * F2 + E2 * F2, -C2 - D2 - E2 - F2,
], 16);
/** Powers 1, 2, 3 of the points. */
const POWERS = memory.data<f32>([C, D, E, F, C2, D2, E2, F2, C2 * C, D2 * D, E2 * E, F2 * F], 16);

/** x[0] · q[0] + x[1] · q[1] + x[2] · q[2] + x[3] */
// @ts-ignore: decorator
@inline
function cubic(q: usize, x0: v128, x1: v128, x2: v128, x3: v128): v128 {
  return madd(splat(q), x0, madd(splat(q + 4), x1, madd(splat(q + 8), x2, x3)));
}

/** Ten values at `source`, `stride` bytes apart → ten at `target`, `step` bytes apart; eight channels. */
export function forwardTen(source: usize, stride: usize, target: usize, step: usize): void {
  const s1 = source + stride, s2 = s1 + stride, s3 = s2 + stride, s4 = s3 + stride;
  const s5 = s4 + stride, s6 = s5 + stride, s7 = s6 + stride, s8 = s7 + stride, s9 = s8 + stride;
  const x1 = v128.load(s1), y1 = v128.load(s1, 16), x2 = v128.load(s2), y2 = v128.load(s2, 16);
  const x3 = v128.load(s3), y3 = v128.load(s3, 16), x4 = v128.load(s4), y4 = v128.load(s4, 16);
  const x5 = v128.load(s5), y5 = v128.load(s5, 16), x6 = v128.load(s6), y6 = v128.load(s6, 16);
  const x7 = v128.load(s7), y7 = v128.load(s7, 16), x8 = v128.load(s8), y8 = v128.load(s8, 16);
  const all = TEN + 48, first = splat(all);
  v128.store(target, madd(first, v128.load(source), cubic(all + 4, x2, x4, x6, x8)));
  v128.store(target, madd(first, v128.load(source, 16), cubic(all + 4, y2, y4, y6, y8)), 16);
  target += step;
  for (let point: usize = 0; point < 4; point++) {
    const q = TEN + point * 12, power = splat(POWERS + (point << 2));
    const evenX = cubic(q, x2, x4, x6, x8), evenY = cubic(q, y2, y4, y6, y8);
    const oddX = f32x4.mul(power, cubic(q, x1, x3, x5, x7)), oddY = f32x4.mul(power, cubic(q, y1, y3, y5, y7));
    v128.store(target, f32x4.add(evenX, oddX));
    v128.store(target, f32x4.add(evenY, oddY), 16);
    target += step;
    v128.store(target, f32x4.sub(evenX, oddX));
    v128.store(target, f32x4.sub(evenY, oddY), 16);
    target += step;
  }
  v128.store(target, madd(first, x1, cubic(all + 4, x3, x5, x7, v128.load(s9))));
  v128.store(target, madd(first, y1, cubic(all + 4, y3, y5, y7, v128.load(s9, 16))), 16);
}

/** p[0] · a + p[1] · b + p[2] · c + (p[3] · d + e) */
// @ts-ignore: decorator
@inline
function weighted(p: usize, a: v128, b: v128, c: v128, d: v128, e: v128): v128 {
  return madd(splat(p), a, madd(splat(p + 4), b, madd(splat(p + 8), c, madd(splat(p + 12), d, e))));
}

/** Ten values at `source`, `stride` bytes apart → `count` at `target`, `step` bytes apart: 4 (a kernel of 7) or 2 (of 9); eight channels. */
// @ts-ignore: decorator
@inline
function backwardTen(count: i32, source: usize, stride: usize, target: usize, step: usize): void {
  const s1 = source + stride, s2 = s1 + stride, s3 = s2 + stride, s4 = s3 + stride;
  const s5 = s4 + stride, s6 = s5 + stride, s7 = s6 + stride, s8 = s7 + stride, s9 = s8 + stride;
  const x1 = v128.load(s1), y1 = v128.load(s1, 16), x2 = v128.load(s2), y2 = v128.load(s2, 16);
  const x3 = v128.load(s3), y3 = v128.load(s3, 16), x4 = v128.load(s4), y4 = v128.load(s4, 16);
  const x5 = v128.load(s5), y5 = v128.load(s5, 16), x6 = v128.load(s6), y6 = v128.load(s6, 16);
  const x7 = v128.load(s7), y7 = v128.load(s7, 16), x8 = v128.load(s8), y8 = v128.load(s8, 16);
  const x9 = v128.load(s9), y9 = v128.load(s9, 16);
  const sumCX = f32x4.add(x1, x2), sumCY = f32x4.add(y1, y2), sumDX = f32x4.add(x3, x4), sumDY = f32x4.add(y3, y4);
  const sumEX = f32x4.add(x5, x6), sumEY = f32x4.add(y5, y6), sumFX = f32x4.add(x7, x8), sumFY = f32x4.add(y7, y8);
  v128.store(target, f32x4.add(f32x4.add(f32x4.add(v128.load(source), sumCX), sumDX), f32x4.add(sumEX, sumFX)));
  v128.store(target, f32x4.add(f32x4.add(f32x4.add(v128.load(source, 16), sumCY), sumDY), f32x4.add(sumEY, sumFY)), 16);
  const cX = f32x4.sub(x1, x2), cY = f32x4.sub(y1, y2), dX = f32x4.sub(x3, x4), dY = f32x4.sub(y3, y4);
  const eX = f32x4.sub(x5, x6), eY = f32x4.sub(y5, y6), fX = f32x4.sub(x7, x8), fY = f32x4.sub(y7, y8);
  target += step;
  if (count == 2) {
    v128.store(target, weighted(POWERS, cX, dX, eX, fX, x9));
    v128.store(target, weighted(POWERS, cY, dY, eY, fY, y9), 16);
    return;
  }
  const zero = f32x4.splat(0);
  v128.store(target, weighted(POWERS, cX, dX, eX, fX, zero));
  v128.store(target, weighted(POWERS, cY, dY, eY, fY, zero), 16);
  target += step;
  v128.store(target, weighted(POWERS + 16, sumCX, sumDX, sumEX, sumFX, zero));
  v128.store(target, weighted(POWERS + 16, sumCY, sumDY, sumEY, sumFY, zero), 16);
  target += step;
  v128.store(target, weighted(POWERS + 32, cX, dX, eX, fX, x9));
  v128.store(target, weighted(POWERS + 32, cY, dY, eY, fY, y9), 16);
}

export function backwardTenToFour(source: usize, stride: usize, target: usize, step: usize): void {
  backwardTen(4, source, stride, target, step);
}

export function backwardTenToTwo(source: usize, stride: usize, target: usize, step: usize): void {
  backwardTen(2, source, stride, target, step);
}
