/** What a node is to have and to run, worked out from its state: the desired one, its own folders, what was good before. */
import type { RemoteFile } from '../store/download.ts';
import { modelsOf, type Trigger } from '../triggers/schema.ts';
import type { NodeState, WantedModel } from './node-state.ts';
import type { Form } from './proof.ts';

/** Made once for each: a step looks dozens of them up, and a text that was just put together is hashed anew each time. */
const idsMade = new WeakMap<WantedModel, string>();

export function modelId(model: WantedModel): string {
  const made = idsMade.get(model);
  if (made !== undefined) return made;
  const id = `${model.name}@${model.version}:${model.sha256}:${model.labels ?? ''}`;
  idsMade.set(model, id);
  return id;
}

/** The desired state does not say how long a file of labels is. */
export function blobsOf(models: Iterable<WantedModel>): RemoteFile[] {
  return [...models].flatMap(({ sha256, bytes, chunks, labels }) => [
    { sha256, bytes, chunks },
    ...(labels === undefined ? [] : [{ sha256: labels, bytes: undefined }]),
  ]);
}

/** A file in the node's own folder wins over an assigned one of the same name: who put it there is standing beside it. */
export function wantedModels(state: NodeState): Map<string, WantedModel> {
  const all = [...(state.desired?.models ?? []), ...state.local.models];
  return new Map(all.map((model) => [model.name, model]));
}

export function wantedTriggers(state: NodeState): Map<string, Trigger> {
  const all = [...(state.desired?.triggers ?? []), ...state.local.triggers];
  return new Map(all.map((trigger) => [trigger.name, trigger]));
}

/** The last form of each trigger: a step asks for it a dozen times, and writing out its key is most of a step's work. */
const formsMade = new WeakMap<Trigger, Form>();

/** The form that the desired state asks for; undefined when a model of it is nowhere named. */
export function wantedForm(trigger: Trigger, models: ReadonlyMap<string, WantedModel>): Form | undefined {
  const made = formsMade.get(trigger);
  if (made?.models.every((model) => models.get(model.name) === model)) return made;
  const names = modelsOf(trigger);
  const found = names.flatMap((name) => models.get(name) ?? []);
  if (found.length < names.length) return undefined;
  const form = { key: JSON.stringify([trigger, found.map(modelId)]), trigger, models: found };
  formsMade.set(trigger, form);
  return form;
}

export interface Choice {
  readonly trigger: Trigger;
  /** Undefined where a model is missing, or where nothing is wanted any more. */
  readonly wanted: Form | undefined;
  /**
   * What is to run now: the wanted form; the good one, if any, where that failed; what runs, or did, while the node is held. While the node's
   * program is on trial only what has served before: what takes the process down would be held against the program.
   */
  readonly chosen: Form | undefined;
  /** What may run until the chosen one is ready. */
  readonly good: Form | undefined;
  /** The node's own, which is trusted as it stands. */
  readonly isLocal: boolean;
}

/** By trigger; also those that only go on because nothing may be changed now, or their new form cannot be read. */
export function choices(state: NodeState): Map<string, Choice> {
  const models = wantedModels(state);
  const triggers = wantedTriggers(state);
  const refused = new Set(state.desired?.refused.map(({ name }) => name));
  const result = new Map<string, Choice>();
  for (const [name, trigger] of triggers) {
    const wanted = wantedForm(trigger, models);
    const isLocal = ownsAny(state, trigger);
    const good = isLocal ? undefined : state.proofs.get(name)?.good;
    const refusal = wanted && problemOf(state, name, wanted.key);
    const isGivenUp = wanted && state.proofs.get(name)?.rejected?.key === wanted.key;
    const next = refusal === undefined ? wanted : (good ?? (isGivenUp ? undefined : wanted));
    const served = isLocal ? undefined : (state.triggers.get(name)?.running ?? good);
    const chosen = state.isOnTrial && !isLocal ? served : state.hold === null ? next : (served ?? next);
    result.set(name, { trigger, wanted, chosen, good, isLocal });
  }
  for (const [name, { good }] of state.proofs)
    if (good && !triggers.has(name) && (state.hold !== null || refused.has(name)))
      result.set(name, {
        trigger: good.trigger,
        wanted: undefined,
        chosen: state.triggers.get(name)?.running ?? good,
        good,
        isLocal: false,
      });
  return result;
}

/** Why a form is not used, although it is wanted. */
export function problemOf(state: NodeState, name: string, key: string): string | undefined {
  const rejected = state.proofs.get(name)?.rejected;
  if (rejected?.key === key) return rejected.error;
  const failed = state.triggers.get(name)?.failed;
  return failed?.key === key ? failed.error : undefined;
}

/** By id: of the chosen forms and, where nothing runs yet, of the good ones; of forms on trial; and those that no trigger uses. */
export function modelsToLoad(state: NodeState, all = choices(state)): Map<string, WantedModel> {
  const result = new Map<string, WantedModel>();
  const used = new Set<string>();
  for (const [name, { wanted, chosen, good }] of all) {
    for (const model of wanted?.models ?? []) used.add(modelId(model));
    const stopgap = state.triggers.get(name)?.running ? undefined : good;
    for (const model of [...(chosen?.models ?? []), ...(stopgap?.models ?? [])]) result.set(modelId(model), model);
  }
  for (const model of wantedModels(state).values()) if (!used.has(modelId(model))) result.set(modelId(model), model);
  for (const [name, { form }] of trialForms(state)) {
    if (state.trials.get(name)?.error !== undefined) continue;
    for (const model of form.models) result.set(modelId(model), model);
  }
  return result;
}

/** By trigger: the new forms that are to run beside those that serve. One at a time; none where it would be the same. */
export function trialForms(state: NodeState): Map<string, { id: string; key: string; form: Form }> {
  const result = new Map<string, { id: string; key: string; form: Form }>();
  if (state.isOnTrial) return result;
  for (const { id, models: tried, triggers } of state.desired?.trials ?? []) {
    const models = new Map([...wantedModels(state), ...tried.map((model) => [model.name, model] as const)]);
    const instead = new Map(triggers.map((trigger) => [trigger.name, trigger]));
    for (const [name, trigger] of wantedTriggers(state)) {
      const running = state.triggers.get(name)?.running;
      const isConcerned =
        instead.has(name) || modelsOf(trigger).some((model) => tried.some((one) => one.name === model));
      const form = running && isConcerned ? wantedForm(instead.get(name) ?? trigger, models) : undefined;
      if (!running || !form || form.key === running.key || result.has(name) || ownsAny(state, trigger)) continue;
      result.set(name, { id, form, key: JSON.stringify([id, running.key, form.key]) });
    }
  }
  return result;
}

function ownsAny({ local }: NodeState, trigger: Trigger): boolean {
  if (local.triggers.some(({ name }) => name === trigger.name)) return true;
  return modelsOf(trigger).some((name) => local.models.some((model) => model.name === name));
}
