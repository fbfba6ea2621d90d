/** Where the bytes of a model file are: in memory, or on a disk from which parts are read when they are needed. */
export interface ByteSource {
  readonly byteLength: number;
  /** Bytes from `start` up to `end`, which nobody may change. Throws an Error when they cannot be read. */
  read(start: number, end: number): Uint8Array;
  /** Whether `read` gives views and costs nothing. */
  readonly inMemory: boolean;
}

export function memorySource(bytes: Uint8Array): ByteSource {
  return { byteLength: bytes.length, read: (start, end) => bytes.subarray(start, end), inMemory: true };
}
