/**
 * Tensors as they cross the engine's border: dense, row-major, in ONNX's own types.
 * Source of the type names: onnx.proto3, TensorProto.DataType.
 */

export type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

/** ONNX element types that have a dense array form here. `float16` and `bfloat16` are kept as raw 16-bit words. */
export type DataType =
  | 'float32'
  | 'float64'
  | 'float16'
  | 'bfloat16'
  | 'int8'
  | 'uint8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'uint32'
  | 'int64'
  | 'uint64'
  | 'bool';

export interface Tensor {
  readonly type: DataType;
  readonly dims: readonly number[];
  readonly data: TypedArray;
}

/** A model's input or output as its file declares it. A string is a symbolic dimension, `null` an unknown one. */
export interface ValueDescription {
  readonly name: string;
  readonly type: DataType | string;
  readonly dims: readonly (number | string | null)[];
}

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
} as const;

export function arrayOf(type: DataType): (typeof arrays)[DataType] {
  return arrays[type];
}

export function elementBytes(type: DataType): number {
  return arrays[type].BYTES_PER_ELEMENT;
}

export function elementCount(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1);
}
