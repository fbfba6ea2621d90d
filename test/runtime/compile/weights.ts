/** Weights of a model in plain memory, for programs that run without the engine. */
import { SPACE_BYTES_MAX } from '../../../runtime/compile/limits.ts';
import type { Weights } from '../../../runtime/compile/program.ts';

/** Tensors start on cache lines; the kernels need 16. */
const ALIGNMENT = 64;

export interface PlainWeights extends Weights {
  readonly byteLength: number;
  /** Copies everything placed so far to `target`. */
  copyTo(target: Uint8Array): void;
}

/** Contents laid one behind the other; equal keys are placed once. */
export function createWeights(): PlainWeights {
  const offsets = new Map<string, number>();
  const chunks: { offset: number; bytes: Uint8Array }[] = [];
  let byteLength = 0;
  return {
    place(key, make) {
      const before = offsets.get(key);
      if (before !== undefined) return before;
      const view = make();
      const offset = Math.ceil(byteLength / ALIGNMENT) * ALIGNMENT;
      if (offset + view.byteLength >= SPACE_BYTES_MAX)
        throw new Error(`expected constants of less than ${SPACE_BYTES_MAX} bytes together; this model has more`);
      chunks.push({ offset, bytes: new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice() });
      offsets.set(key, offset);
      byteLength = offset + view.byteLength;
      return offset;
    },
    get byteLength() {
      return byteLength;
    },
    copyTo(target) {
      for (const { offset, bytes } of chunks) target.set(bytes, offset);
    },
  };
}
