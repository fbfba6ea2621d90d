/** Which runs go together: one pass over the weights, and one over the instructions, for all of them. */
import { type Job, remainingUs } from './job.ts';

/** What runs that may be computed together have in common: the same object. */
export interface Batching {
  /** How many runs can be computed together now, the least number first, and how long that takes on one core. */
  sizesAt(nowUs: number): readonly BatchTime[];
}

export interface BatchTime {
  readonly runs: number;
  readonly us: number;
}

/** Waiting runs that have their batching in common, earliest deadline first, and the others of their class. */
export interface BatchChoice {
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
export function chooseBatch({ nowUs, candidates, sizes, others, latestStart }: BatchChoice): BatchTime | typeof ALONE {
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
