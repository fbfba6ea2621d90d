/** Which runs go together: one pass over the weights for all of them. */
import { type Job, remainingUs } from './job.ts';

/** Waiting runs of one model and tenant, earliest deadline first, and the others of their class. */
export interface BatchChoice {
  readonly nowUs: number;
  /** The first one is to start now, with or without the others. */
  readonly candidates: readonly Job[];
  /** When another job of the class has to start: see FairQueue.latestStart. */
  readonly latestStart: (sinceUs: number, mostUs: number) => number;
}

/** How many of the candidates to start together: the most by which no deadline is missed that one alone would keep. */
export function batchSize({ nowUs, candidates, latestStart }: BatchChoice): number {
  const lead = candidates[0] as Job;
  const { batch } = lead.model.spec;
  if (!batch) return 1;
  const endOf = (size: number): number => nowUs + batch.fixedUs + size * batch.perRunUs;
  const alone = nowUs + lead.workUs;
  const limit = latestStart(alone, endOf(candidates.length));
  let size = candidates.length;
  while (size > 1) {
    const end = endOf(size);
    const left = candidates.slice(size).every((job) => end <= keptUntil(job, alone));
    if (end <= limit && left && candidates.slice(0, size).every((job) => end <= deadlineOf(job))) break;
    size--;
  }
  return size;
}

/** A deadline that is lost in any case holds nobody back. */
function keptUntil(job: Job, sinceUs: number): number {
  const latest = deadlineOf(job) - remainingUs(job);
  return latest < sinceUs ? Number.POSITIVE_INFINITY : latest;
}

function deadlineOf(job: Job): number {
  return job.runs[0]?.request.deadlineUs ?? Number.POSITIVE_INFINITY;
}
