/** A model's packed weights, placed straight into the engine's memory. */
import { SPACE_BYTES_MAX } from '../compile/limits.ts';
import { UnsupportedError, type Weights } from '../compile/program.ts';
import type { Region, SharedNews } from './compile-messages.ts';
import type { Blocks } from './memory.ts';

/** A cache line; `instructions.ts` asks for 16. */
export const WEIGHTS_ALIGNMENT = 64;

/**
 * The region grows by moving: programs hold offsets only, and a run takes the region's place anew each time it starts
 * or resumes. While a core computes with the old place, that place is kept.
 */
export class MemoryWeights implements Weights {
  readonly #memory: Blocks;
  readonly #model: string;
  readonly #offsets = new Map<string, number>();
  #region: number;
  #capacity: number;
  #length = 0;
  #readers = 0;
  readonly #left: number[] = [];

  /** `expectedBytes` is a guess; more is made room for when it is needed. */
  constructor(memory: Blocks, model: string, expectedBytes: number) {
    this.#memory = memory;
    this.#model = model;
    this.#capacity = expectedBytes;
    this.#region = memory.allocate(expectedBytes, this.#what);
  }

  /** Where the weights lie now, in bytes from the start of the memory. */
  get offset(): number {
    return this.#region;
  }

  get byteLength(): number {
    return this.#length;
  }

  place(key: string, make: () => ArrayBufferView): number {
    const known = this.#offsets.get(key);
    if (known !== undefined) return known;
    const made = make();
    const offset = Math.ceil(this.#length / WEIGHTS_ALIGNMENT) * WEIGHTS_ALIGNMENT;
    if (offset + made.byteLength >= SPACE_BYTES_MAX) {
      throw new UnsupportedError(`${this.#what} take more than ${SPACE_BYTES_MAX} bytes`);
    }
    this.#makeRoom(offset + made.byteLength);
    const bytes = new Uint8Array(made.buffer, made.byteOffset, made.byteLength);
    this.#memory.bytes(this.#region + offset, made.byteLength).set(bytes);
    this.#length = offset + made.byteLength;
    this.#offsets.set(key, offset);
    return offset;
  }

  copyTo(target: Uint8Array): void {
    target.set(this.bytes);
  }

  /** As they lie in the memory now: a view that counts until the next one is placed. */
  get bytes(): Uint8Array {
    return this.#memory.bytes(this.#region, this.#length);
  }

  /** Room in the place of all, for weights that another process packed; for programs that were made there. */
  restore(byteLength: number): Uint8Array {
    this.#makeRoom(byteLength);
    this.#length = byteLength;
    return this.bytes;
  }

  /** Where they lie, and how many there is room for. */
  get region(): Region {
    return { offset: this.#region, capacity: this.#capacity };
  }

  /** What was placed, but for the first `count`, by names; and how many there are. */
  placedSince(count: number): (readonly [string, number])[] {
    return [...this.#offsets].slice(count);
  }

  get count(): number {
    return this.#offsets.size;
  }

  /** Room for those that another thread places, who has written up to `usedBytes`. Throws a MemoryLimitError. */
  makeRoom(usedBytes: number, bytes: number): Region {
    this.#length = usedBytes;
    this.#makeRoom(bytes);
    return this.region;
  }

  /** Takes note of what another thread has placed. */
  learn({ offsets, weightBytes }: Pick<SharedNews, 'offsets' | 'weightBytes'>): void {
    for (const [key, offset] of offsets) this.#offsets.set(key, offset);
    this.#length = weightBytes;
  }

  /** Keeps the present place until `release`. */
  hold(): void {
    this.#readers++;
  }

  release(): void {
    this.#readers--;
    if (this.#readers === 0) for (const region of this.#left.splice(0)) this.#memory.free(region);
  }

  /** Gives all memory back; nobody may hold the weights. */
  free(): void {
    this.#memory.free(this.#region);
  }

  get #what(): string {
    return `the weights of model "${this.#model}"`;
  }

  #makeRoom(bytes: number): void {
    if (bytes <= this.#capacity) return;
    // Mostly nothing lies behind the weights while the first program is made.
    if (this.#memory.extend(this.#region, bytes)) {
      this.#capacity = bytes;
      return;
    }
    // Half as much again, so that a model of many small weights is not moved for each of them.
    const capacity = Math.ceil(bytes * 1.5);
    const region = this.#memory.allocate(capacity, this.#what);
    this.copyTo(this.#memory.bytes(region, this.#length));
    if (this.#readers === 0) this.#memory.free(this.#region);
    else this.#left.push(this.#region);
    this.#region = region;
    this.#capacity = capacity;
  }
}
