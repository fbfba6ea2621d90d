/** Writes ONNX files for tests and benchmarks, with pbf's writer. Field numbers: onnx.proto3. */
import { PbfWriter } from 'pbf';

export interface TensorSpec {
  readonly name: string;
  /** TensorProto.DataType. */
  readonly type: number;
  readonly dims: readonly number[];
  /** Field number → writer of that field. */
  readonly write: (writer: PbfWriter) => void;
}

export interface AttributeSpec {
  readonly name: string;
  /** AttributeProto.AttributeType. */
  readonly type: number;
  readonly write: (writer: PbfWriter) => void;
}

export interface NodeSpec {
  readonly operator: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly domain?: string;
  readonly attributes?: readonly AttributeSpec[];
}

/** A function of the model's own; `defaults` are attributes that calls may leave out. */
export interface FunctionSpec {
  readonly domain: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Names of attributes without a default. */
  readonly attributes?: readonly string[];
  readonly defaults?: readonly AttributeSpec[];
  readonly nodes: readonly NodeSpec[];
  readonly opsets: Readonly<Record<string, number>>;
}

export interface ValueSpec {
  readonly name: string;
  readonly type: number;
  /** Absent: a value of any shape. */
  readonly dims?: readonly (number | string)[];
  /** A list of maps from texts to values of `type`, as classifiers give, instead of a tensor. */
  readonly isMaps?: boolean;
}

export interface GraphSpec {
  readonly inputs?: readonly ValueSpec[];
  readonly outputs?: readonly ValueSpec[];
  readonly initializers?: readonly TensorSpec[];
  readonly nodes?: readonly NodeSpec[];
}

export function writeTensor(tensor: TensorSpec, writer: PbfWriter): void {
  for (const dim of tensor.dims) writer.writeVarintField(1, dim);
  writer.writeVarintField(2, tensor.type);
  writer.writeStringField(8, tensor.name);
  tensor.write(writer);
}

export function writeGraph(graph: GraphSpec, writer: PbfWriter): void {
  for (const node of graph.nodes ?? []) writer.writeMessage(1, writeNode, node);
  writer.writeStringField(2, 'main');
  for (const tensor of graph.initializers ?? []) writer.writeMessage(5, writeTensor, tensor);
  for (const value of graph.inputs ?? []) writer.writeMessage(11, writeValue, value);
  for (const value of graph.outputs ?? []) writer.writeMessage(12, writeValue, value);
}

function writeNode(node: NodeSpec, writer: PbfWriter): void {
  for (const name of node.inputs) writer.writeStringField(1, name);
  for (const name of node.outputs) writer.writeStringField(2, name);
  writer.writeStringField(4, node.operator);
  for (const attribute of node.attributes ?? []) writer.writeMessage(5, writeAttribute, attribute);
  if (node.domain) writer.writeStringField(7, node.domain);
}

function writeAttribute(attribute: AttributeSpec, writer: PbfWriter): void {
  writer.writeStringField(1, attribute.name);
  writer.writeVarintField(20, attribute.type);
  attribute.write(writer);
}

function writeValue(value: ValueSpec, writer: PbfWriter): void {
  writer.writeStringField(1, value.name);
  writer.writeMessage(2, value.isMaps ? writeMapsType : writeTensorTypeProto, value);
}

function writeTensorTypeProto(value: ValueSpec, type: PbfWriter): void {
  type.writeMessage(1, writeTensorType, value);
}

/** sequence of map of (STRING, tensor): TypeProto fields 4 and 5. */
function writeMapsType(value: ValueSpec, type: PbfWriter): void {
  type.writeMessage(4, (spec, list) => list.writeMessage(1, writeMapType, spec), value);
}

function writeMapType(value: ValueSpec, type: PbfWriter): void {
  type.writeMessage(
    5,
    (spec, map) => {
      map.writeVarintField(1, 8);
      map.writeMessage(2, writeTensorTypeProto, { ...spec, dims: [] });
    },
    value,
  );
}

function writeTensorType(value: ValueSpec, writer: PbfWriter): void {
  writer.writeVarintField(1, value.type);
  if (!value.dims) return;
  writer.writeMessage(
    2,
    (spec, shape) => {
      for (const dim of spec.dims ?? []) {
        shape.writeMessage(
          1,
          (size, entry) => {
            if (typeof size === 'number') entry.writeVarintField(1, size);
            else entry.writeStringField(2, size);
          },
          dim,
        );
      }
    },
    value,
  );
}

export interface ModelSpec {
  readonly irVersion?: number;
  /** Domain → version. */
  readonly opsets?: Readonly<Record<string, number>>;
  readonly graph?: GraphSpec;
  readonly producer?: string;
  readonly functions?: readonly FunctionSpec[];
}

function writeOpset([domain, version]: readonly [string, number], writer: PbfWriter): void {
  writer.writeStringField(1, domain);
  writer.writeVarintField(2, version);
}

function writeFunction(each: FunctionSpec, writer: PbfWriter): void {
  writer.writeStringField(1, each.name);
  for (const name of each.inputs) writer.writeStringField(4, name);
  for (const name of each.outputs) writer.writeStringField(5, name);
  for (const name of each.attributes ?? []) writer.writeStringField(6, name);
  for (const node of each.nodes) writer.writeMessage(7, writeNode, node);
  for (const opset of Object.entries(each.opsets)) writer.writeMessage(9, writeOpset, opset);
  writer.writeStringField(10, each.domain);
  for (const attribute of each.defaults ?? []) writer.writeMessage(11, writeAttribute, attribute);
}

export function writeModel(model: ModelSpec): Uint8Array {
  const writer = new PbfWriter();
  writer.writeVarintField(1, model.irVersion ?? 8);
  writer.writeStringField(2, model.producer ?? 'test');
  for (const opset of Object.entries(model.opsets ?? { '': 17 })) writer.writeMessage(8, writeOpset, opset);
  if (model.graph) writer.writeMessage(7, writeGraph, model.graph);
  for (const each of model.functions ?? []) writer.writeMessage(25, writeFunction, each);
  return writer.finish();
}

/** A float32 initializer in `raw_data`. */
export function floats(name: string, dims: readonly number[], values: Float32Array): TensorSpec {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { name, type: 1, dims, write: (writer) => writer.writeBytesField(9, bytes) };
}

/** Attributes by their kind; the numbers are AttributeProto.AttributeType and the fields of AttributeProto. */
export const attribute = {
  float: (name: string, value: number): AttributeSpec => ({
    name,
    type: 1,
    write: (writer) => writer.writeFloatField(2, value),
  }),
  int: (name: string, value: number): AttributeSpec => ({
    name,
    type: 2,
    write: (writer) => writer.writeVarintField(3, value),
  }),
  text: (name: string, value: string): AttributeSpec => ({
    name,
    type: 3,
    write: (writer) => writer.writeStringField(4, value),
  }),
  ints: (name: string, values: readonly number[]): AttributeSpec => ({
    name,
    type: 7,
    write: (writer) => {
      for (const value of values) writer.writeVarintField(8, value);
    },
  }),
};
