// Between float32 and integers with a scale and a zero point, as ONNX QuantizeLinear and DequantizeLinear. Scales and zero points are
// float32 and broadcast; what is dense or repeated along a row goes eight elements at a time.
import * as op from '../opcodes.ts';
import { Broadcast, at } from '../operands.ts';
import { Axis, Rows } from './axis.ts';
import { walk } from './broadcast.ts';

/** Eight elements of a narrow type as 16-bit words; `T` is i8 or u8. */
// @ts-ignore: decorator
@inline
function load8<T>(p: usize): v128 {
  if (isSigned<T>()) return v128.load8x8_s(p);
  return v128.load8x8_u(p);
}

/** Elements 0 to 3 (`high`: 4 to 7) behind `p` as float32. */
// @ts-ignore: decorator
@inline
function load4<T>(p: usize, high: bool): v128 {
  if (sizeof<T>() == 4) return f32x4.convert_i32x4_s(v128.load(high ? p + 16 : p));
  if (sizeof<T>() == 2) return f32x4.convert_i32x4_s(isSigned<T>() ? v128.load16x4_s(high ? p + 8 : p) : v128.load16x4_u(high ? p + 8 : p));
  const words = load8<T>(p);
  return f32x4.convert_i32x4_s(high ? i32x4.extend_high_i16x8_s(words) : i32x4.extend_low_i16x8_s(words));
}

/** Limits eight 32-bit integers to the type's range. */
// @ts-ignore: decorator
@inline
function store8<T>(p: usize, low: v128, high: v128): void {
  if (sizeof<T>() == 2) {
    v128.store(p, isSigned<T>() ? i16x8.narrow_i32x4_s(low, high) : i16x8.narrow_i32x4_u(low, high));
  } else {
    const words = i16x8.narrow_i32x4_s(low, high);
    v128.store64_lane(p, isSigned<T>() ? i8x16.narrow_i16x8_s(words, words) : i8x16.narrow_i16x8_u(words, words), 0);
  }
}

// @ts-ignore: decorator
@inline
function store1<T>(p: usize, value: f32): void {
  const low: f32 = isSigned<T>() ? (sizeof<T>() == 1 ? -128 : -32768) : 0;
  const high: f32 = low + (sizeof<T>() == 1 ? 255 : 65535);
  store<T>(p, value == value ? <T>(<i32>max(low, min(high, value))) : <T>0);
}

/** x / scale, or x · scale for sums of integer products, as the nearest whole number, ties to even. */
// @ts-ignore: decorator
@inline
function whole4(sums: bool, x: usize, scale: v128, zero: v128, least: v128, most: v128): v128 {
  const scaled = sums ? f32x4.mul(f32x4.convert_i32x4_s(v128.load(x)), scale) : f32x4.div(v128.load(x), scale);
  const whole = f32x4.add(f32x4.nearest(scaled), zero);
  return i32x4.trunc_sat_f32x4_s(sums ? f32x4.max(f32x4.min(whole, most), least) : whole);
}

// @ts-ignore: decorator
@inline
function whole1(sums: bool, x: usize, scale: usize, zero: usize, least: f32, most: f32): f32 {
  const scaled = sums ? <f32>load<i32>(x) * load<f32>(scale) : load<f32>(x) / load<f32>(scale);
  const whole = nearest<f32>(scaled) + load<f32>(zero);
  return sums ? max(min(whole, most), least) : whole;
}

