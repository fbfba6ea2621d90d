/** Tensors of a model file, decoded when their data is asked for. Source: onnx.proto3, TensorProto. */
import { UnsupportedError } from '../compile/program.ts';
import { arrayOf, type DataType, isSmallInteger, type Tensor, type TypedArray } from '../engine/tensor.ts';
import type { StringTensor } from '../engine/value.ts';
import type { ByteSource } from './byte-source.ts';
import { KEPT_BYTES_MAX, TENSOR_BYTES_MAX, TENSOR_RANK_MAX } from './limits.ts';
import type { TensorMessage } from './messages.ts';
import { stringTensorOf } from './string-tensor.ts';
import { countVarints, eachVarint } from './wire.ts';

/** Reads weights that lie beside the model file: `byteLength` bytes from `offset` of the file `location`. */
export type ReadExternal = (location: string, offset: number, byteLength: number) => Uint8Array;

/**
 * Large tensors that are read from a disk are not kept: most are packed once and never asked for again. Only the last
 * one stays, for those who look at it element by element.
 */
export interface Latest {
  tensor?: Tensor;
  data?: TypedArray;
}

/** Where tensors find their bytes. */
export interface TensorFiles {
  /** The model file. */
  readonly file: ByteSource;
  /** What was decoded last of what is not in memory. */
  readonly latest: Latest;
  readonly readExternal: ReadExternal | undefined;
  /** Gathers the names of all files beside it. */
  readonly externalFiles: Set<string>;
}

interface ElementType {
  readonly name: DataType | string;
  /** Width of an element in `raw_data`; strings have none. */
  readonly bits: number;
  /** The typed field that may hold the data instead. */
  readonly field: 'floats' | 'int32s' | 'int64s' | 'doubles' | 'uint64s' | 'strings';
  /** Values of that field that make up one element (complex numbers take 2), or elements in one value (4-bit ones). */
  readonly perElement?: number;
}

/** TensorProto.DataType. Those that are no `DataType` of ours can be described, not read. */
const elementTypes: Readonly<Record<number, ElementType>> = {
  1: { name: 'float32', bits: 32, field: 'floats' },
  2: { name: 'uint8', bits: 8, field: 'int32s' },
  3: { name: 'int8', bits: 8, field: 'int32s' },
  4: { name: 'uint16', bits: 16, field: 'int32s' },
  5: { name: 'int16', bits: 16, field: 'int32s' },
  6: { name: 'int32', bits: 32, field: 'int32s' },
  7: { name: 'int64', bits: 64, field: 'int64s' },
  8: { name: 'string', bits: 0, field: 'strings' },
  9: { name: 'bool', bits: 8, field: 'int32s' },
  10: { name: 'float16', bits: 16, field: 'int32s' },
  11: { name: 'float64', bits: 64, field: 'doubles' },
  12: { name: 'uint32', bits: 32, field: 'uint64s' },
  13: { name: 'uint64', bits: 64, field: 'uint64s' },
  14: { name: 'complex64', bits: 64, field: 'floats', perElement: 2 },
  15: { name: 'complex128', bits: 128, field: 'doubles', perElement: 2 },
  16: { name: 'bfloat16', bits: 16, field: 'int32s' },
  17: { name: 'float8e4m3fn', bits: 8, field: 'int32s' },
  18: { name: 'float8e4m3fnuz', bits: 8, field: 'int32s' },
  19: { name: 'float8e5m2', bits: 8, field: 'int32s' },
  20: { name: 'float8e5m2fnuz', bits: 8, field: 'int32s' },
  21: { name: 'uint4', bits: 4, field: 'int32s', perElement: 0.5 },
  22: { name: 'int4', bits: 4, field: 'int32s', perElement: 0.5 },
  23: { name: 'float4e2m1', bits: 4, field: 'int32s', perElement: 0.5 },
  24: { name: 'float8e8m0', bits: 8, field: 'int32s' },
  25: { name: 'uint2', bits: 2, field: 'int32s', perElement: 0.25 },
  26: { name: 'int2', bits: 2, field: 'int32s', perElement: 0.25 },
};

const dense: ReadonlySet<string> = new Set([
  ...['float32', 'float64', 'float16', 'bfloat16', 'bool'],
  ...['int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64'],
  ...['float8e4m3fn', 'float8e4m3fnuz', 'float8e5m2', 'float8e5m2fnuz', 'float8e8m0', 'float4e2m1'],
  ...['uint4', 'int4', 'uint2', 'int2'],
]);

export function isDataType(name: string): name is DataType {
  return dense.has(name);
}

/** Name of a TensorProto.DataType, `type 99` for one that is not known. */
export function typeName(dataType: number): string {
  return elementTypes[dataType]?.name ?? `type ${dataType}`;
}

