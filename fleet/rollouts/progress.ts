/** How far a node is with what a rollout brings it, read from what the node reports. Names are those of hawkBit's DDI interface. */
import type { DesiredState, ReportedState } from '../../runtime/protocol/messages.ts';
import { modelsOf, type Trigger } from '../../runtime/triggers/schema.ts';

/**
 * hawkBit's `execution` and `finished`: waits for its turn, or to be heard → fetches → has fetched and is held → changes
 * over, or has yet to prove itself → is done; `canceled` is back on what it had, or never got it.
 */
export type Execution = 'scheduled' | 'download' | 'downloaded' | 'proceeding' | 'closed' | 'canceled';

export interface Progress {
  readonly execution: Execution;
  readonly finished: 'none' | 'success' | 'failure';
  readonly details: string | null;
}

/** What a node is to have: a version of a model, a trigger in the form that its desired state has, or a version of its own program. */
export type Wanted =
  | { readonly kind: 'model'; readonly model: string; readonly version: number }
  | { readonly kind: 'trigger'; readonly trigger: Pick<Trigger, 'name'> }
  /** Without `sha256`: the program that the machine came with. */
  | { readonly kind: 'software'; readonly sha256: string | undefined };

export const SCHEDULED: Progress = { execution: 'scheduled', finished: 'none', details: null };
export const CANCELED: Progress = { execution: 'canceled', finished: 'none', details: null };

export function failure(details: string): Progress {
  return { execution: 'closed', finished: 'failure', details };
}

export function isOpen({ execution }: Pick<Progress, 'execution'>): boolean {
  return execution !== 'closed' && execution !== 'canceled';
}

export function isSame(before: Progress | undefined, { execution, finished, details }: Progress): boolean {
  return before?.execution === execution && before.finished === finished && before.details === details;
}

function open(execution: Execution, details: string | null = null): Progress {
  return { execution, finished: 'none', details };
}

function softwareProgress(
  sha256: string | undefined,
  { software, held }: Pick<ReportedState, 'software' | 'held'>,
): Progress {
  if (!software) return failure('the launcher has not started it, so its program cannot be replaced');
  const { update, provisional } = software;
  if (software.sha256 === sha256)
    return provisional
      ? open('proceeding', 'proves itself')
      : { execution: 'closed', finished: 'success', details: null };
  if (!update || update.sha256 !== sha256) return SCHEDULED;
  if (update.state === 'failed') return failure(update.error ?? `version ${update.version} failed`);
  if (update.state === 'downloading') return open('download', update.error);
  return update.state === 'switching'
    ? open('proceeding')
    : open('downloaded', held === undefined ? null : `held: ${held}`);
}

/** @param desired what the controller has told the node last, with the thing in it */
export function progressOf(
  wanted: Wanted,
  desired: DesiredState | null,
  reported: Pick<ReportedState, 'desiredVersion' | 'models' | 'triggers' | 'held' | 'software'> | null,
): Progress {
  if (!desired || !reported) return SCHEDULED;
  if (wanted.kind === 'software') return softwareProgress(wanted.sha256, reported);
  const uses = (trigger: Trigger): boolean =>
    wanted.kind === 'model' ? modelsOf(trigger).includes(wanted.model) : trigger.name === wanted.trigger.name;
  const names = new Set(desired.triggers.filter(uses).map(({ name }) => name));
  // A trigger was changed or taken away meanwhile: the node has no use for it.
  if (names.size === 0) return { ...CANCELED, details: 'is no longer to have it' };
  const triggers = reported.triggers.filter(({ name }) => names.has(name));
  const model =
    wanted.kind === 'model'
      ? reported.models.find(({ name, version }) => name === wanted.model && version === wanted.version)
      : undefined;
  if (model?.retrying) return open('download', model.error);
  if (reported.desiredVersion < desired.version) {
    if (reported.held !== undefined && model?.state !== 'downloading')
      return open('downloaded', `held: ${reported.held}`);
    if (!model) return SCHEDULED;
    return open(model.state === 'loading' || model.state === 'ready' ? 'proceeding' : 'download');
  }
  const failed = [...triggers, ...(model ? [model] : [])].find(
    ({ state, error }) => state === 'failed' || error !== undefined,
  );
  if (failed) return failure(failed.error ?? `"${failed.name}" failed`);
  // A download that failed counts as settled on the node, and is tried again: the version was reached, and the model is still to come.
  if (model && model.state !== 'ready') return open(model.state === 'loading' ? 'proceeding' : 'download');
  if (triggers.some(({ provisional }) => provisional)) return open('proceeding', 'proves itself');
  if (triggers.some(({ state }) => state !== 'ready')) return open('proceeding');
  return { execution: 'closed', finished: 'success', details: null };
}
