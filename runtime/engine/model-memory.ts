/** One model's part of the engine's memory: its weights, programs and runs together stay below the model's limit. */
import { type Blocks, blockBytes, type EngineMemory, MemoryLimitError, megabytes } from './memory.ts';

export class ModelMemory implements Blocks {
  readonly maxBytes: number;
  readonly #memory: EngineMemory;
  readonly #model: string;
  readonly #blocks = new Map<number, number>();
  #usedBytes = 0;

  /** Throws an Error when the limit is no number of bytes. */
  constructor(memory: EngineMemory, model: string, maxBytes: number) {
    if (!(maxBytes > 0)) throw new Error(`model "${model}": expected a memory limit above 0 bytes, got ${maxBytes}`);
    this.maxBytes = Math.min(maxBytes, memory.maxBytes);
    this.#memory = memory;
    this.#model = model;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Throws a MemoryLimitError when a block of that size would be too much beside what the model has. */
  expect(wantedBytes: number, what: string): void {
    const bytes = blockBytes(wantedBytes);
    if (this.#usedBytes + bytes <= this.maxBytes) return;
    throw new MemoryLimitError(
      `${what} needs ${megabytes(bytes)}: expected at most ${megabytes(this.maxBytes)} for model "${this.#model}", ` +
        `which would take ${megabytes(this.#usedBytes + bytes)}; give it a smaller input, or raise the model's memory limit`,
    );
  }

  allocate(wantedBytes: number, what: string): number {
    this.expect(wantedBytes, what);
    const offset = this.#memory.allocate(wantedBytes, what);
    this.#note(offset, blockBytes(wantedBytes));
    return offset;
  }

  extend(offset: number, wantedBytes: number): boolean {
    const bytes = blockBytes(wantedBytes);
    const more = bytes - (this.#blocks.get(offset) ?? 0);
    if (this.#usedBytes + more > this.maxBytes || !this.#memory.extend(offset, wantedBytes)) return false;
    if (more > 0) this.#note(offset, bytes);
    return true;
  }

  free(offset: number): void {
    this.#memory.free(offset);
    this.#note(offset, 0);
  }

  bytes(offset: number, bytes: number): Uint8Array<ArrayBuffer> {
    return this.#memory.bytes(offset, bytes);
  }

  words(offset: number, count: number): Uint32Array<ArrayBuffer> {
    return this.#memory.words(offset, count);
  }

  #note(offset: number, bytes: number): void {
    this.#usedBytes += bytes - (this.#blocks.get(offset) ?? 0);
    if (bytes > 0) this.#blocks.set(offset, bytes);
    else this.#blocks.delete(offset);
  }
}
