/**
 * A problem as numbers: nodes that are alike form a class, and for every item and class it is worked out once whether it
 * may run there, and what a unit of it takes and costs.
 */
import { PRIORITIES, priorityOf } from '../../runtime/schedule/priorities.ts';
import { type Exclusion, exclusionOf, linkKey, type Surroundings, serviceMsOn, waitMsOf } from './eligibility.ts';
import type { PlacementItem, PlacementNode, Problem } from './problem.ts';
import { loadMax } from './utilisation.ts';

/** What a gigabyte of models in memory costs, in busy cores: enough that nothing is kept where it is not used. */
const PRICE_PER_GB = 0.01;
/** What leaving a unit unserved costs, as a multiple of serving it where that is dearest; by priority, most urgent first. */
const WORTH = [128, 32, 8, 4] as const;
const CLASSES_TO_COME = 16;
/** Pairs of item and class beyond this do not fit into memory. */
const PAIRS_MAX = 20_000_000;

/** Items whose waits have one target. A node's tiers are nested: a tier's row holds its load and that of all before it. */
export interface Tier {
  readonly pool: 'cpu' | 'gpu';
  readonly priority: number;
  readonly waitMs: number;
}

export interface NodeClass {
  /** Any of them. */
  readonly node: PlacementNode;
  /** How many there are at present. */
  members: number;
  /** By tier: the most load, in busy servers, of it and all before it in its pool, on a node that serves the tier. */
  readonly caps: readonly number[];
  /** By tier: the largest cap of it and those behind it in its pool. */
  readonly capsFrom: readonly number[];
  /** By priority, then of the GPU: the residual that the caps were made for. */
  readonly residualMs: readonly number[];
}

/** An item on each class. Loads are of one unit. The arrays are longer than there are classes: some may come. */
export interface ItemRow {
  readonly tier: number;
  /** What leaving one unit unserved costs. */
  worth: number;
  /** Units that one node takes at the most; 0 where the item may not run. */
  unitsMax: Int32Array;
  load: Float64Array;
  mbps: Float64Array;
  cost: Float64Array;
  /** Cost of having the item on a node at all. */
  open: Float64Array;
}

export interface Instance {
  readonly tiers: readonly Tier[];
  /** By tier: 0 for cores, 1 for GPUs; the first tier of the same pool, and the index behind its last. */
  readonly poolOf: readonly number[];
  readonly poolStart: readonly number[];
  readonly poolEnd: readonly number[];
  readonly classes: NodeClass[];
  readonly nodes: PlacementNode[];
  readonly classOf: number[];
  /** A node that is lost keeps its index. */
  readonly alive: boolean[];
  readonly items: PlacementItem[];
  readonly rows: ItemRow[];
  /** Indexes of items that must not share a node with one, those that must be there before it, and those that follow it. */
  readonly apart: Set<number>[];
  readonly leaders: Set<number>[];
  readonly followers: Set<number>[];
  readonly facts: Facts;
}

/** What decides about classes and exclusions. */
export interface Facts extends Surroundings {
  readonly promise: number;
  /** Labels and names of nodes that items ask for: nodes that differ in others are alike. */
  readonly labelKeys: ReadonlySet<string>;
  readonly named: ReadonlySet<string>;
  readonly keyToClass: Map<string, number>;
  readonly itemIndex: Map<string, number>;
  readonly nodeIndex: Map<string, number>;
}

/** Throws an Error when there are too many pairs of items and kinds of nodes. */
export function compile(problem: Problem): Instance {
  const { items, nodes } = problem;
  const facts: Facts = {
    links: new Map(problem.links.map((link) => [linkKey(...link.between), link])),
    promise: problem.promise,
    labelKeys: new Set(items.flatMap((item) => Object.keys(item.labels))),
    named: new Set(items.flatMap((item) => item.nodes ?? [])),
    keyToClass: new Map(),
    itemIndex: new Map(items.map((item, index) => [item.name, index])),
    nodeIndex: new Map(nodes.map((node, index) => [node.name, index])),
  };
  const tiers = tiersOf(items);
  const instance: Instance = {
    tiers,
    poolOf: tiers.map(({ pool }) => (pool === 'cpu' ? 0 : 1)),
    poolStart: tiers.map(({ pool }) => tiers.findIndex((tier) => tier.pool === pool)),
    poolEnd: tiers.map(({ pool }) => tiers.findLastIndex((tier) => tier.pool === pool) + 1),
    classes: [],
    nodes: [...nodes],
    classOf: [],
    alive: nodes.map(() => true),
    items: [...items],
    rows: [],
    apart: items.map(() => new Set()),
    leaders: items.map(() => new Set()),
    followers: items.map(() => new Set()),
    facts,
  };
  for (const node of nodes) instance.classOf.push(enterClass(instance, node));
  if (instance.classes.length * items.length > PAIRS_MAX)
    throw new Error(
      `placement: ${items.length} items on ${instance.classes.length} different kinds of nodes are too many pairs, expected at most ${PAIRS_MAX}; give nodes that are alike the same figures`,
    );
  for (let item = 0; item < items.length; item++) {
    instance.rows.push(rowOf(instance, items[item] as PlacementItem));
    linkItems(instance, item);
  }
  return instance;
}

