/** The words between `npm run bench -- preemption` and the processes that compute for it. */
import type { Job } from '../contenders/contender.ts';

/**
 * How runs get cores. `ours`: the engine with its scheduler. The others compute a run to its end on a thread for each core, and the
 * urgent ones go first in the queue (`queue`), or have a further thread of their own that shares the cores by the system's scheduler
 * (`thread`).
 */
export const arrangements = [
  'ours',
  'onnxruntime-web, queue',
  'onnxruntime-web, thread',
  'onnxruntime-node, queue',
  'onnxruntime-node, thread',
] as const;
export type Arrangement = (typeof arrangements)[number];

export type LoadRequest =
  | { readonly kind: 'open'; readonly jobs: readonly Job[]; readonly cores: number }
  /** Runs jobs of `heavy` again and again, `inFlight` at a time, while one of `urgent` arrives now and then. */
  | {
      readonly kind: 'phase';
      readonly seconds: number;
      readonly heavy: readonly string[];
      readonly inFlight: number;
      readonly urgent?: string;
      readonly urgentPerSecond: number;
    }
  /** Starts a job on every core, cancels one, and waits for the next run to begin in its place. */
  | { readonly kind: 'cancel'; readonly job: string; readonly next: string; readonly count: number }
  /** What a gateway does: each stream with its class, rate and deadline. */
  | { readonly kind: 'serve'; readonly seconds: number; readonly streams: readonly Stream[] };

export interface Stream {
  readonly job: string;
  /** 0 safety … 3 background. */
  readonly priority: number;
  readonly perSecond: number;
  readonly deadlineMs?: number;
}

/** What became of a stream's runs. Times in milliseconds. */
export interface Served {
  readonly submitted: number;
  readonly responsesMs: readonly number[];
  /** Done, but after the deadline. */
  readonly late: number;
  /** Admitted, and ended at the deadline. */
  readonly endedLate: number;
  /** First sentence of each kind of error, and how many there were. */
  readonly refused: Readonly<Record<string, number>>;
}

export type LoadReply =
  | { readonly kind: 'ready'; readonly about: string }
  | {
      readonly kind: 'measured';
      /** From the arrival of the urgent one, in a thread that does nothing else, to its answer. */
      readonly responsesMs: readonly number[];
      /** From submission to the first instruction, where the engine tells. */
      readonly queuesMs: readonly number[];
      readonly heavyRuns: number;
      readonly seconds: number;
      /** Processor time of the whole process, which other processes disturb less than they do its speed. */
      readonly cpuMs: number;
    }
  | { readonly kind: 'cancelled'; readonly freeMs: readonly number[] }
  | {
      readonly kind: 'served';
      readonly streams: readonly Served[];
      readonly seconds: number;
      readonly busyShare: number;
    }
  | { readonly kind: 'failed'; readonly message: string };
