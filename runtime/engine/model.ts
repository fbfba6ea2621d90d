import type { ValueDescription } from './tensor.ts';
import type { EngineValue } from './value.ts';

/** One finished run. Times are in milliseconds. */
export interface RunResult {
  readonly outputs: Readonly<Record<string, EngineValue>>;
  /** From submission until the first instruction. */
  readonly queueMs: number;
  /** From the first instruction until the last, pauses for more urgent runs included. */
  readonly runMs: number;
}

export interface RunOptions {
  /** 0 safety … 3 background; normal when absent. A run of a more urgent class interrupts one that computes. */
  readonly priority?: number;
  /** Wall-clock time in milliseconds since the epoch by which the answer is of use. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * A loaded model, whichever engine runs it. Shapes of inputs may differ from run to run where the file declares
 * symbolic dimensions; a program is compiled and cached per concrete shape.
 */
export interface Model {
  readonly name: string;
  readonly engine: 'llmasos' | 'onnxruntime';
  /** Why our own kernels do not run this model; absent when they do. */
  readonly fallbackReason?: string;
  readonly inputs: readonly ValueDescription[];
  readonly outputs: readonly ValueDescription[];
  /**
   * Rejects with an Error that names the input when one is missing, unknown, or of the wrong type or shape. The data
   * of the inputs must not change until the run has ended; the outputs belong to the caller.
   */
  run(inputs: Readonly<Record<string, EngineValue>>, options?: RunOptions): Promise<RunResult>;
  close(): Promise<void>;
}
