/** What a core goes on with by itself when it stops, before the policy has heard of it. */
import { mayGrow } from './batch.ts';
import type { Job, Slice } from './job.ts';
import type { Pool } from './pool.ts';

/** The job that comes next whichever core stops first. Undefined where that depends on the core, or on what arrives meanwhile. */
export function nextJob({ cores, ready, levelOf }: Pool, nowUs: number): Job | undefined {
  const job = cores.idle > 0 ? undefined : ready.first;
  if (!job || mayGrow(job, nowUs)) return undefined;
  const level = levelOf(job.priority);
  // One that stops to go on with other cores comes first itself.
  const isBehind = ({ stopping, job: other }: Slice): boolean =>
    stopping && other.runs.length > 0 && levelOf(other.priority) <= level;
  return cores.slices.some(isBehind) ? undefined : job;
}

/**
 * Besides the cores that are told to stop: those whose work is less urgent than the next job, where it is one that a core is to stop for. The
 * one that was told may be without a processor.
 */
export function givingWay(next: Job, { cores: { slices }, levelOf }: Pool): readonly number[] {
  if (!slices.some(({ stopping, stoppedFor }) => stopping && stoppedFor !== undefined)) return [];
  const level = levelOf(next.priority);
  return slices
    .filter(({ stopping, cores, job }) => !stopping && cores.length === 1 && levelOf(job.priority) > level)
    .map(({ cores }) => cores[0] as number);
}
