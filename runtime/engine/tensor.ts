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

/** Floats of 8 and 4 bits. */
export type ByteFloat =
  | 'float8e4m3fn'
  | 'float8e4m3fnuz'
  | 'float8e5m2'
  | 'float8e5m2fnuz'
  | 'float8e8m0'
  | 'float4e2m1';

/** Integers of 4 and 2 bits. */
export type SmallInteger = 'uint4' | 'int4' | 'uint2' | 'int2';

/**
 * ONNX element types that have a dense array form here. `float16` and `bfloat16` are kept as raw 16-bit words. Types of 8 bits and fewer
 * take one byte an element, in memory too: files pack those of 4 and 2 bits, and the reader unpacks them. A float4 is the low 4 bits.
 */
export type DataType =
  | ByteFloat
  | SmallInteger
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
  float8e4m3fn: Uint8Array,
  float8e4m3fnuz: Uint8Array,
  float8e5m2: Uint8Array,
  float8e5m2fnuz: Uint8Array,
  float8e8m0: Uint8Array,
  float4e2m1: Uint8Array,
  uint4: Uint8Array,
  int4: Int8Array,
  uint2: Uint8Array,
  int2: Int8Array,
} as const;

/** Least and largest element where the array could hold others. */
export const smallRanges: Partial<Record<DataType, readonly [least: number, most: number]>> = {
  float4e2m1: [0, 15],
  uint4: [0, 15],
  int4: [-8, 7],
  uint2: [0, 3],
  int2: [-2, 1],
};

export function isByteFloat(type: DataType): type is ByteFloat {
  return type.startsWith('float8') || type === 'float4e2m1';
}

export function isSmallInteger(type: DataType): type is SmallInteger {
  return type === 'uint4' || type === 'int4' || type === 'uint2' || type === 'int2';
}

export function arrayOf(type: DataType): (typeof arrays)[DataType] {
  return arrays[type];
}

export function elementBytes(type: DataType): number {
  return arrays[type].BYTES_PER_ELEMENT;
}

export function elementCount(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1);
}
