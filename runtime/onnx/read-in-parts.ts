/**
 * Reads the messages of a model file without its weights: of a large tensor it notes where its bytes lie, and leaves
 * them there. Large tensors are looked for where exporters put them, among the initializers of the main graph.
 */
import type { ByteSource } from './byte-source.ts';
import { FILE_HEADERS_MAX } from './limits.ts';
import {
  emptyGraph,
  emptyTensor,
  graphFields,
  type ModelMessage,
  modelFields,
  tensorFields,
  tensorSpans,
} from './messages.ts';
import { type Fields, Reader, readFields } from './wire.ts';

/** Messages from this size on are gone through field by field, and their data is left on the disk. */
const LARGE_BYTES = 65_536;
/** A tag and a length are varints of at most ten bytes each. */
const HEADER_BYTES = 20;
/** Read at a time where small fields follow one another. */
const WINDOW_BYTES = 2 ** 18;

const GRAPH = 7;
const INITIALIZER = 5;
const LENGTH_DELIMITED = 2;

/** A length-delimited field of a large message, as offsets in the file. */
interface LargeField {
  readonly field: number;
  readonly start: number;
  readonly end: number;
}

class PartsReader {
  readonly #source: ByteSource;
  #messages = 0;
  #headers = 0;
  #window: Uint8Array = new Uint8Array();
  #windowStart = 0;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** Reads the fields from `start` up to `end` into `message`; `take` may claim large ones instead. */
  read<T>(start: number, end: number, fields: Fields<T>, message: T, take: (large: LargeField) => boolean): void {
    let small = start;
    for (let at = start; at < end; ) {
      const header = this.#header(at, end);
      if (header.end - header.start >= LARGE_BYTES) {
        this.#readSmall(small, at, fields, message);
        if (!take(header)) this.#readSmall(at, header.end, fields, message);
        small = header.end;
      } else if (header.end - small > WINDOW_BYTES) {
        this.#readSmall(small, header.end, fields, message);
        small = header.end;
      }
      at = header.end;
    }
    this.#readSmall(small, end, fields, message);
  }

  #readSmall<T>(start: number, end: number, fields: Fields<T>, message: T): void {
    if (start === end) return;
    const reader = new Reader(this.#source.read(start, end), start);
    reader.messages = this.#messages;
    readFields(reader, end - start, fields, message);
    this.#messages = reader.messages;
  }

  /** The field at an offset; one that is no length-delimited field has no large size. */
  #header(at: number, limit: number): LargeField {
    if (++this.#headers > FILE_HEADERS_MAX)
      throw new Error(`expected at most ${FILE_HEADERS_MAX} fields in a large message`);
    if (at < this.#windowStart || at + HEADER_BYTES > this.#windowStart + this.#window.length) {
      this.#windowStart = at;
      this.#window = this.#source.read(at, Math.min(at + WINDOW_BYTES, this.#source.byteLength));
    }
    const reader = new Reader(this.#window, this.#windowStart);
    reader.pos = at - this.#windowStart;
    const field = reader.nextField(reader.length);
    const body = this.#windowStart + reader.pos;
    let [start, end] = [body, body];
    if (reader.type === LENGTH_DELIMITED) {
      const length = reader.readVarint();
      start = this.#windowStart + reader.pos;
      end = start + length;
    } else {
      reader.skip(reader.type);
      end = this.#windowStart + reader.pos;
    }
    if (end > limit)
      throw new Error(
        `byte ${body}: a value that ends at byte ${end} does not fit into its message, which ends at ${limit}; the file is truncated or corrupt`,
      );
    return { field, start, end };
  }
}

/** Fills a model message from a file that is not in memory. Throws an Error as `readFields` does. */
export function readInParts(source: ByteSource, model: ModelMessage): ModelMessage {
  const parts = new PartsReader(source);
  parts.read(0, source.byteLength, modelFields, model, ({ field, start, end }) => {
    if (field !== GRAPH) return false;
    const graph = emptyGraph();
    model.graph = graph;
    parts.read(start, end, graphFields, graph, (inGraph) => {
      if (inGraph.field !== INITIALIZER) return false;
      const tensor = emptyTensor();
      graph.initializers.push(tensor);
      parts.read(inGraph.start, inGraph.end, tensorFields, tensor, (data) => {
        const note = tensorSpans[data.field];
        note?.(tensor, data.start, data.end);
        return note !== undefined;
      });
      return true;
    });
    return true;
  });
  return model;
}
