/** Which runs go together: one pass over the weights for all of them. */
import type { Job } from './job.ts';

/** Waiting runs of one model and tenant, earliest deadline first, and the others of their class. */
export interface BatchChoice {
  readonly nowUs: number;
  /** The first one is to start now, with or without the others. */
  readonly candidates: readonly Job[];
  readonly others: Iterable<Job>;
  /** Upper limit to the size, 1 at least. */
  readonly most: number;
}

/** How many of the candidates to start together: the most by which no deadline is missed that one alone would keep. */
export function batchSize({ nowUs, candidates, others, most }: BatchChoice): number {
  const lead = candidates[0] as Job;
  const { batch } = lead.model.spec;
  if (!batch || lead.started) return 1;
  const alone = nowUs + lead.workUs;
  const kept = (job: Job, since: number): number => {
    // A deadline that is lost in any case holds nobody back.
    const latest = deadlineOf(job) - job.workUs + job.usedUs;
    return latest < since ? Number.POSITIVE_INFINITY : latest;
  };
  let limit = Number.POSITIVE_INFINITY;
  for (const job of others) limit = Math.min(limit, kept(job, alone));
  for (let size = Math.min(most, batch.max, candidates.length); size > 1; size--) {
    const end = nowUs + batch.fixedUs + size * batch.perRunUs;
    const inside = candidates.slice(0, size).every((job) => end <= deadlineOf(job));
    const outside = candidates.slice(size).every((job) => end <= kept(job, alone));
    if (end <= limit && inside && outside) return size;
  }
  return 1;
}

function deadlineOf(job: Job): number {
  return job.runs[0]?.request.deadlineUs ?? Number.POSITIVE_INFINITY;
}
