/** Parts of files, read when they are asked for. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { ByteSource } from './byte-source.ts';

/** Gives the bytes of an open file from `start` up to `end`, in `room` where there is enough; `what` names the file in errors. */
export function readPart(file: number, start: number, end: number, what: string, room?: Uint8Array): Uint8Array {
  const length = end - start;
  const bytes = room && room.length >= length ? room.subarray(0, length) : new Uint8Array(length);
  for (let at = 0; at < bytes.length; ) {
    const got = readSync(file, bytes, at, bytes.length - at, start + at);
    if (got === 0) throw new Error(`${what}: the file became shorter while it was read`);
    at += got;
  }
  return bytes;
}

function openFile(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    const cause = error as NodeJS.ErrnoException;
    throw new Error(`${path}: ${cause.code === 'ENOENT' ? 'there is no such file' : cause.message}`, { cause });
  }
}

function withFile<T>(path: string, use: (file: number) => T): T {
  const file = openFile(path);
  try {
    return use(file);
  } finally {
    closeSync(file);
  }
}

/**
 * A model file that stays on the disk. It must neither change nor go away while the model is in use. Throws an Error
 * when there is no such file.
 */
export function fileSource(path: string): ByteSource {
  const byteLength = withFile(path, (file) => fstatSync(file).size);
  return {
    byteLength,
    read: (start, end, room) => withFile(path, (file) => readPart(file, start, end, 'model file', room)),
    inMemory: false,
    path,
  };
}
