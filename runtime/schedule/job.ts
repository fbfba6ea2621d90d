/** What the scheduler knows of runs. A job is what a core is given: one run, or a batch of runs of one model. */
import type { ModelSpec, RunRequest } from './events.ts';
import type { Heap, HeapItem } from './heap.ts';

/** A run that was admitted. Its key in a heap is its deadline. */
export interface Run extends HeapItem {
  readonly request: RunRequest;
  /** Changes once, when the run becomes part of a batch. */
  job: Job;
  readonly submittedUs: number;
  startedUs?: number;
  usedUs: number;
  preemptions: number;
  preemptedBy?: number;
}

/** Its key in a heap is the time by which it should end. */
export interface Job extends HeapItem {
  readonly priority: number;
  readonly share: Share;
  readonly model: ResidentModel;
  /** Cores that it can use at a time. */
  readonly cores: number;
  /** Emptied by cancellation. */
  runs: Run[];
  /** Estimated time on one core, and how much of it is done. */
  workUs: number;
  usedUs: number;
  started: boolean;
}

/** What a tenant has waiting in one class, and how much it had. */
export interface Share {
  readonly weight: number;
  readonly ready: Heap<Job>;
  /** Core time that it was given by its weight: see fair-queue.ts. */
  virtualUs: number;
}

export interface ResidentModel {
  readonly spec: ModelSpec;
  state: 'absent' | 'loading' | 'loaded' | 'unloading';
  /** Makes room for a more urgent model as soon as the jobs that have started are done. */
  draining: boolean;
  usedUs: number;
  /** Jobs that have started and not ended: they hold the model in memory. */
  readonly started: Set<Job>;
  /** Jobs that have not started, ready or parked. */
  readonly waiting: Set<Job>;
}

/** One job on its cores. */
export interface Slice {
  readonly job: Job;
  readonly cores: readonly number[];
  readonly startedUs: number;
  /** Core time that the share was charged in advance. */
  readonly chargedUs: number;
  stopping: boolean;
}

export function remainingUs(job: Job): number {
  return Math.max(0, job.workUs - job.usedUs);
}
