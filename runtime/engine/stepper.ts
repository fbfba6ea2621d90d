/** Executes programs on the calling thread, one instruction at a time, so that it can stop after a while. */
import { type Halt, nowMs, type Segment } from './core-messages.ts';
import type { Kernels } from './kernels.ts';
import type { EngineMemory } from './memory.ts';

export class Stepper {
  readonly #kernels: Kernels;
  /** A suspension flag that is always set: the kernels return after one instruction. */
  readonly #set: number;

  constructor(kernels: Kernels, memory: EngineMemory) {
    this.#kernels = kernels;
    this.#set = memory.allocate(4, 'the suspension flag of the calling thread');
    new Int32Array(memory.memory.buffer, this.#set, 1)[0] = 1;
  }

  /** Until the program is done or faults, `isSuspended` says so, or `sliceMs` are over. At least one instruction is executed. */
  run({ words, pc, bases }: Omit<Segment, 'flag'>, sliceMs: number, isSuspended?: () => boolean): Halt {
    const until = nowMs() + sliceMs;
    let result = pc;
    try {
      do {
        result = this.#kernels.execute(words, result, bases, this.#set);
      } while (result >= 0 && !isSuspended?.() && nowMs() < until);
    } catch (error) {
      // A trap (an access beyond the memory) leaves the kernels usable: they keep no state between calls.
      return { result: -2, faultWord: 0, trap: error instanceof Error ? error.message : String(error) };
    }
    return { result, faultWord: this.#kernels.faultWord() };
  }
}
