/**
 * A priority queue out of which any item can be taken. Four children per node, and the keys in an array of their own: most
 * comparisons touch one cache line and no item. `npm run bench -- scheduler` compares it with other queues.
 */

/** Ordered by key, and by sequence number among equal keys. The heap owns `slot`: the place of the item, -1 outside. */
export interface HeapItem {
  key: number;
  readonly sequence: number;
  slot: number;
}

const CHILDREN = 4;
const CAPACITY_MIN = 16;

export function isBefore(a: HeapItem, b: HeapItem): boolean {
  return a.key < b.key || (a.key === b.key && a.sequence < b.sequence);
}

export class Heap<T extends HeapItem> {
  readonly #items: T[] = [];
  #keys = new Float64Array(CAPACITY_MIN);

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
    const slot = this.#items.length;
    if (slot === this.#keys.length) {
      const grown = new Float64Array(slot * 2);
      grown.set(this.#keys);
      this.#keys = grown;
    }
    this.#items.push(item);
    this.#rise(item, slot);
  }

  /** Does nothing when the item is not in the heap. */
  remove(item: T): void {
    const { slot } = item;
    if (slot < 0) return;
    item.slot = -1;
    const last = this.#items.pop() as T;
    if (last === item) return;
    this.#sink(last, slot);
    if (last.slot === slot) this.#rise(last, slot);
  }

  /** Finds the item's place again after its key has changed. */
  update(item: T): void {
    const { slot } = item;
    this.#sink(item, slot);
    if (item.slot === slot) this.#rise(item, slot);
  }

  /** The least of what `value` gives for the items with keys up to `keyMost`; `most` when none gives less. Sees few others. */
  least(keyMost: number, most: number, value: (item: T) => number, slot = 0): number {
    const item = this.#items[slot];
    if (!item || item.key > keyMost) return most;
    let least = Math.min(most, value(item));
    for (let child = slot * CHILDREN + 1; child <= slot * CHILDREN + CHILDREN; child++)
      least = this.least(keyMost, least, value, child);
    return least;
  }

  #rise(item: T, from: number): void {
    const { key, sequence } = item;
    const items = this.#items;
    const keys = this.#keys;
    let slot = from;
    while (slot > 0) {
      const up = (slot - 1) >> 2;
      const upKey = keys[up] as number;
      if (upKey < key || (upKey === key && (items[up] as T).sequence < sequence)) break;
      this.#put(items[up] as T, upKey, slot);
      slot = up;
    }
    this.#put(item, key, slot);
  }

  #sink(item: T, from: number): void {
    const { key, sequence } = item;
    const items = this.#items;
    const keys = this.#keys;
    let slot = from;
    for (;;) {
      const start = slot * CHILDREN + 1;
      if (start >= items.length) break;
      const end = Math.min(start + CHILDREN, items.length);
      let least = start;
      let leastKey = keys[start] as number;
      for (let child = start + 1; child < end; child++) {
        const childKey = keys[child] as number;
        if (childKey > leastKey) continue;
        if (childKey === leastKey && (items[child] as T).sequence > (items[least] as T).sequence) continue;
        least = child;
        leastKey = childKey;
      }
      if (leastKey > key || (leastKey === key && (items[least] as T).sequence > sequence)) break;
      this.#put(items[least] as T, leastKey, slot);
      slot = least;
    }
    this.#put(item, key, slot);
  }

  #put(item: T, key: number, slot: number): void {
    this.#items[slot] = item;
    this.#keys[slot] = key;
    item.slot = slot;
  }
}
