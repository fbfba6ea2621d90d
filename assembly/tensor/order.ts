// Along the middle axis of [outer, axis, inner]: running sums and products, and the largest elements in order.
import * as op from '../opcodes.ts';
import { TopK, at } from '../operands.ts';

function run<T>(kind: i32, x: usize, y: usize, outer: i32, axis: i32, inner: i32, count: i32, from: i32, to: i32): void {
  const isProduct = (kind & op.CUMULATE_PRODUCT) != 0, exclusive = (kind & op.CUMULATE_EXCLUSIVE) != 0;
  const backwards = (kind & op.CUMULATE_REVERSE) != 0;
  const stride = <isize>inner * sizeof<T>();
  const step = backwards ? -stride : stride;
  for (let i = 0; i < outer; i++) {
    for (let column = 0; column < count; column++) {
      let offset = <isize>column * sizeof<T>() + (backwards ? (axis - 1 - from) * stride : from * stride);
      let sum = isProduct ? <T>1 : <T>0;
      if (from > 0) {
        sum = load<T>(y + offset - step);
        if (exclusive) sum = isProduct ? <T>(sum * load<T>(x + offset - step)) : <T>(sum + load<T>(x + offset - step));
      }
      for (let j = from; j < to; j++) {
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

/** Kinds are those of CUMULATE added up. Integers wrap around. Of `count` of the inner columns, the steps [from, to) along the axis. */
export function cumulate(
  type: i32, kind: i32, x: usize, y: usize, outer: i32, axis: i32, inner: i32, count: i32, from: i32, to: i32,
): void {
  switch (type) {
    case op.FLOAT32: return run<f32>(kind, x, y, outer, axis, inner, count, from, to);
    case op.FLOAT64: return run<f64>(kind, x, y, outer, axis, inner, count, from, to);
    case op.INT64:
    case op.UINT64: return run<i64>(kind, x, y, outer, axis, inner, count, from, to);
    case op.INT32:
    case op.UINT32: return run<i32>(kind, x, y, outer, axis, inner, count, from, to);
    case op.INT16:
    case op.UINT16: return run<i16>(kind, x, y, outer, axis, inner, count, from, to);
    default: return run<i8>(kind, x, y, outer, axis, inner, count, from, to);
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

/** Indices that a step writes down. */
const INDICES_AT_ONCE: i32 = 1024;

/** Steps of a row: its indices are written down, a thousand at a time; then each root of the heap, the last first; then the k are taken. */
function choose<T>(o: TopK): void {
  const axis = o.axis, inner = o.inner, largest = (o.kind & 1) != 0, heap = at(o.heap);
  const stride = <usize>inner * sizeof<T>();
  const blocks = (axis + INDICES_AT_ONCE - 1) / INDICES_AT_ONCE, roots = axis / 2;
  for (let row = o.begin; row < o.end; row++) {
    const column = <usize>(row % inner), block = <usize>(row / inner);
    const from = at(o.x) + block * axis * stride + column * sizeof<T>();
    let step = o.from;
    for (; step < min(o.to, blocks); step++)
      for (let i = step * INDICES_AT_ONCE; i < min(axis, (step + 1) * INDICES_AT_ONCE); i++) store<i32>(heap + (<usize>i << 2), i);
    for (; step < min(o.to, blocks + roots); step++) sink<T>(heap, axis, blocks + roots - 1 - step, from, stride, largest);
    for (; step < o.to; step++) {
      const place = step - blocks - roots, left = axis - place;
      const index = load<i32>(heap), to = block * o.k * inner + <usize>place * inner + column;
      store<T>(at(o.values) + to * sizeof<T>(), load<T>(from + <usize>index * stride));
      store<i64>(at(o.indices) + (to << 3), index);
      store<i32>(heap, load<i32>(heap + (<usize>(left - 1) << 2)));
      if (left > 1) sink<T>(heap, left - 1, 0, from, stride, largest);
    }
  }
}

/** The k largest (or least) elements, in order, and where they were (int64). */
export function topK(type: i32, o: TopK): void {
  switch (type) {
    case op.FLOAT32: return choose<f32>(o);
    case op.FLOAT64: return choose<f64>(o);
    case op.INT64: return choose<i64>(o);
    case op.UINT64: return choose<u64>(o);
    case op.INT32: return choose<i32>(o);
    case op.UINT32: return choose<u32>(o);
    case op.INT16: return choose<i16>(o);
    case op.UINT16: return choose<u16>(o);
    case op.INT8: return choose<i8>(o);
    default: return choose<u8>(o);
  }
}
