/** What the scheduler knows of runs. A job is what a core is given: one run, or a batch of runs of one model. */
import type { Batching } from './batch.ts';
import type { ModelSpec, RunRequest, RunSlice } from './events.ts';
import type { FairQueue } from './fair-queue.ts';
import type { Heap, HeapItem } from './heap.ts';
import type { Pool } from './pool.ts';
import type { Tenant } from './tenants.ts';
import type { Dated } from './work-by-deadline.ts';

/** A run that was admitted. Its key in a heap is when it is ended at the latest: at its deadline, or when its time is out. */
export interface Run extends HeapItem {
  readonly request: RunRequest;
  readonly tenant: Tenant;
  /** Of runs that may be computed together with others. */
  batching: Batching | undefined;
  /** Why the model is another one than the request names. */
  degraded: string | undefined;
  /** Changes once, when the run becomes part of a batch. */
  job: Job;
  readonly submittedUs: number;
  /** When its model was in memory; undefined while it is waited for. */
  readyUs: number | undefined;
  readonly slices: RunSlice[];
  usedUs: number;
  preemptions: number;
}

/** Its key in a heap is the time by which it should end. */
export interface Job extends HeapItem, Dated {
  key: number;
  readonly priority: number;
  readonly model: ResidentModel;
  /** Cores that it can use at a time. */
  readonly cores: number;
  /** Where it waits, or runs. */
  pool: Pool;
  share: Share;
  /** Emptied by cancellation. */
  runs: Run[];
  /** Estimated time on one core of its pool, and how much of it is done. */
  workUs: number;
  usedUs: number;
  started: boolean;
  /** See RunRequest.part. */
  isEntry: boolean;
  /** While cores work on it. */
  slice: Slice | undefined;
}

/** What a tenant has waiting in one class, and how much it had. */
export interface Share {
  readonly weight: number;
  /** Lanes whose jobs may start. */
  readonly ready: Heap<Lane>;
  /** Jobs that were set aside. */
  readonly started: Lane;
  /** Jobs that have not started, by model: see ResidentModel.place. */
  readonly lanes: (Lane | undefined)[];
  /** Core time that it was given by its weight: see fair-queue.ts. */
  virtualUs: number;
}

/** Jobs of one class and tenant that start and stop together as models come and go. Key and sequence are those of its first job. */
export interface Lane extends HeapItem {
  readonly queue: FairQueue;
  readonly share: Share;
  readonly jobs: Heap<Job>;
  sequence: number;
  /** Whether its jobs may start. */
  open: boolean;
}

export interface ResidentModel {
  /** Changes as its size becomes known. */
  spec: ModelSpec;
  /** Its number. */
  readonly place: number;
  state: 'absent' | 'loading' | 'loaded' | 'unloading';
  /** Makes room for a more urgent model as soon as the jobs that have started are done. */
  draining: boolean;
  /** It needs more room than it has, and waits until others have made it. */
  short: boolean;
  usedUs: number;
  /** Jobs that have started and not ended, and whatever else uses it: they hold the model in memory. */
  started: number;
  /** Where its jobs wait that have not started. */
  readonly lanes: Lane[];
}

/** One job on its cores. */
export interface Slice {
  readonly job: Job;
  readonly cores: readonly number[];
  readonly startedUs: number;
  /** Core time that the share was charged in advance. */
  readonly chargedUs: number;
  stopping: boolean;
  /** The run for which it stops. */
  stoppedFor?: number;
}

export function remainingUs(job: Job): number {
  return Math.max(0, job.workUs - job.usedUs);
}

/** Of a run that is set aside more often, the account leaves out what came between. */
const SLICES_MAX = 64;

/** What a slice gave to a run that ends with it, or leaves it. */
export function takeDown(run: Run, { job, cores, startedUs, stoppedFor }: Slice, nowUs: number): void {
  const batch = job.runs.length || 1;
  run.usedUs += ((nowUs - startedUs) * cores.length) / batch;
  if (stoppedFor !== undefined) run.preemptions++;
  if (run.slices.length >= SLICES_MAX) run.slices.pop();
  const slice = { fromUs: startedUs, untilUs: nowUs, cores, batch, preemptedBy: stoppedFor };
  run.slices.push(job.pool.name === undefined ? slice : { ...slice, accelerator: job.pool.name });
}
