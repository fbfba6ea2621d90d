/**
 * The jobs of one class. Each tenant's are ordered by deadline. Between tenants, start-time fair queueing (Goyal, Vin and
 * Cheng, SIGCOMM 1996) bounds what earliest-deadline-first may do: a tenant whose virtual time is more than the class's
 * credit ahead of the one furthest behind is passed over; among the others the earliest deadline wins. So two tenants
 * that always have work differ by at most the credit and one job each, by weight.
 */
import { Heap, isBefore } from './heap.ts';
import { type Job, type Lane, type ResidentModel, remainingUs, type Share } from './job.ts';
import { PRIORITIES, type PriorityClass } from './priorities.ts';
import { WorkByDeadline } from './work-by-deadline.ts';

export class FairQueue {
  readonly #creditUs: number;
  /** Tenants that have jobs here which may start. */
  readonly #busy: Share[] = [];
  readonly #work: WorkByDeadline;
  /** The virtual time of the class: that of the tenant last served. It never goes back. */
  #virtualUs = 0;
  #length = 0;
  /** Of any job that was here since the queue was last empty. */
  #longestUs = 0;

  constructor(priority: number) {
    const { creditUs, targetUs } = PRIORITIES[priority] as PriorityClass;
    this.#creditUs = creditUs;
    this.#work = new WorkByDeadline(targetUs);
  }

  /** Jobs that may start. */
  get length(): number {
    return this.#length;
  }

  /** Estimated time that all of them take on one core. */
  get workUs(): number {
    return this.#work.totalUs;
  }

  openShare(weight: number): Share {
    const ready = new Heap<Lane>();
    const share: { -readonly [Key in keyof Share]?: Share[Key] } = { weight, ready, lanes: [], virtualUs: 0 };
    share.started = this.#newLane(share as Share, true);
    return share as Share;
  }

  /** Where a job of the model waits before it starts. */
  laneOf(share: Share, model: ResidentModel, isOpen: boolean): Lane {
    const found = share.lanes[model.place];
    if (found) return found;
    const lane = this.#newLane(share, isOpen);
    share.lanes[model.place] = lane;
    model.lanes.push(lane);
    return lane;
  }

  #newLane(share: Share, open: boolean): Lane {
    return { key: 0, sequence: 0, slot: -1, queue: this, share, jobs: new Heap(), open };
  }

  add(job: Job): void {
    const lane = laneFor(job);
    const us = remainingUs(job);
    lane.jobs.add(job);
    if (!lane.open) return;
    this.#count(job, us);
    this.#place(lane);
  }

  /** Does nothing when the job is not here. */
  remove(job: Job): void {
    if (job.slot < 0) return;
    const lane = laneFor(job);
    const us = remainingUs(job);
    lane.jobs.remove(job);
    if (!lane.open) return;
    this.#discount(job, us);
    this.#place(lane);
  }

  /** From now on the jobs of the lane may start. */
  open(lane: Lane): void {
    if (lane.open) return;
    lane.open = true;
    for (const job of lane.jobs.items) this.#count(job, remainingUs(job));
    this.#place(lane);
  }

  close(lane: Lane): void {
    if (!lane.open) return;
    lane.open = false;
    for (const job of lane.jobs.items) this.#discount(job, remainingUs(job));
    this.#place(lane);
  }

  #count(job: Job, us: number): void {
    this.#length++;
    this.#work.add(job, us);
    if (us > this.#longestUs) this.#longestUs = us;
  }

  #discount(job: Job, us: number): void {
    this.#length--;
    this.#work.remove(job, us);
    if (this.#length > 0) return;
    this.#work.clear();
    this.#longestUs = 0;
  }

  /** Puts the lane where its first job belongs. */
  #place(lane: Lane): void {
    const { share } = lane;
    const first = lane.open ? lane.jobs.first : undefined;
    if (!first) {
      if (lane.slot < 0) return;
      share.ready.remove(lane);
      if (share.ready.length === 0) this.#busy.splice(this.#busy.indexOf(share), 1);
      return;
    }
    if (lane.slot >= 0 && lane.key === first.key && lane.sequence === first.sequence) return;
    lane.key = first.key;
    lane.sequence = first.sequence;
    if (lane.slot >= 0) {
      share.ready.update(lane);
      return;
    }
    if (share.ready.length === 0) {
      this.#busy.push(share);
      // Who comes back after a pause has saved up nothing.
      share.virtualUs = Math.max(share.virtualUs, this.#virtualUs);
    }
    share.ready.add(lane);
  }

  /** The job to serve next; it stays in the queue. */
  get first(): Job | undefined {
    let behindUs = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.#busy.length; i++) behindUs = Math.min(behindUs, (this.#busy[i] as Share).virtualUs);
    let best: Lane | undefined;
    for (let i = 0; i < this.#busy.length; i++) {
      const share = this.#busy[i] as Share;
      if (share.virtualUs > behindUs + this.#creditUs) continue;
      const lane = share.ready.first as Lane;
      if (!best || isBefore(lane, best)) best = lane;
    }
    return best?.jobs.first;
  }

  /** Estimated time on one core of the jobs that a job with this key goes behind. */
  workBefore(key: number, nowUs: number): number {
    return this.#work.before(key, nowUs);
  }

  /**
   * When the first of the jobs that may start must do so to end by its deadline: of those that can wait until `sinceUs`,
   * as a deadline that is lost in any case holds nobody back; `mostUs` when it is no earlier.
   */
  latestStart(sinceUs: number, mostUs: number): number {
    let least = mostUs;
    const latest = (job: Job): number => {
      const us = (job.runs[0]?.request.deadlineUs ?? Number.POSITIVE_INFINITY) - remainingUs(job);
      return us < sinceUs ? Number.POSITIVE_INFINITY : us;
    };
    const keyMost = mostUs + this.#longestUs;
    for (const share of this.#busy)
      for (const lane of share.ready.items) least = lane.jobs.least(keyMost, least, latest);
    return least;
  }

  /** Jobs that may start, in no order. */
  jobs(): Job[] {
    const all: Job[] = [];
    for (const share of this.#busy) for (const lane of share.ready.items) all.push(...lane.jobs.items);
    return all;
  }

  /** Counts core time that a tenant is given; negative to give back what was charged too much. */
  charge(share: Share, us: number): void {
    if (us > 0) this.#virtualUs = Math.max(this.#virtualUs, share.virtualUs);
    share.virtualUs += us / share.weight;
  }
}

function laneFor({ started, share, model }: Job): Lane {
  return started ? share.started : (share.lanes[model.place] as Lane);
}
