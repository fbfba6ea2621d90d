/** Jobs that wait for one pool and would end earlier in another one, which is idle. */
import type { RunRequest } from './events.ts';
import type { Job, ResidentModel, Run } from './job.ts';
import type { Pool } from './pool.ts';
import { SAFETY } from './priorities.ts';
import { shareOf } from './tenants.ts';

/** Lets each idle pool take what it ends earlier; `wait` puts a job into the queue of the pool that it has now. */
export function rebalance(pools: readonly Pool[], nowUs: number, wait: (job: Job) => void): void {
  for (const pool of pools)
    for (let idle = pool.cores.idle - pool.ready.total; idle > 0; idle--) {
      const job = takeFrom(pools, pool, nowUs);
      if (!job) break;
      wait(job);
    }
}

function takeFrom(pools: readonly Pool[], to: Pool, nowUs: number): Job | undefined {
  for (const from of pools) {
    const job = from === to ? undefined : takeOne(from, to, nowUs);
    if (job) return job;
  }
  return undefined;
}

/** The most urgent job that ends earlier in the other pool. */
function takeOne(from: Pool, to: Pool, nowUs: number): Job | undefined {
  for (const { first: job } of from.ready.queues) {
    if (!job || job.started || (job.priority === SAFETY && !to.isPreemptible)) continue;
    const [{ request, tenant }] = job.runs as [Run];
    const workUs = to.workUs(job.model.spec, coreUs(job, request));
    // What waits first in its class is behind what runs and what is more urgent.
    const thereUs = from.aheadUs(job.priority, nowUs) / from.cores.count + job.workUs;
    if (workUs === undefined || workUs >= thereUs) continue;
    from.queue(job).remove(job);
    job.pool = to;
    job.share = shareOf(tenant, to, job.priority);
    job.workUs = workUs;
    return job;
  }
  return undefined;
}

/** The time on one core that the request states for the model that was admitted. */
function coreUs({ model }: Job, { model: asked, workUs, instead = [] }: RunRequest): number {
  const { name } = (model as ResidentModel).spec;
  return name === asked ? workUs : (instead.find((each) => each.model === name)?.workUs ?? workUs);
}