/** Tells the neighbours of an item about it. */
export function linkItems({ items, apart, leaders, followers, facts }: Instance, index: number): void {
  const item = items[index] as PlacementItem;
  for (const name of item.apart) {
    const other = facts.itemIndex.get(name) as number;
    apart[index]?.add(other);
    apart[other]?.add(index);
  }
  for (const name of item.with) {
    const other = facts.itemIndex.get(name) as number;
    leaders[index]?.add(other);
    followers[other]?.add(index);
  }
}

export function tierOf(item: PlacementItem): Tier {
  const priority = priorityOf(item.priority) as number;
  return { pool: item.accelerator, priority, waitMs: waitMsOf(item) };
}

function tiersOf(items: readonly PlacementItem[]): Tier[] {
  const byKey = new Map(items.map((item) => [JSON.stringify(tierOf(item)), tierOf(item)]));
  return [...byKey.values()].sort(
    (a, b) => a.pool.localeCompare(b.pool) || a.priority - b.priority || a.waitMs - b.waitMs,
  );
}

export function tierIndex(instance: Instance, item: PlacementItem): number {
  const { pool, priority, waitMs } = tierOf(item);
  return instance.tiers.findIndex((tier) => tier.pool === pool && tier.priority === priority && tier.waitMs === waitMs);
}

/** The class of a node, made where there is none like it; it counts one member more. */
export function enterClass(instance: Instance, node: PlacementNode): number {
  const { facts, classes } = instance;
  const key = classKey(node, facts);
  let index = facts.keyToClass.get(key);
  if (index === undefined) {
    index = classes.length;
    facts.keyToClass.set(key, index);
    classes.push(makeClass(instance, node));
    // Items are there already when a node joins later.
    for (let item = 0; item < instance.rows.length; item++) extendRow(instance, item, index);
  }
  (classes[index] as NodeClass).members++;
  return index;
}

function classKey(node: PlacementNode, { labelKeys, named, itemIndex }: Facts): string {
  const labels = [...labelKeys].map((key) => node.labels[key] ?? null);
  const measured = Object.entries(node.serviceMs).filter(([name]) => itemIndex.has(name));
  return JSON.stringify([
    named.has(node.name) ? node.name : null,
    ...[node.zone, node.cores, node.speed, node.memoryBytes, node.gpus, node.gpuSpeed, node.networkMbps, node.price],
    labels,
    measured.sort(),
  ]);
}

function makeClass({ items, tiers, poolEnd, facts }: Instance, node: PlacementNode): NodeClass {
  const residualMs = [...PRIORITIES.map(() => 0), 0];
  for (const item of items) {
    if (exclusionOf(item, node, facts)) continue;
    const from = item.accelerator === 'gpu' ? PRIORITIES.length : (priorityOf(item.priority) as number);
    const to = item.accelerator === 'gpu' ? PRIORITIES.length : PRIORITIES.length - 1;
    // Within a class nothing is interrupted, so all of it counts; what is less urgent is set aside at once.
    for (let place = from; place <= to; place++)
      residualMs[place] = Math.max(residualMs[place] as number, residualOf(item, node));
  }
  const caps: number[] = [];
  for (const { pool, priority, waitMs } of tiers) {
    const servers = pool === 'cpu' ? node.cores : node.gpus;
    const residual = residualMs[pool === 'cpu' ? priority : PRIORITIES.length] as number;
    const urgent = caps.filter((_, other) => pool === 'cpu' && (tiers[other] as Tier).priority < priority);
    const target = { servers, residualMs: residual, waitMsMax: waitMs, share: facts.promise };
    caps.push(servers === 0 || residual === 0 ? servers : loadMax({ ...target, urgentMax: Math.max(0, ...urgent) }));
  }
  const capsFrom = caps.map((_, t) => Math.max(...caps.slice(t, poolEnd[t])));
  return { node, members: 0, caps, capsFrom, residualMs };
}

