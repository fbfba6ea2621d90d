/**
 * Places items on nodes: a first placement along the prices, and afterwards only what an event touches.
 *
 * At good prices nearly every item has one class that is best for it, and the few that waver lose little by going
 * elsewhere. So items are placed in the order of what they would lose, each on its cheapest classes.
 */
import { Assignment } from './assignment.ts';
import type { Instance, ItemRow } from './instance.ts';
import { loadPrices, type Prices, priceItem } from './prices.ts';

/** How much it counts, beside the loss on the second best class, what an item loses when it is left out. */
export const LEFT_OUT_WEIGHT = 0.01;

/**
 * Placing uses prices a little below those found. At exact prices items waver between what is scarce and what is not, and
 * might leave the scarce empty; below them they prefer it, and what does not fit goes elsewhere at hardly any loss.
 */
const DISCOUNT = 0.985;

/** What an item pays at the prices, by unit. */
export interface Choice {
  readonly best: number;
  readonly bestClass: number;
  /** On any other class, or left out. */
  readonly second: number;
}

export class Search {
  readonly assignment: Assignment;
  readonly instance: Instance;
  prices: Prices;
  through: Float64Array;
  /** By class: its nodes. */
  readonly members: number[][];

  /** @param prices as good as they are known */
  constructor(instance: Instance, prices: Prices) {
    this.instance = instance;
    this.assignment = new Assignment(instance);
    this.prices = discounted(prices);
    this.through = loadPrices(instance, this.prices);
    this.members = instance.classes.map(() => []);
    for (const [node, c] of instance.classOf.entries()) if (instance.alive[node]) this.members[c]?.push(node);
  }

  /** Places everything that is not yet served. @param vary a factor near 1 for each item, to try another order */
  placeAll(vary?: () => number): void {
    for (const item of this.inOrder(this.instance.items.keys(), vary)) this.place(item);
  }

  /** Leaders before those that follow them, then those first that lose most when their best class is full. */
  inOrder(items: Iterable<number>, vary: () => number = () => 1): number[] {
    const { leaders } = this.instance;
    const ranked = [...items].map((item) => {
      return { item, depth: depthOf(item, leaders), loss: this.#lossOf(item) * vary() };
    });
    return ranked.sort((a, b) => a.depth - b.depth || b.loss - a.loss).map(({ item }) => item);
  }

  /** Per load: that of its second best class, and a little of being left out. */
  #lossOf(item: number): number {
    const { best, bestClass, second } = this.choiceOf(item);
    if (bestClass < 0) return -1;
    const { worth, load } = this.instance.rows[item] as ItemRow;
    return (second - best + LEFT_OUT_WEIGHT * (worth - best)) / (load[bestClass] as number);
  }

  choiceOf(item: number): Choice {
    const priced = new Float64Array(this.instance.classes.length);
    priceItem(this.instance, this.prices, this.through, item, priced);
    const { worth } = this.instance.rows[item] as ItemRow;
    let [best, second, bestClass] = [worth, worth, -1];
    for (let c = 0; c < priced.length; c++) {
      const cost = priced[c] as number;
      if (cost < best) [best, second, bestClass] = [cost, best, c];
      else if (cost < second) second = cost;
    }
    return { best, bestClass, second };
  }

  /** Classes where the item may run, cheapest first, prices included. */
  classesFor(item: number): number[] {
    const priced = new Float64Array(this.instance.classes.length);
    priceItem(this.instance, this.prices, this.through, item, priced);
    const classes: number[] = [];
    for (let c = 0; c < priced.length; c++) if (priced[c] !== Number.POSITIVE_INFINITY) classes.push(c);
    return classes.sort((a, b) => (priced[a] as number) - (priced[b] as number));
  }

  /** A class that joined has no prices yet: it is as good as free until they are found anew. */
  growPrices(): void {
    const { classes, tiers } = this.instance;
    if (this.prices.memory.length === classes.length) return;
    const longer = (short: Float64Array, length: number): Float64Array => {
      const long = new Float64Array(length);
      long.set(short);
      return long;
    };
    this.prices = {
      ...this.prices,
      load: longer(this.prices.load, classes.length * tiers.length),
      memory: longer(this.prices.memory, classes.length),
      mbps: longer(this.prices.mbps, classes.length),
    };
    this.through = loadPrices(this.instance, this.prices);
  }

  missing(item: number): number {
    return (this.instance.items[item]?.units as number) - (this.assignment.served[item] as number);
  }

  /** Places what is missing of an item on its cheapest classes. Returns how many units stay unserved. */
  place(item: number): number {
    let left = this.missing(item);
    if (left <= 0) return 0;
    for (const c of this.classesFor(item)) {
      left = this.fill(item, c, left);
      if (left === 0) break;
    }
    return left;
  }

  /** Puts up to `left` units on nodes of a class; returns what did not fit. Few nodes are used, and full ones preferred. */
  fill(item: number, c: number, left: number): number {
    const { assignment } = this;
    const most = this.instance.rows[item]?.unitsMax[c] as number;
    // What runs there already costs no memory.
    for (const node of [...(assignment.nodesOf[item]?.keys() ?? [])])
      if (left > 0 && this.instance.classOf[node] === c) left -= this.#put(item, node, left);
    if (left === 0) return 0;
    const nodes: number[] = [];
    const fits: number[] = [];
    let whole = 0;
    for (const node of this.members[c] as number[]) {
      const fit = assignment.fit(item, node);
      if (fit === 0) continue;
      nodes.push(node);
      fits.push(fit);
      // No node takes more than this: so many are enough.
      if (fit === most && ++whole * most >= left) break;
    }
    while (left > 0 && nodes.length > 0) {
      const at = choose(fits, left);
      left -= this.#put(item, nodes[at] as number, left);
      nodes[at] = nodes.at(-1) as number;
      fits[at] = fits.at(-1) as number;
      nodes.pop();
      fits.pop();
    }
    return left;
  }

  #put(item: number, node: number, most: number): number {
    const units = Math.min(most, this.assignment.fit(item, node));
    if (units > 0) this.assignment.add(item, node, units);
    return units;
  }

  /** Takes units off a node, with what must not be there without them. */
  withdraw(item: number, node: number, units: number, withdrawn: Set<number>): void {
    const { assignment, instance } = this;
    assignment.remove(item, node, units);
    withdrawn.add(item);
    const here = assignment.itemsOn[node] as Map<number, number>;
    if (here.has(item)) return;
    for (const follower of instance.followers[item] as Set<number>) {
      const left = here.get(follower);
      if (left !== undefined) this.withdraw(follower, node, left, withdrawn);
    }
  }
}

function discounted(prices: Prices): Prices {
  const lower = (values: Float64Array): Float64Array => values.map((value) => value * DISCOUNT);
  return { ...prices, load: lower(prices.load), memory: lower(prices.memory), mbps: lower(prices.mbps) };
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

/** How many items must be placed before one, each because the next is to be with it. */
function depthOf(item: number, leaders: readonly ReadonlySet<number>[]): number {
  let depth = 0;
  for (const leader of leaders[item] as ReadonlySet<number>) depth = Math.max(depth, depthOf(leader, leaders) + 1);
  return depth;
}
