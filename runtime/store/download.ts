/**
 * Fetches a file by content over HTTP into one that can be taken up again after a broken line, a kill or a power cut (Range, RFC 9110
 * section 14). With a list of chunks (manifest.ts) each is checked as it arrives, and only those are fetched that are not there
 * already and sound; without one, what is there is continued, and the hash of the whole decides at the end.
 */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, rm, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { decodeManifest, type Manifest, placeOf, sha256Of } from './manifest.ts';

const STALL_MS = 30_000;
/** Of the list of chunks: more than 100,000 of them. */
const MANIFEST_BYTES_MAX = 16 * 2 ** 20;

export interface RemoteFile {
  readonly sha256: string;
  /** The exact size; where it is not known, the answer's end is the file's. */
  readonly bytes: number | undefined;
  /** Hash of the list of its chunks, which lies beside it. */
  readonly chunks?: string | undefined;
}

export interface Download {
  /** The files are at `{base}/{sha256}`. */
  readonly base: string;
  readonly file: RemoteFile;
  /** Path of what has arrived. */
  readonly part: string;
  readonly bytesMax: number;
  readonly signal?: AbortSignal | undefined;
}

/** Leaves a whole, checked, synced file at `part`, or rejects; then `part` holds what can be taken up again, or is gone. */
export async function downloadPart(download: Download): Promise<void> {
  const { base, file, part, bytesMax, signal } = download;
  const { sha256, bytes, chunks } = file;
  const url = `${base}/${sha256}`;
  try {
    const found =
      chunks === undefined || bytes === undefined
        ? await receiveWhole(url, part, { exact: bytes, max: bytes ?? bytesMax }, signal)
        : await receiveChunks(url, part, await fetchManifest(`${base}/${chunks}`, chunks, bytes, signal), signal);
    if (found !== sha256)
      throw new Refused(`${url}: expected SHA-256 ${sha256}, the content has ${found}; check the sender`);
  } catch (error) {
    // What cannot become right is removed, and so is what keeps a disk full; an interrupted download stays.
    if (error instanceof Refused || isFullDisk(error)) await rm(part, { force: true });
    throw explainFullDisk(error, part);
  }
}

/** What came is not what was promised. */
export class Refused extends Error {}

interface Size {
  readonly exact: number | undefined;
  readonly max: number;
}

/** Continues the file at `part`; resolves with its hash. */
async function receiveWhole(url: string, part: string, size: Size, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  let held = await hashPart(part, hash, size);
  const handle = await open(part, held > 0 ? 'a' : 'w');
  try {
    if (held !== size.exact)
      for await (const bytes of fetchBytes(url, { start: held }, signal)) {
        held += bytes.byteLength;
        if (held > size.max) throw new Refused(`${url}: expected ${size.max} bytes, got more`);
        await handle.writeFile(bytes);
        hash.update(bytes);
      }
    if (size.exact !== undefined && held < size.exact) throw brokenOff(url, held, size.exact);
    await handle.sync();
    return hash.digest('hex');
  } finally {
    await handle.close();
  }
}

function brokenOff(url: string, held: number, bytes: number): Error {
  return new Error(`${url}: the connection ended at ${held} of ${bytes} bytes; trying again later`);
}

/** Bytes held of an earlier attempt; without a known size none, since a whole part could not be told from a cut one. */
async function hashPart(part: string, hash: Hash, { exact }: Size): Promise<number> {
  const held = await sizeOf(part);
  if (held === 0 || exact === undefined || held > exact) return 0;
  for await (const chunk of createReadStream(part)) hash.update(chunk as Uint8Array);
  return held;
}

const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => 0,
  );

async function fetchManifest(url: string, sha256: string, bytes: number, signal?: AbortSignal): Promise<Manifest> {
  const parts: Uint8Array[] = [];
  let held = 0;
  for await (const piece of fetchBytes(url, { start: 0 }, signal)) {
    held += piece.byteLength;
    if (held > MANIFEST_BYTES_MAX) throw new Error(`${url}: expected at most ${MANIFEST_BYTES_MAX} bytes, got more`);
    parts.push(piece);
  }
  const text = Buffer.concat(parts);
  const found = sha256Of(text);
  if (found !== sha256) throw new Error(`${url}: expected SHA-256 ${sha256}, the content has ${found}`);
  try {
    return decodeManifest(text, bytes);
  } catch (cause) {
    throw new Error(`${url}: ${(cause as Error).message}`, { cause });
  }
}

