// One float in, one float out.
import * as op from '../opcodes.ts';
import { exp, expRow } from './exponential.ts';
import { sigmoidRow, siluRow } from './logistic.ts';
import { geluRow, tanh, tanhRow } from './rational.ts';
import { clip, madd, splat } from './simd.ts';
import { erf, log } from './transcendental.ts';

const K: usize = memory.data<f32>([0, 1, 0.5, 0.7978845608028654, 0.044715, -6], 16);
const ZERO: usize = K;
const ONE: usize = K + 4;
const HALF: usize = K + 8;
const SQRT_TWO_OVER_PI: usize = K + 12;
const GELU_CUBIC: usize = K + 16;
const GELU_END: usize = K + 20;

/** log(1 + e), exact also where 1 + e rounds to 1 (W. Kahan: log(u) · e / (u - 1) with u = 1 + e). */
// @ts-ignore: decorator
@inline
function log1p(e: v128): v128 {
  const one = splat(ONE);
  const u = f32x4.add(one, e);
  const y = f32x4.div(f32x4.mul(log(u), e), f32x4.sub(u, one));
  return v128.bitselect(e, y, f32x4.eq(u, one));
}

/** x · (1 + t) / 2; 0 far below, where an error of t would be magnified by x. */
// @ts-ignore: decorator
@inline
function gelu(x: v128, t: v128): v128 {
  const y = f32x4.mul(f32x4.mul(x, splat(HALF)), f32x4.add(splat(ONE), t));
  return v128.andnot(y, f32x4.lt(x, splat(GELU_END)));
}

/** `kind` is a constant at each call, so one line of this list remains. */
// @ts-ignore: decorator
@inline
function apply(kind: i32, x: v128, alpha: v128, beta: v128): v128 {
  const zero = splat(ZERO), one = splat(ONE);
  if (kind == op.RELU) return f32x4.pmax(x, zero);
  if (kind == op.LEAKY_RELU) return madd(alpha, f32x4.pmin(x, zero), f32x4.pmax(x, zero));
  if (kind == op.CLIP) return clip(x, alpha, beta);
  if (kind == op.HARD_SIGMOID) return clip(madd(alpha, x, beta), zero, one);
  if (kind == op.HARD_SWISH) return f32x4.mul(x, clip(madd(alpha, x, beta), zero, one));
  if (kind == op.LOG) return log(x);
  if (kind == op.SQRT) return f32x4.sqrt(x);
  if (kind == op.RECIPROCAL) return f32x4.div(one, x);
  if (kind == op.NEG) return f32x4.neg(x);
  if (kind == op.ABS) return f32x4.abs(x);
  if (kind == op.SIGN) return f32x4.sub(v128.and(f32x4.gt(x, zero), one), v128.and(f32x4.lt(x, zero), one));
  if (kind == op.FLOOR) return f32x4.floor(x);
  if (kind == op.CEIL) return f32x4.ceil(x);
  if (kind == op.ROUND) return f32x4.nearest(x);
  if (kind == op.ERF) return erf(x);
  if (kind == op.GELU_TANH) {
    const cubic = madd(f32x4.mul(splat(GELU_CUBIC), f32x4.mul(x, x)), x, x);
    return gelu(x, tanh(f32x4.mul(cubic, splat(SQRT_TWO_OVER_PI))));
  }
  if (kind == op.SOFTPLUS) return f32x4.add(f32x4.pmax(x, zero), log1p(exp(f32x4.neg(f32x4.abs(x)))));
  if (kind == op.SOFTSIGN) return f32x4.div(x, f32x4.add(one, f32x4.abs(x)));
  if (kind == op.ELU) return madd(alpha, f32x4.sub(exp(f32x4.pmin(x, zero)), one), f32x4.pmax(x, zero));
  if (kind == op.SELU) return f32x4.mul(beta, madd(alpha, f32x4.sub(exp(f32x4.pmin(x, zero)), one), f32x4.pmax(x, zero)));
  if (kind == op.SCALE) return madd(alpha, x, beta);
  return f32x4.mul(x, x); // SQUARE
}

// @ts-ignore: decorator
@inline
function map(kind: i32, x: usize, y: usize, count: i32, alpha: f32, beta: f32): void {
  const a = f32x4.splat(alpha), b = f32x4.splat(beta);
  for (; count >= 8; count -= 8) {
    const low = apply(kind, v128.load(x), a, b), high = apply(kind, v128.load(x, 16), a, b);
    v128.store(y, low);
    v128.store(y, high, 16);
    x += 32;
    y += 32;
  }
  for (; count > 0; count--) {
    v128.store_lane<f32>(y, apply(kind, splat(x), a, b), 0);
    x += 4;
    y += 4;
  }
}

function reluOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.RELU, x, y, n, alpha, beta); }
function leakyReluOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.LEAKY_RELU, x, y, n, alpha, beta); }
function clipOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.CLIP, x, y, n, alpha, beta); }
function sigmoidOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { sigmoidRow(x, y, n); }
function siluOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { siluRow(x, y, n); }
function hardSigmoidOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.HARD_SIGMOID, x, y, n, alpha, beta); }
function hardSwishOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.HARD_SWISH, x, y, n, alpha, beta); }
function tanhOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { tanhRow(x, y, n); }
function expOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { expRow(x, y, n); }
function logOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.LOG, x, y, n, alpha, beta); }
function sqrtOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.SQRT, x, y, n, alpha, beta); }
function reciprocalOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.RECIPROCAL, x, y, n, alpha, beta); }
function negOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.NEG, x, y, n, alpha, beta); }
function absOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.ABS, x, y, n, alpha, beta); }
function signOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.SIGN, x, y, n, alpha, beta); }
function floorOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.FLOOR, x, y, n, alpha, beta); }
function ceilOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.CEIL, x, y, n, alpha, beta); }
function roundOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.ROUND, x, y, n, alpha, beta); }
function erfOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.ERF, x, y, n, alpha, beta); }
function geluOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { geluRow(x, y, n); }
function geluTanhOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.GELU_TANH, x, y, n, alpha, beta); }
function softplusOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.SOFTPLUS, x, y, n, alpha, beta); }
function softsignOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.SOFTSIGN, x, y, n, alpha, beta); }
function eluOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.ELU, x, y, n, alpha, beta); }
function seluOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.SELU, x, y, n, alpha, beta); }
function scaleOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.SCALE, x, y, n, alpha, beta); }
function squareOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void { map(op.SQUARE, x, y, n, alpha, beta); }

// Functions of angles are rare, and some need exact range reduction, so they take the library's scalar way.
function sinOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void {
  for (let end = x + (<usize>n << 2); x < end; x += 4, y += 4) store<f32>(y, NativeMathf.sin(load<f32>(x)));
}
function cosOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void {
  for (let end = x + (<usize>n << 2); x < end; x += 4, y += 4) store<f32>(y, NativeMathf.cos(load<f32>(x)));
}

function asinOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void {
  for (let end = x + (<usize>n << 2); x < end; x += 4, y += 4) store<f32>(y, NativeMathf.asin(load<f32>(x)));
}
function acosOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void {
  for (let end = x + (<usize>n << 2); x < end; x += 4, y += 4) store<f32>(y, NativeMathf.acos(load<f32>(x)));
}
function atanOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void {
  for (let end = x + (<usize>n << 2); x < end; x += 4, y += 4) store<f32>(y, NativeMathf.atan(load<f32>(x)));
}
function sinhOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void {
  for (let end = x + (<usize>n << 2); x < end; x += 4, y += 4) store<f32>(y, NativeMathf.sinh(load<f32>(x)));
}
function coshOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void {
  for (let end = x + (<usize>n << 2); x < end; x += 4, y += 4) store<f32>(y, NativeMathf.cosh(load<f32>(x)));
}
function asinhOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void {
  for (let end = x + (<usize>n << 2); x < end; x += 4, y += 4) store<f32>(y, NativeMathf.asinh(load<f32>(x)));
}
function acoshOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void {
  for (let end = x + (<usize>n << 2); x < end; x += 4, y += 4) store<f32>(y, NativeMathf.acosh(load<f32>(x)));
}
function atanhOf(x: usize, y: usize, n: i32, alpha: f32, beta: f32): void {
  for (let end = x + (<usize>n << 2); x < end; x += 4, y += 4) store<f32>(y, NativeMathf.atanh(load<f32>(x)));
}

type Unary = (x: usize, y: usize, n: i32, alpha: f32, beta: f32) => void;

/** By kind. A table, not a switch, so that V8 compiles only the functions that a program uses. */
const UNARY: StaticArray<Unary> = [
  reluOf, leakyReluOf, clipOf, sigmoidOf, siluOf, hardSigmoidOf, hardSwishOf, tanhOf, expOf, logOf,
  sqrtOf, reciprocalOf, negOf, absOf, signOf, floorOf, ceilOf, roundOf, erfOf, geluOf,
  geluTanhOf, softplusOf, softsignOf, eluOf, seluOf, sinOf, cosOf, scaleOf, squareOf, asinOf,
  acosOf, atanOf, sinhOf, coshOf, asinhOf, acoshOf, atanhOf,
];

/** `n` floats; y may be x. */
export function unary(kind: i32, x: usize, y: usize, n: i32, alpha: f32, beta: f32): void {
  unchecked(UNARY[kind])(x, y, n, alpha, beta);
}
