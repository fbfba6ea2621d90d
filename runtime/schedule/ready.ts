/** The jobs that could start now, of all classes. */
import { FairQueue } from './fair-queue.ts';
import type { Floors } from './floors.ts';
import type { Job } from './job.ts';
import { PRIORITIES } from './priorities.ts';

export class Ready {
  readonly queues: readonly FairQueue[] = PRIORITIES.map((_, priority) => new FairQueue(priority));
  readonly #floors: Floors;

  constructor(floors: Floors) {
    this.#floors = floors;
  }

  /** Jobs of all classes. */
  get total(): number {
    let sum = 0;
    for (let priority = 0; priority < this.queues.length; priority++) sum += this.of(priority).length;
    return sum;
  }

  of(priority: number): FairQueue {
    return this.queues[priority] as FairQueue;
  }

  /** The job to serve next; it stays where it is. */
  get first(): Job | undefined {
    const { order } = this.#floors;
    for (let place = 0; place < order.length; place++) {
      const queue = this.of(order[place] as number);
      if (queue.length > 0) return queue.first;
    }
    return undefined;
  }
}
