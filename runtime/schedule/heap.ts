/** A priority queue out of which any item can be taken. Four children per node: fewer cache lines than two. */

/** Ordered by key, and by sequence number among equal keys. The heap owns `slot`: the place of the item, -1 outside. */
export interface HeapItem {
  key: number;
  readonly sequence: number;
  slot: number;
}

const CHILDREN = 4;

export function isBefore(a: HeapItem, b: HeapItem): boolean {
  return a.key < b.key || (a.key === b.key && a.sequence < b.sequence);
}

export class Heap<T extends HeapItem> {
  readonly #items: T[] = [];

  get length(): number {
    return this.#items.length;
  }

  /** The first item; undefined when there is none. */
  get first(): T | undefined {
    return this.#items[0];
  }

  /** All items in no order. */
  get items(): readonly T[] {
    return this.#items;
  }

  add(item: T): void {
    this.#items.push(item);
    this.#rise(item, this.#items.length - 1);
  }

  /** Does nothing when the item is not in the heap. */
  remove(item: T): void {
    const { slot } = item;
    if (slot < 0) return;
    item.slot = -1;
    const last = this.#items.pop() as T;
    if (last === item) return;
    this.#sink(last, slot);
    this.#rise(last, last.slot);
  }

  #rise(item: T, from: number): void {
    let slot = from;
    while (slot > 0) {
      const up = (slot - 1) >> 2;
      const parent = this.#items[up] as T;
      if (!isBefore(item, parent)) break;
      this.#put(parent, slot);
      slot = up;
    }
    this.#put(item, slot);
  }

  #sink(item: T, from: number): void {
    const items = this.#items;
    let slot = from;
    for (;;) {
      const start = slot * CHILDREN + 1;
      const end = Math.min(start + CHILDREN, items.length);
      let least = start;
      for (let child = start + 1; child < end; child++)
        if (isBefore(items[child] as T, items[least] as T)) least = child;
      if (start >= end || !isBefore(items[least] as T, item)) break;
      this.#put(items[least] as T, slot);
      slot = least;
    }
    this.#put(item, slot);
  }

  #put(item: T, slot: number): void {
    this.#items[slot] = item;
    item.slot = slot;
  }
}
