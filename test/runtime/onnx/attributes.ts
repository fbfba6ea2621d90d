/** Attributes of test models. Field numbers: onnx.proto3, AttributeProto. */

import {
  type AttributeSpec,
  type GraphSpec,
  type TensorSpec,
  writeGraph,
  writeTensor,
} from '../../../bench/write-model.ts';
import type { Tensor } from '../../../runtime/engine/tensor.ts';

export function float(name: string, value: number): AttributeSpec {
  return { name, type: 1, write: (writer) => writer.writeFloatField(2, value) };
}

export function int(name: string, value: number): AttributeSpec {
  return { name, type: 2, write: (writer) => writer.writeVarintField(3, value) };
}

export function text(name: string, value: string): AttributeSpec {
  return { name, type: 3, write: (writer) => writer.writeStringField(4, value) };
}

export function tensor(name: string, value: TensorSpec): AttributeSpec {
  return { name, type: 4, write: (writer) => writer.writeMessage(5, writeTensor, value) };
}

export function graph(name: string, value: GraphSpec): AttributeSpec {
  return { name, type: 5, write: (writer) => writer.writeMessage(6, writeGraph, value) };
}

export function floats(name: string, values: readonly number[]): AttributeSpec {
  return { name, type: 6, write: (writer) => writer.writePackedFloat(7, [...values]) };
}

export function ints(name: string, values: readonly number[]): AttributeSpec {
  return { name, type: 7, write: (writer) => writer.writePackedVarint(8, [...values]) };
}

export function texts(name: string, values: readonly string[]): AttributeSpec {
  const write: AttributeSpec['write'] = (writer) => {
    for (const value of values) writer.writeStringField(9, value);
  };
  return { name, type: 8, write };
}

/** In a function: the value that the call gives to `reference`. `type` is AttributeProto.AttributeType. */
export function reference(name: string, type: number, source: string): AttributeSpec {
  return { name, type, write: (writer) => writer.writeStringField(21, source) };
}

/** TensorProto.DataType. */
export const typeCodes: Readonly<Record<string, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
};

/** A tensor as `raw_data`. */
export function rawTensor(name: string, { type, dims, data }: Tensor): TensorSpec {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { name, type: typeCodes[type] as number, dims, write: (writer) => writer.writeBytesField(9, bytes) };
}
