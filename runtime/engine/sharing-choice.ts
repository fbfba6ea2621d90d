/**
 * Whether several cores compute a program faster than one. That depends on the program, and on what else the machine has to do: where a
 * helper has to wait for its processor, so has who waits for its chunk. So both ways are tried, again and again, and the better one is kept.
 */

/** Shorter runs are left to one core: further ones would hardly have begun. */
const SHARED_MS_MIN = 0.4;
/** Two cores are worth it when they save this share of the time. */
const GAIN_MIN = 0.05;
/** The first runs say little: code is compiled, memory touched. */
const FIRST_RUNS = 3;
/** Of so many runs one goes the other way. */
const TRY_EVERY = 32;
/** What the last run counts for in the average. */
const WEIGHT = 0.25;

export class SharingChoice {
  #aloneMs: number | undefined;
  #sharedMs: number | undefined;
  #runs = 0;

  get isWanted(): boolean {
    if (this.#runs < FIRST_RUNS || this.#aloneMs === undefined || this.#aloneMs < SHARED_MS_MIN) return false;
    if (this.#sharedMs === undefined) return true;
    const isBetter = this.#sharedMs < this.#aloneMs * (1 - GAIN_MIN);
    return this.#runs % TRY_EVERY === 0 ? !isBetter : isBetter;
  }

  /** Takes note of a whole run that one core computed, or several. */
  note(isShared: boolean, ms: number): void {
    this.#runs++;
    if (isShared) this.#sharedMs = average(this.#sharedMs, ms);
    else this.#aloneMs = average(this.#aloneMs, ms);
  }
}

/** The moving average; what is much shorter than it counts whole, since nothing makes a run shorter by chance. */
export function average(known: number | undefined, ms: number): number {
  return known === undefined || ms < known / 2 ? ms : known + WEIGHT * (ms - known);
}
