/**
 * The first moments of a process: a thread takes some 20 ms to start, longer than many a model runs. Until the core's own thread is
 * ready, this one executes the instructions, a few at a time with room for events in between.
 *
 * Where no optimised code is there yet, the baseline code that V8 makes at once has to do, and the thread starts right away: the
 * optimising compiler's code is compiled there, behind the first answer. Where it is, the thread starts when as much has been computed
 * here as its start costs (the rule for renting or buying skis: never more than twice the best that could be known). A process that
 * answers little needs no thread at all, nor the 10 MB that one takes.
 */
import type { Core } from './core.ts';
import type { CoreBlock } from './core-block.ts';
import { nowMs, type Segment, type Stop } from './core-messages.ts';
import type { Kernels } from './kernels.ts';
import type { EngineMemory } from './memory.ts';
import { Stepper } from './stepper.ts';

/** For this long events wait, or for one instruction. */
const SLICE_MS = 2;
/** About what the start of a thread costs. */
const START_AFTER_MS = 20;

export class FirstSteps implements Pick<Core, 'execute' | 'isReady' | 'hasThread' | 'block'> {
  readonly #core: Pick<Core, 'start' | 'execute' | 'isReady' | 'hasThread' | 'block'>;
  readonly #stepper: Stepper;
  readonly #memory: EngineMemory;
  readonly #isOptimized: boolean;
  /** May still be computed here before the thread starts. */
  #leftMs: number;
  #isStarted = false;
  #isOver = false;

  constructor(
    core: Pick<Core, 'start' | 'execute' | 'isReady' | 'hasThread' | 'block'>,
    kernels: Kernels,
    memory: EngineMemory,
    { isOptimized }: { readonly isOptimized: boolean },
  ) {
    this.#core = core;
    this.#stepper = new Stepper(kernels, memory);
    this.#memory = memory;
    this.#isOptimized = isOptimized;
    this.#leftMs = isOptimized ? START_AFTER_MS : 0;
    if (!isOptimized) this.#start();
  }

  #start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    const over = (): void => {
      this.#isOver = true;
    };
    // When the thread is lost, the next segment starts another one, or says why it cannot.
    this.#core.start().then(over, over);
  }

  get isReady(): boolean {
    return this.#isOptimized || this.#core.isReady;
  }

  get hasThread(): boolean {
    return this.#isOver;
  }

  get block(): CoreBlock {
    return this.#core.block;
  }

  /** As `Core.execute`. */
  async execute(segment: Segment, helpers?: readonly Core[]): Promise<Stop> {
    if (this.#isOver) return this.#core.execute(segment, helpers);
    const startedMs = nowMs();
    const isSuspended = (): boolean => this.#isSuspended(segment);
    let { pc } = segment;
    while (!this.#isOver) {
      const sliceMs = nowMs();
      const { result, trap, faultWord } = this.#stepper.run({ ...segment, pc }, SLICE_MS, isSuspended);
      const endedMs = nowMs();
      this.#spend(endedMs - sliceMs);
      if (trap !== undefined || result < 0 || isSuspended()) return { result, trap, faultWord, startedMs, endedMs };
      pc = result;
      await new Promise((resolve) => setImmediate(resolve));
    }
    return { ...(await this.#core.execute({ ...segment, pc })), startedMs };
  }

  #spend(ms: number): void {
    this.#leftMs -= ms;
    if (this.#leftMs <= 0) this.#start();
  }

  #isSuspended({ flag }: Segment): boolean {
    return Atomics.load(new Int32Array(this.#memory.memory.buffer), flag >> 2) !== 0;
  }
}
