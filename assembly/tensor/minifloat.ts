// Floats of 16 bits (and fewer) are storage: they are widened when they are read and rounded when they are written.

/** Rounds to nearest, ties to even, to sign, exponent and `mantissa` bits. What is too large becomes infinite: exponent all ones. */
// @ts-ignore: decorator
@inline
function encode(value: f64, mantissa: i32, exponentBits: i32): u32 {
  const bias = (1 << (exponentBits - 1)) - 1;
  const infinity = ((<u32>1 << exponentBits) - 1) << mantissa;
  const sign = <u32>(reinterpret<u64>(value) >> 63) << (mantissa + exponentBits);
  if (value != value) return sign | infinity | (<u32>1 << (mantissa - 1));
  const size = abs(value);
  // The smallest normal number is 2^(1 - bias); below it all numbers are multiples of 2^(1 - bias - mantissa).
  if (size < reinterpret<f64>(<u64>(1023 + 1 - bias) << 52)) {
    const multiples = nearest(size * reinterpret<f64>(<u64>(1023 + bias - 1 + mantissa) << 52));
    return sign | <u32>multiples;
  }
  const bits = reinterpret<u64>(size) - (<u64>(1023 - bias) << 52);
  const dropped = <u64>(52 - mantissa);
  const rounded = (bits + ((<u64>1 << (dropped - 1)) - 1) + ((bits >> dropped) & 1)) >> dropped;
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
