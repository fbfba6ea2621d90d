// Along the middle axis of [outer, axis, inner]: running sums and products, and the largest elements in order.
import * as op from '../opcodes.ts';

function run<T>(kind: i32, x: usize, y: usize, outer: i32, axis: i32, inner: i32): void {
  const isProduct = (kind & op.CUMULATE_PRODUCT) != 0, exclusive = (kind & op.CUMULATE_EXCLUSIVE) != 0;
  const backwards = (kind & op.CUMULATE_REVERSE) != 0;
  const stride = <isize>inner * sizeof<T>();
  const step = backwards ? -stride : stride;
  for (let i = 0; i < outer; i++) {
    for (let column = 0; column < inner; column++) {
      let offset = <isize>column * sizeof<T>() + (backwards ? (axis - 1) * stride : 0);
      let sum = isProduct ? <T>1 : <T>0;
      for (let j = 0; j < axis; j++) {
        const value = load<T>(x + offset), before = sum;
        sum = isProduct ? <T>(sum * value) : <T>(sum + value);
        store<T>(y + offset, exclusive ? before : sum);
        offset += step;
      }
    }
    x += axis * stride;
    y += axis * stride;
  }
}

/** Kinds are those of CUMULATE added up. Integers wrap around. */
export function cumulate(type: i32, kind: i32, x: usize, y: usize, outer: i32, axis: i32, inner: i32): void {
  switch (type) {
    case op.FLOAT32: return run<f32>(kind, x, y, outer, axis, inner);
    case op.FLOAT64: return run<f64>(kind, x, y, outer, axis, inner);
    case op.INT64:
    case op.UINT64: return run<i64>(kind, x, y, outer, axis, inner);
    case op.INT32:
    case op.UINT32: return run<i32>(kind, x, y, outer, axis, inner);
    case op.INT16:
    case op.UINT16: return run<i16>(kind, x, y, outer, axis, inner);
    default: return run<i8>(kind, x, y, outer, axis, inner);
  }
}

/** Whether element a comes before element b: NaN counts as largest, of equal ones the first comes first. */
// @ts-ignore: decorator
@inline
function isBefore<T>(x: usize, stride: usize, largest: bool, a: i32, b: i32): bool {
  const p = load<T>(x + <usize>a * stride), q = load<T>(x + <usize>b * stride);
  if (isFloat<T>() && (p != p || q != q)) {
    if (p != p && q != q) return a < b;
    return (p != p) == largest;
  }
  if (p == q) return a < b;
  return (p > q) == largest;
}

/** Lets element `root` of a heap (its first is the one that comes first) sink to its place. */
export function sink<T>(heap: usize, count: i32, root: i32, x: usize, stride: usize, largest: bool): void {
  const moving = load<i32>(heap + (<usize>root << 2));
  while (true) {
    let child = 2 * root + 1;
    if (child >= count) break;
    let index = load<i32>(heap + (<usize>child << 2));
    if (child + 1 < count) {
      const right = load<i32>(heap + (<usize>(child + 1) << 2));
      if (isBefore<T>(x, stride, largest, right, index)) {
        child++;
        index = right;
      }
    }
    if (!isBefore<T>(x, stride, largest, index, moving)) break;
    store<i32>(heap + (<usize>root << 2), index);
    root = child;
  }
  store<i32>(heap + (<usize>root << 2), moving);
}

function choose<T>(
  x: usize, values: usize, indices: usize, heap: usize, outer: i32, axis: i32, inner: i32, k: i32, largest: bool,
): void {
  const stride = <usize>inner * sizeof<T>();
  for (let row = 0; row < outer * inner; row++) {
    const column = <usize>(row % inner), block = <usize>(row / inner);
    const from = x + block * axis * stride + column * sizeof<T>();
    for (let i = 0; i < axis; i++) store<i32>(heap + (<usize>i << 2), i);
    for (let root = axis / 2 - 1; root >= 0; root--) sink<T>(heap, axis, root, from, stride, largest);
    let to = block * k * inner + column;
    for (let left = axis; left > axis - k; left--) {
      const index = load<i32>(heap);
      store<T>(values + to * sizeof<T>(), load<T>(from + <usize>index * stride));
      store<i64>(indices + (to << 3), index);
      to += inner;
      store<i32>(heap, load<i32>(heap + (<usize>(left - 1) << 2)));
      if (left > 1) sink<T>(heap, left - 1, 0, from, stride, largest);
    }
  }
}

/** The k largest (or least) elements, in order, and where they were (int64). `heap` has room for `axis` int32. */
export function topK(
  type: i32, x: usize, values: usize, indices: usize, heap: usize, outer: i32, axis: i32, inner: i32, k: i32, largest: bool,
): void {
  switch (type) {
    case op.FLOAT32: return choose<f32>(x, values, indices, heap, outer, axis, inner, k, largest);
    case op.FLOAT64: return choose<f64>(x, values, indices, heap, outer, axis, inner, k, largest);
    case op.INT64: return choose<i64>(x, values, indices, heap, outer, axis, inner, k, largest);
    case op.UINT64: return choose<u64>(x, values, indices, heap, outer, axis, inner, k, largest);
    case op.INT32: return choose<i32>(x, values, indices, heap, outer, axis, inner, k, largest);
    case op.UINT32: return choose<u32>(x, values, indices, heap, outer, axis, inner, k, largest);
    case op.INT16: return choose<i16>(x, values, indices, heap, outer, axis, inner, k, largest);
    case op.UINT16: return choose<u16>(x, values, indices, heap, outer, axis, inner, k, largest);
    case op.INT8: return choose<i8>(x, values, indices, heap, outer, axis, inner, k, largest);
    default: return choose<u8>(x, values, indices, heap, outer, axis, inner, k, largest);
  }
}
