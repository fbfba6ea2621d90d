// Floats of 16 bits and fewer are storage: they are widened when they are read and rounded when they are written.
// Source of the 8-bit ones: the ONNX page "Float stored in 8 bits"; of e8m0 and e2m1: OCP Microscaling Formats (MX) 1.0.
import * as op from '../opcodes.ts';

/** Exponent and `mantissa` bits of a number that is not negative, rounded to nearest, ties to even; the exponent has as many bits as it takes. */
// @ts-ignore: decorator
@inline
function encodeSize(size: f64, mantissa: i32, bias: i32): u64 {
  // The smallest normal number is 2^(1 - bias); below it all numbers are multiples of 2^(1 - bias - mantissa).
  if (size < reinterpret<f64>(<u64>(1023 + 1 - bias) << 52))
    return <u64>nearest(size * reinterpret<f64>(<u64>(1023 + bias - 1 + mantissa) << 52));
  const bits = reinterpret<u64>(size) - (<u64>(1023 - bias) << 52);
  const dropped = <u64>(52 - mantissa);
  return (bits + ((<u64>1 << (dropped - 1)) - 1) + ((bits >> dropped) & 1)) >> dropped;
}

/** Sign, exponent and `mantissa` bits. What is too large becomes infinite: exponent all ones. */
// @ts-ignore: decorator
@inline
function encode(value: f64, mantissa: i32, exponentBits: i32): u32 {
  const infinity = ((<u32>1 << exponentBits) - 1) << mantissa;
  const sign = <u32>(reinterpret<u64>(value) >> 63) << (mantissa + exponentBits);
  if (value != value) return sign | infinity | (<u32>1 << (mantissa - 1));
  const rounded = encodeSize(abs(value), mantissa, (1 << (exponentBits - 1)) - 1);
  return sign | (rounded >= infinity ? infinity : <u32>rounded);
}

export function toHalf(value: f64): u16 {
  return <u16>encode(value, 10, 5);
}

export function toBfloat(value: f64): u16 {
  return <u16>encode(value, 7, 8);
}

/** Shifted into place, exponent and mantissa are those of a float32 that is 2^112 too small, subnormal numbers included. */
export function fromHalf(half: u16): f32 {
  const size = <u32>half & 0x7fff, sign = (<u32>half & 0x8000) << 16;
  if (size >= 0x7c00) return reinterpret<f32>(sign | 0x7f800000 | (size & 0x3ff) << 13);
  return reinterpret<f32>(sign | reinterpret<u32>(reinterpret<f32>(size << 13) * reinterpret<f32>(0x77800000)));
}

export function fromBfloat(bfloat: u16): f32 {
  return reinterpret<f32>(<u32>bfloat << 16);
}

/** Sign and size as the type writes them; `beyond` stands for what is larger than `largest`, and takes the sign. */
// @ts-ignore: decorator
@inline
function encodeByte(value: f64, mantissa: i32, bias: i32, signBit: u32, largest: u32, beyond: u32, nan: u32): u8 {
  const sign: u32 = reinterpret<u64>(value) >> 63 ? signBit : 0;
  if (value != value) return <u8>(sign | nan);
  const size = encodeSize(abs(value), mantissa, bias);
  return <u8>(sign | (size > largest ? beyond : <u32>size));
}

/** Types that have one zero use what would be its negative for the only number that is none. */
// @ts-ignore: decorator
@inline
function encodeByteWithOneZero(value: f64, mantissa: i32, bias: i32, saturate: bool): u8 {
  if (value != value) return 0x80;
  const size = encodeSize(abs(value), mantissa, bias);
  if (size == 0) return 0;
  if (size > 0x7f && !saturate) return 0x80;
  return <u8>((value < 0 ? 0x80 : 0) | min<u64>(size, 0x7f));
}

/** An exponent alone: powers of two from 2^-127 to 2^127. Source of the special cases: ONNX Cast-25; negative numbers are undefined there. */
function encodePower(value: f64, mode: i32): u8 {
  const saturate = (mode & op.CAST_SATURATE) != 0;
  if (value != value || value < 0) return 0xff;
  const least = reinterpret<f64>(<u64>(1023 - 127) << 52), most = reinterpret<f64>(<u64>(1023 + 127) << 52);
  if (value < least) return saturate ? 0 : 0xff;
  const rounding = mode & ~op.CAST_SATURATE;
  const carry: u64 = rounding == op.CAST_ROUND_DOWN ? 0 : rounding == op.CAST_ROUND_NEAREST ? <u64>1 << 51 : (<u64>1 << 52) - 1;
  if (value > most) return saturate ? 0xfe : 0xff;
  return <u8>(((reinterpret<u64>(value) + carry) >> 52) - (1023 - 127));
}

export function toByteFloat(type: i32, value: f64, mode: i32): u8 {
  const saturate = (mode & op.CAST_SATURATE) != 0;
  switch (type) {
    case op.FLOAT8E4M3FN: return encodeByte(value, 3, 7, 0x80, 0x7e, saturate ? 0x7e : 0x7f, 0x7f);
    case op.FLOAT8E4M3FNUZ: return encodeByteWithOneZero(value, 3, 8, saturate);
    case op.FLOAT8E5M2: return encodeByte(value, 2, 15, 0x80, 0x7b, saturate ? 0x7b : 0x7c, 0x7e);
    case op.FLOAT8E5M2FNUZ: return encodeByteWithOneZero(value, 2, 16, saturate);
    case op.FLOAT8E8M0: return encodePower(value, mode);
    // Without a code for what is no number, which becomes a zero.
    default: return value == value ? encodeByte(value, 1, 1, 8, 7, 7, 0) : 8;
  }
}

// @ts-ignore: decorator
@inline
function decodeByte(byte: u32, mantissa: i32, bias: i32, signBit: u32): f64 {
  const size = byte & (signBit - 1), exponent = <i32>(size >> mantissa), fraction = <f64>(size & ((1 << mantissa) - 1));
  const whole = exponent == 0 ? fraction : fraction + <f64>(1 << mantissa);
  const number = whole * reinterpret<f64>(<u64>(1023 + max(exponent, 1) - bias - mantissa) << 52);
  return byte & signBit ? -number : number;
}

export function fromByteFloat(type: i32, byte: u32): f64 {
  switch (type) {
    case op.FLOAT8E4M3FN: return (byte & 0x7f) == 0x7f ? NaN : decodeByte(byte, 3, 7, 0x80);
    case op.FLOAT8E4M3FNUZ: return byte == 0x80 ? NaN : decodeByte(byte, 3, 8, 0x80);
    case op.FLOAT8E5M2:
      if ((byte & 0x7f) > 0x7c) return NaN;
      if ((byte & 0x7f) == 0x7c) return byte & 0x80 ? -Infinity : Infinity;
      return decodeByte(byte, 2, 15, 0x80);
    case op.FLOAT8E5M2FNUZ: return byte == 0x80 ? NaN : decodeByte(byte, 2, 16, 0x80);
    case op.FLOAT8E8M0: return byte == 0xff ? NaN : reinterpret<f64>(<u64>(1023 - 127 + byte) << 52);
    default: return decodeByte(byte & 0xf, 1, 1, 8);
  }
}

/** An integer of 4 or 2 bits: the low bits of the byte, with their sign. */
export function toFewBits(type: i32, value: i64): u8 {
  switch (type) {
    case op.UINT4: return <u8>(value & 15);
    case op.UINT2: return <u8>(value & 3);
    case op.INT4: return <u8>((value << 60) >> 60);
    default: return <u8>((value << 62) >> 62);
  }
}