/** Fetches the chunks that `part` has not; resolves with the hash of the whole. */
async function receiveChunks(url: string, part: string, manifest: Manifest, signal?: AbortSignal): Promise<string> {
  const handle = await open(part, (await sizeOf(part)) > 0 ? 'r+' : 'w+');
  try {
    for (const run of await missingRuns(handle, manifest)) await receiveRun(url, handle, manifest, run, signal);
    await handle.truncate(manifest.bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  const hash = createHash('sha256');
  await pipeline(createReadStream(part), hash);
  return hash.digest('hex');
}

/** Neighbouring chunks, the last one included. */
interface Run {
  readonly first: number;
  last: number;
}

/** What is not there, or not sound: a power cut may leave a file as long as it was and its end empty. */
async function missingRuns(handle: FileHandle, manifest: Manifest): Promise<Run[]> {
  const runs: Run[] = [];
  const buffer = new Uint8Array(manifest.chunkBytes);
  for (const [index, sha256] of manifest.chunks.entries()) {
    const { start, end } = placeOf(manifest, index);
    const { bytesRead } = await handle.read(buffer, 0, end - start, start);
    if (bytesRead === end - start && sha256Of(buffer.subarray(0, bytesRead)) === sha256) continue;
    const before = runs.at(-1);
    if (before?.last === index - 1) before.last = index;
    else runs.push({ first: index, last: index });
  }
  return runs;
}

async function receiveRun(url: string, file: FileHandle, manifest: Manifest, run: Run, signal?: AbortSignal) {
  const range = { start: placeOf(manifest, run.first).start, end: placeOf(manifest, run.last).end };
  const buffer = new Uint8Array(manifest.chunkBytes);
  let [index, filled] = [run.first, 0];
  for await (const piece of fetchBytes(url, range, signal)) {
    let rest = piece;
    while (rest.byteLength > 0 && index <= run.last) {
      const { start, end } = placeOf(manifest, index);
      const taken = rest.subarray(0, end - start - filled);
      buffer.set(taken, filled);
      filled += taken.byteLength;
      rest = rest.subarray(taken.byteLength);
      if (filled < end - start) break;
      const chunk = buffer.subarray(0, filled);
      checkChunk(url, chunk, manifest, index);
      await file.write(chunk, 0, filled, start);
      index++;
      filled = 0;
    }
    // Whoever ignores the range sends on.
    if (index > run.last) break;
  }
  if (index <= run.last) throw brokenOff(url, placeOf(manifest, index).start + filled, manifest.bytes);
}

/** Throws an Error; what came before stays. */
function checkChunk(url: string, chunk: Uint8Array, { chunks }: Manifest, index: number): void {
  const found = sha256Of(chunk);
  if (found === chunks[index]) return;
  throw new Error(
    `${url}: chunk ${index + 1} of ${chunks.length}: expected SHA-256 ${chunks[index]}, what arrived has ${found}; trying again later`,
  );
}

/** The file's bytes from `start` to `end`, or to its end, as they arrive. */
async function* fetchBytes(
  url: string,
  { start, end }: { start: number; end?: number },
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const stopped = new AbortController();
  let isStalled = false;
  const stall = (): void => {
    isStalled = true;
    stopped.abort();
  };
  let timer = setTimeout(stall, STALL_MS);
  try {
    const response = await fetch(url, {
      headers: start > 0 || end !== undefined ? { range: `bytes=${start}-${end === undefined ? '' : end - 1}` } : {},
      signal: signal ? AbortSignal.any([signal, stopped.signal]) : stopped.signal,
    });
    const ranged = response.status === 206 && response.headers.get('content-range')?.startsWith(`bytes ${start}-`);
    if (!response.body || !(ranged || (response.status === 200 && start === 0))) {
      const message = `${url}: expected the file from byte ${start} on, got status ${response.status}`;
      await response.body?.cancel();
      // Who sends something else, or has less than is held (416), cannot continue it, ever. A server that is busy or away can later.
      const isFinal = start > 0 && (response.ok || response.status === 416);
      throw isFinal ? new Refused(`${message}; starting over`) : new Error(message);
    }
    for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
      clearTimeout(timer);
      timer = setTimeout(stall, STALL_MS);
      yield bytes;
    }
  } catch (error) {
    if (isStalled) throw new Error(`${url}: nothing arrived for ${STALL_MS} ms`, { cause: error });
    if (error instanceof TypeError) throw new Error(`${url}: ${causeOf(error)}`, { cause: error });
    throw error;
  } finally {
    clearTimeout(timer);
    stopped.abort();
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

export function explainFullDisk(error: unknown, path: string): unknown {
  if (!isFullDisk(error)) return error;
  return new Error(`${path}: the disk is full; free some space, nothing was changed`, { cause: error });
}
