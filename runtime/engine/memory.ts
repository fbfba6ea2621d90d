/**
 * The engine's one WebAssembly memory, shared with the thread that computes: weights, programs and the arenas of
 * runs lie in it. First-fit with neighbours joined again (Knuth, TAOCP 1, 2.5): blocks are few and long-lived, and
 * arenas come and go in the order of runs, so that they reuse the same, warm bytes.
 */

import { MEMORY_PAGES_MIN } from './kernels.ts';

const PAGE_BYTES = 65536;
/** A cache line, so that two blocks never share one. */
const ALIGNMENT_BYTES = 64;

/** Thrown when a block does not fit into the limit of the engine's memory or of a model's part of it. */
export class MemoryLimitError extends Error {
  override readonly name = 'MemoryLimitError';
  /** What other models have could be enough. */
  readonly othersHaveIt: boolean;
  /** Of the block. */
  readonly wantedBytes: number;

  constructor(
    message: string,
    {
      othersHaveIt = false,
      wantedBytes = 0,
      ...options
    }: ErrorOptions & { othersHaveIt?: boolean; wantedBytes?: number } = {},
  ) {
    super(message, options);
    this.othersHaveIt = othersHaveIt;
    this.wantedBytes = wantedBytes;
  }
}

export type BlockUse = 'kept' | 'run';

/** What models need of the memory: blocks, and views of them. */
export interface Blocks {
  /**
   * Offset of a new block, a multiple of 64. Its content is whatever was there before. `use`: what a run gives back at its end counts apart.
   * Throws a MemoryLimitError.
   */
  allocate(wantedBytes: number, what: string, use?: BlockUse): number;
  /** Makes a block larger where it lies, if what lies behind it is free: false when it is not, or the limit is near. */
  extend(offset: number, wantedBytes: number): boolean;
  free(offset: number): void;
  /** View of `bytes` from `offset`. */
  bytes(offset: number, bytes: number): Uint8Array<ArrayBuffer>;
  /** View of `count` 32-bit words from `offset`. */
  words(offset: number, count: number): Uint32Array<ArrayBuffer>;
}

interface Block {
  offset: number;
  bytes: number;
}

export class EngineMemory implements Blocks {
  readonly memory: WebAssembly.Memory;
  readonly maxBytes: number;
  /** Unused blocks, by offset; no two touch. */
  readonly #free: Block[] = [];
  readonly #used = new Map<number, number>();
  /** Everything from here on was never handed out. */
  #top: number;
  #usedBytes = 0;

  /** `maxBytes` counts from the start of the memory. */
  constructor(maxBytes: number) {
    this.maxBytes = Math.floor(maxBytes / PAGE_BYTES) * PAGE_BYTES;
    this.memory = new WebAssembly.Memory({
      initial: MEMORY_PAGES_MIN,
      maximum: this.maxBytes / PAGE_BYTES,
      shared: true,
    });
    this.#top = 0;
  }

  /** Bytes in use by blocks. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Bytes that are left, in one piece or several. */
  get freeBytes(): number {
    return this.#free.reduce((sum, { bytes }) => sum + bytes, this.maxBytes - this.#top);
  }

  /** Keeps the bytes below `end` out of use: the kernels' own static data lies there. Called once, before `allocate`. */
  reserve(end: number): void {
    this.#top = align(end);
  }

  allocate(wantedBytes: number, what: string): number {
    const bytes = blockBytes(wantedBytes);
    const index = this.#free.findIndex((block) => block.bytes >= bytes);
    let offset: number;
    if (index >= 0) {
      const block = this.#free[index] as Block;
      offset = block.offset;
      block.offset += bytes;
      block.bytes -= bytes;
      if (block.bytes === 0) this.#free.splice(index, 1);
    } else {
      offset = this.#extend(bytes, what);
    }
    this.#used.set(offset, bytes);
    this.#usedBytes += bytes;
    return offset;
  }

  extend(offset: number, wantedBytes: number): boolean {
    const bytes = this.#used.get(offset);
    const more = blockBytes(wantedBytes) - (bytes ?? 0);
    if (bytes === undefined || offset + bytes !== this.#top || this.#top + more > this.maxBytes) return false;
    if (more <= 0) return true;
    this.#extend(more, 'a larger block');
    this.#used.set(offset, bytes + more);
    this.#usedBytes += more;
    return true;
  }

  free(offset: number): void {
    const bytes = this.#used.get(offset);
    if (bytes === undefined) throw new Error(`no block at ${offset}: freed twice, or never allocated`);
    this.#used.delete(offset);
    this.#usedBytes -= bytes;
    const index = this.#free.findIndex((block) => block.offset > offset);
    const at = index < 0 ? this.#free.length : index;
    this.#free.splice(at, 0, { offset, bytes });
    this.#join(at);
    this.#join(at - 1);
    const last = this.#free.at(-1);
    if (last && last.offset + last.bytes === this.#top) {
      this.#top = last.offset;
      this.#free.pop();
    }
  }

  bytes(offset: number, bytes: number): Uint8Array<ArrayBuffer> {
    // The memory is shared, but only one side uses a block at a time, and `set` and `slice` work alike on both kinds.
    return new Uint8Array(this.memory.buffer as unknown as ArrayBuffer, offset, bytes);
  }

  words(offset: number, count: number): Uint32Array<ArrayBuffer> {
    return new Uint32Array(this.memory.buffer as unknown as ArrayBuffer, offset, count);
  }

  #extend(bytes: number, what: string): number {
    const end = this.#top + bytes;
    if (end > this.maxBytes) {
      throw new MemoryLimitError(
        `${what} needs ${megabytes(bytes)}: expected at most ${megabytes(this.maxBytes)} in all, of which ${megabytes(this.#usedBytes)} are in use; ` +
          "close a model, or raise the engine's memory limit",
        { othersHaveIt: bytes <= this.maxBytes, wantedBytes: bytes },
      );
    }
    const missing = end - this.memory.buffer.byteLength;
    if (missing > 0) {
      try {
        this.memory.grow(Math.ceil(missing / PAGE_BYTES));
      } catch (cause) {
        throw new MemoryLimitError(`${what} needs ${megabytes(bytes)}, which this machine does not give`, {
          cause,
          othersHaveIt: true,
          wantedBytes: bytes,
        });
      }
    }
    const offset = this.#top;
    this.#top = end;
    return offset;
  }

  /** Makes the free blocks at `index` and behind it one, where they touch. */
  #join(index: number): void {
    const block = this.#free[index];
    const next = this.#free[index + 1];
    if (!block || !next || block.offset + block.bytes !== next.offset) return;
    block.bytes += next.bytes;
    this.#free.splice(index + 1, 1);
  }
}

/** Bytes that a block of the wanted size takes. */
export function blockBytes(wantedBytes: number): number {
  return align(Math.max(wantedBytes, 1));
}

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
