/**
 * Places items on nodes: a first placement along the prices, and afterwards only what an event touches.
 *
 * At good prices nearly every item has one class that is best for it, and the few that waver lose little by going
 * elsewhere. So items are placed in the order of what they would lose, each on its cheapest classes.
 */
import { Assignment } from './assignment.ts';
import type { Instance, ItemRow } from './instance.ts';
import { findPrices } from './price-search.ts';
import { loadPrices, type Prices, priceItem } from './prices.ts';

export class Search {
  readonly assignment: Assignment;
  prices: Prices;
  #through: Float64Array;
  /** By class: its nodes. */
  readonly #members: number[][];

  constructor(instance: Instance, prices: Prices = findPrices(instance)) {
    this.assignment = new Assignment(instance);
    this.prices = prices;
    this.#through = loadPrices(instance, prices);
    this.#members = instance.classes.map(() => []);
    for (const [node, c] of instance.classOf.entries()) if (instance.alive[node]) this.#members[c]?.push(node);
  }

  get instance(): Instance {
    return this.assignment.instance;
  }

  /** Places everything that is not yet served. */
  placeAll(): void {
    for (const item of this.#order()) this.place(item);
  }

  /** Leaders before those that follow them, then those first that lose most, per load, when their best class is full. */
  #order(): number[] {
    const { instance } = this;
    const priced = new Float64Array(instance.classes.length);
    const regret = instance.items.map((_, item) => {
      const row = instance.rows[item] as ItemRow;
      priceItem(instance, this.prices, this.#through, item, priced);
      let [best, second, bestClass] = [row.worth, row.worth, -1];
      for (let c = 0; c < priced.length; c++) {
        const cost = priced[c] as number;
        if (cost < best) [best, second, bestClass] = [cost, best, c];
        else if (cost < second) second = cost;
      }
      return bestClass < 0 ? -1 : (second - best) / (row.load[bestClass] as number);
    });
    const depth = depths(instance);
    return instance.items
      .map((_, item) => item)
      .sort((a, b) => (depth[a] as number) - (depth[b] as number) || (regret[b] as number) - (regret[a] as number));
  }

  /** Places what is missing of an item on its cheapest classes, prices included. Returns how many units stay unserved. */
  place(item: number): number {
    const { instance, assignment } = this;
    let left = (instance.items[item]?.units as number) - (assignment.served[item] as number);
    if (left <= 0) return 0;
    const priced = new Float64Array(instance.classes.length);
    priceItem(instance, this.prices, this.#through, item, priced);
    const classes: number[] = [];
    for (let c = 0; c < priced.length; c++) if (priced[c] !== Number.POSITIVE_INFINITY) classes.push(c);
    classes.sort((a, b) => (priced[a] as number) - (priced[b] as number));
    for (const c of classes) {
      left = this.#fill(item, c, left);
      if (left === 0) break;
    }
    return left;
  }

  /** Puts up to `left` units on nodes of a class; returns what did not fit. Few nodes are used, and full ones preferred. */
  #fill(item: number, c: number, left: number): number {
    const { assignment } = this;
    const { unitsMax } = this.instance.rows[item] as ItemRow;
    // What runs there already costs no memory.
    for (const node of [...(assignment.nodesOf[item]?.keys() ?? [])])
      if (left > 0 && this.instance.classOf[node] === c) {
        const units = Math.min(left, assignment.fit(item, node));
        if (units > 0) assignment.add(item, node, units);
        left -= units;
      }
    if (left === 0) return 0;
    const most = unitsMax[c] as number;
    const nodes: number[] = [];
    const fits: number[] = [];
    let whole = 0;
    for (const node of this.#members[c] as number[]) {
      const fit = assignment.fit(item, node);
      if (fit === 0) continue;
      nodes.push(node);
      fits.push(fit);
      // No node takes more than this: so many are enough.
      if (fit === most && ++whole * most >= left) break;
    }
    while (left > 0 && nodes.length > 0) {
      const at = choose(fits, left);
      const units = Math.min(left, fits[at] as number);
      assignment.add(item, nodes[at] as number, units);
      left -= units;
      nodes[at] = nodes.at(-1) as number;
      fits[at] = fits.at(-1) as number;
      nodes.pop();
      fits.pop();
    }
    return left;
  }
}

/** The tightest place for all that is left; where there is none, the widest. */
function choose(fits: readonly number[], left: number): number {
  let best = 0;
  for (let at = 1; at < fits.length; at++) {
    const [fit, least] = [fits[at] as number, fits[best] as number];
    if (fit >= left ? least < left || fit < least : least < left && fit > least) best = at;
  }
  return best;
}

/** How many items must be placed before each, because it is to be with them. */
function depths({ items, leaders }: Instance): number[] {
  const known = new Map<number, number>();
  const depth = (item: number): number => {
    const before = known.get(item);
    if (before !== undefined) return before;
    const own = Math.max(-1, ...[...(leaders[item] as Set<number>)].map(depth)) + 1;
    known.set(item, own);
    return own;
  };
  return items.map((_, item) => depth(item));
}
