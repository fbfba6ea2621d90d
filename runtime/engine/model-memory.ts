/** One model's part of the engine's memory: its weights, programs and runs together stay below the model's limit. */
import { type Blocks, type BlockUse, blockBytes, type EngineMemory, MemoryLimitError, megabytes } from './memory.ts';

export class ModelMemory implements Blocks {
  readonly maxBytes: number;
  readonly #memory: EngineMemory;
  readonly #model: string;
  readonly #blocks = new Map<number, { readonly bytes: number; readonly use: BlockUse }>();
  #usedBytes = 0;
  /** Of runs that are under way. */
  #runBytes = 0;
  #largestRunBytes = 0;
  #refusedBytes = 0;

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

  /** For what is kept between runs and the largest run that is known. */
  get neededBytes(): number {
    return this.#usedBytes - this.#runBytes + this.#largestRunBytes;
  }

  /** The most that it would have had in all, had there been room. */
  get refusedBytes(): number {
    return this.#refusedBytes;
  }

  /** The model is loaded anew. */
  startOver(): void {
    this.#largestRunBytes = this.#refusedBytes = 0;
  }

  /** As `expect`, of a run that is to come. */
  expectRun(wantedBytes: number, what: string): void {
    this.expect(wantedBytes, what);
    this.#largestRunBytes = Math.max(this.#largestRunBytes, blockBytes(wantedBytes));
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

  allocate(wantedBytes: number, what: string, use: BlockUse = 'kept'): number {
    this.expect(wantedBytes, what);
    const bytes = blockBytes(wantedBytes);
    let offset: number;
    try {
      offset = this.#memory.allocate(wantedBytes, what);
    } catch (error) {
      this.#refusedBytes = Math.max(this.#refusedBytes, this.#usedBytes + bytes);
      throw error;
    }
    if (use === 'run') this.#largestRunBytes = Math.max(this.#largestRunBytes, bytes);
    this.#note(offset, bytes, use);
    return offset;
  }

  extend(offset: number, wantedBytes: number): boolean {
    const bytes = blockBytes(wantedBytes);
    const { bytes: before = 0, use = 'kept' } = this.#blocks.get(offset) ?? {};
    const more = bytes - before;
    if (this.#usedBytes + more > this.maxBytes || !this.#memory.extend(offset, wantedBytes)) return false;
    if (more > 0) this.#note(offset, bytes, use);
    return true;
  }

  free(offset: number): void {
    this.#memory.free(offset);
    this.#note(offset, 0, this.#blocks.get(offset)?.use ?? 'kept');
  }

  bytes(offset: number, bytes: number): Uint8Array<ArrayBuffer> {
    return this.#memory.bytes(offset, bytes);
  }

  words(offset: number, count: number): Uint32Array<ArrayBuffer> {
    return this.#memory.words(offset, count);
  }

  #note(offset: number, bytes: number, use: BlockUse): void {
    const more = bytes - (this.#blocks.get(offset)?.bytes ?? 0);
    this.#usedBytes += more;
    if (use === 'run') this.#runBytes += more;
    if (bytes > 0) this.#blocks.set(offset, { bytes, use });
    else this.#blocks.delete(offset);
  }
}
