/** Executes programs on the calling thread, one instruction at a time, so that it can stop after a while. */
import { type Halt, nowMs, type Segment } from './core-messages.ts';
import type { Kernels } from './kernels.ts';
import type { EngineMemory } from './memory.ts';

export class Stepper {
  readonly #kernels: Kernels;
  /** Suspension flags: one is always set, so that the kernels return after one instruction, one never. */
  readonly #set: number;
  readonly #unset: number;

  constructor(kernels: Kernels, memory: EngineMemory) {
    this.#kernels = kernels;
    this.#set = memory.allocate(8, 'suspension flags of the calling thread');
    this.#unset = this.#set + 4;
    memory.words(this.#set, 2).set([1, 0]);
  }

  /** Until the program is done or faults, `isSuspended` says so, or `sliceMs` are over. At least one instruction is executed. */
  run({ words, pc, bases }: Omit<Segment, 'flag'>, sliceMs: number, isSuspended?: () => boolean): Halt {
    const until = nowMs() + sliceMs;
    return this.#guarded(() => {
      let result = pc;
      do {
        result = this.#kernels.execute(words, result, bases, this.#set);
      } while (result >= 0 && !isSuspended?.() && nowMs() < until);
      return result;
    });
  }

  /** Until the program is done or faults. */
  runWhole({ words, pc, bases }: Omit<Segment, 'flag'>): Halt {
    return this.#guarded(() => this.#kernels.execute(words, pc, bases, this.#unset));
  }

  #guarded(execute: () => number): Halt {
    try {
      const result = execute();
      return { result, faultWord: this.#kernels.faultWord() };
    } catch (error) {
      // A trap (an access beyond the memory) leaves the kernels usable: they keep no state between calls.
      return { result: -2, faultWord: 0, trap: error instanceof Error ? error.message : String(error) };
    }
  }
}
