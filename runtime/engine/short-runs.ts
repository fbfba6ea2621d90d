/**
 * Runs that take less time than a message to the core's thread and back (some 40 µs): they are computed at once,
 * on the calling thread, by an instance of the same kernels. So a short run also never waits for a core.
 */
import type { Core } from './core.ts';
import { type Halt, nowMs } from './core-messages.ts';
import type { Kernels } from './kernels.ts';
import type { LoadedProgram } from './loaded-program.ts';
import type { EngineMemory } from './memory.ts';
import { Stepper } from './stepper.ts';

/** A program becomes short when its runs take at most this, and stays so until they take more than that. */
const SHORT_MS_MAX = 0.2;
const STILL_SHORT_MS_MAX = 0.3;
/** Events wait for this long at most, or for one instruction more: then a run goes on in the core's thread. */
const HOLD_MS_MAX = 2;
const CONTROL_BYTES = 16;
/** What the last run counts for in the average. */
const WEIGHT = 0.25;

/** Whether the runs of a program are short, by what they took: not by the last one alone, and with a gap, so that it does not change its mind all the time. */
export class ShortChoice {
  #ms: number | undefined;
  #isShort = false;

  /** How long a run computes; infinite before the first. */
  get ms(): number {
    return this.#ms ?? Number.POSITIVE_INFINITY;
  }

  get isShort(): boolean {
    return this.#isShort;
  }

  note(ms: number): void {
    this.#ms = average(this.#ms, ms);
    this.#isShort = this.#ms <= (this.#isShort ? STILL_SHORT_MS_MAX : SHORT_MS_MAX);
  }
}

export class ShortRuns {
  readonly #core: Pick<Core, 'isReady'>;
  readonly #stepper: Stepper;
  /** Where the base pointers of a run lie. */
  readonly #bases: number;
  /** Time that events have been waiting for. */
  #heldMs = 0;
  #isHeld = false;

  /** `kernels` share their code with the core's, which the core's thread has compiled. */
  constructor(core: Pick<Core, 'isReady'>, kernels: Kernels, memory: EngineMemory) {
    this.#core = core;
    this.#stepper = new Stepper(kernels, memory);
    this.#bases = memory.allocate(CONTROL_BYTES, 'short runs');
  }

  takes({ short }: LoadedProgram): boolean {
    return short.isShort && this.#heldMs + short.ms <= HOLD_MS_MAX && this.#core.isReady;
  }

  /** Executes a program that `takes` accepts; a `result` of 0 or more: it has taken too long and is to go on there. */
  execute(program: LoadedProgram, arena: number): Halt & { ms: number } {
    const startedMs = nowMs();
    program.writeBases(this.#bases, arena);
    const segment = { words: program.words, pc: 0, bases: this.#bases };
    const halt = program.isEven
      ? this.#stepper.runWhole(segment)
      : this.#stepper.run(segment, HOLD_MS_MAX - this.#heldMs);
    const ms = nowMs() - startedMs;
    this.#heldMs += ms;
    if (!this.#isHeld) {
      this.#isHeld = true;
      setImmediate(() => {
        this.#isHeld = false;
        this.#heldMs = 0;
      });
    }
    return { ...halt, ms };
  }
}

/** The moving average; what is much shorter than it counts whole, since nothing makes a run shorter by chance. */
function average(known: number | undefined, ms: number): number {
  return known === undefined || ms < known / 2 ? ms : known + WEIGHT * (ms - known);
}
