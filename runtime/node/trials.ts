/**
 * New forms that run beside those that serve, on the same messages, to be compared; a part of the machine of reconcile.ts. What takes
 * the process down is tried by three processes, as a new form that serves is (proof.ts).
 */
import type { ReportedState } from '../protocol/messages.ts';
import type { Compared } from './comparison.ts';
import type { Effect, NodeState } from './node-state.ts';
import { PROOF, type Proof, STARTS_MAX, stoppedText } from './proof.ts';
import { blobsOf, modelId, trialForms } from './wanted.ts';

/** Ends trials that nobody asks for any more; before the first step of another, it is written that it was tried. */
export function tryTrials(state: NodeState, effects: Effect[]): void {
  const forms = trialForms(state);
  for (const [name, slot] of state.trials) {
    if (forms.get(name)?.key === slot.key) continue;
    state.trials.delete(name);
    if (slot.isOn) effects.push({ type: 'stopTrial', name });
  }
  for (const [name, { id, key, form }] of forms) {
    if (state.trials.has(name)) continue;
    if (blobsOf(form.models).some(({ sha256 }) => state.blobs[sha256]?.state !== 'present')) continue;
    const { trial, ...proof } = state.proofs.get(name) ?? {};
    const counted = JSON.stringify([id, form.key]);
    const starts = trial?.key === counted ? trial.starts : 0;
    if (starts >= STARTS_MAX.successor) state.trials.set(name, { id, key, error: stoppedText(starts) });
    else {
      state.trials.set(name, { id, key });
      save(state, name, { ...proof, trial: { key: counted, starts: starts + 1 } }, effects);
    }
  }
}

/** It failed in a way that can be told, or has run for a while: it is not counted among those that took the process down. */
export function outlived(state: NodeState, name: string, effects: Effect[]): void {
  const { trial, ...proof } = state.proofs.get(name) ?? {};
  if (trial) save(state, name, proof, effects);
}

function save(state: NodeState, name: string, proof: Proof, effects: Effect[]): void {
  state.proofs = new Map(state.proofs).set(name, proof);
  effects.push({ type: 'saveProofs', proofs: state.proofs });
}

/** Begins trials whose models are ready, and notes those that the process has outlived. */
export function startTrials(state: NodeState, now: number, effects: Effect[]): void {
  for (const [name, { id, key, form }] of trialForms(state)) {
    const trial = state.trials.get(name);
    if (!trial || trial.error !== undefined) continue;
    if (trial.startedMs !== undefined && now - trial.startedMs >= PROOF.ms) {
      state.trials.set(name, { id, key, isOn: true });
      outlived(state, name, effects);
    }
    if (trial.isOn) continue;
    const slots = form.models.map((model) => state.models[modelId(model)]);
    const broken = slots.find((slot) => slot?.state === 'failed');
    if (broken) {
      state.trials.set(name, { id, key, error: `model "${broken.model.name}": ${broken.error}` });
      outlived(state, name, effects);
    }
    if (!slots.every((slot) => slot?.state === 'ready')) continue;
    state.trials.set(name, { id, key, isOn: true, startedMs: now });
    const models = Object.fromEntries(form.models.map((model) => [model.name, modelId(model)]));
    effects.push({ type: 'startTrial', name, key, trigger: form.trigger, models });
  }
}

/** When the next one will have been outlived. */
export function trialWakes(state: NodeState): number[] {
  return [...state.trials.values()].flatMap(({ startedMs }) => (startedMs === undefined ? [] : [startedMs + PROOF.ms]));
}

/** As they are reported. @param compared by trigger */
export function describeTrials(
  state: NodeState,
  compared: ReadonlyMap<string, Compared>,
): NonNullable<ReportedState['trials']> {
  return [...trialForms(state)].map(([trigger, { id }]) => {
    const error = state.trials.get(trigger)?.error;
    if (error !== undefined) return { id, trigger, state: 'failed' as const, error };
    const so = compared.get(trigger);
    return so
      ? { id, trigger, state: 'running' as const, compared: { ...so } }
      : { id, trigger, state: 'waiting' as const };
  });
}
