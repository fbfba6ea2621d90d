/** Inputs of models, as they are given: in the request itself, or as a blob. */
import type { BlobStore } from './blob-store.ts';

/** A large input becomes a blob, since a control message has to stay small. Rejects when a blob that is named is not here. */
export async function placeInput<Input extends { base64: string } | { sha256: string }>(
  blobs: BlobStore,
  input: Input,
  inlineBase64Max: number,
): Promise<Input | { sha256: string }> {
  if ('sha256' in input) {
    if (await blobs.has(input.sha256)) return input;
    throw new Error(`input: blob ${input.sha256} is not here; upload it first, with PUT /v1/blobs/${input.sha256}`);
  }
  if (input.base64.length <= inlineBase64Max) return input;
  const { sha256 } = await blobs.put(once(Buffer.from(input.base64, 'base64')));
  return { sha256 };
}

export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
