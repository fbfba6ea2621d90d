/**
 * Reads the files of ONNX's conformance cases: one TensorProto, SequenceProto, OptionalProto or MapProto each. A tensor
 * is put into a model's Constant, whose reader is tested. Field numbers: onnx.proto3 and onnx-data.proto.
 */
import { PbfReader, PbfWriter } from 'pbf';
import type { Tensor } from '../../runtime/engine/tensor.ts';
import type { EngineValue, MapValue, StringTensor } from '../../runtime/engine/value.ts';
import { readModel } from '../../runtime/onnx/read.ts';

/** A value of the type that the model declares for it, such as `float32` or `optional(seq(tensor(int32)))`. */
export function readValueFile(bytes: Uint8Array, type: string): EngineValue {
  const [, kind, inner = ''] = /^(seq|optional|map)\((.*)\)$/.exec(type) ?? [];
  if (kind === 'seq') return { type: 'sequence', items: parts(bytes, inner).map((part) => read(part, inner)) };
  if (kind === 'map') return readMap(bytes, inner);
  if (kind === undefined) return readTensorFile(bytes);
  const part = parts(bytes, inner)[0];
  return { type: 'optional', value: part && read(part, inner) };
}

function read(bytes: Uint8Array, type: string): EngineValue {
  return readValueFile(bytes, type.replace(/^tensor\((.*)\)$/, '$1'));
}

/** Which field of a SequenceProto or an OptionalProto holds values of a kind. */
const FIELDS: Readonly<Record<string, number>> = { tensor: 3, seq: 5, map: 6, optional: 7 };

function parts(bytes: Uint8Array, type: string): Uint8Array[] {
  return bytesOf(bytes, FIELDS[type.slice(0, type.indexOf('('))] ?? 0);
}

/** All values of a length-delimited field. */
function bytesOf(bytes: Uint8Array, wanted: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  const reader = new PbfReader(bytes);
  reader.readFields((field, _, pbf) => {
    if (field === wanted) found.push(pbf.readBytes());
  }, undefined);
  return found;
}

function readMap(bytes: Uint8Array, type: string): MapValue {
  const comma = type.indexOf(',');
  const keys: (string | bigint)[] = bytesOf(bytes, 4).map((key) => new TextDecoder().decode(key));
  for (const packed of bytesOf(bytes, 3)) {
    const reader = new PbfReader(packed);
    while (reader.pos < reader.length) keys.push(BigInt(reader.readVarint(true)));
  }
  const values = bytesOf(bytes, 5).flatMap((values) => parts(values, type.slice(comma + 1)));
  const tensors = values.map(readTensorFile);
  const entries = keys.map((key, index): [string | bigint, number | string] => {
    const value = tensors[index]?.data[0] ?? '';
    return [key, typeof value === 'string' ? value : Number(value)];
  });
  return {
    type: 'map',
    valueType: (tensors[0]?.type ?? 'float32') as MapValue['valueType'],
    entries: new Map(entries),
  };
}

/** One TensorProto. */
export function readTensorFile(bytes: Uint8Array): Tensor | StringTensor {
  const model = new PbfWriter();
  model.writeVarintField(1, 8);
  model.writeMessage(8, (_, opset) => opset.writeVarintField(2, 13), undefined);
  model.writeMessage(
    7,
    (_, graph) => graph.writeMessage(1, (__, node) => writeConstant(node, bytes), undefined),
    undefined,
  );
  const tensor = readModel(model.finish()).graph.nodes[0]?.attributes.value;
  if (typeof tensor !== 'object' || !('dims' in tensor)) throw new Error('expected a tensor file');
  return tensor;
}

function writeConstant(node: PbfWriter, bytes: Uint8Array): void {
  node.writeStringField(2, 'tensor');
  node.writeStringField(4, 'Constant');
  node.writeMessage(
    5,
    (_, attribute) => {
      attribute.writeStringField(1, 'value');
      attribute.writeBytesField(5, bytes);
      attribute.writeVarintField(20, 4);
    },
    undefined,
  );
}
