/** Virtual time: what is to happen, in the order of its time, and of its announcement where times are equal. */
interface Happening {
  readonly at: number;
  readonly order: number;
  run(): void;
}

export class Clock {
  now = 0;
  #order = 0;
  /** A binary heap: no happening is later than those below it. */
  readonly #heap: Happening[] = [];

  after(delayMs: number, run: () => void): void {
    const heap = this.#heap;
    heap.push({ at: this.now + Math.max(0, delayMs), order: this.#order++, run });
    for (let at = heap.length - 1; at > 0; ) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(at, parent)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  /** Lets the next thing happen, if there is one before the time given. */
  step(until: number): boolean {
    const first = this.#heap[0];
    if (!first || first.at > until) return false;
    const last = this.#heap.pop() as Happening;
    if (this.#heap.length > 0) {
      this.#heap[0] = last;
      this.#sink();
    }
    this.now = first.at;
    first.run();
    return true;
  }

  #sink(): void {
    for (let at = 0; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2])
        if (child < this.#heap.length && this.#isBefore(child, least)) least = child;
      if (least === at) return;
      this.#swap(at, least);
      at = least;
    }
  }

  #isBefore(one: number, other: number): boolean {
    const [a, b] = [this.#heap[one] as Happening, this.#heap[other] as Happening];
    return a.at < b.at || (a.at === b.at && a.order < b.order);
  }

  #swap(one: number, other: number): void {
    [this.#heap[one], this.#heap[other]] = [this.#heap[other] as Happening, this.#heap[one] as Happening];
  }
}
