// Conversion between element types, as ONNX Cast: to integers towards zero and limited to the type's range, NaN to 0; between integers
// the high bits are discarded; to bool whatever is not zero is true.
// The commonest pairs of types are converted directly. The others go through 64 bits, a block at a time: integers through i64 (in which u64
// is only another reading of the bits), floats through f64.
import * as op from '../opcodes.ts';
import { shiftOf } from './element.ts';
import { fromBfloat, fromByteFloat, fromHalf, toBfloat, toByteFloat, toFewBits, toHalf } from './minifloat.ts';
import { scratch } from './scratch.ts';

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

function castDirectly(x: usize, from: i32, y: usize, to: i32, count: i32): void {
  switch (from) {
    case op.FLOAT32: return castFrom<f32>(x, y, to, count);
    case op.INT32: return castFrom<i32>(x, y, to, count);
    case op.INT64: return castFrom<i64>(x, y, to, count);
    case op.INT8: return castFrom<i8>(x, y, to, count);
    default: return castFrom<u8>(x, y, to, count); // a bool is a byte
  }
}

function widen<From, Wide>(x: usize, count: i32): void {
  for (let i: usize = 0; i < <usize>count; i++) store<Wide>(scratch + (i << 3), <Wide>load<From>(x + i * sizeof<From>()));
}

function widenAll(from: i32, x: usize, count: i32): void {
  switch (from) {
    case op.FLOAT32: return widen<f32, f64>(x, count);
    case op.FLOAT64: return widen<f64, f64>(x, count);
    case op.INT64:
    case op.UINT64: return widen<i64, i64>(x, count);
    case op.INT32: return widen<i32, i64>(x, count);
    case op.UINT32: return widen<u32, i64>(x, count);
    case op.INT16: return widen<i16, i64>(x, count);
    case op.UINT16: return widen<u16, i64>(x, count);
    case op.INT8:
    case op.INT4:
    case op.INT2: return widen<i8, i64>(x, count);
    case op.FLOAT16:
      for (let i: usize = 0; i < <usize>count; i++) store<f64>(scratch + (i << 3), fromHalf(load<u16>(x + (i << 1))));
      return;
    case op.BFLOAT16:
      for (let i: usize = 0; i < <usize>count; i++) store<f64>(scratch + (i << 3), fromBfloat(load<u16>(x + (i << 1))));
      return;
    case op.UINT8:
    case op.BOOL:
    case op.UINT4:
    case op.UINT2: return widen<u8, i64>(x, count);
    default:
      for (let i: usize = 0; i < <usize>count; i++) store<f64>(scratch + (i << 3), fromByteFloat(from, load<u8>(x + i)));
  }
}

/** To an integer of `low` to `high`; both are whole numbers that a float64 holds. */
function narrowFloats<To>(y: usize, count: i32, low: f64, high: f64): void {
  for (let i: usize = 0; i < <usize>count; i++) {
    const value = load<f64>(scratch + (i << 3));
    store<To>(y + i * sizeof<To>(), value == value ? <To>(<i64>min<f64>(max<f64>(value, low), high)) : <To>0);
  }
}

function roundFloats<To>(y: usize, count: i32): void {
  for (let i: usize = 0; i < <usize>count; i++) store<To>(y + i * sizeof<To>(), <To>load<f64>(scratch + (i << 3)));
}

/** Of 64 bits: the limits are no float64, but the machine limits to them by itself. */
function narrowFloatsTo64(to: i32, y: usize, count: i32): void {
  for (let i: usize = 0; i < <usize>count; i++) {
    const value = load<f64>(scratch + (i << 3));
    store<i64>(y + (i << 3), to == op.INT64 ? <i64>value : <i64><u64>value);
  }
}

