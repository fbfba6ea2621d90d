/** Why an item is where it is: every kind of node with what speaks for and against it. */
import type { Exclusion } from './eligibility.ts';
import { type ItemRow, type NodeClass, pairOf } from './instance.ts';
import type { PlacementItem } from './problem.ts';
import type { Search } from './search.ts';

/** What a unit costs somewhere, in busy cores: the smallest sum wins. */
export interface Score {
  readonly compute: number;
  /** For input from another zone. */
  readonly network: number;
  /** Of keeping the model there, spread over the units of a full node. */
  readonly memory: number;
  /** What the capacity is worth to others. */
  readonly scarcity: number;
  readonly total: number;
}

/** Nodes that are alike. */
export interface KindReport {
  readonly example: string;
  readonly nodes: number;
  readonly serves: number;
  /** Why none of them may serve it; then there is no score. */
  readonly excluded?: string;
  readonly score?: Score;
  /** Where it would fit and is cheap enough, but there is no room. */
  readonly full?: string;
}

export interface ItemReport {
  readonly item: string;
  readonly units: number;
  readonly served: number;
  readonly nodes: readonly { readonly node: string; readonly units: number }[];
  /** Cheapest first, those that may not serve it last. */
  readonly kinds: readonly KindReport[];
  /** What would move it, or let it be served. */
  readonly changes: readonly string[];
}

export function explainItem(search: Search, name: string): ItemReport {
  const { instance, assignment } = search;
  const index = instance.facts.itemIndex.get(name);
  if (index === undefined) {
    const names = instance.items.map((item) => item.name);
    throw new Error(
      `there is no item "${name}"; ${names.length === 0 ? 'there are none' : `there are ${shortList(names)}`}`,
    );
  }
  const item = instance.items[index] as PlacementItem;
  const kinds = instance.classes
    .flatMap((kind, c) => (kind.members > 0 ? [kindReport(search, index, c)] : []))
    .sort((a, b) => (a.score?.total ?? Number.MAX_VALUE) - (b.score?.total ?? Number.MAX_VALUE));
  const nodes = [...(assignment.nodesOf[index] as Map<number, number>)].map(([node, units]) => {
    return { node: instance.nodes[node]?.name as string, units };
  });
  const served = assignment.served[index] as number;
  return { item: name, units: item.units, served, nodes, kinds, changes: changesFor(item, served, kinds) };
}

export function shortList(names: readonly string[]): string {
  return names.length <= 8 ? names.join(', ') : `${names.slice(0, 8).join(', ')} and ${names.length - 8} more`;
}

function kindReport(search: Search, index: number, c: number): KindReport {
  const { instance, assignment, members } = search;
  const { node: kind, caps, members: count } = instance.classes[c] as NodeClass;
  const row = instance.rows[index] as ItemRow;
  const nodes = members[c] as number[];
  const example = instance.nodes[nodes[0] as number]?.name as string;
  const serves = nodes.reduce((sum, node) => sum + (assignment.itemsOn[node]?.get(index) ?? 0), 0);
  const base = { example, nodes: count, serves };
  const { exclusion } = pairOf(instance, instance.items[index] as PlacementItem, row.tier, kind, caps);
  if (exclusion) return { ...base, excluded: exclusionText(exclusion) };
  const room = nodes.some((node) => assignment.fit(index, node) > 0);
  const full = room ? undefined : blockedText(search, index, nodes[0] as number);
  return { ...base, score: scoreOf(search, index, c), ...(full && { full }) };
}

function scoreOf({ instance, prices, through }: Search, index: number, c: number): Score {
  const { tier, load, cost, open, mbps, unitsMax } = instance.rows[index] as ItemRow;
  const most = unitsMax[c] as number;
  const { node } = instance.classes[c] as NodeClass;
  const compute = (load[c] as number) * node.price;
  const network = (cost[c] as number) - compute;
  const memory = (open[c] as number) / most;
  const bytes = instance.items[index]?.memoryBytes as number;
  const scarcity =
    (load[c] as number) * (through[c * instance.tiers.length + tier] as number) +
    (mbps[c] as number) * (prices.mbps[c] as number) +
    (bytes * (prices.memory[c] as number)) / most;
  return { compute, network, memory, scarcity, total: compute + network + memory + scarcity };
}

