/** What the values between the programs of one run take, bounded. */
import { elementBytes, elementCount } from './tensor.ts';
import { type EngineValue, isHostValue } from './value.ts';

/** Values that a run keeps between its programs, outputs of loops included. */
export const HELD_BYTES_MAX = 2 ** 30;

/** A sequence or text takes some room even when it is empty. */
const ITEM_BYTES = 64;

export class HeldBytes {
  #bytes = 0;

  /** Throws an Error when there is too much. A value that has two names counts twice. */
  take(value: EngineValue): void {
    this.#bytes += bytesOf(value);
    if (this.#bytes > HELD_BYTES_MAX)
      throw new Error(
        `the values between the programs of this run take more than ${HELD_BYTES_MAX} bytes; use smaller inputs or fewer iterations`,
      );
  }

  release(value: EngineValue): void {
    this.#bytes -= bytesOf(value);
  }
}

function bytesOf(value: EngineValue): number {
  if (!isHostValue(value)) return elementCount(value.dims) * elementBytes(value.type);
  switch (value.type) {
    case 'string':
      return value.data.reduce((sum, text) => sum + ITEM_BYTES + 2 * text.length, ITEM_BYTES);
    case 'sequence':
      return value.items.reduce((sum, item) => sum + bytesOf(item), ITEM_BYTES * (1 + value.items.length));
    case 'optional':
      return ITEM_BYTES + (value.value ? bytesOf(value.value) : 0);
    case 'map':
      return ITEM_BYTES * (1 + value.entries.size);
  }
}
