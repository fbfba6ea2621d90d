/** Nodes that come and go, demands that change: what is placed stays within the rules, near to a placement made anew, and mostly where it was. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { randomProblem } from '../../../bench/cases/placement-cases.ts';
import { addNode, loseNode, putItem } from '../../../fleet/placement/events.ts';
import { improve } from '../../../fleet/placement/improvement.ts';
import { compile } from '../../../fleet/placement/instance.ts';
import { planInstance } from '../../../fleet/placement/plan.ts';
import type { PlacementNode, Problem } from '../../../fleet/placement/problem.ts';
import type { Search } from '../../../fleet/placement/search.ts';
import { randomFrom } from '../../random.ts';
import { type Placed, placedOf, problemsOf } from './judge.ts';

const seed = Number(process.env.PLACEMENT_SEED ?? 20261130);
console.log(`seed ${seed} (PLACEMENT_SEED)`);

const fleet = (number: number, fill = 0.8): Problem =>
  randomProblem({ nodes: 120, items: 40, units: 3_000, zones: 4, fill }, randomFrom(seed + number));

/** The problem as the events have made it. */
function problemNow({ instance }: Search, { links, promise }: Problem): Problem {
  return {
    nodes: instance.nodes.filter((_, node) => instance.alive[node]),
    items: instance.items.filter(({ units }) => units > 0),
    links,
    promise,
  };
}

function withoutEmpty(placed: Placed): Placed {
  return new Map([...placed].filter(([, items]) => items.size > 0));
}

/** Units that are on another node than before. */
function moved(before: Placed, after: Placed): number {
  let sum = 0;
  for (const [node, items] of after)
    for (const [item, units] of items) sum += Math.max(0, units - (before.get(node)?.get(item) ?? 0));
  return sum;
}

test('after many events the placement is allowed, and its cost is near to that of one made anew', () => {
  const draw = randomFrom(seed);
  const problem = fleet(1);
  const search = planInstance(compile(problem));
  const lost: PlacementNode[] = [];
  for (let event = 0; event < 150; event++) {
    const { instance } = search;
    const item = problem.items[draw(problem.items.length)] as Problem['items'][number];
    const node = draw(instance.nodes.length);
    const kind = draw(5);
    if (kind === 0 && instance.alive[node]) {
      lost.push(instance.nodes[node] as PlacementNode);
      loseNode(search, node);
    } else if (kind <= 1 && lost.length > 0) addNode(search, lost.shift() as PlacementNode);
    else if (kind === 2) assert.ok(putItem(search, { ...item, units: 0 }));
    else assert.ok(putItem(search, { ...item, ratePerS: item.ratePerS * (0.7 + draw(100) / 200) }));
    if (event % 10 === 0)
      assert.equal(
        problemsOf(problemNow(search, problem), withoutEmpty(placedOf(search.assignment))),
        [],
        `event ${event}`,
      );
  }
  const anew = planInstance(compile(problemNow(search, problem)));
  const [cost, fresh] = [search.assignment.cost, anew.assignment.cost];
  assert.ok(cost <= fresh * 1.1, `cost ${cost}, made anew ${fresh}`);
  improve(search, 1_000);
  assert.ok(search.assignment.cost <= fresh * 1.04, `improved ${search.assignment.cost}, made anew ${fresh}`);
});

test('a node that is lost moves only what it served', () => {
  const search = planInstance(compile(fleet(2)));
  const { instance, assignment } = search;
  for (const node of [3, 50, 77]) {
    const before = placedOf(assignment);
    const served = [...(assignment.itemsOn[node]?.values() ?? [])].reduce((sum, units) => sum + units, 0);
    const missing = instance.items.reduce((sum, _, item) => sum + search.missing(item), 0);
    loseNode(search, node);
    assert.is(assignment.itemsOn[node]?.size, 0);
    // Room may be made for what found none: that moves others. Here there is room.
    assert.is(moved(before, placedOf(assignment)), served, `node ${node}`);
    assert.is(
      instance.items.reduce((sum, _, item) => sum + search.missing(item), 0),
      missing,
    );
  }
});

test('an item whose demand shrinks stays where it is, and one that goes leaves nothing behind', () => {
  const search = planInstance(compile(fleet(3)));
  const { instance, assignment } = search;
  const item = instance.items.findIndex((_, index) => (assignment.nodesOf[index]?.size ?? 0) > 1);
  const before = placedOf(assignment);
  const known = instance.items[item] as Problem['items'][number];
  assert.ok(putItem(search, { ...known, ratePerS: known.ratePerS / 2 }));
  assert.is(moved(before, placedOf(assignment)), 0);
  assert.is(search.missing(item), 0);
  assert.ok(putItem(search, { ...known, units: 0 }));
  assert.is(assignment.nodesOf[item]?.size, 0);
});

test('what changes the capacity of nodes everywhere is not squeezed in', () => {
  const search = planInstance(compile(fleet(4)));
  const known = search.instance.items[0] as Problem['items'][number];
  const before = placedOf(search.assignment);
  const strange = {
    ...known,
    name: 'strange',
    priority: 'safety' as const,
    deadlineMs: 77,
    workMs: 0.1,
    units: 1,
    replicas: 1,
  };
  assert.not.ok(putItem(search, strange), 'a target that no item had');
  assert.not.ok(putItem(search, { ...known, workMs: 5_000, deadlineMs: undefined }), 'a run longer than all before');
  assert.not.ok(putItem(search, { ...known, labels: { floor: '3' } }), 'a label that nobody asked for');
  assert.equal(placedOf(search.assignment), before);
});

test('a new kind of node serves what found no room before', () => {
  const problem = fleet(5, 1.6);
  const search = planInstance(compile(problem));
  const missing = (): number => search.instance.items.reduce((sum, _, item) => sum + search.missing(item), 0);
  const before = missing();
  assert.ok(before > 0);
  const large = { ...(problem.nodes[0] as PlacementNode), cores: 64, speed: 3, memoryBytes: 1e12 };
  for (let count = 0; count < 3; count++) addNode(search, { ...large, name: `large-${count}` });
  assert.ok(missing() < before);
  assert.equal(problemsOf(problemNow(search, problem), withoutEmpty(placedOf(search.assignment))), []);
});

test.run();