function narrowAllFloats(to: i32, y: usize, count: i32): void {
  switch (to) {
    case op.FLOAT32: return roundFloats<f32>(y, count);
    case op.FLOAT64: return roundFloats<f64>(y, count);
    case op.FLOAT16:
      for (let i: usize = 0; i < <usize>count; i++) store<u16>(y + (i << 1), toHalf(load<f64>(scratch + (i << 3))));
      return;
    case op.BFLOAT16:
      for (let i: usize = 0; i < <usize>count; i++) store<u16>(y + (i << 1), toBfloat(load<f64>(scratch + (i << 3))));
      return;
    case op.INT64:
    case op.UINT64: return narrowFloatsTo64(to, y, count);
    case op.INT32: return narrowFloats<i32>(y, count, -2147483648, 2147483647);
    case op.UINT32: return narrowFloats<u32>(y, count, 0, 4294967295);
    case op.INT16: return narrowFloats<i16>(y, count, -32768, 32767);
    case op.UINT16: return narrowFloats<u16>(y, count, 0, 65535);
    case op.INT8: return narrowFloats<i8>(y, count, -128, 127);
    case op.UINT8: return narrowFloats<u8>(y, count, 0, 255);
    default: return toBool<f64>(scratch, y, count);
  }
}

/** Wide is i64 or u64, which differ when they become floats. */
function narrowIntegers<Wide>(to: i32, y: usize, count: i32): void {
  switch (to) {
    case op.FLOAT32: return cast<Wide, f32>(scratch, y, count);
    case op.FLOAT64: return cast<Wide, f64>(scratch, y, count);
    case op.FLOAT16:
      for (let i: usize = 0; i < <usize>count; i++) store<u16>(y + (i << 1), toHalf(<f64>load<Wide>(scratch + (i << 3))));
      return;
    case op.BFLOAT16:
      for (let i: usize = 0; i < <usize>count; i++) store<u16>(y + (i << 1), toBfloat(<f64>load<Wide>(scratch + (i << 3))));
      return;
    case op.BOOL: return toBool<Wide>(scratch, y, count);
    default:
      // What a narrower integer keeps are the low bytes.
      for (let i: usize = 0; i < <usize>count; i++) {
        const value = load<u64>(scratch + (i << 3));
        switch (shiftOf(to)) {
          case 0: store<u8>(y + i, <u8>value); break;
          case 1: store<u16>(y + (i << 1), <u16>value); break;
          case 2: store<u32>(y + (i << 2), <u32>value); break;
          default: store<u64>(y + (i << 3), value);
        }
      }
  }
}

/** To types of fewer than 16 bits; of integers the low bits stay, whatever the number. */
function narrowToByte<Wide>(to: i32, y: usize, count: i32, mode: i32): void {
  for (let i: usize = 0; i < <usize>count; i++) {
    const value = load<Wide>(scratch + (i << 3));
    store<u8>(y + i, to >= op.UINT4 ? toFewBits(to, <i64>value) : toByteFloat(to, <f64>value, mode));
  }
}

/** Elements of 8 bytes that the scratch memory has room for. */
const BLOCK: i32 = 128;

export function castAll(x: usize, from: i32, y: usize, to: i32, mode: i32, count: i32): void {
  if (from <= op.BOOL && to <= op.BOOL) return castDirectly(x, from, y, to, count);
  const fromShift = shiftOf(from), toShift = shiftOf(to), toByte = to >= op.FLOAT8E4M3FN;
  const isFloat = from == op.FLOAT32 || (from >= op.FLOAT64 && from < op.UINT4);
  while (count > 0) {
    const part = min(count, BLOCK);
    widenAll(from, x, part);
    if (isFloat) {
      if (toByte) narrowToByte<f64>(to, y, part, mode);
      else narrowAllFloats(to, y, part);
    } else if (from == op.UINT64) {
      if (toByte) narrowToByte<u64>(to, y, part, mode);
      else narrowIntegers<u64>(to, y, part);
    } else if (toByte) {
      narrowToByte<i64>(to, y, part, mode);
    } else {
      narrowIntegers<i64>(to, y, part);
    }
    x += <usize>part << fromShift;
    y += <usize>part << toShift;
    count -= part;
  }
}
