/** Files of the person who types a command. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import type { ControllerService } from '../controller/service.ts';

const INLINE_BYTES_MAX = 250_000;
const INPUT_BYTES_MAX = 2 ** 28;

/** Rejects with a sentence when the file is not there, is no file, or is larger than `bytesMax`. */
export async function readLocalFile(path: string, bytesMax: number): Promise<Uint8Array> {
  const bytes = await sizeOf(path);
  if (bytes > bytesMax) throw new Error(`${path}: expected at most ${bytesMax} bytes, got ${bytes}`);
  return readFile(path);
}

export async function readLocalText(path: string, bytesMax: number): Promise<string> {
  const bytes = await readLocalFile(path, bytesMax);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new Error(`${path}: expected text in UTF-8`, { cause });
  }
}

/** Uploads the file; resolves once the controller has it on its disk. */
export async function uploadFile(
  path: string,
  bytesMax: number,
  controller: ControllerService,
): Promise<{ sha256: string; bytes: number }> {
  const bytes = await sizeOf(path);
  if (bytes > bytesMax) throw new Error(`${path}: expected at most ${bytesMax} bytes, got ${bytes}`);
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  const sha256 = hash.digest('hex');
  await controller.putBlob(sha256, createReadStream(path));
  return { sha256, bytes };
}

/** A file as the input of a model: in the request where it is small, uploaded where it is not. */
export async function inputFrom(file: string, controller: ControllerService) {
  const bytes = await readLocalFile(file, INPUT_BYTES_MAX);
  if (bytes.byteLength <= INLINE_BYTES_MAX) return { base64: Buffer.from(bytes).toString('base64') };
  const { sha256 } = await uploadFile(file, INPUT_BYTES_MAX, controller);
  return { sha256 };
}

async function sizeOf(path: string): Promise<number> {
  const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`${path}: ${cause.code === 'ENOENT' ? 'there is no such file' : cause.message}`, { cause });
  });
  if (!found.isFile()) throw new Error(`${path}: expected a file`);
  const handle = await open(path).catch((cause: Error) => {
    throw new Error(`${path}: cannot be read: ${cause.message}`, { cause });
  });
  await handle.close();
  return found.size;
}

/** `models/Silero VAD.v5.onnx` → `Silero-VAD-v5`: the file's name as a name that topics and access lists can carry. */
export function nameFromFile(path: string): string {
  const stem = basename(path, extname(path));
  return (
    stem
      .replace(/[^A-Za-z0-9_-]+/g, '-')
      .replace(/^-+|-+$/g, '')
      .slice(0, 64) || 'model'
  );
}
