/**
 * The order in which runs are served by a core. First come, first served; a run that was set aside goes behind those
 * that wait. The scheduler's classes and deadlines will be decided here and nowhere else.
 */

/** Runs that may wait; more means that the engine is asked for more than it can do, and waiting longer helps nobody. */
export const WAITING_RUNS_MAX = 4096;

export class RunQueue<T> {
  readonly #waiting: T[] = [];

  get length(): number {
    return this.#waiting.length;
  }

  add(run: T): void {
    if (this.#waiting.length >= WAITING_RUNS_MAX) {
      throw new Error(
        `the engine is overloaded: expected at most ${WAITING_RUNS_MAX} waiting runs; send less, or spread the work over more nodes`,
      );
    }
    this.#waiting.push(run);
  }

  /** Puts back a run that was set aside. It was admitted before, so that it is not counted again. */
  putBack(run: T): void {
    this.#waiting.push(run);
  }

  /** The run to serve next. */
  take(): T | undefined {
    return this.#waiting.shift();
  }

  /** Takes a run out of the queue; false when it was not in it. */
  remove(run: T): boolean {
    const index = this.#waiting.indexOf(run);
    if (index >= 0) this.#waiting.splice(index, 1);
    return index >= 0;
  }
}
