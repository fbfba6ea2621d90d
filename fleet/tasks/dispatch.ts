/** Which queued unit goes to which node: the most urgent first, each to the least loaded node that may have it. No I/O. */
import type { priorities } from '../../runtime/triggers/schema.ts';
import { selects } from '../controller/selector.ts';
import type { Task } from './task.ts';
import type { Unit } from './unit.ts';

/** What the dispatcher knows of a node that is online and speaks of tasks. */
export interface NodeFacts {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Models that are ready there. */
  readonly ready: ReadonlySet<string>;
}

export interface Dispatchable {
  readonly task: Task;
  readonly units: readonly Unit[];
}

/**
 * Units that may be out at one node, by class. The more urgent the class the more, so that however much of the lower classes
 * is out, an urgent unit is still sent at once; on the node it goes before them.
 */
const WINDOWS = { safety: 128, interactive: 96, normal: 64, background: 32 } satisfies Record<
  (typeof priorities)[number],
  number
>;

/** @param queue most urgent first. @param held how many units are out at a node */
export function* dispatch(
  queue: readonly Dispatchable[],
  nodes: readonly NodeFacts[],
  held: (node: string) => number,
): Generator<{ task: Task; unit: Unit; node: string }> {
  const load = new Map(nodes.map(({ name }) => [name, held(name)]));
  const loadOf = (node: string): number => load.get(node) ?? Number.POSITIVE_INFINITY;
  const groups = new Map<string, Group>();
  for (const { task, units } of queue) {
    const window = WINDOWS[task.spec.priority];
    for (const unit of units) {
      const able = ableNodes(task, unit, nodes, groups);
      const node = able.least(loadOf, window, unit.avoid);
      if (node === undefined) {
        if (unit.pinned === null) break;
        continue;
      }
      load.set(node, loadOf(node) + 1);
      yield { task, unit, node };
    }
  }
}

/** Tasks that ask for the same have the same nodes. */
function ableNodes({ spec }: Task, { pinned }: Unit, nodes: readonly NodeFacts[], groups: Map<string, Group>): Group {
  if (pinned !== null) return new Group([pinned]);
  const model = spec.work.kind === 'inference' ? spec.work.model : undefined;
  const key = JSON.stringify([spec.selector, model]);
  const known = groups.get(key);
  if (known) return known;
  const able = nodes.filter((node) => selects(spec.selector, node) && (model === undefined || node.ready.has(model)));
  const group = new Group(able.map(({ name }) => name));
  groups.set(key, group);
  return group;
}

/** Nodes that may have the same units. Loads only grow while units are given away, so each is looked at once for each step of the least. */
class Group {
  readonly #names: readonly string[];
  #at: number;
  #least = 0;

  constructor(names: readonly string[]) {
    this.#names = names;
    this.#at = names.length;
  }

  /** The first of the least loaded below the window; those to avoid only when there is no other. */
  least(loadOf: (node: string) => number, window: number, avoid: readonly string[]): string | undefined {
    if (avoid.length > 0) {
      const fresh = new Group(this.#names.filter((name) => !avoid.includes(name)));
      const node = fresh.least(loadOf, window, []);
      if (node !== undefined) return node;
    }
    for (;;) {
      if (this.#least >= window) return undefined;
      for (; this.#at < this.#names.length; this.#at++) {
        const name = this.#names[this.#at] as string;
        if (loadOf(name) === this.#least) return name;
      }
      this.#least = this.#names.reduce((least, name) => Math.min(least, loadOf(name)), Number.POSITIVE_INFINITY);
      this.#at = 0;
    }
  }
}
