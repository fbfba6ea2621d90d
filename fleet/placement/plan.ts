/** A whole placement: prices, a first placement, improvement; small problems are tried in several orders. */
import { improve } from './improvement.ts';
import type { Instance } from './instance.ts';
import { packAll } from './packing.ts';
import { findPrices } from './price-search.ts';
import { boundAt } from './prices.ts';
import { Search } from './search.ts';

/** Pairs of item and node that all attempts together may look at, and how many attempts there are at most. */
const PAIRS_TRIED = 60_000;
const ATTEMPTS_MAX = 120;
/** Steps of improvement in each of its rounds. */
const TRIALS_MAX = 1_000;
/** The attempt that fills node after node, and how few units a node takes on average where that is tried. */
const PACKED = 1;
const UNITS_A_NODE_MAX = 20;
const PACKED_NODES_MAX = 1_000;
/** What is this near to the bound is not tried again. */
const NO_BETTER = 1e-4;
/** A large placement that is this near is not improved: what is left is mostly the bound's. */
const ENOUGH = 3e-3;
/** How far the order of a later attempt may be from the first: losses change by this factor either way. */
const VARIATION = 20;

/** The best placement found, ready for events. Equal instances give equal placements. */
export function planInstance(instance: Instance): Search {
  const prices = findPrices(instance);
  const pairs = instance.items.length * instance.nodes.length;
  const units = instance.items.reduce((sum, item) => sum + item.units, 0);
  const large = units <= UNITS_A_NODE_MAX * instance.nodes.length && instance.nodes.length <= PACKED_NODES_MAX;
  const attempts = Math.max(
    large ? 1 + PACKED : 1,
    Math.min(ATTEMPTS_MAX, Math.floor(PAIRS_TRIED / Math.max(1, pairs))),
  );
  const draw = lots(1);
  const bound = boundAt(instance, prices);
  let best: Search | undefined;
  for (let attempt = 0; attempt < attempts; attempt++) {
    const search = new Search(instance, prices);
    if (attempt === PACKED) packAll(search);
    search.placeAll(attempt === 0 ? undefined : () => VARIATION ** (2 * draw() - 1));
    if (attempts > 1 || search.assignment.cost > bound * (1 + ENOUGH)) improve(search, TRIALS_MAX);
    if (!best || search.assignment.cost < best.assignment.cost) best = search;
    if (best.assignment.cost <= bound * (1 + NO_BETTER)) break;
  }
  return best as Search;
}

/** Repeatable numbers from 0 to 1 (Park and Miller, Random number generators: good ones are hard to find, 1988). */
function lots(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}
