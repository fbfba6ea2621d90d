/** Shapes and strides, both in elements. */
import { elementCount } from '../engine/tensor.ts';

/** Row-major strides; rows of the innermost axis may lie further apart than they are long. */
export function stridesOf(dims: readonly number[], rowStride = dims.at(-1) ?? 1): number[] {
  const strides = new Array<number>(dims.length).fill(1);
  if (dims.length > 1) strides[dims.length - 2] = rowStride;
  for (let axis = dims.length - 3; axis >= 0; axis--)
    strides[axis] = (strides[axis + 1] as number) * (dims[axis + 1] as number);
  return strides;
}

/** Strides that walk `dims` as if broadcast (numpy's rule) to `shape`: 0 where an element is repeated. */
export function broadcastStrides(dims: readonly number[], shape: readonly number[], rowStride?: number): number[] {
  const own = stridesOf(dims, rowStride);
  const missing = shape.length - dims.length;
  return shape.map((_, axis) => {
    const at = axis - missing;
    return at < 0 || dims[at] === 1 ? 0 : (own[at] as number);
  });
}

/** The common shape by numpy's rule, or `undefined` when there is none. */
export function broadcastDims(...shapes: (readonly number[])[]): number[] | undefined {
  const rank = Math.max(0, ...shapes.map((dims) => dims.length));
  const result = new Array<number>(rank).fill(1);
  for (const dims of shapes) {
    for (let axis = 0; axis < dims.length; axis++) {
      const at = rank - dims.length + axis;
      const size = dims[axis] as number;
      if (size === 1 || size === result[at]) continue;
      if (result[at] !== 1) return undefined;
      result[at] = size;
    }
  }
  return result;
}

/**
 * Joins neighbouring axes that every operand walks in one stride and drops those of size 1, so that kernels see few
 * long axes. Returns at least one axis.
 */
export function joinAxes(
  shape: readonly number[],
  operands: readonly (readonly number[])[],
): { shape: number[]; strides: number[][] } {
  const sizes: number[] = [];
  const strides: number[][] = operands.map(() => []);
  for (let axis = 0; axis < shape.length; axis++) {
    const size = shape[axis] as number;
    if (size === 1) continue;
    const last = sizes.length - 1;
    const joins = last >= 0 && operands.every((operand, i) => strides[i]?.[last] === (operand[axis] as number) * size);
    if (joins) sizes[last] = (sizes[last] as number) * size;
    else sizes.push(size);
    operands.forEach((operand, i) => {
      (strides[i] as number[])[sizes.length - 1] = operand[axis] as number;
    });
  }
  if (sizes.length === 0) return { shape: [1], strides: operands.map(() => [0]) };
  return { shape: sizes, strides };
}

export function sameDims(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}

/** `perm` such that applying it after `first` gives one transposition: axis i of the result is first[second[i]]. */
export function composePerms(first: readonly number[], second: readonly number[]): number[] {
  return second.map((axis) => first[axis] as number);
}

export function invertPerm(perm: readonly number[]): number[] {
  const inverse = new Array<number>(perm.length);
  perm.forEach((from, to) => {
    inverse[from] = to;
  });
  return inverse;
}

/** Whether the transposition leaves the elements where they are in memory: only axes of size 1 change places. */
export function keepsOrder(dims: readonly number[], perm: readonly number[]): boolean {
  const moved = perm.filter((axis) => dims[axis] !== 1);
  return moved.every((axis, i) => i === 0 || (moved[i - 1] as number) < axis);
}

/** Calls `visit` with the offset of each operand, for every element of `shape` in row-major order. */
export function walk(
  shape: readonly number[],
  strides: readonly (readonly number[])[],
  visit: (index: number, offsets: readonly number[]) => void,
): void {
  const count = elementCount(shape);
  const position = new Array<number>(shape.length).fill(0);
  const offsets = new Array<number>(strides.length).fill(0);
  for (let index = 0; index < count; index++) {
    visit(index, offsets);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const size = shape[axis] as number;
      position[axis] = (position[axis] as number) + 1;
      const wrapped = position[axis] === size;
      if (wrapped) position[axis] = 0;
      for (let i = 0; i < strides.length; i++) {
        const stride = strides[i]?.[axis] as number;
        offsets[i] = (offsets[i] as number) + (wrapped ? stride * (1 - size) : stride);
      }
      if (!wrapped) break;
    }
  }
}

/**
 * As `walk`, a row at a time: `visit` gets the index of a row's first element, the row's length, and for each operand the
 * offset of the first element and the step from one to the next. Axes that all operands walk alike make one row.
 */
export function walkRows(
  shape: readonly number[],
  strides: readonly (readonly number[])[],
  visit: (index: number, count: number, offsets: readonly number[], steps: readonly number[]) => void,
): void {
  if (elementCount(shape) === 0) return;
  const joined = joinAxes(shape, strides);
  const count = joined.shape.at(-1) as number;
  const steps = joined.strides.map((each) => each.at(-1) as number);
  const outer = joined.strides.map((each) => each.slice(0, -1));
  walk(joined.shape.slice(0, -1), outer, (row, offsets) => visit(row * count, count, offsets, steps));
}
