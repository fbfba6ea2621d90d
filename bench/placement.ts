/**
 * Placement of a large fleet: how long a whole placement takes, how far it is from the bound of the linear program, what an
 * event takes, and what simpler methods reach. Problems that simple methods fail on are placed as well.
 */
import { Assignment } from '../fleet/placement/assignment.ts';
import { addNode, loseNode, putItem } from '../fleet/placement/events.ts';
import { compile, type Instance } from '../fleet/placement/instance.ts';
import { solveLinear } from '../fleet/placement/linear-program.ts';
import { planInstance } from '../fleet/placement/plan.ts';
import type { PlacementItem, PlacementNode, Problem } from '../fleet/placement/problem.ts';
import type { Search } from '../fleet/placement/search.ts';
import { adversarialProblems, type Draw, randomProblem } from './cases/placement-cases.ts';
import { randomFrom } from './cases/random-values.ts';
import type { ModeOptions, ModeResult } from './modes.ts';
import { figuresOf } from './statistics.ts';

const SEED = 20261130;
const FLEET = { nodes: 10_000, items: 1_000, units: 1_000_000, zones: 20, fill: 0.95 };
const QUICK_FLEET = { nodes: 200, items: 40, units: 4_000, zones: 4, fill: 0.8 };
const EVENTS = 2_000;
const QUICK_EVENTS = 40;

interface Outcome {
  readonly name: string;
  readonly ms: number;
  readonly boundMs: number;
  readonly gap: number;
  readonly left: number;
  /** Gap of the simple method. */
  readonly firstFit?: number;
}

export async function placement({ rounds, quick }: ModeOptions): Promise<ModeResult> {
  const draw = randomFrom(SEED);
  const problem = randomProblem(quick ? QUICK_FLEET : FLEET, draw);
  const timesMs: number[] = [];
  let search: Search | undefined;
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    search = planInstance(compile(problem));
    timesMs.push(performance.now() - started);
  }
  const whole = await outcomeOf('random fleet', search as Search, Math.min(...timesMs));
  const baselines = [firstFit, atRandom].map((place) => gapOf(place(compile(problem), draw).cost, whole.bound));
  const events = playEvents(search as Search, problem, quick ? QUICK_EVENTS : EVENTS, draw);
  const after = await outcomeOf('after the events', search as Search, 0);
  const hard: Outcome[] = [];
  for (const [name, make] of Object.entries(adversarialProblems)) {
    const started = performance.now();
    const found = planInstance(compile(make()));
    const ms = performance.now() - started;
    const outcome = await outcomeOf(name, found, ms);
    hard.push({ ...outcome, firstFit: gapOf(firstFit(compile(make())).cost, outcome.bound) });
  }
  const worst = hard.reduce((a, b) => (b.gap > a.gap ? b : a));
  const [greedy, random] = baselines as [number, number];
  const rows = [{ ...whole, firstFit: greedy }, after, ...hard].map((each) => [
    each.name,
    each.ms > 0 ? each.ms.toFixed(0) : '',
    percent(each.gap),
    String(each.left),
    each.boundMs.toFixed(0),
    each.firstFit === undefined ? '' : percent(each.firstFit),
  ]);
  const { median, p99, worst: slowest } = events;
  return {
    tables: [
      { header: ['problem', 'ms', 'gap to the bound', 'units left out', 'ms for the bound', 'gap of first fit'], rows },
    ],
    notes: [
      `${problem.nodes.length} nodes, ${problem.items.length} items, ${problem.items.reduce((sum, { units }) => sum + units, 0)} units, seed ${SEED}; gap: (cost - bound) / bound, the bound by HiGHS`,
    ],
    lines: [
      `placement: ${whole.ms.toFixed(0)} ms, gap ${percent(whole.gap)}`,
      `placement, ${events.count} events: p50 ${median.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, slowest ${slowest.toFixed(2)} ms, gap afterwards ${percent(after.gap)}`,
      `placement, baselines: first fit gap ${percent(greedy)}, random gap ${percent(random)}`,
      `placement, adversarial: worst gap ${percent(worst.gap)} (${worst.name})`,
    ],
    record: { timesMs: figuresOf(timesMs), outcomes: [whole, after, ...hard], events, baselines },
  };
}

