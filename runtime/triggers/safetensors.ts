/**
 * The safetensors format, for messages that carry whole tensors: eight bytes of header length (little-endian), a JSON
 * header, then the data. Specification: https://github.com/huggingface/safetensors, README, section "Format".
 */
import * as z from 'zod';
import { arrayOf, type DataType, elementBytes, elementCount, type Tensor } from '../engine/tensor.ts';

/** The reference reader allows 100 MB; messages here need far less. */
const HEADER_BYTES_MAX = 1_048_576;
const LENGTH_BYTES = 8;

const typeNames: Readonly<Record<string, DataType>> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  I64: 'int64',
  I32: 'int32',
  I16: 'int16',
  I8: 'int8',
  U64: 'uint64',
  U32: 'uint32',
  U16: 'uint16',
  U8: 'uint8',
  BOOL: 'bool',
};
const shortNames = new Map(Object.entries(typeNames).map(([short, type]) => [type, short]));

const count = z.int().nonnegative();
const entrySchema = z.object({
  dtype: z.enum(Object.keys(typeNames) as [string, ...string[]]),
  shape: z.array(count).max(16),
  data_offsets: z.tuple([count, count]),
});

export interface TensorFile {
  readonly tensors: Readonly<Record<string, Tensor>>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Throws an Error that begins with "safetensors" when the bytes break the format. The tensors are copies. */
export function readSafetensors(bytes: Uint8Array): TensorFile {
  const header = readHeader(bytes);
  const start = bytes.byteOffset + LENGTH_BYTES + header.bytes;
  const dataBytes = bytes.byteLength - LENGTH_BYTES - header.bytes;
  const tensors: Record<string, Tensor> = Object.create(null);
  const spans: [begin: number, end: number][] = [];
  for (const [name, value] of Object.entries(header.entries)) {
    const entry = entrySchema.safeParse(value);
    if (!entry.success) {
      const issue = entry.error.issues[0];
      throw new Error(`safetensors: tensor "${name}", ${issue?.path.join('.') || 'entry'}: ${issue?.message}`);
    }
    const type = typeNames[entry.data.dtype] as DataType;
    const [begin, end] = entry.data.data_offsets;
    const expected = elementCount(entry.data.shape) * elementBytes(type);
    if (end > dataBytes || end - begin !== expected) {
      throw new Error(
        `safetensors: tensor "${name}": expected ${expected} bytes within ${dataBytes}, got offsets ${begin} to ${end}`,
      );
    }
    // A copy, because a typed array must begin at a multiple of its element size and a message need not.
    const data = new (arrayOf(type))(bytes.buffer.slice(start + begin, start + end) as ArrayBuffer);
    tensors[name] = { type, dims: entry.data.shape, data };
    spans.push([begin, end]);
  }
  checkCoverage(spans, dataBytes);
  return { tensors, metadata: header.metadata };
}

function readHeader(bytes: Uint8Array) {
  if (bytes.byteLength < LENGTH_BYTES) {
    throw new Error(`safetensors: expected at least ${LENGTH_BYTES} bytes, got ${bytes.byteLength}`);
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  const available = Math.min(HEADER_BYTES_MAX, bytes.byteLength - LENGTH_BYTES);
  if (length > BigInt(available)) {
    throw new Error(`safetensors: expected a header of at most ${available} bytes, got ${length}`);
  }
  let value: unknown;
  try {
    const text = bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + Number(length));
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch (cause) {
    throw new Error('safetensors: expected a header in JSON, got something else', { cause });
  }
  const header = z.record(z.string(), z.unknown()).safeParse(value);
  if (!header.success) throw new Error('safetensors: expected a JSON object as header');
  const { __metadata__: given, ...entries } = header.data;
  const metadata = z.record(z.string(), z.string()).safeParse(given ?? {});
  if (!metadata.success) throw new Error('safetensors: __metadata__: expected only text values');
  return { bytes: Number(length), entries, metadata: metadata.data };
}

/** "The byte buffer needs to be entirely indexed, and cannot contain holes": and no two tensors share bytes. */
function checkCoverage(spans: readonly (readonly [number, number])[], dataBytes: number): void {
  let covered = 0;
  for (const [begin, end] of spans.toSorted((a, b) => a[0] - b[0] || a[1] - b[1])) {
    if (begin !== covered) throw new Error(`safetensors: expected a tensor to begin at byte ${covered}, got ${begin}`);
    covered = end;
  }
  if (covered !== dataBytes) {
    throw new Error(`safetensors: expected ${covered} bytes of data, got ${dataBytes}`);
  }
}

export function writeSafetensors(
  tensors: Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  // Widest elements first, so that each tensor begins at a multiple of its element size.
  const ordered = Object.entries(tensors).sort(([, a], [, b]) => elementBytes(b.type) - elementBytes(a.type));
  const header: Record<string, unknown> = Object.create(null);
  if (Object.keys(metadata).length > 0) header.__metadata__ = metadata;
  let offset = 0;
  for (const [name, { type, dims, data }] of ordered) {
    header[name] = { dtype: shortNames.get(type), shape: dims, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  // Spaces may follow the header: they align the data.
  const headerBytes = Math.ceil(text.byteLength / 8) * 8;
  const bytes = new Uint8Array(LENGTH_BYTES + headerBytes + offset).fill(
    0x20,
    LENGTH_BYTES,
    LENGTH_BYTES + headerBytes,
  );
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerBytes), true);
  bytes.set(text, LENGTH_BYTES);
  let position = LENGTH_BYTES + headerBytes;
  for (const [, { data }] of ordered) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), position);
    position += data.byteLength;
  }
  return bytes;
}
