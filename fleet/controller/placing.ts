/**
 * Which nodes the triggers are on that leave the choice to the controller. What runs stays where it is; only what is missing
 * is placed, where it costs least beside everything else. No I/O, no clock.
 */
import { compile } from '../placement/instance.ts';
import { findPrices } from '../placement/price-search.ts';
import { Search } from '../placement/search.ts';
import { fleetProblem } from './fleet-problem.ts';
import { selects } from './selector.ts';
import type { NodeView } from './service.ts';
import type { StoredTrigger } from './store.ts';

export interface PlacingFacts {
  readonly nodes: readonly NodeView[];
  readonly triggers: readonly StoredTrigger[];
  readonly modelBytes: ReadonlyMap<string, number>;
  readonly isLost: (node: string) => boolean;
  /** Why a node gets nothing new; undefined when it may. */
  readonly refusal: (node: string) => string | undefined;
}

export interface PlacingDecision {
  readonly trigger: string;
  readonly nodes: readonly string[];
  readonly reason: string;
}

/** Decisions for triggers that have too few nodes, too many, or others than they may; none when all is as it should be. */
export function decidePlacing(facts: PlacingFacts): PlacingDecision[] {
  const open = facts.triggers.flatMap((stored): Open[] => {
    const { selector, placement } = stored;
    if (selector.replicas === undefined) return [];
    const before = placement?.nodes ?? [];
    const kept = keptNodes(stored, facts).slice(0, selector.replicas);
    const settled = kept.length === before.length && kept.length === selector.replicas;
    return settled ? [] : [{ stored, before, kept, replicas: selector.replicas }];
  });
  if (open.length === 0) return [];
  const planner = new Planner(facts, open);
  return open
    .map((each) => planner.decide(each))
    .filter(({ trigger, nodes }) => {
      // A trigger that stays short of nodes is decided anew when that changes where it is.
      const placement = facts.triggers.find((stored) => stored.trigger.name === trigger)?.placement;
      return !placement || `${placement.nodes}` !== `${nodes}`;
    });
}

interface Open {
  readonly stored: StoredTrigger;
  readonly before: readonly string[];
  readonly kept: readonly string[];
  readonly replicas: number;
}

function keptNodes({ selector, placement }: StoredTrigger, { nodes, isLost }: PlacingFacts): string[] {
  const byName = new Map(nodes.map((node) => [node.name, node]));
  return (placement?.nodes ?? []).filter((name) => {
    const node = byName.get(name);
    return node !== undefined && selects(selector, node) && !isLost(name);
  });
}

class Planner {
  readonly #facts: PlacingFacts;
  readonly #search: Search;

  constructor(facts: PlacingFacts, open: readonly Open[]) {
    this.#facts = facts;
    const keptBy = new Map(open.map(({ stored, kept }) => [stored.trigger.name, kept]));
    const placedOn = (name: string): readonly string[] =>
      keptBy.get(name) ?? facts.triggers.find(({ trigger }) => trigger.name === name)?.placement?.nodes ?? [];
    const { problem, now } = fleetProblem(facts.nodes, facts.triggers, facts.modelBytes, placedOn);
    const instance = compile(problem);
    this.#search = new Search(instance, findPrices(instance));
    // What runs is there, whether it should be or not.
    for (const [item, { name }] of instance.items.entries())
      for (const node of now[name] ?? []) {
        const index = instance.facts.nodeIndex.get(node);
        if (index !== undefined) this.#search.assignment.add(item, index, 1);
      }
  }

  decide({ stored, before, kept, replicas }: Open): PlacingDecision {
    const { name } = stored.trigger;
    const nodes = [...kept];
    const reasons = before.flatMap((node) => (kept.includes(node) ? [] : [`${node} ${this.#leaving(stored, node)}`]));
    while (nodes.length < replicas) {
      const found = this.#next(stored, nodes);
      if (!found) {
        reasons.push(`${replicas - nodes.length} of ${replicas} nodes are missing: ${this.#nobody(stored, nodes)}`);
        break;
      }
      nodes.push(found.node);
      reasons.push(found.reason);
    }
    // With nobody to take it over, what a lost node had waits for it there.
    for (const node of before)
      if (nodes.length < replicas && !nodes.includes(node) && this.#matches(stored, node)) nodes.push(node);
    return { trigger: name, nodes, reason: reasons.join('; ') };
  }

  #matches({ selector }: StoredTrigger, name: string): boolean {
    const node = this.#facts.nodes.find((candidate) => candidate.name === name);
    return node !== undefined && selects(selector, node);
  }

  #leaving(stored: StoredTrigger, name: string): string {
    if (!this.#matches(stored, name)) return 'does not match any more';
    return this.#facts.isLost(name) ? 'is lost' : 'is one too many';
  }

  /** The cheapest node that keeps all wait targets; where none does, the least busy one. */
  #next({ trigger, selector }: StoredTrigger, taken: readonly string[]): { node: string; reason: string } | undefined {
    const { instance, assignment } = this.#search;
    const item = instance.facts.itemIndex.get(trigger.name);
    if (item === undefined) return undefined;
    const candidates = this.#facts.nodes
      .filter((node) => selects(selector, node) && !taken.includes(node.name) && !this.#facts.refusal(node.name))
      .flatMap(({ name }) => instance.facts.nodeIndex.get(name) ?? []);
    const fitting = candidates.filter((node) => assignment.fit(item, node) > 0);
    const order = this.#search.classesFor(item);
    const rank = (node: number): number => order.indexOf(instance.classOf[node] as number);
    const busy = (node: number): number => this.#busy(node);
    const [best] =
      fitting.length > 0
        ? fitting.sort((a, b) => rank(a) - rank(b) || busy(a) - busy(b))
        : candidates.sort((a, b) => busy(a) - busy(b));
    if (best === undefined) return undefined;
    assignment.add(item, best, 1);
    const name = instance.nodes[best]?.name as string;
    const share = `${(100 * this.#busy(best)).toFixed(0)}% busy with it`;
    return fitting.length > 0
      ? { node: name, reason: `${name} is the cheapest of ${fitting.length} that keep all wait targets, ${share}` }
      : {
          node: name,
          reason: `${name} is the least busy of ${candidates.length}, none of which keeps all wait targets, ${share}`,
        };
  }

  #busy(node: number): number {
    const { assignment, instance } = this.#search;
    const last = instance.tiers.findLastIndex(({ pool }) => pool === 'cpu');
    return last < 0 ? 0 : assignment.loadThrough(node, last) / (instance.nodes[node]?.cores as number);
  }

  #nobody({ selector }: StoredTrigger, taken: readonly string[]): string {
    const matching = this.#facts.nodes.filter((node) => selects(selector, node) && !taken.includes(node.name));
    if (matching.length === 0) return 'no other node matches';
    const some = matching
      .slice(0, 3)
      .map(({ name }) => `${name}: ${this.#facts.refusal(name) ?? 'it has not said what it has'}`);
    return some.join(', ');
  }
}
