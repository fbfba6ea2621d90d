/**
 * A large file as chunks of 1 MiB, each by its SHA-256, so that what arrives is checked chunk by chunk, and what was damaged, or lost in a
 * power cut, is fetched again alone. The manifest is itself a file by content: whoever trusts its hash can trust every chunk.
 */
import { createHash } from 'node:crypto';
import * as z from 'zod';

const CHUNK_BYTES = 2 ** 20;
const HASH = /^[0-9a-f]{64}$/;

const manifestSchema = z.object({
  bytes: z.int().positive(),
  chunkBytes: z
    .int()
    .min(2 ** 16)
    .max(2 ** 24),
  chunks: z.array(z.string().regex(HASH, 'expected a SHA-256 in 64 hexadecimal digits')).max(2 ** 17),
});

export type Manifest = z.infer<typeof manifestSchema>;

export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** As text; undefined where the file is one chunk, whose hash is the file's own. */
export function encodeManifest(content: Uint8Array): Uint8Array | undefined {
  const bytes = content.byteLength;
  if (bytes <= CHUNK_BYTES) return undefined;
  const chunks: string[] = [];
  for (let at = 0; at < bytes; at += CHUNK_BYTES) chunks.push(sha256Of(content.subarray(at, at + CHUNK_BYTES)));
  return new TextEncoder().encode(JSON.stringify({ bytes, chunkBytes: CHUNK_BYTES, chunks } satisfies Manifest));
}

/** Throws an Error that says what is wrong with it. @param bytes of the file that it is to describe */
export function decodeManifest(text: Uint8Array, bytes: number): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch (cause) {
    throw new Error('expected a list of chunks as JSON in UTF-8, got something else', { cause });
  }
  const { data, error } = manifestSchema.safeParse(value);
  if (!data) throw new Error(`${error.issues[0]?.path.join('.') || 'list of chunks'}: ${error.issues[0]?.message}`);
  const count = Math.ceil(data.bytes / data.chunkBytes);
  if (data.bytes !== bytes) throw new Error(`bytes: expected those of the file, ${bytes}, got ${data.bytes}`);
  if (data.chunks.length !== count) throw new Error(`chunks: expected ${count}, got ${data.chunks.length}`);
  return data;
}

/** Where a chunk lies in its file. */
export function placeOf({ bytes, chunkBytes }: Manifest, index: number): { start: number; end: number } {
  return { start: index * chunkBytes, end: Math.min(bytes, (index + 1) * chunkBytes) };
}