/** E[S²] / 2E[S], rounded up by at most √2, so that items that are nearly alike make no difference. */
export function residualOf(item: PlacementItem, node: PlacementNode): number {
  const residual = (serviceMsOn(item, node) * (1 + item.variability)) / 2;
  return 2 ** (Math.ceil(2 * Math.log2(residual) - 1e-9) / 2);
}

export function rowOf(instance: Instance, item: PlacementItem): ItemRow {
  const { classes } = instance;
  const size = classes.length + CLASSES_TO_COME;
  const row: ItemRow = {
    tier: tierIndex(instance, item),
    worth: 0,
    unitsMax: new Int32Array(size),
    load: new Float64Array(size),
    mbps: new Float64Array(size),
    cost: new Float64Array(size),
    open: new Float64Array(size),
  };
  for (const [c, { node, caps }] of classes.entries()) setPair(row, c, pairOf(instance, item, row.tier, node, caps));
  row.worth = worthOf(item, row);
  return row;
}

function extendRow(instance: Instance, index: number, c: number): void {
  const { node, caps } = instance.classes[c] as NodeClass;
  const row = instance.rows[index] as ItemRow;
  if (c >= row.unitsMax.length) {
    const longer = <T extends Int32Array | Float64Array>(short: T): T => {
      const long = new (short.constructor as new (length: number) => T)(c + CLASSES_TO_COME);
      long.set(short);
      return long;
    };
    row.unitsMax = longer(row.unitsMax);
    for (const key of ['load', 'mbps', 'cost', 'open'] as const) row[key] = longer(row[key]);
  }
  setPair(row, c, pairOf(instance, instance.items[index] as PlacementItem, row.tier, node, caps));
}

function setPair(row: ItemRow, c: number, pair: Pair): void {
  row.unitsMax[c] = pair.unitsMax;
  for (const key of ['load', 'mbps', 'cost', 'open'] as const) row[key][c] = pair[key];
}

/** What one unit of an item takes on a node of a class. */
export interface Pair {
  readonly exclusion?: Exclusion;
  readonly unitsMax: number;
  readonly load: number;
  readonly mbps: number;
  readonly cost: number;
  readonly open: number;
}

/** A class that an item may not run on has its figures too: it may be there all the same, and then it takes its share. */
export function pairOf(
  { facts }: Pick<Instance, 'facts'>,
  item: PlacementItem,
  tier: number,
  node: PlacementNode,
  caps: readonly number[],
): Pair {
  // An item that is removed has no units left.
  const rate = item.units > 0 ? item.ratePerS / item.units : 0;
  const load = (rate * serviceMsOn(item, node)) / 1000;
  const remote = item.data !== undefined && item.data.zone !== node.zone;
  const bytesPerS = remote ? rate * (item.data?.bytesPerRequest ?? 0) : 0;
  const mbps = (bytesPerS * 8) / 1e6;
  const link = remote ? facts.links.get(linkKey(item.data?.zone ?? '', node.zone)) : undefined;
  const cost = load * node.price + (bytesPerS / 1e9) * (link?.costPerGB ?? 0);
  const figures = { load, mbps, cost, open: (item.memoryBytes / 1e9) * PRICE_PER_GB };
  const excluded = (exclusion: Exclusion): Pair => ({ ...figures, unitsMax: 0, exclusion });
  const exclusion = exclusionOf(item, node, facts);
  if (exclusion) return excluded(exclusion);
  if (item.budget !== undefined && cost * item.units > item.budget)
    return excluded({ rule: 'budget', costs: cost * item.units, allowed: item.budget });
  const byLoad = load > 0 ? Math.floor(((caps[tier] as number) + 1e-9) / load) : item.units;
  if (byLoad === 0 && item.units > 0) return excluded({ rule: 'load', needs: load, has: caps[tier] as number });
  const byLink = mbps > 0 && node.networkMbps !== undefined ? Math.floor(node.networkMbps / mbps + 1e-9) : item.units;
  if (byLink === 0 && item.units > 0) return excluded({ rule: 'network', needs: mbps, has: node.networkMbps ?? 0 });
  return { ...figures, unitsMax: Math.min(Math.ceil(item.units / item.replicas), byLoad, byLink) };
}

/** Serving a unit is worth more than it costs anywhere. Nothing when no node may: there is nothing to decide. */
function worthOf(item: PlacementItem, row: ItemRow): number {
  let dearest = 0;
  for (let c = 0; c < row.cost.length; c++)
    if ((row.unitsMax[c] as number) > 0)
      dearest = Math.max(dearest, (row.cost[c] as number) + (row.open[c] as number), row.load[c] as number);
  return dearest * (WORTH[priorityOf(item.priority) as number] as number);
}
