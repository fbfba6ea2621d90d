/** What the engine and the thread that computes say to each other. All data lies in the memory they share. */
import type { KernelBuild } from './kernels.ts';

export interface CoreSetup {
  readonly memory: WebAssembly.Memory;
  readonly build: KernelBuild;
  readonly module: WebAssembly.Module;
}

/** Byte offsets in the shared memory. */
export interface Segment {
  readonly words: number;
  /** Word to start or resume at. */
  readonly pc: number;
  readonly bases: number;
  readonly flag: number;
}

/** How a segment of a run ended; times are those of `process.hrtime`, which all threads share, in milliseconds. */
export interface Stop {
  /** -1 done, 0 or more: suspended at that word, -2 and less: fault. */
  readonly result: number;
  /** Word index of the instruction that faulted. */
  readonly faultWord: number;
  /** A trap of the kernels themselves. */
  readonly trap?: string;
  readonly startedMs: number;
  readonly endedMs: number;
}

/** The thread is ready for its first order. */
export const READY = 'ready';
