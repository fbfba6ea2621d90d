/**
 * Files by content: a folder in which every file's name is its SHA-256. A file appears under its name only when it is whole,
 * hashed and on the disk (written aside, fsync, rename, fsync of the folder), so a crash or a full disk leaves nothing half.
 *
 *   {folder}/{sha256}         a whole file
 *   {folder}/{sha256}.part    a download that can be taken up again (HTTP Range, RFC 9110 section 14)
 *   {folder}/{uuid}.tmp       a file being received; swept away at the next start
 */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { downloadPart, explainFullDisk, type RemoteFile } from './download.ts';
import { sha256Of } from './manifest.ts';

export const BLOB_BYTES_MAX = 8 * 2 ** 30;
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
  /** Fetches `{base}/{sha256}`; durable when it resolves; taken up again where it broke off (download.ts). */
  download(base: string, file: RemoteFile, signal?: AbortSignal): Promise<void>;
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
      const found = sha256Of(content);
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
    async download(base, file, signal) {
      const { sha256, bytes } = file;
      if (await has(sha256)) return;
      if (bytes !== undefined && bytes > bytesMax)
        throw new Error(`blob ${sha256}: expected at most ${bytesMax} bytes, the sender announces ${bytes}`);
      const part = path(sha256) + PART;
      await downloadPart({ base: base.replace(/\/$/, ''), file, part, bytesMax, signal });
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

/** A rename is on the disk only when its folder is (fsync(2)); Windows has no such call and needs none. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  await handle.sync().finally(() => handle.close());
}
