/** The cores of a node and what each of them works on. */
import { isBefore } from './heap.ts';
import type { Slice } from './job.ts';
import { PRIORITIES, SAFETY } from './priorities.ts';

export class Cores {
  readonly #idle: number[];
  /** By first core. */
  readonly #slices = new Map<number, Slice>();
  /** Cores that work for each class. */
  readonly busy = PRIORITIES.map(() => 0);
  readonly count: number;

  constructor(count: number) {
    if (!Number.isInteger(count) || count < 1) throw new Error(`cores: expected a whole number above 0, got ${count}`);
    this.count = count;
    this.#idle = Array.from({ length: count }, (_, i) => count - 1 - i);
  }

  get idle(): number {
    return this.#idle.length;
  }

  get slices(): Iterable<Slice> {
    return this.#slices.values();
  }

  take(count: number): number[] {
    return this.#idle.splice(this.#idle.length - count, count);
  }

  begin(slice: Slice): void {
    this.#slices.set(slice.cores[0] as number, slice);
    this.busy[slice.job.priority] = (this.busy[slice.job.priority] as number) + slice.cores.length;
  }

  end(core: number): Slice {
    const slice = this.#slices.get(core);
    if (!slice) throw new Error(`assertion: core ${core} stopped, expected one that was started`);
    this.#slices.delete(core);
    this.#idle.push(...slice.cores);
    this.busy[slice.job.priority] = (this.busy[slice.job.priority] as number) - slice.cores.length;
    return slice;
  }

  /**
   * Whom to stop in favour of a job at `level`: the least urgent slice below it, among equals the one that should end
   * last, else a slice at the level that has cores to give back. Safety keeps what it was promised with.
   */
  victim(level: number, levelOf: (slice: Slice) => number): Slice | undefined {
    let worst: Slice | undefined;
    let worstLevel = level;
    for (const slice of this.#slices.values()) {
      const own = levelOf(slice);
      if (slice.stopping || own < worstLevel) continue;
      if (own === level && (slice.cores.length === 1 || slice.job.priority === SAFETY)) continue;
      if (worst && own === worstLevel && isBefore(slice.job, worst.job)) continue;
      worst = slice;
      worstLevel = own;
    }
    return worst;
  }
}
