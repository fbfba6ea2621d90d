/** Queues that could hold what waits, on the same numbers: pop the most urgent, push another one, again and again. */
import { Heap, type HeapItem } from '../../runtime/schedule/heap.ts';
import { randomValues } from '../cases/random-values.ts';

/** Keys that a bucket queue tells apart. */
const LEVELS = 256;
const WORDS = LEVELS / 32;

interface Queue {
  readonly name: string;
  /** Fills a queue with `count` items, then pops and pushes `pairs` times; returns milliseconds of the pairs. */
  time(count: number, pairs: number): number;
}

/** Keys of what is pushed: later than what was popped by a random amount, as deadlines are. */
const delays = randomValues(4096).map((value) => value + 0.5);

const objects: Queue = {
  name: 'heap of objects, as in use (exact order, items can be taken out)',
  time(count, pairs) {
    const heap = new Heap<HeapItem>();
    for (let i = 0; i < count; i++) heap.add({ key: delays[i & 4095] as number, sequence: i, slot: -1 });
    return timed(pairs, (i) => {
      const item = heap.first as HeapItem;
      heap.remove(item);
      item.key += delays[i & 4095] as number;
      heap.add(item);
    });
  },
};

/** Keys in one typed array, payloads in another, four children per node. */
const typed: Queue = {
  name: 'heap of typed arrays (exact order, first item only)',
  time(count, pairs) {
    const keys = new Float64Array(count + 1);
    const items = new Int32Array(count + 1);
    let length = 0;
    const push = (key: number, item: number): void => {
      let slot = length++;
      for (; slot > 0; ) {
        const up = (slot - 1) >> 2;
        if ((keys[up] as number) <= key) break;
        keys[slot] = keys[up] as number;
        items[slot] = items[up] as number;
        slot = up;
      }
      keys[slot] = key;
      items[slot] = item;
    };
    const pop = (): void => {
      const [key, item] = [keys[--length] as number, items[length] as number];
      let slot = 0;
      for (;;) {
        const start = slot * 4 + 1;
        if (start >= length) break;
        let least = start;
        const end = Math.min(start + 4, length);
        for (let child = start + 1; child < end; child++)
          if ((keys[child] as number) < (keys[least] as number)) least = child;
        if ((keys[least] as number) >= key) break;
        keys[slot] = keys[least] as number;
        items[slot] = items[least] as number;
        slot = least;
      }
      keys[slot] = key;
      items[slot] = item;
    };
    for (let i = 0; i < count; i++) push(delays[i & 4095] as number, i);
    return timed(pairs, (i) => {
      const [key, item] = [keys[0] as number, items[0] as number];
      pop();
      push(key + (delays[i & 4095] as number), item);
    });
  },
};

/** A list for each level, first in, first out, and a bit for each list that is not empty. */
const buckets: Queue = {
  name: `bucket queue, ${LEVELS} levels and a bitmap (order of levels only)`,
  time(count, pairs) {
    const bits = new Uint32Array(WORDS);
    const [heads, tails, next] = [new Int32Array(LEVELS).fill(-1), new Int32Array(LEVELS), new Int32Array(count)];
    const push = (level: number, item: number): void => {
      next[item] = -1;
      if ((heads[level] as number) < 0) {
        heads[level] = item;
        bits[level >> 5] = (bits[level >> 5] as number) | (1 << (level & 31));
      } else next[tails[level] as number] = item;
      tails[level] = item;
    };
    const pop = (): number => {
      let word = 0;
      while (bits[word] === 0) word++;
      const set = bits[word] as number;
      const level = word * 32 + 31 - Math.clz32(set & -set);
      const item = heads[level] as number;
      heads[level] = next[item] as number;
      if ((heads[level] as number) < 0) bits[word] = set & (set - 1);
      return item;
    };
    const levelOf = (i: number): number => Math.floor((delays[i & 4095] as number) * LEVELS);
    for (let i = 0; i < count; i++) push(levelOf(i), i);
    return timed(pairs, (i) => push(levelOf(i), pop()));
  },
};

function timed(pairs: number, pair: (i: number) => void): number {
  const started = performance.now();
  for (let i = 0; i < pairs; i++) pair(i);
  return performance.now() - started;
}

export interface QueueFigure {
  readonly name: string;
  readonly items: number;
  readonly nsPerPair: number;
}

export function compareQueues(rounds: number, pairs: number): QueueFigure[] {
  const sizes = [16, 1000, 100_000];
  const best = new Map<string, QueueFigure>();
  for (let round = 0; round <= rounds; round++)
    for (const items of sizes)
      for (const { name, time } of [objects, typed, buckets]) {
        const nsPerPair = (time(items, pairs) * 1e6) / pairs;
        const before = best.get(`${name} ${items}`);
        if (!before || nsPerPair < before.nsPerPair) best.set(`${name} ${items}`, { name, items, nsPerPair });
      }
  return [...best.values()];
}
