/**
 * Says what is wrong with a placement, from the problem alone: nothing of the search's own arithmetic is used. Waits are
 * predicted by the queueing formulas for the mix of items that is really on each node.
 */
import type { Assignment } from '../../../fleet/placement/assignment.ts';
import type { PlacementItem, PlacementNode, Problem } from '../../../fleet/placement/problem.ts';
import { priorityOf } from '../../../runtime/schedule/priorities.ts';
import { erlangC, merge, waitMGc, waitQuantile } from '../../../runtime/schedule/queueing.ts';

/** Units on each node, by names. */
export type Placed = ReadonlyMap<string, ReadonlyMap<string, number>>;

export function placedOf({ instance, itemsOn }: Assignment): Placed {
  return new Map(
    itemsOn.map((items, node) => [
      instance.nodes[node]?.name as string,
      new Map([...items].map(([item, units]) => [instance.items[item]?.name as string, units])),
    ]),
  );
}

interface Hosted {
  readonly item: PlacementItem;
  readonly units: number;
}

export function problemsOf(problem: Problem, placed: Placed): string[] {
  const byName = new Map(problem.items.map((item) => [item.name, item]));
  const problems: string[] = [];
  for (const node of problem.nodes) {
    const hosted = [...(placed.get(node.name) ?? [])].map(([name, units]): Hosted => {
      return { item: byName.get(name) as PlacementItem, units };
    });
    for (const wrong of [...rulesBroken(problem, node, hosted), ...waitsBroken(problem, node, hosted)])
      problems.push(`${node.name}: ${wrong}`);
  }
  for (const item of problem.items) {
    const served = [...placed.values()].reduce((sum, items) => sum + (items.get(item.name) ?? 0), 0);
    if (served > item.units) problems.push(`${item.name}: ${served} of ${item.units} units`);
  }
  return problems;
}

function* rulesBroken({ links }: Problem, node: PlacementNode, hosted: readonly Hosted[]): Generator<string> {
  const names = new Set(hosted.map(({ item }) => item.name));
  const bytes = hosted.reduce((sum, { item }) => sum + item.memoryBytes, 0);
  if (bytes > node.memoryBytes * (1 + 1e-12)) yield `${bytes} bytes`;
  let mbps = 0;
  for (const { item, units } of hosted) {
    const { name } = item;
    if (units < 1 || !Number.isInteger(units)) yield `${name}: ${units} units`;
    if (item.nodes && !item.nodes.includes(node.name)) yield `${name} must not be here`;
    for (const [key, value] of Object.entries(item.labels)) if (node.labels[key] !== value) yield `${name}: ${key}`;
    for (const other of item.apart) if (names.has(other)) yield `${name} beside ${other}`;
    for (const other of item.with) if (!names.has(other)) yield `${name} without ${other}`;
    if (units > Math.ceil(item.units / item.replicas)) yield `${name}: ${units} units on one node`;
    if (item.accelerator === 'gpu' && node.gpus === 0) yield `${name} without a GPU`;
    const remote = item.data && item.data.zone !== node.zone;
    const link = links.find(({ between }) => between.includes(node.zone) && between.includes(item.data?.zone ?? ''));
    if (remote && links.length > 0 && !link) yield `${name}: no link`;
    if (remote) mbps += (((item.ratePerS * units) / item.units) * (item.data?.bytesPerRequest ?? 0) * 8) / 1e6;
    const takesMs = serviceMs(item, node) + (remote ? (link?.latencyMs ?? 0) : 0);
    if (item.deadlineMs !== undefined && takesMs > item.deadlineMs) yield `${name}: ${takesMs} ms`;
  }
  if (mbps > (node.networkMbps ?? Number.POSITIVE_INFINITY) + 1e-6) yield `${mbps} Mbit/s`;
}

function serviceMs(item: PlacementItem, node: PlacementNode): number {
  return node.serviceMs[item.name] ?? item.workMs / (item.accelerator === 'gpu' ? node.gpuSpeed : node.speed);
}

const NO_DEADLINE_MS = [100, 500, 5_000, 60_000];

/** Whether the promised share of every item's runs waits short enough to meet its deadline. */
function* waitsBroken({ promise, links }: Problem, node: PlacementNode, hosted: readonly Hosted[]): Generator<string> {
  for (const { item } of hosted) {
    const pool = hosted.filter((other) => other.item.accelerator === item.accelerator);
    const servers = item.accelerator === 'gpu' ? node.gpus : node.cores;
    const own = priorityOf(item.priority) as number;
    const rank = (other: PlacementItem): number => priorityOf(other.priority) as number;
    const target = (other: PlacementItem): number => other.deadlineMs ?? (NO_DEADLINE_MS[rank(other)] as number);
    // What is served before it: more urgent classes, and in its own those with earlier deadlines.
    const ahead = pool.filter(
      (other) => rank(other.item) < own || (rank(other.item) === own && target(other.item) <= target(item)),
    );
    // What it can find under way: all that it does not interrupt.
    const underWay = item.accelerator === 'gpu' ? pool : pool.filter((other) => rank(other.item) <= own);
    const load = (list: readonly Hosted[]): number =>
      list.reduce(
        (sum, other) =>
          sum + (other.item.ratePerS * other.units * serviceMs(other.item, node)) / other.item.units / 1000,
        0,
      );
    const a = load(ahead);
    if (a >= servers) {
      yield `${item.name}: load ${a} of ${servers}`;
      continue;
    }
    const mix = merge(
      underWay.map(({ item: other, units }) => {
        const mean = serviceMs(other, node);
        return {
          rate: (other.ratePerS * units) / other.units / 1000,
          mean,
          second: mean * mean * (1 + other.variability),
        };
      }),
    );
    const residual = mix.second / (2 * mix.mean);
    const mean = waitMGc(servers, { rate: a / residual, mean: residual, second: 2 * residual * residual });
    const urgent = item.accelerator === 'gpu' ? 0 : load(ahead.filter((other) => rank(other.item) < own));
    const wait = waitQuantile(promise, erlangC(servers, a), mean) / (1 - urgent / servers);
    const link = links.find(({ between }) => between.includes(node.zone) && between.includes(item.data?.zone ?? ''));
    const way = item.data && item.data.zone !== node.zone ? (link?.latencyMs ?? 0) : 0;
    const allowed = item.deadlineMs === undefined ? target(item) : item.deadlineMs - serviceMs(item, node) - way;
    if (wait > allowed * (1 + 1e-6)) yield `${item.name}: waits ${wait} ms, expected at most ${allowed}`;
  }
}
