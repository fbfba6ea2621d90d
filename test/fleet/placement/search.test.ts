/** Placements of problems drawn by chance: always allowed, never below the bound, and close to it. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { randomProblem } from '../../../bench/cases/placement-cases.ts';
import { compile } from '../../../fleet/placement/instance.ts';
import { findPrices } from '../../../fleet/placement/price-search.ts';
import { boundAt, noPrices } from '../../../fleet/placement/prices.ts';
import { Search } from '../../../fleet/placement/search.ts';
import { randomFrom } from '../../random.ts';
import { placedOf, problemsOf } from './judge.ts';

const seed = Number(process.env.PLACEMENT_SEED ?? 20261130);
console.log(`seed ${seed} (PLACEMENT_SEED)`);

test('large random fleets are placed within the rules and close to the bound, as full as they may be', () => {
  for (const [index, fill] of [0.3, 0.7, 0.9].entries()) {
    const problem = randomProblem({ nodes: 400, items: 120, units: 20_000, zones: 6, fill }, randomFrom(seed + index));
    const compiled = compile(problem);
    const search = new Search(compiled, findPrices(compiled));
    search.placeAll();
    const { assignment, instance, prices } = search;
    assert.equal(problemsOf(problem, placedOf(assignment)), []);
    const bound = Math.max(boundAt(instance, prices), boundAt(instance, noPrices(instance)));
    assert.ok(assignment.cost >= bound, `fill ${fill}: cost ${assignment.cost} below the bound ${bound}`);
    assert.ok(assignment.cost <= bound * 1.03, `fill ${fill}: cost ${assignment.cost}, bound ${bound}`);
  }
});

test.run();
