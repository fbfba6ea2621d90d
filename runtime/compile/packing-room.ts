/**
 * Memory in which weights are packed before they are copied to where they stay: that of earlier ones, since pages of new memory take
 * several times as long as the packing itself.
 */
import { KEPT_BYTES_MAX } from '../onnx/limits.ts';

const FLOAT_BYTES = 4;

export class PackingRoom {
  #spare: ArrayBuffer | undefined;

  /** So many zeros. */
  take(length: number): Float32Array<ArrayBuffer> {
    const bytes = length * FLOAT_BYTES;
    const spare = this.#spare;
    if (!spare || bytes <= KEPT_BYTES_MAX || spare.byteLength < bytes) return new Float32Array(length);
    this.#spare = undefined;
    return new Float32Array(spare, 0, length).fill(0);
  }

  /** What was taken, or made elsewhere, once it is copied: to be called by whoever copies. */
  giveBack(buffer: ArrayBufferLike): void {
    if (!(buffer instanceof ArrayBuffer) || buffer.byteLength <= KEPT_BYTES_MAX) return;
    const isLarger = buffer.byteLength > (this.#spare?.byteLength ?? 0);
    free(isLarger ? this.#spare : buffer);
    if (isLarger) this.#spare = buffer;
  }

  close(): void {
    free(this.#spare);
    this.#spare = undefined;
  }
}

/** At once: the garbage collector would let a whole model's weights pile up first. */
function free(buffer: ArrayBuffer | undefined): void {
  // Node 20 cannot.
  if (buffer && 'transfer' in buffer) buffer.transfer(0);
}
