/** The cores of a pool and what each of them works on. */
import { isBefore } from './heap.ts';
import { remainingUs, type Slice } from './job.ts';
import { PRIORITIES, SAFETY } from './priorities.ts';

/** What a further core adds to the first one: some of each operator is not shared. An estimate; measured times correct it. */
const FURTHER_CORE = 0.8;
/** A job that is nearly done is not worth the change to more cores. */
const WIDEN_US_MIN = 5000;

/** How many times as fast several cores are. */
export function speedOf(cores: number): number {
  return 1 + (cores - 1) * FURTHER_CORE;
}

export class Cores {
  readonly #idle: number[];
  readonly #first: number;
  #count: number;
  readonly #slices: Slice[] = [];
  /** Cores that work for each class. */
  readonly busy = PRIORITIES.map(() => 0);

  /** Their numbers start with `first`. */
  constructor(count: number, first: number) {
    if (!Number.isInteger(count) || count < 1) throw new Error(`cores: expected a whole number above 0, got ${count}`);
    this.#first = first;
    this.#count = count;
    this.#idle = Array.from({ length: count }, (_, i) => first + count - 1 - i);
  }

  get count(): number {
    return this.#count;
  }

  get idle(): number {
    return this.#idle.length;
  }

  get slices(): readonly Slice[] {
    return this.#slices;
  }

  /** One more, idle. */
  grow(): void {
    this.#idle.unshift(this.#first + this.#count++);
  }

  take(count: number): number[] {
    return count === 1 ? [this.#idle.pop() as number] : this.#idle.splice(this.#idle.length - count, count);
  }

  /** The first core of the slice that ended last. */
  takeLast(core: number): number {
    const place = this.#idle.lastIndexOf(core);
    if (place < 0) throw new Error(`assertion: core ${core} goes on, expected one that has just stopped`);
    this.#idle.splice(place, 1);
    return core;
  }

  begin(slice: Slice): void {
    this.#slices.push(slice);
    slice.job.slice = slice;
    this.busy[slice.job.priority] = (this.busy[slice.job.priority] as number) + slice.cores.length;
  }

  /** Throws an Error when nothing was started on the core. */
  end(core: number): Slice {
    const place = this.#slices.findIndex(({ cores }) => cores[0] === core);
    if (place < 0) throw new Error(`assertion: core ${core} stopped, expected one that was started`);
    const slice = this.#slices[place] as Slice;
    const last = this.#slices.pop() as Slice;
    if (last !== slice) this.#slices[place] = last;
    slice.job.slice = undefined;
    for (let i = 0; i < slice.cores.length; i++) this.#idle.push(slice.cores[i] as number);
    this.busy[slice.job.priority] = (this.busy[slice.job.priority] as number) - slice.cores.length;
    return slice;
  }

  /** A job that could use idle cores as well, to start anew with them: to be set aside costs one instruction. None while one does so. */
  narrow(nowUs: number): Slice | undefined {
    let best: Slice | undefined;
    for (let i = 0; i < this.#slices.length; i++) {
      const slice = this.#slices[i] as Slice;
      const { job, cores, startedUs, stopping } = slice;
      if (stopping) return undefined;
      const leftUs = remainingUs(job) - (nowUs - startedUs) * speedOf(cores.length);
      if (job.cores === cores.length || leftUs < WIDEN_US_MIN) continue;
      if (!best || job.priority < best.job.priority) best = slice;
    }
    return best;
  }

  /**
   * Whom to stop in favour of a job at `level`: the least urgent slice below it, among equals the one that should end
   * last, else a slice at the level that has cores to give back. Safety keeps what it was promised with.
   */
  victim(level: number, levelOf: (priority: number) => number): Slice | undefined {
    let worst: Slice | undefined;
    let worstLevel = level;
    for (let i = 0; i < this.#slices.length; i++) {
      const slice = this.#slices[i] as Slice;
      const own = levelOf(slice.job.priority);
      if (slice.stopping || own < worstLevel) continue;
      if (own === level && (slice.cores.length === 1 || slice.job.priority === SAFETY)) continue;
      if (worst && own === worstLevel && isBefore(slice.job, worst.job)) continue;
      worst = slice;
      worstLevel = own;
    }
    return worst;
  }
}
