/** What the engine and the threads that compute say to each other, besides what stands in the memory they share (core-block.ts). */
import type { KernelBuild } from './kernels.ts';

export interface CoreSetup {
  readonly memory: WebAssembly.Memory;
  readonly build: KernelBuild;
  readonly module: WebAssembly.Module;
  /** Where the block of core 0 lies, and which core this is. */
  readonly blocks: number;
  readonly index: number;
}

/** Byte offsets in the shared memory. */
export interface Segment {
  readonly words: number;
  /** Word to start or resume at. */
  readonly pc: number;
  readonly bases: number;
  readonly flag: number;
}

/** Where an execution ended. */
export interface Halt {
  /** -1 done, 0 or more: suspended at that word, -2 and less: fault. */
  readonly result: number;
  /** Word index of the instruction that faulted. */
  readonly faultWord: number;
  /** A trap of the kernels themselves. */
  readonly trap?: string;
}

/** How a segment of a run ended, and when: see nowMs. */
export interface Stop extends Halt {
  readonly startedMs: number;
  readonly endedMs: number;
}

/** Milliseconds of a clock that all threads share. The first use of `performance` in a process costs it some milliseconds, this does not. */
export function nowMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e3 + nanoseconds / 1e6;
}

/** The thread is ready for its first order. */
export const READY = 'ready';
/** The thread has gone on with the next run: how the one before stopped is in its block. Where that was set aside it is said after the next one. */
export const WENT_ON = 'went on';
