/** What the controller sees of a node while something is rolled out, or taken back. */
import type { Trigger } from '../../runtime/triggers/schema.ts';
import { goesTo, type NodeFacts } from '../controller/desired.ts';
import type { StoredNode, StoredTrigger } from '../controller/store.ts';
import { judge } from './comparison.ts';
import { progressOf, SCHEDULED, type Wanted } from './progress.ts';
import type { Candidate, Rollout, Sight } from './rollout.ts';
import type { Target } from './spec.ts';

/** What nodes have without the rollout, and of software also what the rollout brings. */
export interface Versions {
  readonly releasedModel: number | undefined;
  /** By SHA-256; undefined: the program that the machine came with. */
  readonly softwareBefore: string | undefined;
  readonly software: string | undefined;
}

export function sightOf(
  { id, spec, state, stage }: Pick<Rollout, 'id' | 'spec' | 'state' | 'stage'>,
  node: Pick<StoredNode, 'desired' | 'reported'> | undefined,
  online: boolean,
  versions: Versions,
): Sight {
  const { target } = spec;
  const wanted = wantedOf(target, state === 'stopping', versions);
  const reported = node?.reported ?? null;
  // A node that changes its program is away meanwhile, and may not come back: it is waited for.
  const isChanging = reported?.software?.provisional || reported?.software?.update?.state === 'switching';
  const isAble = (online || (target.kind === 'software' && isChanging === true)) && reported?.held === undefined;
  if (state !== 'stopping' && stage === 'compare' && spec.compare) {
    const trials = reported?.trials?.filter((trial) => trial.id === id) ?? [];
    // A node of an earlier version cannot compare, so it is not waited for.
    const canCompare = reported?.features?.includes('trials') ?? false;
    return { isAble: isAble && canCompare, progress: SCHEDULED, verdict: judge(spec.compare, trials) };
  }
  return { isAble, progress: progressOf(wanted, node?.desired ?? null, reported) };
}

function wantedOf(target: Target, isBack: boolean, { releasedModel, softwareBefore, software }: Versions): Wanted {
  if (target.kind === 'software') return { kind: 'software', sha256: isBack ? softwareBefore : software };
  if (target.kind === 'model' && isBack && releasedModel !== undefined) return { ...target, version: releasedModel };
  return target;
}

/** The nodes that a rollout is for: those that have the model, run the trigger, or can replace their program. */
export function candidatesFor(
  target: Target,
  triggers: readonly Pick<StoredTrigger, 'trigger' | 'selector' | 'placement'>[],
  nodes: readonly (Pick<NodeFacts, 'name' | 'labels'> & { readonly features?: readonly string[] | undefined })[],
  isOnline: (node: string) => boolean,
): Candidate[] {
  const candidate = ({ name, labels }: (typeof nodes)[number]) => ({ name, labels, online: isOnline(name) });
  if (target.kind === 'software') return nodes.filter(({ features }) => features?.includes('software')).map(candidate);
  const concerned = triggers.filter(({ trigger }) => isConcerned(target, trigger));
  return nodes.filter((node) => concerned.some((trigger) => goesTo(trigger, node))).map(candidate);
}

function isConcerned(target: Exclude<Target, { kind: 'software' }>, { name, stages }: Trigger): boolean {
  return target.kind === 'model' ? stages.some(({ model }) => model === target.model) : name === target.trigger.name;
}