// @ts-ignore: decorator
@inline
function quantizeRow<T>(
  sums: bool, kind: i32, x: usize, scale: usize, zero: usize, y: usize, count: i32, xStep: i32, step: i32, zeroBytes: i32,
): void {
  const lowest = <f32>(<T>(kind >> 8)), highest = <f32>(<T>(kind >> 16));
  const least = f32x4.splat(lowest), most = f32x4.splat(highest);
  if (xStep == 1 && step == 1 && zeroBytes == 4) {
    for (; count >= 8; count -= 8) {
      const low = whole4(sums, x, v128.load(scale), v128.load(zero), least, most);
      const high = whole4(sums, x + 16, v128.load(scale, 16), v128.load(zero, 16), least, most);
      store8<T>(y, low, high);
      x += 32;
      scale += 32;
      zero += 32;
      y += 8 * sizeof<T>();
    }
  } else if (xStep == 1 && zeroBytes == 0) {
    const zeros = v128.load_splat<f32>(zero);
    const scales = v128.load_splat<f32>(scale);
    for (; count >= 8; count -= 8) {
      const low = whole4(sums, x, step ? v128.load(scale) : scales, zeros, least, most);
      const high = whole4(sums, x + 16, step ? v128.load(scale, 16) : scales, zeros, least, most);
      store8<T>(y, low, high);
      x += 32;
      if (step) scale += 32;
      y += 8 * sizeof<T>();
    }
  }
  for (; count > 0; count--) {
    store1<T>(y, whole1(sums, x, scale, zero, lowest, highest));
    x += xStep << 2;
    scale += step << 2;
    zero += zeroBytes;
    y += sizeof<T>();
  }
}

// @ts-ignore: decorator
@inline
function quantizeRows<T>(sums: bool, o: Broadcast, axis: Axis, rows: i32, zero: usize, x: usize, scale: usize, y: usize): void {
  for (; rows > 0; rows--) {
    quantizeRow<T>(sums, o.kind, x, scale, zero, y, o.count, o.aStep, o.bStep, o.conditionStep);
    x += axis.aStride << 2;
    scale += axis.bStride << 2;
    zero += axis.conditionStride;
    y += <usize>o.yRow * sizeof<T>();
  }
}

function toI8(o: Broadcast, s: Axis, n: i32, z: usize, x: usize, f: usize, y: usize): void { quantizeRows<i8>(false, o, s, n, z, x, f, y); }
function toU8(o: Broadcast, s: Axis, n: i32, z: usize, x: usize, f: usize, y: usize): void { quantizeRows<u8>(false, o, s, n, z, x, f, y); }
function toI16(o: Broadcast, s: Axis, n: i32, z: usize, x: usize, f: usize, y: usize): void { quantizeRows<i16>(false, o, s, n, z, x, f, y); }
function toU16(o: Broadcast, s: Axis, n: i32, z: usize, x: usize, f: usize, y: usize): void { quantizeRows<u16>(false, o, s, n, z, x, f, y); }
function sumsToI8(o: Broadcast, s: Axis, n: i32, z: usize, x: usize, f: usize, y: usize): void { quantizeRows<i8>(true, o, s, n, z, x, f, y); }
function sumsToU8(o: Broadcast, s: Axis, n: i32, z: usize, x: usize, f: usize, y: usize): void { quantizeRows<u8>(true, o, s, n, z, x, f, y); }

/** y = x / scale + zero point, limited to the type `kind`. */
export function quantize(o: Broadcast): void {
  switch (o.kind) {
    case op.INT8: return walk(o, 2, 0, toI8);
    case op.UINT8: return walk(o, 2, 0, toU8);
    case op.INT16: return walk(o, 2, 1, toI16);
    default: return walk(o, 2, 1, toU16);
  }
}

/** y = x · scale + zero point of int32 x, int8 or uint8. The kind is the type, then the lower and the upper limit, a byte each. */
export function requantize(o: Broadcast): void {
  walk(o, 2, 0, (o.kind & 0xff) == op.INT8 ? sumsToI8 : sumsToU8);
}

// @ts-ignore: decorator
@inline
function dequantizeRow<T>(x: usize, scale: usize, zero: usize, y: usize, count: i32, xBytes: i32, step: i32, zeroStep: i32): void {
  if (xBytes == sizeof<T>() && zeroStep == step) {
    const scales = v128.load_splat<f32>(scale), zeros = v128.load_splat<f32>(zero);
    for (; count >= 8; count -= 8) {
      const low = f32x4.sub(load4<T>(x, false), step ? v128.load(zero) : zeros);
      const high = f32x4.sub(load4<T>(x, true), step ? v128.load(zero, 16) : zeros);
      v128.store(y, f32x4.mul(low, step ? v128.load(scale) : scales));
      v128.store(y, f32x4.mul(high, step ? v128.load(scale, 16) : scales), 16);
      x += 8 * sizeof<T>();
      if (step) { scale += 32; zero += 32; }
      y += 32;
    }
  }
  for (; count > 0; count--) {
    store<f32>(y, (<f32>load<T>(x) - load<f32>(zero)) * load<f32>(scale));
    x += xBytes;
    scale += step << 2;
    zero += zeroStep << 2;
    y += 4;
  }
}

