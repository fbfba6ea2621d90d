/** Unique, for elements of every type and for slices along an axis. Source: ONNX Operators.md, Unique. */
import { numbersOf } from '../../compile/evaluate.ts';
import { elementCount } from '../../engine/tensor.ts';
import type { EngineValue } from '../../engine/value.ts';
import { type AnyTensor, int64s, pick, placesOf, reshaped, stridesOf } from './elements.ts';
import type { HostContext } from './host-context.ts';

type Elements = ArrayLike<number | bigint | string>;

/** Numbers of less than 32 bits are stored as bits, which have another order. */
function comparable(tensor: AnyTensor): Elements {
  if (tensor.type === 'string') return tensor.data;
  return typeof tensor.data[0] === 'bigint' ? tensor.data : numbersOf(tensor);
}

/** NaNs are equal to each other, and come last. */
function compare(a: Elements[number], b: Elements[number]): number {
  if (a === b) return 0;
  if (a < b) return -1;
  return a > b ? 1 : Number(Number.isNaN(a)) - Number(Number.isNaN(b));
}

/** Slices along an axis, in order; of equal ones the first comes first. */
function sortedSlices(tensor: AnyTensor, axis: number): { order: Int32Array; isEqual(a: number, b: number): boolean } {
  const elements = comparable(tensor);
  const strides = stridesOf(tensor.dims);
  const places = placesOf(tensor.dims.with(axis, 1), strides);
  const stride = strides[axis] as number;
  const compareSlices = (a: number, b: number): number => {
    for (const place of places) {
      const result = compare(
        elements[place + a * stride] as Elements[number],
        elements[place + b * stride] as Elements[number],
      );
      if (result !== 0) return result;
    }
    return 0;
  };
  const order = Int32Array.from({ length: tensor.dims[axis] as number }, (_, index) => index);
  return { order: order.sort((a, b) => compareSlices(a, b) || a - b), isEqual: (a, b) => compareSlices(a, b) === 0 };
}

/** Equal slices, each with where it was first; in order, or in the order in which they came. */
function groupsOf(tensor: AnyTensor, axis: number, sorted: boolean): readonly (readonly number[])[] {
  const { order, isEqual } = sortedSlices(tensor, axis);
  const groups: number[][] = [];
  for (const slice of order) {
    const last = groups.at(-1);
    if (last && isEqual(last[0] as number, slice)) last.push(slice);
    else groups.push([slice]);
  }
  return sorted ? groups : groups.sort((a, b) => (a[0] as number) - (b[0] as number));
}

/** X → the slices that differ, where each was first, which of them each slice of X is, and how often each was there. */
export function unique(node: HostContext): readonly EngineValue[] {
  const given = node.anyTensor(0);
  const tensor = node.has('axis') ? given : reshaped(given, [elementCount(given.dims)]);
  const axis = node.axis(node.int('axis', 0), tensor.dims.length);
  const groups = groupsOf(tensor, axis, node.flag('sorted', true));
  const firsts = groups.map((group) => group[0] as number);
  const inverse = new Array<number>(tensor.dims[axis] as number);
  for (const [index, group] of groups.entries()) for (const slice of group) inverse[slice] = index;
  const [rows, inner] = [tensor.dims.slice(0, axis), tensor.dims.slice(axis + 1)].map(elementCount) as [number, number];
  const size = tensor.dims[axis] as number;
  const places = new Int32Array(rows * firsts.length * inner);
  for (let row = 0, at = 0; row < rows; row++)
    for (const first of firsts) for (let i = 0; i < inner; i++) places[at++] = (row * size + first) * inner + i;
  const count = groups.length;
  return [
    pick(tensor, tensor.dims.with(axis, count), places),
    int64s([count], firsts),
    int64s([inverse.length], inverse),
    int64s(
      [count],
      groups.map((group) => group.length),
    ),
  ];
}
