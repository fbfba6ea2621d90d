/**
 * The numbers that a book gives its assignments. Alone it counts on. Of several controllers on one database each has blocks of its own, so
 * that no two give the same; and a node may forget only what none of them has out there, so each tells the others the lowest that it has
 * out, or will give.
 */

/** Tasks that ended here not long ago, whose nodes may not have heard of it. */
const ENDED_MAX = 10_000;

export class Fences {
  readonly isShared: boolean;
  /** Given last, here. */
  last: number;
  /** How many were given here. */
  given = 0;
  #until: number;
  #othersLowest: number;
  /** With the highest fence of their units. */
  readonly #ended = new Map<string, number>();

  private constructor(isShared: boolean, last: number, until: number, othersLowest: number) {
    this.isShared = isShared;
    this.last = last;
    this.#until = until;
    this.#othersLowest = othersLowest;
  }

  /** @param last the highest that was ever given */
  static alone(last: number): Fences {
    return new Fences(false, last, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
  }

  /** None may be given before the first block. */
  static shared(): Fences {
    return new Fences(true, 0, 0, 0);
  }

  /** A block of its own: after `from` up to `until`. @param othersLowest below it no other controller has one out, or will */
  grant(from: number, until: number, othersLowest: number): void {
    this.last = Math.max(this.last, from);
    this.#until = until;
    this.#othersLowest = othersLowest;
  }

  get areLeft(): boolean {
    return this.last < this.#until;
  }

  /** Up to it everything at a node is settled. @param lowestOut of what this book has out there */
  floor(lowestOut: number): number {
    return Math.max(0, Math.min(lowestOut, this.last + 1, this.#othersLowest) - 1);
  }

  noteEnded(task: string, fence: number): void {
    if (!this.isShared) return;
    const [oldest] = this.#ended.keys();
    if (oldest !== undefined && this.#ended.size >= ENDED_MAX) this.#ended.delete(oldest);
    this.#ended.set(task, fence);
  }

  /** Of a task that is not active here: nothing of it was given under a later fence. Undefined where another book may have it. */
  endedUnder(task: string): number | undefined {
    return this.isShared ? this.#ended.get(task) : this.last;
  }
}
