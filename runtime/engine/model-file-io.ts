/** What tells model files apart: by what is in them, or without reading them by where they lie. */
import { type BigIntStats, statSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import type { ByteSource } from '../onnx/byte-source.ts';

/** A file that has just changed may change again within one tick of the file system's clock: 2 s at most, FAT's. */
const SETTLED_MS = 2_000;

/** Its length and the CRC-32 of its quarters, read by way of `room`. No guard against files that are made to look alike. */
export function fingerprintOf(file: ByteSource, room: Uint8Array): string {
  const { byteLength } = file;
  const quarter = Math.ceil(byteLength / 4);
  const partBytes = Math.min(room.length, quarter);
  const sums = [0, 1, 2, 3].map((index) => {
    const end = Math.min((index + 1) * quarter, byteLength);
    let sum = 0;
    for (let start = index * quarter; start < end; start += partBytes)
      sum = crc32(file.read(start, Math.min(start + partBytes, end), room), sum);
    return sum;
  });
  return [byteLength, ...sums].map((sum) => sum.toString(16).padStart(8, '0')).join('');
}

/**
 * Where a file lies and when it last changed, as Git's index knows files again: whatever changes what is in it changes the time that the
 * system notes. Undefined of what is no file, and of one that changed a moment ago.
 */
export function placeOf({ path, byteLength }: ByteSource, nowMs: number = Date.now()): string | undefined {
  if (path === undefined) return undefined;
  let stat: BigIntStats;
  try {
    stat = statSync(path, { bigint: true });
  } catch {
    return undefined;
  }
  const { dev, ino, size, mtimeNs, ctimeNs, ctimeMs } = stat;
  if (Number(size) !== byteLength || nowMs - Number(ctimeMs) < SETTLED_MS) return undefined;
  return [dev, ino, size, mtimeNs, ctimeNs].map((part) => part.toString(16)).join('.');
}
