/** What every node should be: models, triggers and selectors in, one desired state a node out. No I/O, no clock. */
import { type DesiredState, PAYLOAD_BYTES_MAX, type Trial } from '../../runtime/protocol/messages.ts';
import type { Software } from '../../runtime/protocol/software.ts';
import { modelsOf, type Trigger } from '../../runtime/triggers/schema.ts';
import { selects } from './selector.ts';
import type { NodeSelector } from './service.ts';
import { type AssignedSettings, mergeSettings } from './settings-merge.ts';
import type { SoftwareAssignment } from './software-store.ts';

export interface NodeFacts {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The highest version that the node says it has reached. */
  readonly reachedVersion: number;
}

export interface AssignedTrigger {
  readonly trigger: Trigger;
  readonly selector: NodeSelector;
  /** With `replicas` in the selector: the nodes that the controller chose. */
  readonly placement?: { readonly nodes: readonly string[] };
}

export type AssignedModel = DesiredState['models'][number];

/** Takes the place of models and triggers of the same name. */
export interface Overlay {
  readonly models: readonly AssignedModel[];
  readonly triggers: readonly Trigger[];
  readonly trials: readonly Trial[];
  readonly software?: Software;
}

export interface Assignment {
  /** Base URL that nodes fetch model files from. */
  readonly files: string;
  /** The released version of each model. */
  readonly models: readonly AssignedModel[];
  readonly triggers: readonly AssignedTrigger[];
  readonly settings: readonly AssignedSettings[];
  readonly software: Pick<SoftwareAssignment, 'released' | 'byNode'>;
  /** By node: what rollouts bring it. */
  readonly overlays: ReadonlyMap<string, Overlay>;
}

/** Whether a trigger goes to a node: selected, and chosen where the controller chooses. */
export function goesTo(
  { selector, placement }: Omit<AssignedTrigger, 'trigger'>,
  node: Pick<NodeFacts, 'name' | 'labels'>,
): boolean {
  if (!selects(selector, node)) return false;
  return selector.replicas === undefined || (placement?.nodes.includes(node.name) ?? false);
}

/**
 * The desired state that follows `previous`, or `previous` itself when nothing changed, so that a node which reconnects
 * has nothing to do. Null while there has never been anything to say: an empty desired state would stop a node's work
 * after the controller's data was lost.
 * Throws an Error when the state would not fit into one message.
 */
export function nextDesired(
  previous: DesiredState | null,
  node: NodeFacts,
  assignment: Assignment,
  now: number,
): DesiredState | null {
  const content = contentFor(node, assignment);
  const { models, triggers, settings, software } = content;
  const empty = models.length === 0 && triggers.length === 0 && settings === undefined && software === undefined;
  if (!previous && empty) return null;
  // A node that is ahead of us obeyed a controller whose data is gone; what is older than its version it would ignore.
  const behind = node.reachedVersion > (previous?.version ?? 0);
  if (previous && !behind && sameContent(previous, content)) return previous;
  const version = Math.max(previous?.version ?? 0, node.reachedVersion) + 1;
  const desired = { version, at: now, ...content };
  const bytes = Buffer.byteLength(JSON.stringify(desired));
  if (bytes > PAYLOAD_BYTES_MAX)
    throw new Error(
      `node "${node.name}": its desired state would take ${bytes} bytes, expected at most ${PAYLOAD_BYTES_MAX}; spread its ${desired.triggers.length} triggers over more nodes`,
    );
  return desired;
}

type Content = Pick<DesiredState, 'files' | 'models' | 'triggers' | 'trials' | 'settings' | 'software'>;

function contentFor(
  node: NodeFacts,
  { files, models: released, triggers, settings, software, overlays }: Assignment,
): Content {
  const overlay = overlays.get(node.name);
  const models = overlaid(released, overlay?.models);
  const assigned = triggers.filter((one) => goesTo(one, node)).map(({ trigger }) => trigger);
  const chosen = overlaid(assigned, overlay?.triggers);
  const used = new Set(chosen.flatMap(modelsOf));
  const program = overlay?.software ?? software.byNode.get(node.name) ?? software.released;
  const merged = Object.entries(mergeSettings(settings, node)).map(([name, { value }]) => [name, value]);
  return {
    files,
    models: models.filter(({ name }) => used.has(name)).toSorted(byName),
    triggers: chosen.toSorted(byName),
    ...(overlay && overlay.trials.length > 0 && { trials: [...overlay.trials] }),
    ...(merged.length > 0 && { settings: Object.fromEntries(merged) }),
    ...(program && { software: program }),
  };
}

function overlaid<T extends { readonly name: string }>(all: readonly T[], instead: readonly T[] = []): readonly T[] {
  if (instead.length === 0) return all;
  const byName = new Map(instead.map((one) => [one.name, one]));
  return all.map((one) => byName.get(one.name) ?? one);
}

const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

/** Both sides were made by `contentFor`, so equal content has equal text. */
function sameContent(previous: DesiredState, next: Content): boolean {
  const textOf = ({ files, models, triggers, trials, settings, software }: Content): string =>
    JSON.stringify([files, models, triggers, trials, settings, software]);
  return textOf(previous) === textOf(next);
}
