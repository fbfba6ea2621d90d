// Writing to places that are given as numbers. Bool is a byte; halves are widened before.
import * as op from '../opcodes.ts';

/** y int64 = x, negative ones counted from the end of an axis of `size`. Returns FAULT_INDEX when one lies outside. */
export function wrapIndices(x: usize, wide: bool, y: usize, count: i32, size: i32): i32 {
  for (let i: usize = 0; i < <usize>count; i++) {
    let index: i64 = wide ? load<i64>(x + (i << 3)) : <i64>load<i32>(x + (i << 2));
    if (index < 0) index += size;
    if (index < 0 || index >= size) return op.FAULT_INDEX;
    store<i64>(y + (i << 3), index);
  }
  return op.OK;
}

// @ts-ignore: decorator
@inline
function joined<T>(kind: i32, a: T, b: T): T {
  if (kind == op.SCATTER_ADD) return <T>(a + b);
  if (kind == op.SCATTER_MUL) return <T>(a * b);
  if (isFloat<T>() && (a != a || b != b)) return <T>(a + b);
  if (kind == op.SCATTER_MAX) return a > b ? a : b;
  return a < b ? a : b;
}

function join<T>(kind: i32, y: usize, x: usize, count: i32): void {
  for (let i = 0; i < count; i++) {
    store<T>(y, joined<T>(kind, load<T>(y), load<T>(x)));
    x += sizeof<T>();
    y += sizeof<T>();
  }
}

function joinTyped(type: i32, kind: i32, y: usize, x: usize, count: i32): void {
  switch (type) {
    case op.FLOAT32: return join<f32>(kind, y, x, count);
    case op.FLOAT64: return join<f64>(kind, y, x, count);
    case op.INT64: return join<i64>(kind, y, x, count);
    case op.UINT64: return join<u64>(kind, y, x, count);
    case op.INT32: return join<i32>(kind, y, x, count);
    case op.UINT32: return join<u32>(kind, y, x, count);
    case op.INT16: return join<i16>(kind, y, x, count);
    case op.UINT16: return join<u16>(kind, y, x, count);
    case op.INT8: return join<i8>(kind, y, x, count);
    default: return join<u8>(kind, y, x, count);
  }
}

/** Rows [begin, end) of `updates`, `count` elements of `inner` of each, go to the rows of y that `positions` (int64) name, in this order. */
export function scatter(
  type: i32, shift: i32, kind: i32, y: usize, positions: usize, updates: usize, rows: i32, inner: i32, begin: i32, end: i32, count: i32,
): i32 {
  const bytes = <usize>inner << shift;
  for (let row = begin; row < end; row++) {
    const position = load<i64>(positions + (<usize>row << 3));
    if (position < 0 || position >= rows) return op.FAULT_INDEX;
    const to = y + <usize>position * bytes, from = updates + <usize>row * bytes;
    if (kind == op.SCATTER_SET) memory.copy(to, from, <usize>count << shift);
    else joinTyped(type, kind, to, from, count);
  }
  return op.OK;
}
