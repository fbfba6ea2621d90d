/** Which queued unit goes to which node: the most urgent first, each to the least loaded node that may have it. No I/O. */
import type { priorities } from '../../runtime/triggers/schema.ts';
import { selects } from '../controller/desired.ts';
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
  const groups = new Map<string, string[]>();
  for (const { task, units } of queue) {
    const window = WINDOWS[task.spec.priority];
    for (const unit of units) {
      const able = ableNodes(task, unit, nodes, groups);
      const free = able.filter((node) => loadOf(node) < window);
      const fresh = free.filter((node) => !unit.avoid.includes(node));
      const choice = fresh.length > 0 ? fresh : free;
      if (choice.length === 0) {
        if (unit.pinned === null) break;
        continue;
      }
      const node = choice.reduce((best, one) => (loadOf(one) < loadOf(best) ? one : best));
      load.set(node, loadOf(node) + 1);
      yield { task, unit, node };
    }
  }
}

/** Tasks that ask for the same have the same nodes. */
function ableNodes(
  { spec }: Task,
  { pinned }: Unit,
  nodes: readonly NodeFacts[],
  groups: Map<string, string[]>,
): readonly string[] {
  if (pinned !== null) return [pinned];
  const model = spec.work.kind === 'inference' ? spec.work.model : undefined;
  const key = JSON.stringify([spec.selector, model]);
  const known = groups.get(key);
  if (known) return known;
  const able = nodes.filter((node) => selects(spec.selector, node) && (model === undefined || node.ready.has(model)));
  const names = able.map(({ name }) => name);
  groups.set(key, names);
  return names;
}
