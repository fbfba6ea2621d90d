/** Starts the threads of further cores, one after the other, when runs could use them. */
import type { Core } from './core.ts';

export class FurtherCores {
  readonly #first: Pick<Core, 'hasThread'>;
  readonly #cores: readonly Core[];
  readonly #announce: () => void;
  /** Those that can compute. */
  #ready = 1;
  #isStarting = false;
  #isWanted = false;

  /** `announce` tells that one more can compute. */
  constructor(first: Pick<Core, 'hasThread'>, cores: readonly Core[], announce: () => void) {
    this.#first = first;
    this.#cores = cores;
    this.#announce = announce;
  }

  /** A run could use one more. */
  want(): void {
    this.#isWanted = true;
  }

  /** When there is something to do for the next one: not before the first computes in its thread, as V8's flags may change until then. */
  start(waiting: number): void {
    const next = this.#cores[this.#ready];
    if (!next || this.#isStarting || !this.#first.hasThread) return;
    if (waiting === 0 && !this.#isWanted) return;
    this.#isStarting = true;
    next.start().then(
      () => {
        this.#isStarting = false;
        this.#ready++;
        this.#isWanted = false;
        this.#announce();
      },
      () => {
        this.#isStarting = false;
      },
    );
  }
}
