/** Tensors cut along an axis and put together along a new one, as loops take and give them. */
import { arrayOf, elementCount, type Tensor, type TypedArray } from './tensor.ts';

/** The parts of a tensor along an axis, without that axis. */
export function slicesOf(x: Tensor, axis: number): Tensor[] {
  const size = x.dims[axis] as number;
  const dims = x.dims.filter((_, index) => index !== axis);
  const outer = elementCount(x.dims.slice(0, axis));
  const inner = elementCount(x.dims.slice(axis + 1));
  return Array.from({ length: size }, (_, part) => {
    const data = new (arrayOf(x.type))(outer * inner);
    for (let row = 0; row < outer; row++) {
      const from = (row * size + part) * inner;
      copy(data, row * inner, x.data.subarray(from, from + inner));
    }
    return { type: x.type, dims, data };
  });
}

/** Tensors of one type and shape, behind each other along a new axis; `empty` says what there is when there are none. */
export function stackTensors(
  tensors: readonly Tensor[],
  axis: number,
  empty: Pick<Tensor, 'type' | 'dims'> = { type: 'float32', dims: [0] },
): Tensor {
  const [first] = tensors;
  if (!first) return { ...empty, data: new (arrayOf(empty.type))(0) };
  const { type, dims } = first;
  const odd = tensors.find((each) => each.type !== type || each.dims.join() !== dims.join());
  if (odd) throw new Error(`expected every iteration to give ${type} [${dims}], got ${odd.type} [${odd.dims}]`);
  const outer = elementCount(dims.slice(0, axis));
  const inner = elementCount(dims.slice(axis));
  const data = new (arrayOf(type))(tensors.length * outer * inner);
  tensors.forEach((tensor, part) => {
    for (let row = 0; row < outer; row++) {
      const at = (row * tensors.length + part) * inner;
      copy(data, at, tensor.data.subarray(row * inner, (row + 1) * inner));
    }
  });
  return { type, dims: [...dims.slice(0, axis), tensors.length, ...dims.slice(axis)], data };
}

/** Both are arrays of the same type, which TypeScript cannot see. */
function copy(target: TypedArray, at: number, source: TypedArray): void {
  (target as Float32Array).set(source as Float32Array, at);
}
