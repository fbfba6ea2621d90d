/**
 * The jobs of one class that could start now. Each tenant's are ordered by deadline. Between tenants, start-time fair
 * queueing (Goyal, Vin and Cheng, SIGCOMM 1996) bounds what earliest-deadline-first may do: a tenant whose virtual time
 * is more than the class's credit ahead of the one furthest behind is passed over; among the others the earliest
 * deadline wins. So two tenants that always have work differ by at most the credit and one job each, by weight.
 */
import { Heap, isBefore } from './heap.ts';
import { type Job, remainingUs, type Share } from './job.ts';

export class FairQueue {
  readonly #creditUs: number;
  /** Tenants that have jobs here. */
  readonly #busy: Share[] = [];
  /** The virtual time of the class: that of the tenant last served. It never goes back. */
  #virtualUs = 0;
  #length = 0;
  #workUs = 0;

  constructor(creditUs: number) {
    this.#creditUs = creditUs;
  }

  get length(): number {
    return this.#length;
  }

  /** Estimated time that all jobs here take on one core. */
  get workUs(): number {
    return this.#workUs;
  }

  openShare(weight: number): Share {
    return { weight, ready: new Heap(), virtualUs: 0 };
  }

  add(job: Job): void {
    const { share } = job;
    if (share.ready.length === 0) {
      this.#busy.push(share);
      // Who comes back after a pause has saved up nothing.
      share.virtualUs = Math.max(share.virtualUs, this.#virtualUs);
    }
    share.ready.add(job);
    this.#length++;
    this.#workUs += remainingUs(job);
  }

  /** Does nothing when the job is not here. */
  remove(job: Job): void {
    if (job.slot < 0) return;
    job.share.ready.remove(job);
    if (job.share.ready.length === 0) this.#busy.splice(this.#busy.indexOf(job.share), 1);
    this.#length--;
    this.#workUs = this.#length === 0 ? 0 : this.#workUs - remainingUs(job);
  }

  /** The job to serve next; it stays in the queue. */
  get first(): Job | undefined {
    let behindUs = Number.POSITIVE_INFINITY;
    for (const share of this.#busy) behindUs = Math.min(behindUs, share.virtualUs);
    let best: Job | undefined;
    for (const share of this.#busy) {
      if (share.virtualUs > behindUs + this.#creditUs) continue;
      const job = share.ready.first as Job;
      if (!best || isBefore(job, best)) best = job;
    }
    return best;
  }

  /** Estimated time on one core of the jobs that a job with this key goes behind. */
  workBefore(key: number): number {
    let sum = 0;
    for (const share of this.#busy) for (const job of share.ready.items) if (job.key <= key) sum += remainingUs(job);
    return sum;
  }

  /** All jobs in no order. */
  *jobs(): Generator<Job> {
    for (const share of this.#busy) yield* share.ready.items;
  }

  /** Counts core time that a tenant is given; negative to give back what was charged too much. */
  charge(share: Share, us: number): void {
    if (us > 0) this.#virtualUs = Math.max(this.#virtualUs, share.virtualUs);
    share.virtualUs += us / share.weight;
  }
}
