/** Triggers and where they go. */
import { modelsOf, type Trigger } from '../../runtime/triggers/schema.ts';
import { refuseWhileRolledOut } from '../rollouts/store.ts';
import type { Database } from './database.ts';
import { goesTo } from './desired.ts';
import type { NodeSelector, TriggerView } from './service.ts';
import {
  deletePlacement,
  deleteTrigger,
  newest,
  readModels,
  readTriggers,
  type StoredModel,
  type StoredNode,
  type StoredTrigger,
  saveTrigger,
} from './store.ts';

const TRIGGERS_MAX = 1_000;

export function triggerView(
  stored: StoredTrigger,
  nodes: readonly StoredNode[],
  isOnline: (node: string) => boolean,
): TriggerView {
  const { trigger, selector, revision } = stored;
  const chosen = nodes.filter(({ name, reported }) => goesTo(stored, { name, labels: reported?.labels ?? {} }));
  return { trigger, selector, revision, nodes: chosen.map((node) => stateOn(node, trigger.name, isOnline(node.name))) };
}

function stateOn(
  { name, reported, desired }: StoredNode,
  trigger: string,
  online: boolean,
): TriggerView['nodes'][number] {
  if (!online) return { node: name, state: 'offline' };
  const item = reported?.triggers.find((candidate) => candidate.name === trigger);
  if (item?.state === 'failed') return { node: name, state: item.state, error: item.error };
  const reached = (reported?.desiredVersion ?? 0) >= (desired?.version ?? 0);
  return { node: name, state: reached ? (item?.state ?? 'waiting') : 'updating' };
}

/** Creates or replaces by name; what is there already, word for word, keeps its revision. Runs in the caller's transaction. */
export async function putTrigger(
  database: Database,
  trigger: Trigger,
  selector: NodeSelector,
  now: number,
): Promise<void> {
  checkModels(trigger, newest(await readModels(database)));
  const all = await readTriggers(database);
  const before = all.find((stored) => stored.trigger.name === trigger.name);
  if (!before && all.length >= TRIGGERS_MAX)
    throw new Error(`trigger "${trigger.name}": there are ${TRIGGERS_MAX} triggers, no more fit; remove one first`);
  const same = before && JSON.stringify([before.trigger, before.selector]) === JSON.stringify([trigger, selector]);
  if (same) return;
  await refuseWhileRolledOut(database, { kind: 'trigger', trigger });
  const stored = { trigger, selector, revision: (before?.revision ?? 0) + 1 };
  await saveTrigger(database, stored, now);
  // Whoever names nodes again later is not to find an old choice.
  if (selector.replicas === undefined) await deletePlacement(database, trigger.name);
}

/** What the registry can tell before any node has loaded anything: models that do not exist, inputs that they do not have. */
export function checkModels(trigger: Trigger, models: readonly StoredModel[]): void {
  const known = new Map(models.map((model) => [model.name, model]));
  const missing = modelsOf(trigger).filter((name) => !known.has(name));
  if (missing.length > 0) {
    const there = models.length === 0 ? 'there are none yet' : `there are ${[...known.keys()].join(', ')}`;
    throw new Error(
      `trigger "${trigger.name}": there is no model ${missing.map((name) => `"${name}"`).join(', ')} (${there}); add it first, with "llmasos models add FILE"`,
    );
  }
  for (const stage of trigger.stages) {
    const inputs = known.get(stage.model)?.description.inputs.map(({ name }) => name) ?? [];
    const wrong = Object.keys(stage.inputs).find((name) => !inputs.includes(name));
    if (wrong !== undefined)
      throw new Error(
        `trigger "${trigger.name}", stage "${stage.name}": model "${stage.model}" has no input "${wrong}"; it has ${inputs.join(', ')}`,
      );
  }
}

/** Runs inside the caller's transaction. */
export async function removeTrigger(database: Database, name: string): Promise<void> {
  await refuseWhileRolledOut(database, { kind: 'trigger', trigger: { name } });
  await deletePlacement(database, name);
  if (await deleteTrigger(database, name)) return;
  const names = (await readTriggers(database)).map(({ trigger }) => trigger.name);
  throw new Error(
    `there is no trigger "${name}"; ${names.length === 0 ? 'there are none yet' : `there are ${names.join(', ')}`}`,
  );
}
