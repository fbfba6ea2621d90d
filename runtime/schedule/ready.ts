/** The jobs that could start now, of all classes. */
import { FairQueue } from './fair-queue.ts';
import type { Floors } from './floors.ts';
import type { Job } from './job.ts';
import { PRIORITIES } from './priorities.ts';

export class Ready {
  readonly queues: readonly FairQueue[] = PRIORITIES.map(({ creditUs }) => new FairQueue(creditUs));
  readonly #floors: Floors;

  constructor(floors: Floors) {
    this.#floors = floors;
  }

  /** Jobs of all classes. */
  get total(): number {
    let sum = 0;
    for (const queue of this.queues) sum += queue.length;
    return sum;
  }

  of(priority: number): FairQueue {
    return this.queues[priority] as FairQueue;
  }

  /** Classes with jobs that wait, most urgent first. */
  byLevel(): number[] {
    const waiting: number[] = [];
    for (let priority = 0; priority < this.queues.length; priority++)
      if (this.of(priority).length > 0) waiting.push(priority);
    return waiting.sort((a, b) => this.#floors.level(a) - this.#floors.level(b));
  }

  /** The job to serve next; it stays where it is. */
  get first(): Job | undefined {
    let best: FairQueue | undefined;
    let bestLevel = Number.POSITIVE_INFINITY;
    for (let priority = 0; priority < this.queues.length; priority++) {
      const queue = this.of(priority);
      if (queue.length === 0 || this.#floors.level(priority) >= bestLevel) continue;
      best = queue;
      bestLevel = this.#floors.level(priority);
    }
    return best?.first;
  }
}
