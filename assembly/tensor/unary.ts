// One float in, one float out.
import * as op from '../opcodes.ts';
import { clip, madd, splat } from './simd.ts';
import { scratch } from './scratch.ts';
import { erf, exp, log, sigmoid, tanh } from './transcendental.ts';

const K: usize = memory.data<f32>([0, 1, 0.5, 0.7071067811865476, 0.7978845608028654, 0.044715], 16);
const ZERO: usize = K;
const ONE: usize = K + 4;
const HALF: usize = K + 8;
const SQRT_HALF: usize = K + 12;
const SQRT_TWO_OVER_PI: usize = K + 16;
const GELU_CUBIC: usize = K + 20;

/** log(1 + e), exact also where 1 + e rounds to 1 (W. Kahan: log(u) · e / (u - 1) with u = 1 + e). */
// @ts-ignore: decorator
@inline
function log1p(e: v128): v128 {
  const one = splat(ONE);
  const u = f32x4.add(one, e);
  const y = f32x4.div(f32x4.mul(log(u), e), f32x4.sub(u, one));
  return v128.bitselect(e, y, f32x4.eq(u, one));
}

/** `kind` is a constant at each call, so one line of this list remains. */
// @ts-ignore: decorator
@inline
function apply(kind: i32, x: v128, alpha: v128, beta: v128): v128 {
  const zero = splat(ZERO), one = splat(ONE);
  if (kind == op.RELU) return f32x4.pmax(x, zero);
  if (kind == op.LEAKY_RELU) return madd(alpha, f32x4.pmin(x, zero), f32x4.pmax(x, zero));
  if (kind == op.CLIP) return clip(x, alpha, beta);
  if (kind == op.SIGMOID) return sigmoid(x);
  if (kind == op.SILU) return f32x4.div(x, f32x4.add(one, exp(f32x4.neg(x))));
  if (kind == op.HARD_SIGMOID) return clip(madd(alpha, x, beta), zero, one);
  if (kind == op.HARD_SWISH) return f32x4.mul(x, clip(madd(alpha, x, beta), zero, one));
  if (kind == op.TANH) return tanh(x);
  if (kind == op.EXP) return exp(x);
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
  if (kind == op.GELU) return f32x4.mul(f32x4.mul(x, splat(HALF)), f32x4.add(one, erf(f32x4.mul(x, splat(SQRT_HALF)))));
  if (kind == op.GELU_TANH) {
    const cubic = madd(f32x4.mul(splat(GELU_CUBIC), f32x4.mul(x, x)), x, x);
    return f32x4.mul(f32x4.mul(x, splat(HALF)), f32x4.add(one, tanh(f32x4.mul(cubic, splat(SQRT_TWO_OVER_PI)))));
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
  if (count > 0) {
    memory.copy(scratch, x, <usize>count << 2);
    const low = apply(kind, v128.load(scratch), a, b), high = apply(kind, v128.load(scratch, 16), a, b);
    v128.store(scratch, low);
    v128.store(scratch, high, 16);
    memory.copy(y, scratch, <usize>count << 2);
  }
}

/** Sine and cosine are rare and need exact range reduction, so they take the library's scalar way. */
function trigonometric(kind: i32, x: usize, y: usize, count: i32): void {
  for (let i = 0; i < count; i++) {
    const offset = <usize>i << 2;
    const value = load<f32>(x + offset);
    store<f32>(y + offset, kind == op.SIN ? NativeMathf.sin(value) : NativeMathf.cos(value));
  }
}

/** y may be x. */
export function unary(kind: i32, x: usize, y: usize, count: i32, alpha: f32, beta: f32): void {
  switch (kind) {
    case op.RELU: return map(op.RELU, x, y, count, alpha, beta);
    case op.LEAKY_RELU: return map(op.LEAKY_RELU, x, y, count, alpha, beta);
    case op.CLIP: return map(op.CLIP, x, y, count, alpha, beta);
    case op.SIGMOID: return map(op.SIGMOID, x, y, count, alpha, beta);
    case op.SILU: return map(op.SILU, x, y, count, alpha, beta);
    case op.HARD_SIGMOID: return map(op.HARD_SIGMOID, x, y, count, alpha, beta);
    case op.HARD_SWISH: return map(op.HARD_SWISH, x, y, count, alpha, beta);
    case op.TANH: return map(op.TANH, x, y, count, alpha, beta);
    case op.EXP: return map(op.EXP, x, y, count, alpha, beta);
    case op.LOG: return map(op.LOG, x, y, count, alpha, beta);
    case op.SQRT: return map(op.SQRT, x, y, count, alpha, beta);
    case op.RECIPROCAL: return map(op.RECIPROCAL, x, y, count, alpha, beta);
    case op.NEG: return map(op.NEG, x, y, count, alpha, beta);
    case op.ABS: return map(op.ABS, x, y, count, alpha, beta);
    case op.SIGN: return map(op.SIGN, x, y, count, alpha, beta);
    case op.FLOOR: return map(op.FLOOR, x, y, count, alpha, beta);
    case op.CEIL: return map(op.CEIL, x, y, count, alpha, beta);
    case op.ROUND: return map(op.ROUND, x, y, count, alpha, beta);
    case op.ERF: return map(op.ERF, x, y, count, alpha, beta);
    case op.GELU: return map(op.GELU, x, y, count, alpha, beta);
    case op.GELU_TANH: return map(op.GELU_TANH, x, y, count, alpha, beta);
    case op.SOFTPLUS: return map(op.SOFTPLUS, x, y, count, alpha, beta);
    case op.SOFTSIGN: return map(op.SOFTSIGN, x, y, count, alpha, beta);
    case op.ELU: return map(op.ELU, x, y, count, alpha, beta);
    case op.SELU: return map(op.SELU, x, y, count, alpha, beta);
    case op.SCALE: return map(op.SCALE, x, y, count, alpha, beta);
    case op.SQUARE: return map(op.SQUARE, x, y, count, alpha, beta);
    default: return trigonometric(kind, x, y, count);
  }
}
