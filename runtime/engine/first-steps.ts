/**
 * The first moments of a process: a thread takes some 20 ms to start, longer than many a model runs. Until the core's own thread is
 * ready, this one executes the instructions, a few at a time with room for events in between, in the baseline code that V8 makes at
 * once. The optimising compiler's code is for the core: it is compiled there, behind the first answer.
 */
import type { Core } from './core.ts';
import { nowMs, type Segment, type Stop } from './core-messages.ts';
import type { Kernels } from './kernels.ts';
import type { EngineMemory } from './memory.ts';
import { Stepper } from './stepper.ts';

/** For this long events wait, or for one instruction. */
const SLICE_MS = 2;

export class FirstSteps implements Pick<Core, 'execute' | 'isReady'> {
  readonly #core: Pick<Core, 'start' | 'execute' | 'isReady'>;
  readonly #stepper: Stepper;
  readonly #memory: EngineMemory;
  #isOver = false;

  constructor(core: Pick<Core, 'start' | 'execute' | 'isReady'>, kernels: Kernels, memory: EngineMemory) {
    this.#core = core;
    this.#stepper = new Stepper(kernels, memory);
    this.#memory = memory;
    const over = (): void => {
      this.#isOver = true;
    };
    // When the thread is lost, the next segment starts another one, or says why it cannot.
    core.start().then(over, over);
  }

  get isReady(): boolean {
    return this.#core.isReady;
  }

  /** As `Core.execute`. */
  async execute(segment: Segment): Promise<Stop> {
    if (this.#isOver) return this.#core.execute(segment);
    const startedMs = nowMs();
    const isSuspended = (): boolean => this.#isSuspended(segment);
    let { pc } = segment;
    while (!this.#isOver) {
      const { result, trap, faultWord } = this.#stepper.run({ ...segment, pc }, SLICE_MS, isSuspended);
      if (trap !== undefined || result < 0 || isSuspended())
        return { result, trap, faultWord, startedMs, endedMs: nowMs() };
      pc = result;
      await new Promise((resolve) => setImmediate(resolve));
    }
    return { ...(await this.#core.execute({ ...segment, pc })), startedMs };
  }

  #isSuspended({ flag }: Segment): boolean {
    return Atomics.load(new Int32Array(this.#memory.memory.buffer), flag >> 2) !== 0;
  }
}
