/**
 * Ageing: a class that waits saves up its floor, a share of the core time that safety leaves. With a quantum saved it
 * goes before everything but safety until the credit is spent: the polling server of real-time scheduling (Sprunt, Sha
 * and Lehoczky, Real-Time Systems 1, 1989), so that the rest is delayed by a known share and no more.
 */
import { PRIORITIES, type PriorityClass, SAFETY } from './priorities.ts';

/** Credit that gets a class promoted. Long against a switch, short against a user's patience. */
export const FLOOR_QUANTUM_US = 20_000;

/** Between safety and the next class. */
const PROMOTED_LEVEL = 0.5;

export class Floors {
  readonly #creditUs = new Float64Array(PRIORITIES.length);
  readonly #promoted = PRIORITIES.map(() => false);
  /** How fast the credit grows, from the last account on. */
  readonly #slopes = new Float64Array(PRIORITIES.length);
  /** Classes, most urgent first. */
  #order = PRIORITIES.map((_, priority) => priority);

  /** Urgency with promotions: a smaller level goes first. */
  level(priority: number): number {
    return this.#promoted[priority] ? PROMOTED_LEVEL : priority;
  }

  get order(): readonly number[] {
    return this.#order;
  }

  /** Time has passed under the conditions told last. */
  advance(us: number): void {
    for (let priority = 0; priority < PRIORITIES.length; priority++) {
      const slope = this.#slopes[priority] as number;
      if (slope === 0) continue;
      const credit = Math.max(0, (this.#creditUs[priority] as number) + us * slope);
      this.#creditUs[priority] = credit;
      // A thousandth of a microsecond is rounding: without it a wake-up could come just too early, again and again.
      if (credit >= FLOOR_QUANTUM_US - 1e-3) this.#promote(priority, true);
      else if (credit <= 1e-3) this.#promote(priority, false);
    }
  }

  /** Tells the conditions from now on: cores that work for each class, and how many jobs of each class wait. */
  observe(cores: number, busy: readonly number[], waiting: (priority: number) => number): void {
    const left = cores - (busy[SAFETY] as number);
    for (let priority = 0; priority < PRIORITIES.length; priority++) {
      const { floor } = PRIORITIES[priority] as PriorityClass;
      if (floor === 0) continue;
      const waits = waiting(priority) > 0;
      this.#slopes[priority] = (waits ? floor * left : 0) - (busy[priority] as number);
      if (waits || (busy[priority] as number) > 0) continue;
      // Credit is for work that is held back; without any it lapses.
      this.#creditUs[priority] = 0;
      this.#promote(priority, false);
    }
  }

  /** Microseconds until a promotion begins or ends; infinite when none will. */
  get changeUs(): number {
    let soonest = Number.POSITIVE_INFINITY;
    for (let priority = 0; priority < PRIORITIES.length; priority++) {
      const slope = this.#slopes[priority] as number;
      const credit = this.#creditUs[priority] as number;
      if (slope > 0 && !this.#promoted[priority]) soonest = Math.min(soonest, (FLOOR_QUANTUM_US - credit) / slope);
      if (slope < 0 && this.#promoted[priority]) soonest = Math.min(soonest, credit / -slope);
    }
    return soonest;
  }

  #promote(priority: number, promoted: boolean): void {
    if (this.#promoted[priority] === promoted) return;
    this.#promoted[priority] = promoted;
    this.#order = PRIORITIES.map((_, each) => each).sort((a, b) => this.level(a) - this.level(b));
  }
}
