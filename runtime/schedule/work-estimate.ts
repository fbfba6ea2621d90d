/**
 * How long a program's next run will take on one core, from those before: a mean for predictions, and a bound for promises. What has not
 * been seen again for a while counts less and less, so that one slow run cannot keep a program out for ever.
 */

/** What the last run counts for in the mean. */
const WEIGHT = 0.125;
/** They say little: code is compiled, memory touched. */
const FIRST_RUNS = 2;
/** Runs may take this much longer than any before. */
const BOUND_SLACK = 1.2;
/**
 * What lies above the mean is half forgotten after this time: a spike must not keep out for long what is refused because of it. Without any
 * run, the mean too.
 */
const EXCESS_HALF_US = 1_000_000;
const MEAN_HALF_US = 60_000_000;

export class WorkEstimate {
  #meanUs = 0;
  #excessUs = 0;
  #runs = 0;
  #atUs = 0;

  /** Takes note of a whole run. */
  note(us: number, nowUs: number): void {
    const mean = this.#meanUs;
    const excess = this.#runs >= FIRST_RUNS ? fade(this.#excessUs, nowUs - this.#atUs, EXCESS_HALF_US) : 0;
    this.#meanUs = this.#runs++ < FIRST_RUNS || us < mean / 2 ? us : mean + WEIGHT * (us - mean);
    this.#excessUs = Math.max(excess, us * BOUND_SLACK - this.#meanUs);
    this.#atUs = nowUs;
  }

  get isUnknown(): boolean {
    return this.#runs === 0;
  }

  /** It knows of more than the first runs. */
  get isSettled(): boolean {
    return this.#runs > FIRST_RUNS;
  }

  /** Microseconds; 0 before the first run. */
  meanUs(nowUs: number): number {
    return fade(this.#meanUs, nowUs - this.#atUs, MEAN_HALF_US);
  }

  /** What the next run hardly exceeds. Microseconds; undefined before the first run. */
  boundUs(nowUs: number): number | undefined {
    if (this.isUnknown) return undefined;
    return this.meanUs(nowUs) + fade(this.#excessUs, nowUs - this.#atUs, EXCESS_HALF_US);
  }
}

function fade(value: number, us: number, halfUs: number): number {
  return value * 2 ** (-us / halfUs);
}