/** Number of elements, refusing dimensions that no file may have. */
export function checkedCount(dims: readonly number[], what: string): number {
  if (dims.length > TENSOR_RANK_MAX)
    throw new Error(`${what}: expected at most ${TENSOR_RANK_MAX} dimensions, got ${dims.length}`);
  let count = 1;
  for (const dim of dims) {
    if (!(dim >= 0)) throw new Error(`${what}: expected dimensions of 0 or more, got [${dims}]`);
    count *= dim;
  }
  // A zero among huge dimensions still gives no elements, but two of the others must not overflow unseen.
  if (count > TENSOR_BYTES_MAX * 8 || !dims.every((dim) => dim <= TENSOR_BYTES_MAX)) {
    throw new Error(`${what}: dimensions [${dims}] are more than ${TENSOR_BYTES_MAX} bytes`);
  }
  return count;
}

type Source =
  | { readonly kind: 'file'; readonly spans: readonly number[]; readonly encoding: 'raw' | 'varint' }
  | {
      readonly kind: 'external';
      readonly location: string;
      readonly offset: number;
      readonly byteLength: number;
      readonly read: ReadExternal;
    }
  | { readonly kind: 'none'; readonly why: string };

/** A tensor whose `data` is decoded on first access; a view of the file where that is aligned. */
class FileTensor implements Tensor {
  readonly type: DataType;
  readonly dims: readonly number[];
  readonly #files: TensorFiles;
  readonly #source: Source;
  readonly #count: number;
  #data: TypedArray | undefined;

  constructor(type: string, dims: readonly number[], count: number, files: TensorFiles, source: Source) {
    // Types without a dense form keep their name, so that a message can state it; `data` refuses them.
    this.type = type as DataType;
    this.dims = dims;
    this.#count = count;
    this.#files = files;
    this.#source = source;
  }

