// Conversion between element types, as ONNX Cast: to integers towards zero and limited to the type's range, NaN to 0; between integers
// the high bits are discarded; to bool whatever is not zero is true.
import * as op from '../opcodes.ts';

function cast<From, To>(x: usize, y: usize, count: i32): void {
  for (let i = 0; i < count; i++) {
    store<To>(y, convert<From, To>(load<From>(x)));
    x += sizeof<From>();
    y += sizeof<To>();
  }
}

// @ts-ignore: decorator
@inline
function convert<From, To>(value: From): To {
  if (isFloat<From>() && !isFloat<To>()) {
    if (value != value) return <To>0;
    // Limits as f64, in which those of all types but int64 are exact; 2^63 itself does not occur below int64's limit.
    const wide = <f64>value;
    if (sizeof<To>() == 8) return wide >= 9223372036854775808.0 ? <To>i64.MAX_VALUE : wide < -9223372036854775808.0 ? <To>i64.MIN_VALUE : <To>wide;
    if (wide <= <f64>minValue<To>()) return minValue<To>();
    if (wide >= <f64>maxValue<To>()) return maxValue<To>();
    return <To>(<i32>wide);
  }
  return <To>value;
}

// @ts-ignore: decorator
@inline
function minValue<T>(): T {
  if (isSigned<T>()) return sizeof<T>() == 1 ? <T>i8.MIN_VALUE : <T>i32.MIN_VALUE;
  return <T>0;
}

// @ts-ignore: decorator
@inline
function maxValue<T>(): T {
  if (isSigned<T>()) return sizeof<T>() == 1 ? <T>i8.MAX_VALUE : <T>i32.MAX_VALUE;
  return <T>u8.MAX_VALUE;
}

function toBool<From>(x: usize, y: usize, count: i32): void {
  for (let i = 0; i < count; i++) store<u8>(y + i, load<From>(x + <usize>i * sizeof<From>()) != <From>0);
}

function castFrom<From>(x: usize, y: usize, to: i32, count: i32): void {
  switch (to) {
    case op.FLOAT32: return cast<From, f32>(x, y, count);
    case op.INT32: return cast<From, i32>(x, y, count);
    case op.INT64: return cast<From, i64>(x, y, count);
    case op.UINT8: return cast<From, u8>(x, y, count);
    case op.INT8: return cast<From, i8>(x, y, count);
    default: return toBool<From>(x, y, count);
  }
}

export function castAll(x: usize, from: i32, y: usize, to: i32, count: i32): void {
  switch (from) {
    case op.FLOAT32: return castFrom<f32>(x, y, to, count);
    case op.INT32: return castFrom<i32>(x, y, to, count);
    case op.INT64: return castFrom<i64>(x, y, to, count);
    case op.INT8: return castFrom<i8>(x, y, to, count);
    default: return castFrom<u8>(x, y, to, count); // a bool is a byte
  }
}
