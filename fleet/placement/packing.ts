/**
 * Fills nodes one by one with what leaves least of them unused: where few large units share a node, placing one item after
 * the other leaves gaps that nothing fits into (Gupta and Ho, A new heuristic algorithm for the one-dimensional
 * bin-packing problem, 1999: minimum bin slack). How full a node is, is counted in what all items need most of: load or
 * memory.
 */
import type { ItemRow, NodeClass } from './instance.ts';
import { priceItem } from './prices.ts';
import type { Search } from './search.ts';

/** An item is a candidate for a class that costs it at most this much more than its best. */
const NEAR = 1.03;
const CANDIDATES_MAX = 48;
/** Contents that are looked at for one node, and how full is full enough. */
const TRIES_MAX = 400;
const FULL = 0.9995;

type SizeOf = (item: number, units: number) => number;

interface Candidate {
  readonly item: number;
  /** Share of a node that as many units take as fit into an empty one. */
  readonly size: number;
}

/** Fills the nodes that are empty. What is left over is for the caller to place. */
export function packAll(search: Search): void {
  const { instance, members } = search;
  for (let c = 0; c < instance.classes.length; c++) {
    const sizeOf = sizesOn(search, c);
    for (const node of members[c] as number[])
      if (search.assignment.itemsOn[node]?.size === 0) new Filling(search, node, sizeOf).run();
  }
}

/** The share of a node of the class that units of an item take, in whichever of load and memory all of them need more. */
function sizesOn({ instance }: Search, c: number): SizeOf {
  const { classes, rows, items } = instance;
  const { caps, node } = classes[c] as NodeClass;
  const load = (item: number, units: number): number => {
    const { load: loads, tier } = rows[item] as ItemRow;
    return (units * (loads[c] as number)) / (caps[tier] as number);
  };
  const memory = (item: number): number => (items[item]?.memoryBytes as number) / node.memoryBytes;
  let [loads, memories] = [0, 0];
  for (const [item, { unitsMax }] of rows.entries()) {
    const most = unitsMax[c] as number;
    if (most === 0) continue;
    const { units } = items[item] as { units: number };
    loads += load(item, units);
    memories += (memory(item) * units) / most;
  }
  return memories > loads ? memory : load;
}

/** Largest first; alike ones stand together. */
function candidatesFor(search: Search, c: number, sizeOf: SizeOf): Candidate[] {
  const { instance, prices, through } = search;
  const among = Int32Array.of(c);
  const priced = new Float64Array(1);
  const found: Candidate[] = [];
  for (let item = 0; item < instance.items.length; item++) {
    if (search.missing(item) === 0) continue;
    priceItem(instance, prices, through, item, priced, among);
    const { best } = search.choiceOf(item);
    if ((priced[0] as number) <= best * NEAR)
      found.push({
        item,
        size: sizeOf(item, Math.min(search.missing(item), instance.rows[item]?.unitsMax[c] as number)),
      });
  }
  found.sort((a, b) => b.size - a.size || a.item - b.item);
  // Many alike need not all be looked at: only so many of a size as a node could hold.
  let alike = 0;
  return found
    .filter(({ size }, index) => {
      alike = index > 0 && found[index - 1]?.size === size ? alike + 1 : 0;
      return alike * size < 1;
    })
    .slice(0, CANDIDATES_MAX);
}

/** One node, and what could be in it. */
class Filling {
  readonly #search: Search;
  readonly #node: number;
  readonly #candidates: readonly Candidate[];
  #tries = 0;
  #best: [item: number, units: number][] = [];
  #bestFull = 0;

  readonly #sizeOf: SizeOf;

  constructor(search: Search, node: number, sizeOf: SizeOf) {
    this.#search = search;
    this.#node = node;
    this.#sizeOf = sizeOf;
    this.#candidates = candidatesFor(search, search.instance.classOf[node] as number, sizeOf);
  }

  /** Leaves the node with the best contents found. */
  run(): void {
    this.#deepen(0, 0, []);
    for (const [item, units] of this.#best) this.#search.assignment.add(item, this.#node, units);
  }

  #deepen(from: number, full: number, contents: [item: number, units: number][]): void {
    if (full > this.#bestFull) {
      this.#bestFull = full;
      this.#best = [...contents];
    }
    const { assignment } = this.#search;
    for (let place = from; place < this.#candidates.length; place++) {
      if (this.#tries >= TRIES_MAX || this.#bestFull >= FULL) return;
      const { item, size } = this.#candidates[place] as Candidate;
      // After one that did not lead further the next of its size will not either.
      if (place > from && size === this.#candidates[place - 1]?.size) continue;
      const units = Math.min(this.#search.missing(item), assignment.fit(item, this.#node));
      if (units === 0) continue;
      this.#tries++;
      assignment.add(item, this.#node, units);
      this.#deepen(place + 1, full + this.#sizeOf(item, units), [...contents, [item, units]]);
      assignment.remove(item, this.#node, units);
    }
  }
}
