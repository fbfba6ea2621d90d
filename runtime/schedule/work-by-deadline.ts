/** How much work waits, by when it should end: sums over equal spans of time, so that the question costs the same however many wait. */

/** Spans that are told apart; work for later than the last one counts as if it came before everything. A power of two. */
const SPANS = 128;
/** Spans to the usual deadline of a class. */
const SPANS_TO_TARGET = 32;

/** What the sums need to know of a job, and remember of it. */
export interface Dated {
  readonly key: number;
  /** The span that it was counted in, -1 for later ones. */
  span: number;
}

export class WorkByDeadline {
  readonly #spanUs: number;
  readonly #sums = new Float64Array(SPANS);
  /** Number of the first span. */
  #first = 0;
  /** Of spans that have passed, and of those that were too far off. */
  #elsewhereUs = 0;
  totalUs = 0;

  constructor(targetUs: number) {
    this.#spanUs = targetUs / SPANS_TO_TARGET;
  }

  add(job: Dated, us: number): void {
    const span = Math.max(this.#first, Math.floor(job.key / this.#spanUs));
    this.totalUs += us;
    if (span < this.#first + SPANS) {
      job.span = span;
      this.#sums[span % SPANS] = (this.#sums[span % SPANS] as number) + us;
    } else {
      job.span = -1;
      this.#elsewhereUs += us;
    }
  }

  remove({ span }: Dated, us: number): void {
    this.totalUs -= us;
    if (span < this.#first) this.#elsewhereUs -= us;
    else this.#sums[span % SPANS] = (this.#sums[span % SPANS] as number) - us;
  }

  /** Nothing waits: whatever is left is rounding, and little. */
  clear(): void {
    this.#elsewhereUs = 0;
    this.totalUs = 0;
  }

  /** Of jobs that should end before `key`; within one span they count by its part. */
  before(key: number, nowUs: number): number {
    this.#pass(Math.floor(nowUs / this.#spanUs));
    const spans = Math.max(0, Math.min(SPANS, key / this.#spanUs - this.#first));
    const whole = Math.floor(spans);
    const first = this.#first % SPANS;
    const sums = this.#sums;
    let us = this.#elsewhereUs;
    for (let i = first; i < first + whole; i++) us += sums[i & (SPANS - 1)] as number;
    us += (sums[(first + whole) & (SPANS - 1)] as number) * (spans - whole);
    return Math.max(0, us);
  }

  #pass(present: number): void {
    const end = Math.min(present, this.#first + SPANS);
    for (let span = this.#first; span < end; span++) {
      this.#elsewhereUs += this.#sums[span % SPANS] as number;
      this.#sums[span % SPANS] = 0;
    }
    this.#first = Math.max(this.#first, present);
  }
}
