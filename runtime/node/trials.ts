/** New forms that run beside those that serve, on the same messages, to be compared; a part of the machine of reconcile.ts. */
import type { ReportedState } from '../protocol/messages.ts';
import type { Compared } from './comparison.ts';
import type { Effect, NodeState } from './node-state.ts';
import { modelId, trialForms } from './wanted.ts';

/** Begins and ends trials as the desired state, and what runs, ask for. */
export function startTrials(state: NodeState, effects: Effect[]): void {
  const forms = trialForms(state);
  for (const [name, slot] of state.trials) {
    if (forms.get(name)?.key === slot.key) continue;
    state.trials.delete(name);
    if (slot.error === undefined) effects.push({ type: 'stopTrial', name });
  }
  for (const [name, { id, key, form }] of forms) {
    if (state.trials.has(name)) continue;
    const slots = form.models.map((model) => state.models[modelId(model)]);
    const broken = slots.find((slot) => slot?.state === 'failed');
    if (broken) state.trials.set(name, { id, key, error: `model "${broken.model.name}": ${broken.error}` });
    if (!slots.every((slot) => slot?.state === 'ready')) continue;
    state.trials.set(name, { id, key });
    const models = Object.fromEntries(form.models.map((model) => [model.name, modelId(model)]));
    effects.push({ type: 'startTrial', name, key, trigger: form.trigger, models });
  }
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
