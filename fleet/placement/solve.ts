/** A problem's placement with its proof: what it costs, and what none can cost less than. */
import { compile, type Instance } from './instance.ts';
import { EXACT_PAIRS_MAX, solveInteger } from './integer-program.ts';
import { SolverMissingError, solveLinear } from './linear-program.ts';
import { planInstance } from './plan.ts';
import { boundAt } from './prices.ts';
import type { Problem } from './problem.ts';
import { Search } from './search.ts';

const EXACT_SECONDS = 3;

export interface Solution {
  readonly search: Search;
  /** No placement costs less. */
  readonly bound: number;
  /** What says so. The prices of the search do, when the solver is not installed. */
  readonly proof: 'integer program' | 'linear program' | 'prices';
}

/** Small problems are solved to the optimum. Throws an Error when there are too many pairs of items and kinds of nodes. */
export async function solve(problem: Problem): Promise<Solution> {
  const instance = compile(problem);
  const search = planInstance(instance);
  const own: Solution = { search, bound: boundAt(instance, search.prices), proof: 'prices' };
  const pairs = instance.items.length * instance.nodes.length;
  if (pairs === 0) return own;
  try {
    if (pairs <= EXACT_PAIRS_MAX) return await solveExactly(instance, search);
    const { bound } = await solveLinear(instance, search.prices);
    return { search, bound, proof: 'linear program' };
  } catch (error) {
    if (!(error instanceof SolverMissingError)) throw error;
    // The placement is the same then, unless it is small; its bound is a little weaker.
    return own;
  }
}

async function solveExactly(instance: Instance, search: Search): Promise<Solution> {
  const { bound, cost, placed } = await solveInteger(instance, EXACT_SECONDS);
  const proof = 'integer program';
  if (!(cost < search.assignment.cost * (1 - 1e-9))) return { search, bound, proof };
  const better = new Search(instance, search.prices);
  for (const item of better.inOrder(instance.items.keys()))
    for (const each of placed)
      if (each.item === item) {
        const units = Math.min(each.units, better.assignment.fit(item, each.node));
        if (units > 0) better.assignment.add(item, each.node, units);
      }
  return { search: better.assignment.cost < search.assignment.cost ? better : search, bound, proof };
}

/** How far the placement may be from the best one, at the most; 0 when it is proved to be one. */
export function gapOf({ search, bound }: Solution): number {
  const { cost } = search.assignment;
  return cost - bound <= 1e-9 * Math.abs(cost) ? 0 : (cost - bound) / Math.max(Math.abs(bound), 1e-12);
}
