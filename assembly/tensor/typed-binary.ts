// Element-wise functions of two tensors of any dense type, one element at a time. Integers wrap around; dividing one by zero gives zero,
// since a trap would end the whole instance. Comparisons give a bool.
import * as op from '../opcodes.ts';
import { Axis, Rows } from './axis.ts';
import { Broadcast } from '../operands.ts';

// @ts-ignore: decorator
@inline
function quotient<T>(a: T, b: T): T {
  if (isFloat<T>()) return a / b;
  if (b == <T>0) return <T>0;
  // The one quotient that overflows, which would trap: -2^31 / -1.
  if (isSigned<T>() && b == <T>-1) return <T>(<T>0 - a);
  return a / b;
}

/** `a - b * trunc(a / b)`: the sign is that of a. */
// @ts-ignore: decorator
@inline
function remainder<T>(a: T, b: T): T {
  if (!isFloat<T>() && b == <T>0) return <T>0;
  return <T>(a % b);
}

/** The sign is that of b. */
// @ts-ignore: decorator
@inline
function modulo<T>(a: T, b: T): T {
  const rest = remainder<T>(a, b);
  return rest != <T>0 && rest < <T>0 != b < <T>0 ? <T>(rest + b) : rest;
}

/** By squaring; a negative exponent leaves a fraction, which is 0 but for bases 1 and -1. */
// @ts-ignore: decorator
@inline
function power<T>(a: T, b: T): T {
  if (isFloat<T>()) return sizeof<T>() == 8 ? <T>NativeMath.pow(<f64>a, <f64>b) : <T>NativeMathf.pow(<f32>a, <f32>b);
  if (isSigned<T>() && b < <T>0) {
    if (a == <T>1) return a;
    return a == <T>-1 ? (b & <T>1 ? a : <T>1) : <T>0;
  }
  let result: T = <T>1, square = a;
  for (let rest = <u64>b; rest; rest >>= 1) {
    if (rest & 1) result = <T>(result * square);
    square = <T>(square * square);
  }
  return result;
}

// @ts-ignore: decorator
@inline
function bits<T>(kind: i32, a: T, b: T): T {
  if (isFloat<T>()) return a;
  switch (kind) {
    case op.AND: return <T>(a & b);
    case op.OR: return <T>(a | b);
    case op.XOR: return <T>(a ^ b);
    // The machine's shift takes the amount modulo the width.
    case op.SHIFT_LEFT: return <u64>b < <u64>(sizeof<T>() * 8) ? <T>(a << b) : <T>0;
    default: return <u64>b < <u64>(sizeof<T>() * 8) ? <T>(a >> b) : <T>0;
  }
}

function scalar<T>(kind: i32, a: T, b: T): T {
  switch (kind) {
    case op.ADD: return <T>(a + b);
    case op.SUB: return <T>(a - b);
    case op.MUL: return <T>(a * b);
    case op.DIV: return quotient<T>(a, b);
    case op.POW: return power<T>(a, b);
    case op.MIN: return min<T>(a, b);
    case op.MAX: return max<T>(a, b);
    case op.PRELU: return a < <T>0 ? <T>(a * b) : a;
    case op.MOD: return modulo<T>(a, b);
    case op.FMOD: return remainder<T>(a, b);
    default: return bits<T>(kind, a, b);
  }
}

// @ts-ignore: decorator
@inline
function compare<T>(kind: i32, a: T, b: T): bool {
  switch (kind) {
    case op.EQUAL: return a == b;
    case op.LESS: return a < b;
    case op.LESS_OR_EQUAL: return a <= b;
    case op.GREATER: return a > b;
    default: return a >= b;
  }
}

// @ts-ignore: decorator
@inline
function binaryRows<T>(o: Broadcast, axis: Axis, rows: i32, condition: usize, a: usize, b: usize, y: usize): void {
  const kind = o.kind & 0xff;
  const aStep = o.aStep * sizeof<T>(), bStep = o.bStep * sizeof<T>();
  for (; rows > 0; rows--) {
    let p = a, q = b;
    for (let i = 0; i < o.count; i++) {
      store<T>(y + <usize>i * sizeof<T>(), scalar<T>(kind, load<T>(p), load<T>(q)));
      p += aStep;
      q += bStep;
    }
    a += axis.aStride * sizeof<T>();
    b += axis.bStride * sizeof<T>();
    y += o.yRow * sizeof<T>();
  }
}

