/** Messages as they arrive → numbers, pictures or tensors. One decoder a format; the table is at the end. */
import { parse as parseCsv } from 'csv-parse/sync';
import { type JsonValue, query } from 'jsonpath-rfc9535';
import type { Tensor } from '../engine/tensor.ts';
import { decodeImage, type Image } from '../media/image.ts';
import { decodeAudio, decodeRaw } from './decode-samples.ts';
import { shaped } from './numbers.ts';
import { readSafetensors } from './safetensors.ts';
import type { Decode } from './schema.ts';

export interface Decoded {
  readonly content:
    | { readonly kind: 'numbers'; readonly tensor: Tensor }
    | { readonly kind: 'image'; readonly image: Image }
    | { readonly kind: 'tensors'; readonly tensors: Readonly<Record<string, Tensor>> };
  /** The parsed JSON document or CSV record, for expressions. */
  readonly body?: unknown;
  /** What the sender calls this message. */
  readonly id?: string | number;
}

export type Decoder = (payload: Uint8Array) => Decoded | Promise<Decoded>;

/** Larger messages are refused before anything is decoded. */
export const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;
const NUMBERS_MAX = 4_194_304;
const NESTING_MAX = 8;

/** The decoder of a trigger that has been checked. It throws an Error that says what was expected and what came. */
export function createDecoder(decode: Decode): Decoder {
  const decoder = decoderOf(decode);
  return (payload) => {
    if (payload.byteLength > MESSAGE_BYTES_MAX) {
      const [most, got] = [MESSAGE_BYTES_MAX, payload.byteLength].map((bytes) => bytes.toLocaleString('en'));
      throw new Error(`message: expected at most ${most} bytes, got ${got}; send it in parts or by reference`);
    }
    if (payload.byteLength === 0) throw new Error(`message: expected ${decode.format}, got an empty message`);
    return decoder(payload);
  };
}

function decoderOf(decode: Decode): Decoder {
  switch (decode.format) {
    case 'json':
      return jsonDecoder(decode);
    case 'raw':
      return (payload) => numbers(decodeRaw(payload, decode));
    case 'audio':
      return (payload) => numbers(decodeAudio(payload, decode));
    case 'image':
      return async (payload) => ({ content: { kind: 'image', image: await decodeImage(payload) } });
    case 'csv':
      return csvDecoder(decode);
    case 'tensors':
      return (payload) => ({ content: { kind: 'tensors', tensors: readSafetensors(payload).tensors } });
  }
}

function numbers(tensor: Tensor): Decoded {
  return { content: { kind: 'numbers', tensor } };
}

function jsonDecoder(decode: Extract<Decode, { format: 'json' }>): Decoder {
  const paths = [decode.values].flat();
  return (payload) => {
    const body = parseJson(payload);
    const found: number[] = [];
    let dims: number[] | undefined;
    for (const path of paths) {
      const nodes = find(body, path);
      if (nodes.length === 0) throw new Error(`json: expected numbers at ${path}, found nothing there`);
      for (const node of nodes) collectNumbers(node, path, found, 0);
      // One array of equally long arrays keeps its shape.
      if (paths.length === 1 && nodes.length === 1) dims = shapeOf(nodes[0] as JsonValue);
    }
    const shape = decode.dims ?? dims ?? [found.length];
    const tensor = shaped({ type: 'float64', dims: [found.length], data: Float64Array.from(found) }, shape, 'json');
    return { ...numbers(tensor), body, id: decode.id ? identify(find(body, decode.id)[0], decode.id) : undefined };
  };
}

function parseJson(payload: Uint8Array): JsonValue {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(payload);
  } catch (cause) {
    throw new Error('json: expected text in UTF-8, got other bytes', { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`json: expected JSON, got "${text.slice(0, 40)}": ${(cause as Error).message}`, { cause });
  }
}

function find(body: JsonValue, path: string): JsonValue[] {
  try {
    return query(body, path);
  } catch (cause) {
    // A document nested a hundred thousand levels deep exhausts the stack.
    throw new Error(`json: ${path} could not be followed: ${(cause as Error).message}`, { cause });
  }
}

function collectNumbers(value: JsonValue, path: string, found: number[], depth: number): void {
  if (typeof value === 'number' && Number.isFinite(value)) {
    if (found.length >= NUMBERS_MAX) throw new Error(`json: expected at most ${NUMBERS_MAX} numbers, got more`);
    found.push(value);
  } else if (Array.isArray(value)) {
    if (depth >= NESTING_MAX) throw new Error(`json: expected lists at most ${NESTING_MAX} levels deep at ${path}`);
    for (const item of value) collectNumbers(item, path, found, depth + 1);
  } else {
    throw new Error(`json: expected numbers at ${path}, got ${glimpse(value)}`);
  }
}

/** Dimensions of nested arrays that are equally long at every level; undefined for others. */
function shapeOf(value: JsonValue): number[] | undefined {
  if (!Array.isArray(value)) return [1];
  if (!value.some(Array.isArray)) return [value.length];
  const [first, ...others] = value.map((item) => (Array.isArray(item) ? shapeOf(item) : undefined));
  if (!first || others.some((other) => other?.join() !== first.join())) return undefined;
  return [value.length, ...first];
}

function identify(value: unknown, where: string): string | number {
  if (typeof value === 'string' || typeof value === 'number') return value;
  throw new Error(`message id: expected text or a number at ${where}, got ${glimpse(value)}`);
}

/** A few words for any value, however large or deep it is. */
function glimpse(value: unknown): string {
  if (typeof value === 'string') return `"${value.slice(0, 40)}"`;
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}

function csvDecoder(decode: Extract<Decode, { format: 'csv' }>): Decoder {
  const names = Array.isArray(decode.header) ? decode.header : undefined;
  return (payload) => {
    let rows: string[][];
    try {
      const options = { delimiter: decode.delimiter, skip_empty_lines: true, trim: true, bom: true };
      rows = parseCsv(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength), options) as string[][];
    } catch (cause) {
      throw new Error(`csv: ${(cause as Error).message}`, { cause });
    }
    const header = names ?? (decode.header === true ? rows.shift() : undefined);
    if (rows.length === 0) throw new Error('csv: expected at least one row of values, got none');
    if (rows.length * decode.columns.length > NUMBERS_MAX)
      throw new Error(`csv: expected at most ${NUMBERS_MAX} values`);
    const columns = decode.columns.map((column) => columnIndex(column, header));
    const data = Float64Array.from(rows.flatMap((row, line) => columns.map((column) => numberAt(row, column, line))));
    const dims = columns.length === 1 ? [rows.length] : [rows.length, columns.length];
    const last = rows.at(-1) as string[];
    const body = header ? Object.fromEntries(header.map((name, index) => [name, last[index] ?? ''])) : last;
    const id = decode.id === undefined ? undefined : last[columnIndex(decode.id, header)];
    return { ...numbers({ type: 'float64', dims, data }), body, id };
  };
}

function columnIndex(column: number | string, header: readonly string[] | undefined): number {
  if (typeof column === 'number') return column;
  const index = header?.indexOf(column) ?? -1;
  if (index < 0)
    throw new Error(`csv: expected a column "${column}", the header has ${header?.join(', ') ?? 'no names'}`);
  return index;
}

function numberAt(row: readonly string[], column: number, line: number): number {
  const text = row[column];
  const value = text === undefined || text === '' ? Number.NaN : Number(text);
  if (Number.isFinite(value)) return value;
  throw new Error(
    `csv: row ${line + 1}, column ${column}: expected a number, got ${JSON.stringify(text) ?? 'nothing'}`,
  );
}
