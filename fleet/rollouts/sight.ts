/** What the controller sees of a node while something is rolled out, or taken back. */
import type { Trigger } from '../../runtime/triggers/schema.ts';
import { goesTo, type NodeFacts } from '../controller/desired.ts';
import type { StoredNode, StoredTrigger } from '../controller/store.ts';
import { judge } from './comparison.ts';
import { progressOf, SCHEDULED } from './progress.ts';
import type { Candidate, Rollout, Sight } from './rollout.ts';
import type { Target } from './spec.ts';

/** @param releasedVersion of the target's model: what nodes without the rollout have */
export function sightOf(
  { id, spec, state, stage }: Pick<Rollout, 'id' | 'spec' | 'state' | 'stage'>,
  node: Pick<StoredNode, 'desired' | 'reported'> | undefined,
  online: boolean,
  releasedVersion: number | undefined,
): Sight {
  const { target } = spec;
  const isBack = state === 'stopping' && target.kind === 'model' && releasedVersion !== undefined;
  const wanted = isBack ? { ...target, version: releasedVersion } : target;
  const reported = node?.reported ?? null;
  const isAble = online && reported?.held === undefined;
  if (state !== 'stopping' && stage === 'compare' && spec.compare) {
    const trials = reported?.trials?.filter((trial) => trial.id === id) ?? [];
    // A node of an earlier version cannot compare, so it is not waited for.
    const canCompare = reported?.features?.includes('trials') ?? false;
    return { isAble: isAble && canCompare, progress: SCHEDULED, verdict: judge(spec.compare, trials) };
  }
  return { isAble, progress: progressOf(wanted, node?.desired ?? null, reported) };
}

/** The nodes that a rollout is for: those that have the model, or run the trigger. */
export function candidatesFor(
  target: Target,
  triggers: readonly Pick<StoredTrigger, 'trigger' | 'selector' | 'placement'>[],
  nodes: readonly Pick<NodeFacts, 'name' | 'labels'>[],
  isOnline: (node: string) => boolean,
): Candidate[] {
  const concerned = triggers.filter(({ trigger }) => isConcerned(target, trigger));
  return nodes
    .filter((node) => concerned.some((trigger) => goesTo(trigger, node)))
    .map(({ name, labels }) => ({ name, labels, online: isOnline(name) }));
}

function isConcerned(target: Target, { name, stages }: Trigger): boolean {
  return target.kind === 'model' ? stages.some(({ model }) => model === target.model) : name === target.trigger.name;
}
