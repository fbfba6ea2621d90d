/** Where the bytes of a model file are: in memory, or on a disk from which parts are read when they are needed. */
export interface ByteSource {
  readonly byteLength: number;
  /**
   * Bytes from `start` up to `end`, which nobody may change. Throws an Error when they cannot be read. What has to be copied goes into
   * `room`, where that is given and long enough, and counts until the next use of it.
   */
  read(start: number, end: number, room?: Uint8Array): Uint8Array;
  /** Whether `read` gives views and costs nothing. */
  readonly inMemory: boolean;
  /** Of the file, where it is one: another thread can read it too. */
  readonly path?: string;
}

export function memorySource(bytes: Uint8Array): ByteSource {
  return { byteLength: bytes.length, read: (start, end) => bytes.subarray(start, end), inMemory: true };
}
