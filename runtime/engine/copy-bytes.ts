/** Fewer bytes are moved before Node has looked at the arguments. */
const SMALL_BYTES = 2048;

/**
 * Copies as many bytes into `to` as `from` has. Into shared memory and out of it `TypedArray.set` moves word after word; Node's `fill` with
 * as many bytes is one memcpy, three times as fast within the cache.
 */
export function copyBytes(to: Uint8Array, from: Uint8Array): void {
  if (from.length < SMALL_BYTES) to.set(from);
  else bufferOf(to).fill(bufferOf(from), 0, from.length);
}

function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
