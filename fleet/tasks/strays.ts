/**
 * Units that nodes speak of and that are in no book of this controller: another one has them, or nobody has, and then the node would ask for
 * ever. Which of the two is looked up in the database, for a few at a time: nodes repeat what was not answered.
 */
import type { UnitFence } from '../../runtime/protocol/tasks.ts';

const WAITING_MAX = 1_000;
/** Most are another controller's and in work; looked at a moment later one query serves many. */
const GATHER_MS = 5_000;

export interface Stray extends UnitFence {
  readonly node: string;
}

export class Strays {
  #waiting = new Map<string, Stray>();
  #since = 0;

  note(node: string, units: readonly UnitFence[], now: number): void {
    if (this.#waiting.size === 0) this.#since = now;
    for (const { unit, fence } of units)
      if (this.#waiting.size < WAITING_MAX) this.#waiting.set(`${node} ${unit}`, { node, unit, fence });
  }

  /** Those that have waited for long enough. */
  take(now: number): Stray[] {
    if (now < this.#since + GATHER_MS) return [];
    const taken = [...this.#waiting.values()];
    this.#waiting = new Map();
    return taken;
  }
}
