/**
 * The order in which runs are served by a core: the most urgent class first, within one first come, first served. So that no class waits
 * for ever, one run in sixteen is the one that came first of all, whatever its class.
 */
import { PRIORITIES } from '../schedule/priorities.ts';

/** Runs that may wait; more means that the engine is asked for more than it can do, and waiting longer helps nobody. */
export const WAITING_RUNS_MAX = 4096;
const OLDEST_EVERY = 16;

interface Waiting<T> {
  readonly run: T;
  readonly place: number;
}

export class RunQueue<T> {
  readonly #classes: readonly Waiting<T>[][] = PRIORITIES.map(() => []);
  #length = 0;
  /** Places behind all that wait go up, those in front go down. */
  #last = 0;
  #first = 0;
  #taken = 0;

  get length(): number {
    return this.#length;
  }

  /** `priority`: its class, 0 the most urgent. */
  add(run: T, priority: number): void {
    if (this.#length >= WAITING_RUNS_MAX) {
      throw new Error(
        `the engine is overloaded: expected at most ${WAITING_RUNS_MAX} waiting runs; send less, or spread the work over more nodes`,
      );
    }
    this.putBack(run, priority, 'last');
  }

  /** Puts back a run that was set aside, before or behind those of its class. It was admitted before, so that it is not counted again. */
  putBack(run: T, priority: number, where: 'first' | 'last'): void {
    const waiting = this.#classes[priority] as Waiting<T>[];
    if (where === 'last') waiting.push({ run, place: ++this.#last });
    else waiting.unshift({ run, place: --this.#first });
    this.#length++;
  }

  /** The run to serve next. */
  take(): T | undefined {
    const some = this.#classes.filter(({ length }) => length > 0);
    const [urgent] = some;
    if (!urgent) return undefined;
    const placeOf = (waiting: readonly Waiting<T>[]): number => (waiting[0] as Waiting<T>).place;
    const isOldestsTurn = ++this.#taken % OLDEST_EVERY === 0;
    const from = isOldestsTurn ? some.reduce((a, b) => (placeOf(b) < placeOf(a) ? b : a)) : urgent;
    this.#length--;
    return from.shift()?.run;
  }

  /** Takes a run out of the queue; false when it was not in it. */
  remove(run: T): boolean {
    for (const waiting of this.#classes) {
      const index = waiting.findIndex((each) => each.run === run);
      if (index < 0) continue;
      waiting.splice(index, 1);
      this.#length--;
      return true;
    }
    return false;
  }
}
