/** Processors of one kind: the cores of the node, or an accelerator. Each has its own queues. */
import { expectedResponseUs } from './admission.ts';
import { Cores, speedOf } from './cores.ts';
import type { ModelSpec } from './events.ts';
import type { FairQueue } from './fair-queue.ts';
import { Floors } from './floors.ts';
import { type Job, remainingUs, type Slice } from './job.ts';
import { Meter } from './measure.ts';
import { PRIORITIES, type PriorityClass } from './priorities.ts';
import { Ready } from './ready.ts';

/** How long the shares of the classes are taken to be the same: they change within seconds. */
const SHARES_US = 10_000;

export class Pool {
  /** The accelerator's; absent for the cores. */
  readonly name: string | undefined;
  /** Its number. */
  readonly place: number;
  readonly floors = new Floors();
  readonly ready = new Ready(this.floors);
  readonly cores: Cores;
  /** What arrives and how long it takes, by class. */
  readonly meters: readonly Meter[];
  readonly #shares = new Float64Array(PRIORITIES.length);
  #sharesUntilUs = Number.NEGATIVE_INFINITY;
  /** For the floors. */
  readonly waiting = (priority: number): number => this.ready.of(priority).length;
  readonly levelOf = (priority: number): number => this.floors.level(priority);

  constructor(place: number, count: number, firstCore: number, nowUs: number, name?: string) {
    this.place = place;
    this.name = name;
    this.cores = new Cores(count, firstCore);
    this.meters = PRIORITIES.map(() => new Meter(nowUs));
  }

  /** An accelerator computes a run to its end. */
  get isPreemptible(): boolean {
    return this.name === undefined;
  }

  queue({ priority }: Job): FairQueue {
    return this.ready.of(priority);
  }

  /** Estimated time of a run here; undefined where the model cannot use what is here. */
  workUs({ onCores = true, accelerators }: ModelSpec, coreUs: number): number | undefined {
    if (this.name === undefined) return onCores ? coreUs : undefined;
    return accelerators?.[this.name];
  }

  /** Work that goes before a job of the class, without what waits in the class itself. */
  aheadUs(priority: number, nowUs: number): number {
    let aheadUs = 0;
    const { slices } = this.cores;
    for (let i = 0; i < slices.length; i++) {
      const { job, cores, startedUs } = slices[i] as Slice;
      if (job.priority <= priority || !this.isPreemptible)
        aheadUs += Math.max(0, remainingUs(job) - (nowUs - startedUs) * speedOf(cores.length));
    }
    for (let other = 0; other < priority; other++) aheadUs += this.ready.of(other).workUs;
    return aheadUs;
  }

  /** Estimated time of a job's own work with the cores that it will get of those it can use: its part of all. */
  ownUs(priority: number, cores: number, workUs: number): number {
    if (cores === 1) return workUs;
    let others = 0;
    for (const { job } of this.cores.slices) if (job.priority <= priority) others++;
    for (let other = 0; other <= priority; other++) others += this.ready.of(other).length;
    return workUs / speedOf(Math.max(1, Math.min(cores, Math.floor(this.cores.count / (1 + others)))));
  }

  /** Expected time until a new run ends that goes behind all of its class. */
  responseUs(priority: number, workUs: number, nowUs: number): number {
    const aheadUs = this.aheadUs(priority, nowUs) + this.ready.of(priority).workUs;
    return this.stretchedUs(aheadUs, workUs, this.takenShare(priority, nowUs));
  }

  stretchedUs(aheadUs: number, workUs: number, takenShare: number): number {
    return expectedResponseUs({ aheadUs, workUs, cores: this.cores.count, takenShare });
  }

  /** Share of what is here that more urgent classes have lately taken, and that floors may take. */
  takenShare(priority: number, nowUs: number): number {
    if (nowUs >= this.#sharesUntilUs) this.#readShares(nowUs);
    let share = 0;
    for (let other = 0; other < priority; other++) share += this.#shares[other] as number;
    for (let other = priority + 1; other < PRIORITIES.length; other++)
      if (this.ready.of(other).length > 0) share += (PRIORITIES[other] as PriorityClass).floor;
    return share;
  }

  #readShares(nowUs: number): void {
    this.#sharesUntilUs = nowUs + SHARES_US;
    for (let priority = 0; priority < PRIORITIES.length; priority++) {
      const { rate, mean = 0 } = (this.meters[priority] as Meter).read(nowUs);
      this.#shares[priority] = (rate * mean) / this.cores.count;
    }
  }
}
