/** A model file as a tree of protobuf fields, so that it can be changed field by field and written again. Field numbers: onnx.proto3. */
import { PbfReader, PbfWriter } from 'pbf';

/** Message type → field → what the field holds: another message, a text, or bytes. The rest are numbers. */
const schema = {
  Model: { 7: 'Graph', 8: 'Opset', 2: 'text', 3: 'text', 25: 'Function' },
  Opset: { 1: 'text' },
  Graph: { 1: 'Node', 2: 'text', 5: 'Tensor', 11: 'Value', 12: 'Value', 13: 'Value', 15: 'Sparse' },
  Function: { 1: 'text', 4: 'text', 5: 'text', 7: 'Node', 9: 'Opset', 10: 'text' },
  Node: { 1: 'text', 2: 'text', 3: 'text', 4: 'text', 5: 'Attribute', 7: 'text' },
  Attribute: { 1: 'text', 4: 'bytes', 5: 'Tensor', 6: 'Graph', 9: 'bytes', 10: 'Tensor', 11: 'Graph', 22: 'Sparse' },
  Tensor: { 8: 'text', 9: 'bytes', 6: 'bytes', 13: 'Entry' },
  Sparse: { 1: 'Tensor', 2: 'Tensor' },
  Entry: { 1: 'text', 2: 'text' },
  Value: { 1: 'text', 2: 'Type' },
  Type: { 1: 'TensorType', 4: 'Holder', 5: 'Map', 8: 'TensorType', 9: 'Holder' },
  TensorType: { 2: 'Shape' },
  Holder: { 1: 'Type' },
  Map: { 2: 'Type' },
  Shape: { 1: 'Dim' },
  Dim: { 2: 'text' },
} as const satisfies Record<string, Record<number, string>>;

export type MessageType = keyof typeof schema;

export interface Message {
  readonly type: MessageType;
  readonly fields: Field[];
}

export interface Field {
  readonly tag: number;
  value: number | Fixed | Uint8Array | string | Message;
}

/** A number of 4 or 8 bytes. */
export interface Fixed {
  readonly fixed: Uint8Array;
}

export function isMessage(value: Field['value']): value is Message {
  return typeof value === 'object' && 'fields' in value;
}

export function readTree(bytes: Uint8Array, type: MessageType = 'Model'): Message {
  const reader = new PbfReader(bytes);
  return readMessage(reader, bytes.length, type);
}

function readMessage(reader: PbfReader, end: number, type: MessageType): Message {
  const fields: Field[] = [];
  for (let tag = reader.nextField(end); tag !== 0; tag = reader.nextField(end))
    fields.push({ tag, value: readValue(reader, (schema[type] as Record<number, string>)[tag]) });
  return { type, fields };
}

function readValue(reader: PbfReader, kind: string | undefined): Field['value'] {
  if (reader.type === 0) return reader.readVarint(true);
  if (reader.type !== 2) {
    const start = reader.pos;
    reader.skip(reader.type);
    return { fixed: reader.buf.slice(start, reader.pos) };
  }
  if (kind === 'text') return reader.readString();
  if (kind === undefined || kind === 'bytes') return reader.readBytes().slice();
  const length = reader.readVarint();
  return readMessage(reader, reader.pos + length, kind as MessageType);
}

export function writeTree(message: Message): Uint8Array {
  const writer = new PbfWriter();
  writeFields(message, writer);
  return writer.finish();
}

function writeFields(message: Message, writer: PbfWriter): void {
  for (const { tag, value } of message.fields) {
    if (typeof value === 'number') writer.writeVarintField(tag, value);
    else if (typeof value === 'string') writer.writeStringField(tag, value);
    else if (value instanceof Uint8Array) writer.writeBytesField(tag, value);
    else if ('fixed' in value) {
      writer.writeTag(tag, value.fixed.length === 4 ? 5 : 1);
      const words = new DataView(value.fixed.buffer, value.fixed.byteOffset);
      for (let at = 0; at < value.fixed.length; at += 4) writer.writeFixed32(words.getUint32(at, true));
    } else writer.writeMessage(tag, writeFields, value);
  }
}

/** Every message of the tree, the root first. */
export function allMessages(root: Message): Message[] {
  const found = [root];
  for (const message of found) for (const { value } of message.fields) if (isMessage(value)) found.push(value);
  return found;
}
