// Element-wise functions of float64, one element at a time.
import * as op from '../opcodes.ts';
import { erf64, erfc64 } from './erf64.ts';

const ROOT_OF_HALF: f64 = 0.70710678118654752440;
const ROOT_OF_2_BY_PI: f64 = 0.79788456080286535588;

// @ts-ignore: decorator
@inline
function sigmoid(x: f64): f64 {
  return 1 / (1 + NativeMath.exp(-x));
}

// @ts-ignore: decorator
@inline
function ramp(x: f64, alpha: f64, beta: f64): f64 {
  return max<f64>(0, min<f64>(1, alpha * x + beta));
}

function scalar(kind: i32, x: f64, alpha: f64, beta: f64): f64 {
  switch (kind) {
    case op.RELU: return max<f64>(x, 0);
    case op.LEAKY_RELU: return x < 0 ? alpha * x : x;
    case op.CLIP: return min<f64>(max<f64>(x, alpha), beta);
    case op.SIGMOID: return sigmoid(x);
    case op.SILU: return x * sigmoid(x);
    case op.HARD_SIGMOID: return ramp(x, alpha, beta);
    case op.HARD_SWISH: return x * ramp(x, alpha, beta);
    case op.TANH: return NativeMath.tanh(x);
    case op.EXP: return NativeMath.exp(x);
    case op.LOG: return NativeMath.log(x);
    case op.SQRT: return sqrt<f64>(x);
    case op.RECIPROCAL: return 1 / x;
    case op.NEG: return -x;
    case op.ABS: return abs<f64>(x);
    case op.SIGN: return x > 0 ? 1 : x < 0 ? -1 : x;
    case op.FLOOR: return floor<f64>(x);
    case op.CEIL: return ceil<f64>(x);
    case op.ROUND: return nearest<f64>(x);
    case op.ERF: return erf64(x);
    case op.GELU: return x == -Infinity ? 0 : 0.5 * x * erfc64(-x * ROOT_OF_HALF);
    case op.GELU_TANH: return 0.5 * x * (1 + NativeMath.tanh(ROOT_OF_2_BY_PI * (x + 0.044715 * x * x * x)));
    case op.SOFTPLUS: return max<f64>(x, 0) + NativeMath.log1p(NativeMath.exp(-abs<f64>(x)));
    case op.SOFTSIGN: return x / (1 + abs<f64>(x));
    case op.ELU: return x < 0 ? alpha * NativeMath.expm1(x) : x;
    case op.SELU: return beta * (x < 0 ? alpha * NativeMath.expm1(x) : x);
    case op.SIN: return NativeMath.sin(x);
    case op.COS: return NativeMath.cos(x);
    case op.ASIN: return NativeMath.asin(x);
    case op.ACOS: return NativeMath.acos(x);
    case op.ATAN: return NativeMath.atan(x);
    case op.SINH: return NativeMath.sinh(x);
    case op.COSH: return NativeMath.cosh(x);
    case op.ASINH: return NativeMath.asinh(x);
    case op.ACOSH: return NativeMath.acosh(x);
    case op.ATANH: return NativeMath.atanh(x);
    case op.SCALE: return alpha * x + beta;
    default: return x * x; // SQUARE
  }
}

export function unary64(kind: i32, x: usize, y: usize, count: i32, alpha: f64, beta: f64): void {
  for (let i: usize = 0; i < <usize>count; i++) store<f64>(y + (i << 3), scalar(kind, load<f64>(x + (i << 3)), alpha, beta));
}
