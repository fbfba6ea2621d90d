/**
 * What has been arriving lately, and how long it takes: sums that fade with time, so that they can be kept for ever,
 * read at any instant and added up over nodes.
 */

/** What is older than this has faded to 1/e. Long enough for steady figures, short enough to follow a shift's change. */
const MEMORY_US = 60_000_000;
/** A rate is not told from less time than this. */
const WATCHED_MIN_US = 1_000_000;

/** Of a stream of runs. Times in microseconds. */
export interface Measured {
  /** Arrivals per microsecond. */
  readonly rate: number;
  /** Mean and second moment of the service time on one core; undefined before the first. */
  readonly mean?: number;
  readonly second?: number;
}

export class Meter {
  #arrivals = 0;
  #services = 0;
  #sum = 0;
  #squares = 0;
  /** Share of the memory that has been watched: 1 - e^(-t/memory). It makes rates right from the start. */
  #watched = 0;
  #atUs: number;

  constructor(nowUs: number) {
    this.#atUs = nowUs;
  }

  arrived(nowUs: number): void {
    this.#fade(nowUs);
    this.#arrivals++;
  }

  served(nowUs: number, serviceUs: number): void {
    this.#fade(nowUs);
    this.#services++;
    this.#sum += serviceUs;
    this.#squares += serviceUs * serviceUs;
  }

  read(nowUs: number): Measured {
    this.#fade(nowUs);
    const rate = this.#arrivals / (MEMORY_US * Math.max(this.#watched, WATCHED_MIN_US / MEMORY_US));
    if (this.#services === 0) return { rate };
    return { rate, mean: this.#sum / this.#services, second: this.#squares / this.#services };
  }

  /** Adds what another meter has seen of other runs, as if this one had seen both. */
  merge(other: Meter, nowUs: number): void {
    this.#fade(nowUs);
    other.#fade(nowUs);
    this.#arrivals += other.#arrivals;
    this.#services += other.#services;
    this.#sum += other.#sum;
    this.#squares += other.#squares;
    this.#watched = Math.max(this.#watched, other.#watched);
  }

  #fade(nowUs: number): void {
    if (nowUs === this.#atUs) return;
    const kept = Math.exp((this.#atUs - nowUs) / MEMORY_US);
    this.#arrivals *= kept;
    this.#services *= kept;
    this.#sum *= kept;
    this.#squares *= kept;
    this.#watched = 1 - (1 - this.#watched) * kept;
    this.#atUs = nowUs;
  }
}
