/**
 * Whether several cores compute a program faster than one. That depends on the program, and on what else the machine has to do: where a
 * helper has to wait for its processor, so has who waits for its chunk. So both ways are tried, again and again, and the better one is kept.
 */

/** Shorter runs are left to one core: further ones would hardly have begun. */
const SHARED_MS_MIN = 0.4;
/** Two cores are worth it when they save this share of the time: the second one has other things to do. */
const GAIN_MIN = 0.1;
/** What a way takes is the median of so many runs: one alone may have met anything. */
const JUDGED_RUNS = 3;
/**
 * So many runs after it has been chosen, a way is compared with the other one anew: soon at first, since the first runs say little (code is
 * compiled, memory touched, threads begin), then twice as late each time that it proves right.
 */
const RUNS_MIN = 8;
const RUNS_MAX = 128;
/** A way that takes so many times as long as when it was chosen is compared at once: something else has come to the machine, or left it. */
const CHANGE = 1.3;

export class SharingChoice {
  readonly #alone = new Way();
  readonly #shared = new Way();
  /** The way that is kept, and since how many runs. */
  #isShared = false;
  #runs = 0;
  #runsMax = RUNS_MIN;
  /** What it took when it was chosen. */
  #chosenMs = 0;
  /** The other way is being tried. */
  #isTrial = false;

  get isWanted(): boolean {
    return this.#isShared !== this.#isTrial;
  }

  /** Takes note of a whole run that one core computed, or several. */
  note(isShared: boolean, ms: number): void {
    (isShared ? this.#shared : this.#alone).note(ms);
    if (this.#isTrial) {
      // With no core to spare, a run that was to be shared is not.
      const tried = this.#other.ms;
      if (tried !== undefined) this.#choose(tried);
      return;
    }
    this.#runs++;
    if (!this.#isDue) return;
    this.#isTrial = true;
    this.#other.forget();
  }

  get #kept(): Way {
    return this.#isShared ? this.#shared : this.#alone;
  }

  get #other(): Way {
    return this.#isShared ? this.#alone : this.#shared;
  }

  /** Whether the other way is to be tried. */
  get #isDue(): boolean {
    const { ms } = this.#kept;
    if (ms === undefined || (!this.#isShared && ms < SHARED_MS_MIN)) return false;
    if (this.#chosenMs === 0 || this.#runs >= this.#runsMax) return true;
    return this.#runs >= RUNS_MIN && ms > this.#chosenMs * CHANGE;
  }

  #choose(triedMs: number): void {
    const keptMs = this.#kept.ms as number;
    const isBetter = this.#isShared ? keptMs > triedMs * (1 - GAIN_MIN) : triedMs < keptMs * (1 - GAIN_MIN);
    this.#runsMax = isBetter || this.#chosenMs === 0 ? RUNS_MIN : Math.min(2 * this.#runsMax, RUNS_MAX);
    this.#isShared = this.#isShared !== isBetter;
    this.#chosenMs = isBetter ? triedMs : keptMs;
    this.#runs = 0;
    this.#isTrial = false;
  }
}

/** What the latest runs of one way took. */
class Way {
  readonly #latest: number[] = [];

  /** Unknown before the first few. */
  get ms(): number | undefined {
    if (this.#latest.length < JUDGED_RUNS) return undefined;
    return this.#latest.toSorted((a, b) => a - b)[JUDGED_RUNS >> 1];
  }

  note(ms: number): void {
    this.#latest.push(ms);
    if (this.#latest.length > JUDGED_RUNS) this.#latest.shift();
  }

  forget(): void {
    this.#latest.length = 0;
  }
}
