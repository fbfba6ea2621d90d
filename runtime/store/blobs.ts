/**
 * Files by content: a folder in which every file's name is its SHA-256. A file appears under its name only when it is whole,
 * hashed and on the disk (written aside, fsync, rename, fsync of the folder), so a crash or a full disk leaves nothing half.
 *
 *   {folder}/{sha256}         a whole file
 *   {folder}/{sha256}.part    a download that can be taken up again (HTTP Range, RFC 9110 section 14)
 *   {folder}/{uuid}.tmp       a file being received; swept away at the next start
 */
import { createHash, type Hash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';

export const BLOB_BYTES_MAX = 8 * 2 ** 30;
const STALL_MS = 30_000;
const PART = '.part';
const HASH = /^[0-9a-f]{64}$/;

export interface Blobs {
  path(sha256: string): string;
  has(sha256: string): Promise<boolean>;
  /** Hashes of all whole files, and of downloads that were cut short. */
  list(): Promise<{ present: string[]; partial: string[] }>;
  /** The content, checked. A damaged file is removed and the promise rejects, so that it can be fetched again. */
  read(sha256: string): Promise<Uint8Array>;
  /** Its path, checked in the same way without ever being in memory as a whole. */
  checkedPath(sha256: string): Promise<string>;
  /** Durable when it resolves. Rejects when the content does not have the expected hash or exceeds `bytesMax`. */
  put(content: AsyncIterable<Uint8Array>, expected?: string): Promise<{ sha256: string; bytes: number }>;
  /**
   * Fetches `{base}/{sha256}`; durable when it resolves; taken up again where it broke off. `bytes` is the exact size;
   * where it is not known, the answer's end is the file's.
   */
  download(base: string, sha256: string, bytes: number | undefined, signal?: AbortSignal): Promise<void>;
  /** Also what has arrived of it. */
  remove(sha256: string): Promise<void>;
}

export async function openBlobs(folder: string, bytesMax = BLOB_BYTES_MAX): Promise<Blobs> {
  const made = await mkdir(folder, { recursive: true });
  // A new folder is on the disk when the one that holds it is: each of those that were made, up to the one that was there.
  if (made !== undefined)
    for (let at = resolve(folder); at.length >= resolve(made).length; at = dirname(at)) await syncFolder(dirname(at));
  for (const name of await readdir(folder)) if (name.endsWith('.tmp')) await rm(join(folder, name), { force: true });
  const path = (sha256: string): string => {
    if (!HASH.test(sha256)) throw new Error(`blob "${sha256}": expected a SHA-256 in 64 hexadecimal digits`);
    return join(folder, sha256);
  };
  const has = (sha256: string): Promise<boolean> =>
    stat(path(sha256)).then(
      (found) => found.isFile(),
      () => false,
    );
  return {
    path,
    has,
    async list() {
      const names = await readdir(folder);
      const partial = names.filter((name) => name.endsWith(PART)).map((name) => name.slice(0, -PART.length));
      return { present: names.filter((name) => HASH.test(name)), partial: partial.filter((name) => HASH.test(name)) };
    },
    async read(sha256) {
      const content = await readFile(path(sha256)).catch((cause: unknown) => explainLoss(sha256, cause));
      const found = createHash('sha256').update(content).digest('hex');
      if (found !== sha256) await removeDamaged(path(sha256), sha256, found);
      return content;
    },
    async checkedPath(sha256) {
      const hash = createHash('sha256');
      await pipeline(createReadStream(path(sha256)), hash).catch((cause: unknown) => explainLoss(sha256, cause));
      const found = hash.digest('hex');
      if (found !== sha256) await removeDamaged(path(sha256), sha256, found);
      return path(sha256);
    },
    put: (content, expected) => put(folder, content, expected, bytesMax),
    async remove(sha256) {
      for (const name of [path(sha256), path(sha256) + PART]) await rm(name, { force: true });
    },
    async download(base, sha256, bytes, signal) {
      if (await has(sha256)) return;
      if (bytes !== undefined && bytes > bytesMax)
        throw new Error(`blob ${sha256}: expected at most ${bytesMax} bytes, the sender announces ${bytes}`);
      const size = { exact: bytes, max: bytes ?? bytesMax };
      const part = path(sha256) + PART;
      await downloadPart(`${base.replace(/\/$/, '')}/${sha256}`, part, sha256, size, signal);
      await rename(part, path(sha256));
      await syncFolder(folder);
    },
  };
}

function explainLoss(sha256: string, cause: unknown): never {
  throw new Error(`blob ${sha256}: cannot be read: ${(cause as Error).message}`, { cause });
}

async function removeDamaged(path: string, sha256: string, found: string): Promise<never> {
  await rm(path, { force: true });
  throw new Error(`blob ${sha256}: the file was damaged on disk (its hash is ${found}); removed, fetch it again`);
}

async function put(folder: string, content: AsyncIterable<Uint8Array>, expected: string | undefined, bytesMax: number) {
  const temporary = join(folder, `${randomUUID()}.tmp`);
  const hash = createHash('sha256');
  let handle: FileHandle | undefined;
  let bytes = 0;
  try {
    handle = await open(temporary, 'wx');
    for await (const chunk of content) {
      bytes += chunk.byteLength;
      if (bytes > bytesMax) throw new Error(`blob: expected at most ${bytesMax} bytes, got more`);
      hash.update(chunk);
      await handle.writeFile(chunk);
    }
    const sha256 = hash.digest('hex');
    if (expected !== undefined && sha256 !== expected)
      throw new Error(`blob: expected SHA-256 ${expected}, the content has ${sha256}; send it again`);
    await handle.sync();
    await handle.close();
    handle = undefined;
    await rename(temporary, join(folder, sha256));
    await syncFolder(folder);
    return { sha256, bytes };
  } catch (error) {
    await handle?.close().catch(() => {});
    await rm(temporary, { force: true });
    throw explainFullDisk(error, folder);
  }
}

/** Leaves a whole, checked, synced file at `part`, or rejects; then `part` holds what can be taken up again, or is gone. */
async function downloadPart(url: string, part: string, sha256: string, size: Size, signal?: AbortSignal) {
  const hash = createHash('sha256');
  let held = await hashPart(part, hash, size);
  let handle: FileHandle | undefined;
  try {
    handle = await open(part, held > 0 ? 'a' : 'w');
    if (held !== size.exact) held += await receive(url, handle, hash, held, size.max, signal);
    if (size.exact !== undefined && held < size.exact)
      throw new Error(`${url}: the connection ended at ${held} of ${size.exact} bytes; trying again later`);
    const found = hash.digest('hex');
    if (found !== sha256)
      throw new Refused(`${url}: expected SHA-256 ${sha256}, the content has ${found}; check the sender`);
    await handle.sync();
  } catch (error) {
    // What cannot become right is removed, and so is what keeps a disk full; an interrupted download stays.
    if (error instanceof Refused || isFullDisk(error)) await rm(part, { force: true });
    throw explainFullDisk(error, part);
  } finally {
    await handle?.close();
  }
}

class Refused extends Error {}

interface Size {
  readonly exact: number | undefined;
  readonly max: number;
}

/** Bytes held of an earlier attempt; without a known size none, since a whole part could not be told from a cut one. */
async function hashPart(part: string, hash: Hash, { exact }: Size): Promise<number> {
  const held = await stat(part).then(
    (found) => found.size,
    () => 0,
  );
  if (held === 0 || exact === undefined || held > exact) return 0;
  for await (const chunk of createReadStream(part)) hash.update(chunk as Uint8Array);
  return held;
}

/** Appends the body from byte `from` on to the file; resolves with the number of bytes added. */
async function receive(
  url: string,
  file: FileHandle,
  hash: Hash,
  from: number,
  bytesMax: number,
  signal?: AbortSignal,
) {
  const stalled = new AbortController();
  let timer = setTimeout(() => stalled.abort(), STALL_MS);
  let added = 0;
  try {
    const response = await fetch(url, {
      headers: from > 0 ? { range: `bytes=${from}-` } : {},
      signal: signal ? AbortSignal.any([signal, stalled.signal]) : stalled.signal,
    });
    const ranged = response.status === 206 && response.headers.get('content-range')?.startsWith(`bytes ${from}-`);
    if (!response.body || !(ranged || (response.status === 200 && from === 0))) {
      // 200 to a ranged request, 416 and so on: what is held cannot be continued, so the next attempt starts afresh.
      const message = `${url}: expected the file from byte ${from} on, got status ${response.status}`;
      await response.body?.cancel();
      throw from > 0 ? new Refused(`${message}; starting over`) : new Error(message);
    }
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      clearTimeout(timer);
      timer = setTimeout(() => stalled.abort(), STALL_MS);
      if (from + added + chunk.byteLength > bytesMax) throw new Refused(`${url}: expected ${bytesMax} bytes, got more`);
      await file.writeFile(chunk);
      hash.update(chunk);
      added += chunk.byteLength;
    }
    return added;
  } catch (error) {
    if (stalled.signal.aborted) throw new Error(`${url}: nothing arrived for ${STALL_MS} ms`, { cause: error });
    if (error instanceof TypeError) throw new Error(`${url}: ${causeOf(error)}`, { cause: error });
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** `fetch` says only "fetch failed"; the reason is in the cause. */
function causeOf(error: Error): string {
  return error.cause instanceof Error ? error.cause.message || String(error.cause) : error.message;
}

function isFullDisk(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

function explainFullDisk(error: unknown, path: string): unknown {
  if (!isFullDisk(error)) return error;
  return new Error(`${path}: the disk is full; free some space, nothing was changed`, { cause: error });
}

/** A rename is on the disk only when its folder is (fsync(2)); Windows has no such call and needs none. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  await handle.sync().finally(() => handle.close());
}
