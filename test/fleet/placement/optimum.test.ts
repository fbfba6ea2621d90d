/** Bounds and placements of small problems against the optimum of the mixed-integer program, which states the rules anew. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { adversarialProblems, randomProblem } from '../../../bench/cases/placement-cases.ts';
import { compile } from '../../../fleet/placement/instance.ts';
import { solveInteger } from '../../../fleet/placement/integer-program.ts';
import { solveLinear } from '../../../fleet/placement/linear-program.ts';
import { planInstance } from '../../../fleet/placement/plan.ts';
import { boundAt, noPrices } from '../../../fleet/placement/prices.ts';
import { type ProblemInput, parseProblem } from '../../../fleet/placement/problem.ts';
import { gapOf, solve } from '../../../fleet/placement/solve.ts';
import { randomFrom } from '../../random.ts';
import { placedOf, problemsOf } from './judge.ts';

const seed = Number(process.env.PLACEMENT_SEED ?? 20261130);
console.log(`seed ${seed} (PLACEMENT_SEED)`);
const PROBLEMS = 200;
const SECONDS_MAX = 10;

function drawProblem(draw: (limit: number) => number) {
  const shape = {
    nodes: 2 + draw(4),
    items: 2 + draw(4),
    units: 4 + draw(14),
    zones: 2,
    fill: [0.5, 0.8, 1.2][draw(3)] as number,
  };
  const problem = randomProblem(shape, draw);
  const names = problem.items.map(({ name }) => name);
  // Now and then items that must be apart or together, nodes with little memory or a narrow link.
  const items = problem.items.map((item, index) => {
    const other = names[draw(Math.max(1, index))] as string;
    if (index === 0 || draw(3) > 0) return item;
    return draw(2) === 0 ? { ...item, apart: [other] } : { ...item, with: [other] };
  });
  const nodes = problem.nodes.map((node) => ({
    ...node,
    ...(draw(3) === 0 && { memoryBytes: 4e8 }),
    ...(draw(3) === 0 && { networkMbps: 20 }),
  }));
  return parseProblem({ nodes, items, links: problem.links } as unknown as ProblemInput, 'drawn');
}

test('no bound is above the optimum, no placement below it, and most placements reach it', async () => {
  let [proved, reached, near] = [0, 0, 0];
  for (let number = 0; number < PROBLEMS; number++) {
    const problem = drawProblem(randomFrom(seed + number));
    const instance = compile(problem);
    const search = planInstance(instance);
    const optimum = await solveInteger(instance, SECONDS_MAX);
    const linear = await solveLinear(instance, search.prices);
    const { cost } = search.assignment;
    const where = `problem ${number} of seed ${seed}`;
    assert.equal(problemsOf(problem, placedOf(search.assignment)), [], where);
    for (const bound of [linear.bound, boundAt(instance, search.prices), boundAt(instance, noPrices(instance))])
      assert.ok(bound <= optimum.cost * (1 + 1e-6) + 1e-9, `${where}: bound ${bound}, optimum ${optimum.cost}`);
    if (!optimum.proved) continue;
    proved++;
    assert.ok(cost >= optimum.cost * (1 - 1e-6) - 1e-9, `${where}: cost ${cost} below the optimum ${optimum.cost}`);
    if (cost <= optimum.cost * (1 + 1e-6) + 1e-9) reached++;
    if (cost <= optimum.cost * 1.01 + 1e-9) near++;
  }
  console.log(`${PROBLEMS} problems, ${proved} optima proved, ${reached} reached, ${near} within 1%`);
  assert.ok(proved >= PROBLEMS * 0.98, `only ${proved} optima were proved`);
  assert.ok(reached >= PROBLEMS * 0.75, `only ${reached} optima were reached`);
  assert.ok(near >= PROBLEMS * 0.8, `only ${near} placements are within 1%`);
});

test('the answer to a small problem is its optimum, whatever the search alone found', async () => {
  let better = 0;
  for (let number = 0; number < 60; number++) {
    const problem = drawProblem(randomFrom(seed + number));
    const optimum = await solveInteger(compile(problem), SECONDS_MAX);
    const solution = await solve(problem);
    const { cost } = solution.search.assignment;
    const where = `problem ${number} of seed ${seed}`;
    assert.equal(problemsOf(problem, placedOf(solution.search.assignment)), [], where);
    assert.ok(
      Math.abs(cost - optimum.cost) <= 1e-6 * optimum.cost + 1e-9,
      `${where}: ${cost}, optimum ${optimum.cost}`,
    );
    assert.ok(gapOf(solution) <= 1e-6, where);
    if (planInstance(compile(problem)).assignment.cost > cost * (1 + 1e-6)) better++;
  }
  assert.ok(better > 0, 'the search alone was never improved upon: the test shows nothing');
});

test('problems that simple methods fail on are solved within 1% of the bound, with everything served', async () => {
  for (const [name, make] of Object.entries(adversarialProblems)) {
    const problem = make();
    const search = planInstance(compile(problem));
    assert.equal(problemsOf(problem, placedOf(search.assignment)), [], name);
    const { bound } = await solveLinear(search.instance, search.prices);
    assert.ok(search.assignment.cost <= bound * 1.01, `${name}: cost ${search.assignment.cost}, bound ${bound}`);
    for (const item of problem.items.keys()) assert.is(search.missing(item), 0, name);
  }
});

test.run();
