/** Whether a run would end in time: a proof for safety, a prediction for the other classes. */
import { isBefore } from './heap.ts';
import { type Job, type Run, remainingUs } from './job.ts';

/** A core as the proof sees it: when it is free of safety work. */
export interface SafetyPlan {
  readonly nowUs: number;
  readonly instructionUs: number;
  readonly answerUs: number;
  /** For every core: when the safety job on it ends at the latest, or the present when it does other work or none. */
  readonly coreFreeUs: readonly number[];
  /** Safety jobs that wait. */
  readonly waiting: readonly Job[];
}

/** A job that would not be answered in time. */
export interface Miss {
  readonly job: Job;
  readonly answerUs: number;
}

/**
 * Plans the safety jobs that wait, with `candidate`, one core each, earliest deadline first, each taking its upper
 * bound (or all of its time, where none is known), and returns one that misses its deadline. The plan is what the scheduler does, or better: jobs are independent
 * and none goes before another that is ahead of it in the list, so that one that ends early delays none (Ha and Liu,
 * ICDCS 1994). Later runs are admitted only if the new plan holds.
 */
export function findMiss(plan: SafetyPlan, candidate: Job): Miss | undefined {
  // Every core may first have to stop what is less urgent.
  const free = plan.coreFreeUs.map((us) => Math.max(us, plan.nowUs) + plan.instructionUs);
  const jobs = plan.waiting.length === 0 ? [candidate] : [...plan.waiting, candidate].sort(inOrder);
  for (let i = 0; i < jobs.length; i++) {
    const job = jobs[i] as Job;
    let core = 0;
    for (let other = 1; other < free.length; other++)
      if ((free[other] as number) < (free[core] as number)) core = other;
    const startUs = free[core] as number;
    const [{ request, key: endedUs }] = job.runs as [Run];
    const endUs = startUs + (request.isUnknown ? plan.instructionUs : remainingUs(job));
    const answerUs = endUs + plan.answerUs;
    if (request.deadlineUs !== undefined && answerUs > request.deadlineUs) return { job, answerUs };
    free[core] = (request.isUnknown ? Math.max(endUs, endedUs) : endUs) + plan.instructionUs;
  }
  return undefined;
}

function inOrder(a: Job, b: Job): number {
  return isBefore(a, b) ? -1 : 1;
}

export interface Backlog {
  /** Core time of the work that goes before the run, its own excluded. */
  readonly aheadUs: number;
  readonly workUs: number;
  readonly cores: number;
  /** Share of the cores that later arrivals of more urgent classes, and floors of others, will take. */
  readonly takenShare: number;
}

/**
 * Expected time until the run ends: what is ahead and its own work, stretched by what more urgent classes will take
 * meanwhile. The delay of a tagged customer under preemptive priorities (Kleinrock, Queueing Systems vol. 2, 1976,
 * section 3.4), with the backlog that is there instead of the mean one.
 */
export function expectedResponseUs({ aheadUs, workUs, cores, takenShare }: Backlog): number {
  if (takenShare >= 1) return Number.POSITIVE_INFINITY;
  return (aheadUs / cores + workUs) / (1 - takenShare);
}

export function milliseconds(us: number): string {
  if (!Number.isFinite(us)) return 'no foreseeable time';
  // Four times as fast as toFixed: an overloaded node refuses many.
  const tenths = Math.round(us / 100);
  return `${Math.floor(tenths / 10)}.${tenths % 10} ms`;
}
