/**
 * Whether several cores compute a program faster than one. That depends on the program, and on what else the machine has to do: where a
 * helper has to wait for its processor, so has who waits for its chunk. So both ways are tried, again and again, and the better one is kept.
 */

/** Shorter runs are left to one core: further ones would hardly have begun. */
const SHARED_MS_MIN = 0.4;
/** Two cores are worth it when they save this share of the time. */
const GAIN_MIN = 0.05;
/** The first runs of either way say little: code is compiled, memory touched, threads begin. */
const FIRST_RUNS = 3;
/** So often the other way is tried anew, for so many runs in a row: one alone may have met anything. */
const TRY_EVERY = 64;
const TRY_RUNS = 3;
/** What the last run counts for in the average. */
const WEIGHT = 0.25;

export class SharingChoice {
  readonly #alone = new Way();
  readonly #shared = new Way();
  #runs = 0;

  get isWanted(): boolean {
    const aloneMs = this.#alone.ms;
    if (aloneMs === undefined || aloneMs < SHARED_MS_MIN) return false;
    const sharedMs = this.#shared.ms;
    if (sharedMs === undefined) return true;
    const isBetter = sharedMs < aloneMs * (1 - GAIN_MIN);
    return this.#runs % TRY_EVERY < TRY_RUNS ? !isBetter : isBetter;
  }

  /** Takes note of a whole run that one core computed, or several. */
  note(isShared: boolean, ms: number): void {
    this.#runs++;
    (isShared ? this.#shared : this.#alone).note(ms);
  }
}

/** What the runs of one way take. */
class Way {
  ms: number | undefined;
  #runs = 0;

  note(ms: number): void {
    this.#runs++;
    if (this.#runs >= FIRST_RUNS) this.ms = average(this.ms, ms);
  }
}

/** The moving average; what is much shorter than it counts whole, since nothing makes a run shorter by chance. */
export function average(known: number | undefined, ms: number): number {
  return known === undefined || ms < known / 2 ? ms : known + WEIGHT * (ms - known);
}
