/**
 * Prices of what is scarce, and the bound that follows from any of them.
 *
 * A price on every capacity row makes the items independent: each takes its cheapest classes, price included. What they
 * then cost together, less what the capacity is worth at these prices, is no more than any placement costs (weak
 * duality; Geoffrion, Lagrangean relaxation for integer programming, 1974). With the best prices it is the bound of the
 * linear program. So a bound needs no trust in whoever found the prices.
 */
import { eachShare } from './capacity-rows.ts';
import type { Instance, ItemRow, NodeClass } from './instance.ts';

/** By class; of load by class and tier, for a whole node of the tier's row (capacity-rows.ts). */
export interface Prices {
  readonly load: Float64Array;
  readonly memory: Float64Array;
  readonly mbps: Float64Array;
  /** Of rows that tie items together: what they add to a unit of an item by class, and take from the bound. */
  readonly surcharge?: ReadonlyMap<number, Float64Array>;
  readonly fixed?: number;
}

export const PRICED = ['load', 'memory', 'mbps'] as const;

export function noPrices({ classes, tiers }: Instance): Prices {
  return {
    load: new Float64Array(classes.length * tiers.length),
    memory: new Float64Array(classes.length),
    mbps: new Float64Array(classes.length),
  };
}

/** By class and tier: what a unit of load costs, since it counts in the rows of its own and of later tiers. */
export function loadPrices(instance: Instance, prices: Prices): Float64Array {
  const { classes, tiers } = instance;
  const through = new Float64Array(prices.load.length);
  for (const [c, { caps }] of classes.entries())
    for (let t = 0; t < tiers.length; t++) {
      const price = prices.load[c * tiers.length + t] as number;
      if (price === 0) continue;
      eachShare(instance, caps, t, (tier, share) => {
        through[c * tiers.length + tier] = (through[c * tiers.length + tier] as number) + price * share;
      });
    }
  return through;
}

/**
 * Writes to `into` what a unit of the item costs on each class (or on those of `among`, in their order), prices included
 * and what a node costs once spread over as many units as fit; infinite where it may not run. Returns the least of all,
 * or what leaving the unit out costs.
 */
export function priceItem(
  instance: Instance,
  prices: Prices,
  through: Float64Array,
  item: number,
  into: Float64Array,
  among?: Int32Array,
): number {
  const { tier, unitsMax, load, mbps, cost, open, worth } = instance.rows[item] as ItemRow;
  const tiers = instance.tiers.length;
  const count = among ? among.length : instance.classes.length;
  const bytes = instance.items[item]?.memoryBytes as number;
  const surcharge = prices.surcharge?.get(item);
  let least = worth;
  for (let place = 0; place < count; place++) {
    const c = among ? (among[place] as number) : place;
    const most = unitsMax[c] as number;
    let priced = Number.POSITIVE_INFINITY;
    if (most > 0) {
      priced =
        (cost[c] as number) +
        (load[c] as number) * (through[c * tiers + tier] as number) +
        (mbps[c] as number) * (prices.mbps[c] as number) +
        ((open[c] as number) + bytes * (prices.memory[c] as number)) / most;
      // A class that joined later has none.
      if (surcharge) priced += surcharge[c] ?? 0;
    }
    into[place] = priced;
    if (priced < least) least = priced;
  }
  return least;
}

/** The bound at these prices: no placement costs less. */
export function boundAt(instance: Instance, prices: Prices): number {
  const through = loadPrices(instance, prices);
  let bound = -supplyWorth(instance, prices);
  for (let item = 0; item < instance.items.length; item++) bound += itemBound(instance, prices, through, item);
  return bound;
}

/** What the capacity of all nodes is worth at the prices. */
export function supplyWorth({ classes, tiers }: Instance, prices: Prices): number {
  let sum = prices.fixed ?? 0;
  for (const [c, { members, node }] of classes.entries()) {
    let one = (prices.memory[c] as number) * node.memoryBytes + (prices.mbps[c] as number) * (node.networkMbps ?? 0);
    for (let t = 0; t < tiers.length; t++) one += prices.load[c * tiers.length + t] as number;
    sum += one * members;
  }
  return sum;
}

/** The least that the item's units cost at these prices: its cheapest classes first, as far as they reach. */
export function itemBound(instance: Instance, prices: Prices, through: Float64Array, item: number): number {
  const { classes, items, rows } = instance;
  const priced = new Float64Array(classes.length);
  priceItem(instance, prices, through, item, priced);
  const { worth, unitsMax } = rows[item] as ItemRow;
  let left = items[item]?.units as number;
  let bound = 0;
  while (left > 0) {
    let best = -1;
    let least = worth;
    for (let c = 0; c < classes.length; c++) {
      if ((priced[c] as number) >= least) continue;
      least = priced[c] as number;
      best = c;
    }
    if (best < 0) return bound + left * worth;
    const units = Math.min(left, (unitsMax[best] as number) * (classes[best] as NodeClass).members);
    bound += units * least;
    left -= units;
    priced[best] = Number.POSITIVE_INFINITY;
  }
  return bound;
}
