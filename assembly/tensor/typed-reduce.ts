// Reductions of [outer, axis, inner] over the middle axis for all types but float32, and the place of the extreme element for all types.
// Integers are summed up in their own type and wrap around, as numpy has it for 32 and 64 bits; a mean is cut to a whole number.
import * as op from '../opcodes.ts';

// @ts-ignore: decorator
@inline
function least<T>(): T {
  if (isFloat<T>()) return <T>-Infinity;
  if (!isSigned<T>()) return <T>0;
  return <T>(<u64>1 << (sizeof<T>() * 8 - 1));
}

// @ts-ignore: decorator
@inline
function most<T>(): T {
  if (isFloat<T>()) return <T>Infinity;
  if (!isSigned<T>()) return <T>-1;
  return <T>((<u64>1 << (sizeof<T>() * 8 - 1)) - 1);
}

// @ts-ignore: decorator
@inline
function begin<T>(kind: i32): T {
  switch (kind) {
    case op.REDUCE_MAX: return least<T>();
    case op.REDUCE_MIN: return most<T>();
    case op.REDUCE_PROD: return <T>1;
    default: return <T>0;
  }
}

// @ts-ignore: decorator
@inline
function step<T>(kind: i32, sum: T, x: T): T {
  switch (kind) {
    case op.REDUCE_MAX: return max<T>(sum, x);
    case op.REDUCE_MIN: return min<T>(sum, x);
    case op.REDUCE_PROD: return <T>(sum * x);
    case op.REDUCE_SUM_SQUARE:
    case op.REDUCE_L2: return <T>(sum + <T>(x * x));
    case op.REDUCE_L1: return x < <T>0 ? <T>(sum - x) : <T>(sum + x);
    default: return <T>(sum + x);
  }
}

// @ts-ignore: decorator
@inline
function finish<T>(kind: i32, sum: T, axis: i32): T {
  if (kind == op.REDUCE_MEAN) {
    if (isFloat<T>()) return sum / <T>axis;
    // In 64 bits: the size of an axis may be more than a byte holds.
    if (axis == 0) return <T>0;
    return isSigned<T>() ? <T>(<i64>sum / <i64>axis) : <T>(<u64>sum / <u64>axis);
  }
  if (kind == op.REDUCE_L2) return <T>sqrt<f64>(<f64>sum);
  return sum;
}

function reduce<T>(kind: i32, x: usize, y: usize, outer: i32, axis: i32, inner: i32, count: i32, from: i32, to: i32): void {
  const stride = <usize>inner * sizeof<T>();
  x += <usize>from * stride;
  for (let i = 0; i < outer; i++) {
    for (let column: usize = 0; column < <usize>count; column++) {
      let sum = from > 0 ? load<T>(y) : begin<T>(kind), p = x + column * sizeof<T>();
      for (let j = from; j < to; j++) {
        sum = step<T>(kind, sum, load<T>(p));
        p += stride;
      }
      store<T>(y, to == axis ? finish<T>(kind, sum, axis) : sum);
      y += sizeof<T>();
    }
    x += <usize>axis * stride;
    y += <usize>(inner - count) * sizeof<T>();
  }
}

/** As `reduce` of float32 (reduce.ts). */
export function reduceTyped(
  type: i32, kind: i32, x: usize, y: usize, outer: i32, axis: i32, inner: i32, count: i32, from: i32, to: i32,
): void {
  switch (type) {
    case op.FLOAT64: return reduce<f64>(kind, x, y, outer, axis, inner, count, from, to);
    case op.INT64: return reduce<i64>(kind, x, y, outer, axis, inner, count, from, to);
    case op.UINT64: return reduce<u64>(kind, x, y, outer, axis, inner, count, from, to);
    case op.INT32: return reduce<i32>(kind, x, y, outer, axis, inner, count, from, to);
    case op.UINT32: return reduce<u32>(kind, x, y, outer, axis, inner, count, from, to);
    case op.INT16: return reduce<i16>(kind, x, y, outer, axis, inner, count, from, to);
    case op.UINT16: return reduce<u16>(kind, x, y, outer, axis, inner, count, from, to);
    case op.INT8: return reduce<i8>(kind, x, y, outer, axis, inner, count, from, to);
    default: return reduce<u8>(kind, x, y, outer, axis, inner, count, from, to); // a bool is a byte
  }
}

/** y int64 = index of the first (or last) largest (or least) element; NaN counts as extreme, as numpy has it. */
function extreme<T>(kind: i32, x: usize, y: usize, outer: i32, axis: i32, inner: i32, count: i32, from: i32, to: i32): void {
  const stride = <usize>inner * sizeof<T>();
  const least = (kind & op.ARG_LEAST) != 0, last = (kind & op.ARG_LAST) != 0;
  for (let i = 0; i < outer; i++) {
    for (let column: usize = 0; column < <usize>count; column++) {
      const head = x + column * sizeof<T>();
      let index = from > 0 ? <i32>load<i64>(y) : 0;
      let best = load<T>(head + <usize>index * stride), p = head + <usize>max(from, 1) * stride;
      for (let j = max(from, 1); j < to; j++, p += stride) {
        const value = load<T>(p);
        if (best != best && (!last || value == value)) continue;
        if ((least ? value < best : value > best) || value != value || (last && value == best)) {
          best = value;
          index = j;
        }
      }
      store<i64>(y, index);
      y += 8;
    }
    x += <usize>axis * stride;
    y += <usize>(inner - count) << 3;
  }
}

export function argExtreme(
  type: i32, kind: i32, x: usize, y: usize, outer: i32, axis: i32, inner: i32, count: i32, from: i32, to: i32,
): void {
  switch (type) {
    case op.FLOAT32: return extreme<f32>(kind, x, y, outer, axis, inner, count, from, to);
    case op.FLOAT64: return extreme<f64>(kind, x, y, outer, axis, inner, count, from, to);
    case op.INT64: return extreme<i64>(kind, x, y, outer, axis, inner, count, from, to);
    case op.UINT64: return extreme<u64>(kind, x, y, outer, axis, inner, count, from, to);
    case op.INT32: return extreme<i32>(kind, x, y, outer, axis, inner, count, from, to);
    case op.UINT32: return extreme<u32>(kind, x, y, outer, axis, inner, count, from, to);
    case op.INT16: return extreme<i16>(kind, x, y, outer, axis, inner, count, from, to);
    case op.UINT16: return extreme<u16>(kind, x, y, outer, axis, inner, count, from, to);
    case op.INT8: return extreme<i8>(kind, x, y, outer, axis, inner, count, from, to);
    default: return extreme<u8>(kind, x, y, outer, axis, inner, count, from, to);
  }
}
