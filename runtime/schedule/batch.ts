/** Which runs go together: one pass over the weights, and one over the instructions, for all of them. */
import { type Job, type Lane, type Run, remainingUs } from './job.ts';
import { SAFETY } from './priorities.ts';

/** What runs that may be computed together have in common: the same object. */
export interface Batching {
  /** How many runs can be computed together now, the least number first, and how long that takes on one core. */
  sizesAt(nowUs: number): readonly BatchTime[];
}

export interface BatchTime {
  readonly runs: number;
  readonly us: number;
}

/** What is promised to safety is promised to each run alone. */
function batchingOf({ pool, runs, started, priority }: Job): Batching | undefined {
  return started || priority === SAFETY || !pool.isPreemptible ? undefined : (runs[0] as Run).batching;
}

function laneOf({ share, model }: Job): Lane {
  return share.lanes[model.place] as Lane;
}

/** Others may start together with the job, which waits. */
export function mayGrow(job: Job, nowUs: number): boolean {
  const batching = batchingOf(job);
  const waiting = batching ? laneOf(job).jobs.length : 0;
  return waiting > 1 && (batching?.sizesAt(nowUs)[0]?.runs ?? Number.POSITIVE_INFINITY) <= waiting;
}

/** Adds waiting runs of the same program, class and tenant to a job that is about to start. */
export function fillBatch(job: Job, nowUs: number): void {
  const { pool } = job;
  const batching = batchingOf(job);
  if (!batching) return;
  const { jobs } = laneOf(job);
  // While cores are idle, runs of their own end sooner.
  const most = Math.min(1 + jobs.length, pool.ready.total - pool.cores.idle + 2);
  if (most < 2) return;
  const sizes = batching.sizesAt(nowUs);
  const runsMax = Math.min(most, sizes.at(-1)?.runs ?? 1);
  if (runsMax < 2) return;
  const queue = pool.queue(job);
  const candidates = [job];
  // Only those that are next, so that nobody is passed over.
  for (let mate = jobs.first; mate && candidates.length < runsMax; mate = jobs.first) {
    if (batchingOf(mate) !== batching) break;
    queue.remove(mate);
    candidates.push(mate);
  }
  const latestStart = (sinceUs: number, mostUs: number): number => queue.latestStart(sinceUs, mostUs);
  const size = chooseBatch({ nowUs, candidates, sizes, others: pool.ready.total, latestStart });
  for (const left of candidates.splice(size.runs)) queue.add(left);
  if (!('us' in size)) return;
  for (const { runs } of candidates.slice(1))
    for (const run of runs) {
      run.job = job;
      job.runs.push(run);
    }
  job.workUs = size.us;
}

/** Waiting runs that have their batching in common, earliest deadline first, and the others of their class. */
interface BatchChoice {
  readonly nowUs: number;
  /** The first one is to start now, with or without the others. */
  readonly candidates: readonly Job[];
  readonly sizes: readonly BatchTime[];
  /** Jobs that wait besides the candidates. */
  readonly others: number;
  /** When another job of the class has to start: see FairQueue.latestStart. */
  readonly latestStart: (sinceUs: number, mostUs: number) => number;
}

const ALONE = { runs: 1 } as const;

/** The most candidates to start together so that it pays and no deadline is missed that one alone would keep. */
function chooseBatch({ nowUs, candidates, sizes, others, latestStart }: BatchChoice): BatchTime | typeof ALONE {
  const lead = candidates[0] as Job;
  const alone = nowUs + lead.workUs;
  const mostUs = sizes.reduce((most, { us }) => Math.max(most, us), lead.workUs);
  const limit = latestStart(alone, nowUs + mostUs);
  for (let place = sizes.length - 1; place >= 0; place--) {
    const size = sizes[place] as BatchTime;
    const end = nowUs + size.us;
    const behind = others + candidates.length - size.runs;
    if (behind < others || end > limit || size.us > payingUs(size.runs, lead.workUs, behind)) continue;
    const left = candidates.slice(size.runs).every((job) => end <= keptUntil(job, alone));
    if (left && candidates.slice(0, size.runs).every((job) => end <= deadlineOf(job))) return size;
  }
  return ALONE;
}

/**
 * The longest that runs may take together: so long that they and the `behind` others that wait end no later, on average, than when
 * these are computed one after the other. Alone it is (runs + 1) / 2 times one, with many behind nearly all that they take in a row.
 */
export function payingUs(runs: number, oneUs: number, behind = 0): number {
  return (runs * oneUs * ((runs + 1) / 2 + behind)) / (runs + behind);
}

/** A deadline that is lost in any case holds nobody back. */
function keptUntil(job: Job, sinceUs: number): number {
  const latest = deadlineOf(job) - remainingUs(job);
  return latest < sinceUs ? Number.POSITIVE_INFINITY : latest;
}

function deadlineOf(job: Job): number {
  return job.runs[0]?.request.deadlineUs ?? Number.POSITIVE_INFINITY;
}