  get data(): TypedArray {
    if (this.#data) return this.#data;
    const { latest } = this.#files;
    if (latest.tensor === this && latest.data) return latest.data;
    const data = this.#decode();
    const isView = this.#source.kind === 'file' && this.#files.file.inMemory;
    if (isView || data.byteLength <= KEPT_BYTES_MAX) this.#data = data;
    else Object.assign(latest, { tensor: this, data });
    return data;
  }

  #decode(): TypedArray {
    const source = this.#source;
    if (source.kind === 'none') throw new UnsupportedError(source.why);
    if (source.kind === 'external')
      return this.#decodeRaw(source.read(source.location, source.offset, source.byteLength));
    const bytes = joinSpans(this.#files.file, source.spans);
    if (source.encoding === 'raw') return this.#decodeRaw(bytes);
    const bits = packedBits(this.type);
    if (bits === undefined) return decodeVarints(this.type, bytes, this.#count);
    const packed = decodeVarints('uint8', bytes, Math.ceil((this.#count * bits) / 8));
    return unpack(this.type, packed as Uint8Array, bits, this.#count);
  }

  #decodeRaw(bytes: Uint8Array): TypedArray {
    const bits = packedBits(this.type);
    return bits === undefined ? viewAs(this.type, bytes) : unpack(this.type, bytes, bits, this.#count);
  }
}

/** Bits of an element where several share a byte. */
function packedBits(type: DataType): 2 | 4 | undefined {
  if (type.endsWith('int2')) return 2;
  return type === 'float4e2m1' || isSmallInteger(type) ? 4 : undefined;
}

/** The first element lies in the lowest bits of a byte (onnx.proto3, TensorProto.raw_data). */
function unpack(type: DataType, bytes: Uint8Array, bits: 2 | 4, count: number): TypedArray {
  const data = new (arrayOf(type))(count) as Uint8Array | Int8Array;
  const [each, unused] = [8 / bits, 32 - bits];
  const isSigned = type.startsWith('int');
  for (let i = 0; i < count; i++) {
    const top = (bytes[Math.floor(i / each)] as number) << (unused - bits * (i % each));
    data[i] = isSigned ? top >> unused : top >>> unused;
  }
  return data;
}

function joinSpans(file: ByteSource, spans: readonly number[]): Uint8Array {
  if (spans.length === 2) return file.read(spans[0] as number, spans[1] as number);
  const joined = new Uint8Array(spansLength(spans));
  let at = 0;
  for (let i = 0; i < spans.length; i += 2) {
    const part = file.read(spans[i] as number, spans[i + 1] as number);
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

function spansLength(spans: readonly number[]): number {
  let length = 0;
  for (let i = 0; i < spans.length; i += 2) length += (spans[i + 1] as number) - (spans[i] as number);
  return length;
}

/** Little-endian bytes as elements (onnx.proto3: raw_data is little-endian, as are all machines that run this). */
function viewAs(type: DataType, bytes: Uint8Array): TypedArray {
  const array = arrayOf(type);
  const aligned = bytes.byteOffset % array.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes);
  return new array(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / array.BYTES_PER_ELEMENT);
}

function decodeVarints(type: DataType, bytes: Uint8Array, count: number): TypedArray {
  const values = new (arrayOf(type))(count);
  let i = 0;
  if (values instanceof BigInt64Array || values instanceof BigUint64Array) {
    eachVarint(bytes, (low, high) => {
      values[i++] = (BigInt(high) << 32n) | BigInt(low);
    });
  } else {
    // Negative numbers are sign-extended to 64 bits; the low half holds all that narrower types keep.
    eachVarint(bytes, (low) => {
      values[i++] = low;
    });
  }
  return values;
}

/** Checks a tensor message and makes it a tensor. `what` names it in errors. */
export function tensorOf(message: TensorMessage, files: TensorFiles, what: string): Tensor | StringTensor {
  const type = elementTypes[message.dataType];
  if (type === undefined)
    throw new Error(`${what}: expected an element type of onnx.proto3 (1 to 26), got ${message.dataType}`);
  const count = checkedCount(message.dims, what);
  if (type.field === 'strings') return stringTensorOf(message, count, files.file, what);
  const make = (source: Source): Tensor => new FileTensor(type.name, message.dims, count, files, source);
  const dimsText = `[${message.dims}] of ${type.name}`;
  const expectedBytes = Math.ceil((count * type.bits) / 8);
  // Packed elements take a byte each once they are read.
  if (Math.max(expectedBytes, type.bits < 8 ? count : 0) > TENSOR_BYTES_MAX)
    throw new Error(`${what}: ${dimsText} takes more than ${TENSOR_BYTES_MAX} bytes`);

  if (message.external) return make(externalSource(message, type.name, expectedBytes, files, what));
  if (message.raw) {
    const got = message.raw[1] - message.raw[0];
    if (got !== expectedBytes) throw new Error(`${what}: ${dimsText} takes ${expectedBytes} bytes, got ${got}`);
    if (isDataType(type.name)) return make({ kind: 'file', spans: message.raw, encoding: 'raw' });
  } else {
    const got = fieldLength(message, type.field, files.file);
    const expected = Math.ceil(count * (type.perElement ?? 1));
    if (got !== expected) throw new Error(`${what}: ${dimsText} takes ${expected} values, got ${got}`);
  }
  if (!isDataType(type.name))
    return make({ kind: 'none', why: `${what}: elements of type ${type.name} are not supported` });
  return make({
    kind: 'file',
    spans: message[type.field],
    encoding: type.field === 'floats' || type.field === 'doubles' ? 'raw' : 'varint',
  });
}

function fieldLength(message: TensorMessage, field: ElementType['field'], file: ByteSource): number {
  const spans = message[field];
  if (field === 'floats') return spansLength(spans) / 4;
  if (field === 'doubles') return spansLength(spans) / 8;
  let count = 0;
  for (let i = 0; i < spans.length; i += 2)
    count += countVarints(file.read(spans[i] as number, spans[i + 1] as number));
  return count;
}

function externalSource(
  message: TensorMessage,
  type: string,
  expectedBytes: number,
  files: TensorFiles,
  what: string,
): Source {
  const entries = message.externalEntries;
  const location = entries.get('location') ?? '';
  const offset = Number(entries.get('offset') ?? 0);
  const length = Number(entries.get('length') ?? expectedBytes);
  if (!isConfined(location))
    throw new Error(`${what}: expected external data in a file inside the model's folder, got "${location}"`);
  if (!Number.isSafeInteger(offset) || offset < 0)
    throw new Error(`${what}: expected an external data offset of 0 or more, got ${offset}`);
  if (length !== expectedBytes)
    throw new Error(
      `${what}: [${message.dims}] of ${type} takes ${expectedBytes} bytes, its external data has ${length}`,
    );
  files.externalFiles.add(location);
  if (!isDataType(type)) return { kind: 'none', why: `${what}: elements of type ${type} are not supported` };
  const read = files.readExternal;
  if (!read) {
    return {
      kind: 'none',
      why: `${what}: its data lies in the file "${location}" beside the model, and no folder was given; store the model as one file`,
    };
  }
  return { kind: 'external', location, offset, byteLength: expectedBytes, read };
}

/** A relative path that does not leave its folder. The reader of files checks links besides. */
export function isConfined(location: string): boolean {
  if (location === '' || location.includes('\0') || /^([/\\]|[a-z]:)/i.test(location)) return false;
  return location.split(/[/\\]/).every((part) => part !== '..' && part !== '');
}