async function outcomeOf(name: string, search: Search, ms: number): Promise<Outcome & { bound: number }> {
  const { instance, assignment, prices } = search;
  const started = performance.now();
  const { bound } = await solveLinear(instance, prices);
  const boundMs = performance.now() - started;
  const left = instance.items.reduce((sum, _, item) => sum + search.missing(item), 0);
  return { name, ms, boundMs, gap: gapOf(assignment.cost, bound), left, bound };
}

/** Rounding makes a gap of nothing negative now and then. */
const percent = (share: number): string => `${Math.max(0, 100 * share).toFixed(2)}%`;

function gapOf(cost: number, bound: number): number {
  return (cost - bound) / bound;
}

/** Items in their order, each on the nodes where a unit is cheapest: what a simple scheduler does. */
function firstFit(instance: Instance): Assignment {
  const assignment = new Assignment(instance);
  const byClass = instance.classes.map((_, c) =>
    [...instance.nodes.keys()].filter((node) => instance.classOf[node] === c),
  );
  for (const [item, { cost, unitsMax }] of instance.rows.entries()) {
    const order = [...instance.classes.keys()].filter((c) => (unitsMax[c] as number) > 0);
    order.sort((a, b) => (cost[a] as number) - (cost[b] as number));
    placeOn(
      assignment,
      item,
      order.flatMap((c) => byClass[c] as number[]),
    );
  }
  return assignment;
}

function atRandom(instance: Instance, draw: Draw): Assignment {
  const assignment = new Assignment(instance);
  const nodes = [...instance.nodes.keys()];
  for (const item of instance.items.keys()) {
    const start = draw(nodes.length);
    placeOn(assignment, item, [...nodes.slice(start), ...nodes.slice(0, start)]);
  }
  return assignment;
}

function placeOn(assignment: Assignment, item: number, nodes: readonly number[]): void {
  let left = assignment.instance.items[item]?.units as number;
  for (const node of nodes) {
    if (left === 0) return;
    const units = Math.min(left, assignment.fit(item, node));
    if (units > 0) assignment.add(item, node, units);
    left -= units;
  }
}

/** Nodes that go and come back, demands that change, items that go and come: each timed alone. */
function playEvents(search: Search, problem: Problem, count: number, draw: Draw) {
  const { instance } = search;
  const lost: PlacementNode[] = [];
  const timesMs: number[] = [];
  for (let event = 0; event < count; event++) {
    const item = instance.items[draw(problem.items.length)] as PlacementItem;
    const back = lost.length > 0 ? draw(2) === 0 : false;
    const node = draw(instance.nodes.length);
    const act = (): unknown => {
      switch (draw(4)) {
        case 0:
          if (back) return addNode(search, lost.shift() as PlacementNode);
          if (!instance.alive[node]) return undefined;
          lost.push(instance.nodes[node] as PlacementNode);
          return loseNode(search, node);
        case 1:
          putItem(search, { ...item, units: 0 });
          return putItem(search, item);
        default: {
          const original = problem.items[instance.facts.itemIndex.get(item.name) as number] as PlacementItem;
          const factor = 0.8 + draw(1000) / 2500;
          const units = Math.max(1, Math.round(original.units * factor));
          const replicas = Math.min(original.replicas, units);
          return putItem(search, {
            ...original,
            units,
            replicas,
            ratePerS: (original.ratePerS * units) / original.units,
          });
        }
      }
    };
    const started = performance.now();
    act();
    timesMs.push(performance.now() - started);
  }
  timesMs.sort((a, b) => a - b);
  const at = (share: number): number => timesMs[Math.min(count - 1, Math.floor(count * share))] as number;
  return { count, median: at(0.5), p99: at(0.99), worst: at(1) };
}