// @ts-ignore: decorator
@inline
function dequantizeRows<T>(o: Broadcast, axis: Axis, rows: i32, x: usize, scale: usize, zero: usize, y: usize): void {
  for (; rows > 0; rows--) {
    dequantizeRow<T>(x, scale, zero, y, o.count, o.conditionStep, o.aStep, o.bStep);
    x += axis.conditionStride;
    scale += axis.aStride << 2;
    zero += axis.bStride << 2;
    y += o.yRow << 2;
  }
}

function fromI8(o: Broadcast, s: Axis, n: i32, x: usize, f: usize, z: usize, y: usize): void { dequantizeRows<i8>(o, s, n, x, f, z, y); }
function fromU8(o: Broadcast, s: Axis, n: i32, x: usize, f: usize, z: usize, y: usize): void { dequantizeRows<u8>(o, s, n, x, f, z, y); }
function fromI16(o: Broadcast, s: Axis, n: i32, x: usize, f: usize, z: usize, y: usize): void { dequantizeRows<i16>(o, s, n, x, f, z, y); }
function fromU16(o: Broadcast, s: Axis, n: i32, x: usize, f: usize, z: usize, y: usize): void { dequantizeRows<u16>(o, s, n, x, f, z, y); }
function fromI32(o: Broadcast, s: Axis, n: i32, x: usize, f: usize, z: usize, y: usize): void { dequantizeRows<i32>(o, s, n, x, f, z, y); }

/** y = (x - zero point) · scale of x of the type `kind`. x is the operand `condition`, whose strides are in bytes. */
export function dequantize(o: Broadcast): void {
  switch (o.kind) {
    case op.INT8: return walk(o, 2, 2, fromI8);
    case op.UINT8: return walk(o, 2, 2, fromU8);
    case op.INT16: return walk(o, 2, 2, fromI16);
    case op.UINT16: return walk(o, 2, 2, fromU16);
    default: return walk(o, 2, 2, fromI32);
  }
}

// @ts-ignore: decorator
@inline
function centerRows<T>(o: Broadcast, axis: Axis, rows: i32, x: usize, zero: usize, y: usize): void {
  for (; rows > 0; rows--) {
    let from = x, zeros = zero, to = y, count = o.count;
    if (o.conditionStep == 1 && o.bStep == 0) {
      const all = i16x8.splat(<i16>load<f32>(zero));
      for (; count >= 8; count -= 8) {
        v128.store(to, i16x8.sub(load8<T>(from), all));
        from += 8;
        to += 16;
      }
    }
    for (; count > 0; count--) {
      store<i16>(to, <i16>load<T>(from) - <i16>load<f32>(zeros));
      from += o.conditionStep;
      zeros += o.bStep << 2;
      to += 2;
    }
    x += axis.conditionStride;
    zero += axis.bStride << 2;
    y += o.yRow << 1;
  }
}

function centerI8(o: Broadcast, s: Axis, n: i32, x: usize, a: usize, z: usize, y: usize): void { centerRows<i8>(o, s, n, x, z, y); }
function centerU8(o: Broadcast, s: Axis, n: i32, x: usize, a: usize, z: usize, y: usize): void { centerRows<u8>(o, s, n, x, z, y); }

/** y = x - zero point as int16, of int8 or uint8 x, which is the operand `condition`. */
export function center(o: Broadcast): void {
  walk(o, 2, 1, o.kind == op.INT8 ? centerI8 : centerU8);
}