// @ts-ignore: decorator
@inline
function compareRows<T>(o: Broadcast, axis: Axis, rows: i32, condition: usize, a: usize, b: usize, y: usize): void {
  const kind = o.kind & 0xff;
  const aStep = o.aStep * sizeof<T>(), bStep = o.bStep * sizeof<T>();
  for (; rows > 0; rows--) {
    let p = a, q = b;
    for (let i = 0; i < o.count; i++) {
      store<u8>(y + i, compare<T>(kind, load<T>(p), load<T>(q)));
      p += aStep;
      q += bStep;
    }
    a += axis.aStride * sizeof<T>();
    b += axis.bStride * sizeof<T>();
    y += o.yRow;
  }
}

/** T is any type of the elements' width. */
// @ts-ignore: decorator
@inline
function whereRows<T>(o: Broadcast, axis: Axis, rows: i32, condition: usize, a: usize, b: usize, y: usize): void {
  for (; rows > 0; rows--) {
    for (let i = 0; i < o.count; i++) {
      const source = load<u8>(condition + i * o.conditionStep) ? a + i * o.aStep * sizeof<T>() : b + i * o.bStep * sizeof<T>();
      store<T>(y + <usize>i * sizeof<T>(), load<T>(source));
    }
    condition += axis.conditionStride;
    a += axis.aStride * sizeof<T>();
    b += axis.bStride * sizeof<T>();
    y += o.yRow * sizeof<T>();
  }
}

// The compiler knows no references to instances of generic functions.
function binaryF32(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { binaryRows<f32>(o, axis, rows, c, a, b, y); }
function binaryI32(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { binaryRows<i32>(o, axis, rows, c, a, b, y); }
function binaryI64(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { binaryRows<i64>(o, axis, rows, c, a, b, y); }
function binaryU8(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { binaryRows<u8>(o, axis, rows, c, a, b, y); }
function binaryI8(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { binaryRows<i8>(o, axis, rows, c, a, b, y); }
function binaryI16(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { binaryRows<i16>(o, axis, rows, c, a, b, y); }
function binaryU16(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { binaryRows<u16>(o, axis, rows, c, a, b, y); }
function binaryU32(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { binaryRows<u32>(o, axis, rows, c, a, b, y); }
function binaryU64(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { binaryRows<u64>(o, axis, rows, c, a, b, y); }
function binaryF64(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { binaryRows<f64>(o, axis, rows, c, a, b, y); }
function compareF32(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { compareRows<f32>(o, axis, rows, c, a, b, y); }
function compareI32(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { compareRows<i32>(o, axis, rows, c, a, b, y); }
function compareI64(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { compareRows<i64>(o, axis, rows, c, a, b, y); }
function compareU8(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { compareRows<u8>(o, axis, rows, c, a, b, y); }
function compareI8(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { compareRows<i8>(o, axis, rows, c, a, b, y); }
function compareI16(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { compareRows<i16>(o, axis, rows, c, a, b, y); }
function compareU16(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { compareRows<u16>(o, axis, rows, c, a, b, y); }
function compareU32(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { compareRows<u32>(o, axis, rows, c, a, b, y); }
function compareU64(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { compareRows<u64>(o, axis, rows, c, a, b, y); }
function compareF64(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { compareRows<f64>(o, axis, rows, c, a, b, y); }
function where8(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { whereRows<u8>(o, axis, rows, c, a, b, y); }
function where16(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { whereRows<u16>(o, axis, rows, c, a, b, y); }
function where32(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { whereRows<u32>(o, axis, rows, c, a, b, y); }
function where64(o: Broadcast, axis: Axis, rows: i32, c: usize, a: usize, b: usize, y: usize): void { whereRows<u64>(o, axis, rows, c, a, b, y); }

// By element type (assembly/opcodes.ts). A bool is a byte; float16 and bfloat16 are widened before they get here.
export const TYPED: StaticArray<Rows> = [
  binaryF32, binaryI32, binaryI64, binaryU8, binaryI8, binaryU8, binaryI16, binaryU16,
  binaryU32, binaryU64, binaryF64,
];
export const COMPARE: StaticArray<Rows> = [
  compareF32, compareI32, compareI64, compareU8, compareI8, compareU8, compareI16, compareU16,
  compareU32, compareU64, compareF64,
];
/** By the logarithm of the element's bytes: what is moved needs no type. */
export const WHERE: StaticArray<Rows> = [where8, where16, where32, where64];
