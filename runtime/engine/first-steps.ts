/**
 * The first moments of a process: a thread takes some 20 ms to start, longer than many a model runs. Until the core's own thread is
 * ready, this one executes the instructions, a few at a time with room for events in between, in the baseline code that V8 makes at
 * once. The optimising compiler's code is for the core: it is compiled there, behind the first answer.
 */
import type { Core } from './core.ts';
import type { Segment, Stop } from './core-messages.ts';
import type { Kernels } from './kernels.ts';
import type { EngineMemory } from './memory.ts';

/** For this long events wait, or for one instruction. */
const SLICE_MS = 2;

export class FirstSteps implements Pick<Core, 'execute'> {
  readonly #core: Pick<Core, 'start' | 'execute'>;
  readonly #kernels: Kernels;
  readonly #memory: EngineMemory;
  /** A suspension flag that is always set: the kernels return after one instruction. */
  readonly #set: number;
  #isOver = false;

  constructor(core: Pick<Core, 'start' | 'execute'>, kernels: Kernels, memory: EngineMemory) {
    this.#core = core;
    this.#kernels = kernels;
    this.#memory = memory;
    this.#set = memory.allocate(4, 'the first steps');
    new Int32Array(memory.memory.buffer, this.#set, 1)[0] = 1;
    const over = (): void => {
      this.#isOver = true;
    };
    // When the thread is lost, the next segment starts another one, or says why it cannot.
    core.start().then(over, over);
  }

  /** As `Core.execute`. */
  async execute(segment: Segment): Promise<Stop> {
    if (this.#isOver) return this.#core.execute(segment);
    const startedMs = nowMs();
    const stop = (result: number, trap?: string): Stop => {
      return { result, trap, faultWord: this.#kernels.faultWord(), startedMs, endedMs: nowMs() };
    };
    let { pc } = segment;
    while (!this.#isOver) {
      const until = nowMs() + SLICE_MS;
      do {
        try {
          pc = this.#kernels.execute(segment.words, pc, segment.bases, this.#set);
        } catch (error) {
          return stop(-2, error instanceof Error ? error.message : String(error));
        }
        if (pc < 0 || this.#isSuspended(segment)) return stop(pc);
      } while (nowMs() < until);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return { ...(await this.#core.execute({ ...segment, pc })), startedMs };
  }

  #isSuspended({ flag }: Segment): boolean {
    return Atomics.load(new Int32Array(this.#memory.memory.buffer), flag >> 2) !== 0;
  }
}

function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
