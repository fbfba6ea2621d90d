import type { RunAccount } from '../schedule/events.ts';
import type { GivenOutputs } from './given-outputs.ts';
import type { ValueDescription } from './tensor.ts';
import type { EngineValue } from './value.ts';

/** One finished run. Times are in milliseconds. */
export interface RunResult {
  readonly outputs: Readonly<Record<string, EngineValue>>;
  /** From submission until the first instruction. */
  readonly queueMs: number;
  /** From the first instruction until the last, pauses for more urgent runs included. */
  readonly runMs: number;
  /** Where the time went: of each program that was run for it, one after the other. Absent where another engine computes. */
  readonly accounts?: readonly RunAccount[];
}

export interface RunOptions {
  /** Class by name, or by number from 0 (safety) to 3 (background); normal when absent. A run of a more urgent class interrupts one that computes. */
  readonly priority?: string | number;
  /**
   * Wall-clock time in milliseconds since the epoch by which the answer is of use. The earlier one goes first in its class. A run that is not
   * expected to be in time is refused at once (RunError), one that is late is ended.
   */
  readonly deadlineMs?: number;
  /** The longest that the run may take from now on, in milliseconds; then it is ended wherever it is (RunError). */
  readonly timeoutMs?: number;
  /** Whose run it is; those that the engine knows are named at its start. The default one when absent. */
  readonly tenant?: string;
  readonly signal?: AbortSignal;
  /**
   * Arrays that outputs are written to instead of new ones, by name: of the output's type, with as many elements. Who gives the same
   * again and again spares the pages of new memory, which can take longer than the computation. Nobody may look at them until the run has
   * ended; what they hold when it fails is undefined.
   */
  readonly outputs?: GivenOutputs;
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
