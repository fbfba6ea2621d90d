/** Tensors on the host, of numbers or of texts, as lists of elements. */
import { arrayOf, elementCount, type Tensor } from '../../engine/tensor.ts';
import type { StringTensor } from '../../engine/value.ts';

export type AnyTensor = Tensor | StringTensor;

/** What one operator on the host may give: elements of a tensor, items of a sequence. */
export const ELEMENTS_MAX = 2 ** 26;
/** Characters of all texts of a tensor together. */
export const CHARACTERS_MAX = 2 ** 26;

/** Number of elements; throws an Error for more than `ELEMENTS_MAX`. To be called before anything is allocated. */
export function boundedCount(dims: readonly number[]): number {
  const count = elementCount(dims);
  if (!dims.every((dim) => dim >= 0)) throw new Error(`expected dimensions of 0 or more, got [${dims}]`);
  if (!(count <= ELEMENTS_MAX)) throw new Error(`expected a result of at most ${ELEMENTS_MAX} elements, got [${dims}]`);
  return count;
}

/** Throws an Error when the texts are longer than `CHARACTERS_MAX` together. */
export function texts(dims: readonly number[], data: readonly string[]): StringTensor {
  let characters = 0;
  for (const text of data) characters += text.length;
  if (characters > CHARACTERS_MAX)
    throw new Error(`expected texts of at most ${CHARACTERS_MAX} characters together, got ${characters}`);
  return { type: 'string', dims, data };
}

export function int64s(dims: readonly number[], values: readonly number[]): Tensor {
  return { type: 'int64', dims, data: BigInt64Array.from(values, BigInt) };
}

export function bools(dims: readonly number[], values: readonly boolean[]): Tensor {
  return { type: 'bool', dims, data: Uint8Array.from(values, Number) };
}

/** A tensor of the elements at these places of `source`, one for each element of `dims`. */
export function pick(source: AnyTensor, dims: readonly number[], places: ArrayLike<number>): AnyTensor {
  if (source.type === 'string') {
    const { data } = source;
    return texts(
      dims,
      Array.from(places, (place) => data[place] as string),
    );
  }
  checkDense(source);
  const data = new (arrayOf(source.type))(places.length);
  for (let i = 0; i < places.length; i++) data[i] = source.data[places[i] as number] as number & bigint;
  return { type: source.type, dims, data };
}

/** The same elements in another shape. */
export function reshaped(source: AnyTensor, dims: readonly number[]): AnyTensor {
  return source.type === 'string'
    ? { type: 'string', dims, data: source.data }
    : { type: source.type, dims, data: source.data };
}

/** Parts of one element type, whose shapes differ along `axis` at most, behind one another. */
export function concatenated(parts: readonly AnyTensor[], axis: number): AnyTensor {
  const [first] = parts;
  if (!first) throw new Error('expected one tensor or more, got none');
  for (const part of parts) {
    if (part.type !== first.type) throw new Error(`expected tensors of one type, got ${first.type} and ${part.type}`);
    if (part.dims.length !== first.dims.length || part.dims.some((dim, i) => i !== axis && dim !== first.dims[i]))
      throw new Error(`expected shapes that differ in axis ${axis} only, got [${first.dims}] and [${part.dims}]`);
  }
  const dims = first.dims.with(
    axis,
    parts.reduce((sum, part) => sum + (part.dims[axis] as number), 0),
  );
  const count = boundedCount(dims);
  const rows = elementCount(dims.slice(0, axis));
  const lengths = parts.map((part) => elementCount(part.dims.slice(axis)));
  if (first.type === 'string') {
    const data: string[] = [];
    for (let row = 0; row < rows; row++) {
      for (const [index, part] of parts.entries()) {
        const length = lengths[index] as number;
        for (let i = row * length; i < (row + 1) * length; i++) data.push(part.data[i] as string);
      }
    }
    return texts(dims, data);
  }
  const data = new (arrayOf(first.type))(count);
  let at = 0;
  for (let row = 0; row < rows; row++) {
    for (const [index, part] of (parts as readonly Tensor[]).entries()) {
      const length = lengths[index] as number;
      if (row === 0) checkDense(part);
      data.set(part.data.subarray(row * length, (row + 1) * length) as never, at);
      at += length;
    }
  }
  return { type: first.type, dims, data };
}

/** Types that share bytes between elements are for the kernels. */
function checkDense(tensor: Tensor): void {
  if (tensor.data.length !== elementCount(tensor.dims))
    throw new Error(`expected one array entry for each element, got ${tensor.data.length} for [${tensor.dims}]`);
}

/** Elements between neighbours along each axis, row-major. */
export function stridesOf(dims: readonly number[]): number[] {
  const strides: number[] = [];
  let stride = 1;
  for (const dim of dims.toReversed()) {
    strides.unshift(stride);
    stride *= dim;
  }
  return strides;
}

/** Places of the elements of a view, row-major: `dims` elements from `origin` on, `strides` apart. */
export function placesOf(dims: readonly number[], strides: readonly number[], origin = 0): Int32Array {
  let places = Int32Array.of(origin);
  boundedCount(dims);
  for (const [axis, dim] of dims.entries()) {
    const stride = strides[axis] as number;
    const next = new Int32Array(places.length * dim);
    for (let i = 0, at = 0; i < places.length; i++) {
      for (let step = 0; step < dim; step++) next[at++] = (places[i] as number) + step * stride;
    }
    places = next;
  }
  return places;
}

/** The shape that shapes take together (ONNX, "Multidirectional broadcasting"). */
export function broadcastDims(...shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((dims) => dims.length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = new Set(shapes.map((dims) => dims[axis - rank + dims.length] ?? 1));
    sizes.delete(1);
    if (sizes.size > 1)
      throw new Error(`expected shapes that broadcast, got ${shapes.map((dims) => `[${dims}]`).join(' and ')}`);
    return [...sizes][0] ?? 1;
  });
}

/** Where a tensor of shape `from` has the elements of its broadcast form. */
export function broadcastPlaces(from: readonly number[], to: readonly number[]): Int32Array {
  const strides = stridesOf(from);
  const lead = to.length - from.length;
  return placesOf(
    to,
    to.map((_, axis) => (axis < lead || from[axis - lead] === 1 ? 0 : (strides[axis - lead] as number))),
  );
}
