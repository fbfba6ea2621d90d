/** Tensors brought into the shape and type that somebody else asks for. */
import { numbersOf, tensorOf } from '../compile/evaluate.ts';
import { type HalfType, isHalf } from '../compile/half.ts';
import {
  arrayOf,
  type DataType,
  elementCount,
  isByteFloat,
  smallRanges,
  type Tensor,
  type TypedArray,
  type ValueDescription,
} from '../engine/tensor.ts';

/** The same elements under other dimensions, of which one may be −1: whatever is left. */
export function shaped(tensor: Tensor, dims: readonly number[], place: string): Tensor {
  const count = elementCount(tensor.dims);
  const open = dims.indexOf(-1);
  const known = elementCount(dims.filter((dim) => dim !== -1));
  const whole = open < 0 ? dims : dims.with(open, known === 0 ? 0 : count / known);
  if (elementCount(whole) !== count || !whole.every(Number.isInteger)) {
    throw new Error(
      `${place}: expected elements for dims [${dims.join(', ')}], got ${count} of [${tensor.dims.join(', ')}]`,
    );
  }
  return { type: tensor.type, dims: whole, data: tensor.data };
}

/**
 * The tensor under a model input's declared dimensions. Symbolic dimensions take what comes; leading dimensions of 1
 * are added where the input has more of them. Throws when the elements cannot lie that way.
 */
export function fitted(tensor: Tensor, declared: ValueDescription['dims'], place: string): Tensor {
  const missing = declared.length - tensor.dims.length;
  const dims = missing > 0 ? [...Array<number>(missing).fill(1), ...tensor.dims] : tensor.dims;
  const agrees =
    dims.length === declared.length && declared.every((dim, i) => typeof dim !== 'number' || dim === dims[i]);
  // No declared shape at all means any (check-inputs.ts).
  if (agrees || (declared.length === 0 && elementCount(tensor.dims) !== 1)) return { ...tensor, dims };
  // The file fixes every dimension: row-major elements have only one place to go.
  const fixed = declared.map((dim) => (typeof dim === 'number' ? dim : 1));
  if (elementCount(fixed) === elementCount(tensor.dims)) return { ...tensor, dims: fixed };
  throw new Error(
    `${place}: the model wants ${dimsText(declared)}, got [${tensor.dims.join(', ')}]; "dims" can give it another shape`,
  );
}

export function dimsText(dims: ValueDescription['dims']): string {
  return `[${dims.map((dim) => dim ?? '?').join(', ')}]`;
}

/** The tensor in another element type. Throws when a value has no place in it: 1.5 or 300 as uint8. */
export function converted(tensor: Tensor, type: DataType, place: string): Tensor {
  if (tensor.type === type) return tensor;
  // Short floats lie in memory as words and bytes, not as the numbers that they stand for.
  const data = isHalf(tensor.type) || isByteFloat(tensor.type) ? numbersOf(tensor) : tensor.data;
  if (isHalf(type)) return { ...tensor, type, data: shortFloats(data, type) };
  if (isByteFloat(type)) return tensorOf(type, tensor.dims, Float64Array.from(data as number[], Number));
  const [least, most] = smallRanges[type] ?? [-Infinity, Infinity];
  const target = new (arrayOf(type))(data.length);
  const whole = target instanceof BigInt64Array || target instanceof BigUint64Array;
  for (let i = 0; i < data.length; i++) {
    const value = data[i] as number | bigint;
    if (whole && !Number.isInteger(Number(value))) throw misplaced(value, i, type, place);
    (target as Float64Array)[i] = (whole ? BigInt(value) : Number(value)) as number;
    const kept = Number(target[i]);
    const holds =
      target instanceof Float32Array
        ? Number.isFinite(kept) || !Number.isFinite(value)
        : kept === Number(value) && kept >= least && kept <= most;
    if (!holds) throw misplaced(value, i, type, place);
  }
  return { type, dims: tensor.dims, data: target };
}

function misplaced(value: number | bigint, index: number, type: DataType, place: string): Error {
  return new Error(`${place}: element ${index}: expected a value that ${type} can hold, got ${value}`);
}

/** IEEE half precision, or the upper half of a float32, as 16-bit words. */
function shortFloats(data: TypedArray | readonly number[], type: HalfType): TypedArray {
  const floats = Float32Array.from(data as readonly number[], Number);
  if (type === 'float16') return new Uint16Array(Float16Array.from(floats).buffer);
  // Round to nearest, ties to even, as hardware does.
  return Uint16Array.from(new Uint32Array(floats.buffer), (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16);
}
