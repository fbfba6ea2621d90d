/**
 * Protobuf's wire format on top of `pbf`'s low-level reader: what `pbf` leaves open (a value that ends behind its
 * message, a wire type that does not fit) is refused here. Source: protobuf.dev, "Encoding".
 */
import { PbfReader } from 'pbf';
import { MESSAGE_DEPTH_MAX, MESSAGES_MAX, NAME_LENGTH_MAX } from './limits.ts';

export class Reader extends PbfReader {
  depth = 0;
  messages = 0;
  /** Where the bytes begin in the file, when they are a part of it. */
  readonly base: number;

  constructor(bytes: Uint8Array, base = 0) {
    super(bytes);
    this.base = base;
  }

  /** Offset in the file. */
  get place(): number {
    return this.base + this.pos;
  }
}

/** Field number → what to do with its value. Fields that are not named are skipped. */
export type Fields<T> = Readonly<Record<number, (message: T, reader: Reader) => void>>;

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;
/** Groups (3 and 4) are of protobuf's past; ONNX never used them. */
const wireTypes: ReadonlySet<number> = new Set([VARINT, FIXED64, LENGTH_DELIMITED, FIXED32]);

function expectWireType(reader: Reader, type: number): void {
  if (reader.type !== type) {
    throw new Error(`byte ${reader.place}: expected protobuf wire type ${type}, got ${reader.type}`);
  }
}

/** Reads a length and gives the offset behind the value. */
function valueEnd(reader: Reader): number {
  expectWireType(reader, LENGTH_DELIMITED);
  const start = reader.place;
  const end = reader.readVarint() + reader.pos;
  if (end > reader.length) {
    throw new Error(
      `byte ${start}: a value of ${end - reader.pos} bytes does not fit into the file's ${reader.base + reader.length}; it is truncated or corrupt`,
    );
  }
  return end;
}

/** Refuses a file with too many parts before they are kept. */
export function countMessage(reader: Reader): void {
  if (++reader.messages > MESSAGES_MAX)
    throw new Error(`expected at most ${MESSAGES_MAX} protobuf messages and texts in a model file`);
}

/** Reads fields up to the offset `end` into `message`. */
export function readFields<T>(reader: Reader, end: number, fields: Fields<T>, message: T): T {
  countMessage(reader);
  if (++reader.depth > MESSAGE_DEPTH_MAX)
    throw new Error(`expected at most ${MESSAGE_DEPTH_MAX} levels of nested messages (subgraphs)`);
  for (let field = reader.nextField(end); field !== 0; field = reader.nextField(end)) {
    if (!wireTypes.has(reader.type)) throw new Error(`byte ${reader.place}: protobuf has no wire type ${reader.type}`);
    fields[field]?.(message, reader);
  }
  if (reader.pos !== end)
    throw new Error(
      `byte ${reader.place}: a message should have ended at byte ${reader.base + end}; the file is truncated or corrupt`,
    );
  reader.depth--;
  return message;
}

export function readMessage<T>(reader: Reader, fields: Fields<T>, message: T): T {
  return readFields(reader, valueEnd(reader), fields, message);
}

/** int32, int64, enum and bool; values beyond 2^53 lose their last digits. */
export function readInt(reader: Reader): number {
  expectWireType(reader, VARINT);
  return reader.readVarint(true);
}

export function readFloat(reader: Reader): number {
  expectWireType(reader, FIXED32);
  return reader.readFloat();
}

const utf8 = new TextDecoder();

export function readText(reader: Reader): string {
  const end = valueEnd(reader);
  const start = reader.pos;
  reader.pos = end;
  return utf8.decode(reader.buf.subarray(start, end));
}

export function readName(reader: Reader): string {
  const name = readText(reader);
  if (name.length > NAME_LENGTH_MAX) {
    throw new Error(
      `byte ${reader.place}: expected a name of at most ${NAME_LENGTH_MAX} characters, got ${name.length}`,
    );
  }
  // Names stand in messages to people, whose terminals obey control characters.
  if (/\p{Cc}/u.test(name)) throw new Error(`byte ${reader.place}: expected a name without control characters`);
  return name;
}

/** Where a bytes field lies in the file. */
export function readSpan(reader: Reader): [start: number, end: number] {
  const end = valueEnd(reader);
  const start = reader.place;
  reader.pos = end;
  return [start, reader.place];
}

/** A repeated number, packed or one by one, as both must be accepted (protobuf.dev, "Packed Repeated Fields"). */
function readRepeated(reader: Reader, type: number, readOne: () => void): void {
  if (reader.type !== LENGTH_DELIMITED) {
    expectWireType(reader, type);
    readOne();
    return;
  }
  const end = valueEnd(reader);
  if (type === FIXED32 && (end - reader.pos) % 4 !== 0)
    throw new Error(`byte ${reader.place}: expected a packed list of whole floats; the file is corrupt`);
  while (reader.pos < end) readOne();
  if (reader.pos !== end)
    throw new Error(
      `byte ${reader.place}: a packed list should have ended at byte ${reader.base + end}; the file is corrupt`,
    );
}

export function readInts(reader: Reader, into: number[]): void {
  readRepeated(reader, VARINT, () => into.push(reader.readVarint(true)));
}

export function readFloats(reader: Reader, into: number[]): void {
  readRepeated(reader, FIXED32, () => into.push(reader.readFloat()));
}

/** Notes where the values of a repeated number lie, as start, end, start, end …; nothing is decoded yet. */
export function readSpans(reader: Reader, kind: 'varint' | 'fixed32' | 'fixed64', into: number[]): void {
  if (reader.type === LENGTH_DELIMITED) {
    into.push(...readSpan(reader));
    return;
  }
  expectWireType(reader, kind === 'varint' ? VARINT : kind === 'fixed32' ? FIXED32 : FIXED64);
  const start = reader.place;
  reader.skip(reader.type);
  into.push(start, reader.place);
}

/** Number of varints in the bytes: each ends with a byte whose top bit is clear. */
export function countVarints(bytes: Uint8Array): number {
  let count = 0;
  for (const byte of bytes) if (byte < 0x80) count++;
  return count;
}

/** Calls `take` with every varint as its low and high 32 bits (unsigned). */
export function eachVarint(bytes: Uint8Array, take: (low: number, high: number) => void): void {
  let low = 0;
  let high = 0;
  let shift = 0;
  for (const byte of bytes) {
    const part = byte & 0x7f;
    if (shift < 28) low |= part << shift;
    else if (shift === 28) {
      low |= part << 28;
      high = part >>> 4;
    } else if (shift < 64) high |= part << (shift - 32);
    shift += 7;
    if (byte < 0x80) {
      take(low >>> 0, high >>> 0);
      low = high = shift = 0;
    }
  }
}
