// Two floats in, one float out, for vectors and for what is left of them. `kind` is a constant at each call.
import * as op from '../opcodes.ts';

// @ts-ignore: decorator
@inline
export function vector(kind: i32, a: v128, b: v128): v128 {
  if (kind == op.ADD) return f32x4.add(a, b);
  if (kind == op.SUB) return f32x4.sub(a, b);
  if (kind == op.MUL) return f32x4.mul(a, b);
  if (kind == op.DIV) return f32x4.div(a, b);
  if (kind == op.MIN) return f32x4.min(a, b); // NaN if either is, as numpy's minimum
  if (kind == op.MAX) return f32x4.max(a, b);
  if (kind == op.PRELU) return v128.bitselect(f32x4.mul(a, b), a, f32x4.lt(a, f32x4.splat(0)));
  return power(a, b);
}

/** Rare and full of special cases, so it takes the library's scalar way. */
// @ts-ignore: decorator
@inline
function power(a: v128, b: v128): v128 {
  return f32x4(
    NativeMathf.pow(f32x4.extract_lane(a, 0), f32x4.extract_lane(b, 0)),
    NativeMathf.pow(f32x4.extract_lane(a, 1), f32x4.extract_lane(b, 1)),
    NativeMathf.pow(f32x4.extract_lane(a, 2), f32x4.extract_lane(b, 2)),
    NativeMathf.pow(f32x4.extract_lane(a, 3), f32x4.extract_lane(b, 3)),
  );
}

// @ts-ignore: decorator
@inline
export function scalar(kind: i32, a: f32, b: f32): f32 {
  if (kind == op.ADD) return a + b;
  if (kind == op.SUB) return a - b;
  if (kind == op.MUL) return a * b;
  if (kind == op.DIV) return a / b;
  if (kind == op.MIN) return min(a, b);
  if (kind == op.MAX) return max(a, b);
  if (kind == op.PRELU) return a < 0 ? a * b : a;
  return NativeMathf.pow(a, b);
}
