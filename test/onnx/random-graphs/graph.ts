/** A random graph as data: small enough to shrink, and written as an ONNX file for both engines. */
import type { PbfWriter } from 'pbf';
import { type AttributeSpec, type TensorSpec, writeModel } from '../../../bench/write-model.ts';
import type { DataType, Tensor } from '../../../runtime/engine/tensor.ts';

export type Attribute = { ints: readonly number[] } | { int: number } | { float: number } | { text: string };
export type Attributes = Readonly<Record<string, Attribute | Tensor>>;

/** A value of the graph, with bounds of its elements where they are known. */
export interface GraphValue {
  readonly name: string;
  readonly type: DataType;
  readonly dims: readonly number[];
  readonly low: number;
  readonly high: number;
}

export interface RandomNode {
  readonly operator: string;
  /** '' is an optional input left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly GraphValue[];
  readonly attributes: Attributes;
}

export interface RandomGraph {
  readonly opset: number;
  /** What a run is given. */
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly constants: Readonly<Record<string, Tensor>>;
  readonly nodes: readonly RandomNode[];
  readonly outputs: readonly GraphValue[];
}

/** TensorProto.DataType. */
export const typeCodes: Readonly<Record<DataType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  bfloat16: 16,
  float8e4m3fn: 17,
  float8e4m3fnuz: 18,
  float8e5m2: 19,
  float8e5m2fnuz: 20,
  uint4: 21,
  int4: 22,
  float4e2m1: 23,
  float8e8m0: 24,
  uint2: 25,
  int2: 26,
};

function tensorSpec(name: string, { type, dims, data }: Tensor): TensorSpec {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { name, type: typeCodes[type], dims, write: (writer) => writer.writeBytesField(9, bytes) };
}

function attributeSpec(name: string, value: Attribute | Tensor): AttributeSpec {
  if ('data' in value) {
    const spec = tensorSpec('', value);
    const write = (writer: PbfWriter) => {
      for (const dim of spec.dims) writer.writeVarintField(1, dim);
      writer.writeVarintField(2, spec.type);
      spec.write(writer);
    };
    return { name, type: 4, write: (writer) => writer.writeMessage(5, (_, tensor) => write(tensor), undefined) };
  }
  if ('float' in value) return { name, type: 1, write: (writer) => writer.writeFloatField(2, value.float) };
  if ('int' in value) return { name, type: 2, write: (writer) => writer.writeVarintField(3, value.int) };
  if ('text' in value) return { name, type: 3, write: (writer) => writer.writeStringField(4, value.text) };
  return { name, type: 7, write: (writer) => value.ints.forEach((each) => void writer.writeVarintField(8, each)) };
}

export function writeGraphFile(graph: RandomGraph): Uint8Array {
  return writeModel({
    irVersion: 8,
    opsets: { '': graph.opset },
    graph: {
      inputs: Object.entries(graph.inputs).map(([name, { type, dims }]) => ({ name, type: typeCodes[type], dims })),
      // Without a shape: what comes out is for the engines to find.
      outputs: graph.outputs.map(({ name, type }) => ({ name, type: typeCodes[type] })),
      initializers: Object.entries(graph.constants).map(([name, tensor]) => tensorSpec(name, tensor)),
      nodes: graph.nodes.map(({ operator, inputs, outputs, attributes }) => ({
        operator,
        inputs,
        outputs: outputs.map(({ name }) => name),
        attributes: Object.entries(attributes).map(([name, each]) => attributeSpec(name, each)),
      })),
    },
  });
}