export function exclusionText(exclusion: Exclusion): string {
  switch (exclusion.rule) {
    case 'name':
      return `it is only for ${shortList(exclusion.allowed)}`;
    case 'label':
      return `it needs ${exclusion.key}=${exclusion.wanted}, this has ${exclusion.has === undefined ? 'no such label' : `${exclusion.key}=${exclusion.has}`}`;
    case 'no-gpu':
      return 'it needs a GPU, this has none';
    case 'memory':
      return `it needs ${megabytes(exclusion.needs)}, this has ${megabytes(exclusion.has)}`;
    case 'no-link':
      return `its input comes from zone "${exclusion.from}", and no link leads from there to "${exclusion.to}"`;
    case 'slow':
      return `a run takes ${exclusion.takesMs.toFixed(1)} ms here; of its deadline ${exclusion.allowedMs.toFixed(1)} ms are for the run, ${exclusion.waitMs.toFixed(1)} ms for waiting`;
    case 'budget':
      return `it would cost ${exclusion.costs.toFixed(3)} here, its budget is ${exclusion.allowed.toFixed(3)}`;
    case 'network':
      return `one unit needs ${exclusion.needs.toFixed(1)} Mbit/s, this has ${exclusion.has.toFixed(1)}`;
    case 'load':
      return `one unit keeps ${exclusion.needs.toFixed(2)} cores busy; more than ${exclusion.has.toFixed(2)} here would break its wait target`;
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}

/** What keeps one more unit off a node that could serve it; the first of the reasons. */
function blockedText({ instance, assignment }: Search, index: number, node: number): string {
  const row = instance.rows[index] as ItemRow;
  const c = instance.classOf[node] as number;
  const here = assignment.itemsOn[node] as Map<number, number>;
  const nameOf = (item: number): string => instance.items[item]?.name as string;
  if ((here.get(index) ?? 0) >= (row.unitsMax[c] as number)) return 'each serves as many units as one node may';
  const foe = [...(instance.apart[index] as Set<number>)].find((other) => here.has(other));
  if (foe !== undefined) return `"${nameOf(foe)}" is there, and they must be apart`;
  const missing = [...(instance.leaders[index] as Set<number>)].find((other) => !here.has(other));
  if (missing !== undefined) return `"${nameOf(missing)}" is not there, and they must be together`;
  const { node: kind, caps } = assignment.classOf(node);
  const free = kind.memoryBytes - (assignment.memory[node] as number);
  if (!here.has(index) && (instance.items[index]?.memoryBytes as number) > free)
    return `${megabytes(free)} of memory are free`;
  const load = row.load[c] as number;
  if (assignment.room(node, row.tier) < load)
    return `busy: ${assignment.loadThrough(node, row.tier).toFixed(2)} of ${(caps[row.tier] as number).toFixed(2)} cores that keep its wait target, or that of others there`;
  return 'its link from other zones is full';
}

function changesFor(item: PlacementItem, served: number, kinds: readonly KindReport[]): string[] {
  const changes: string[] = [];
  const possible = kinds.filter(({ score }) => score);
  const [best] = possible;
  const using = possible.filter(({ serves }) => serves > 0);
  if (served < item.units) {
    if (best)
      changes.push(
        `served in full with more nodes like ${best.example}, or less demand: ${item.units - served} units found no room`,
      );
    else changes.push('served if one of the reasons against went away: every kind of node is excluded');
  }
  const now = using[0];
  const next = possible.find(({ serves }) => serves === 0);
  if (now?.score && next?.score && next.score.total > now.score.total) {
    const percent = (100 * (next.score.total / now.score.total - 1)).toFixed(1);
    changes.push(`it would go to nodes like ${next.example} if it cost ${percent}% more where it is`);
  }
  const slow = kinds.filter(({ excluded }) => excluded?.startsWith('a run takes')).length;
  if (slow > 0) changes.push(`a longer deadline would admit ${slow} more kinds of nodes`);
  const narrow = using.find(({ score }) => score && score.scarcity > score.total / 2);
  if (narrow)
    changes.push(
      `more than half of its score on nodes like ${narrow.example} is scarcity: more of them would lower it`,
    );
  return changes;
}
