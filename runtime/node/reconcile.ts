/**
 * What a node does to become what it should be, as a state machine without I/O: `step(state, event, now)` gives the next
 * state and the effects to carry out; their outcomes come back as events.
 *
 * - An older or repeated desired state changes nothing, so neither a reconnect nor a stale retained message can undo anything.
 *   The same version made at another time comes from a controller that was restored from older data: it counts as new.
 * - Whatever runs goes on running until its successor is ready: a new model version is fetched and loaded beside the old
 *   one, then each trigger that uses it is swapped, then the old one is unloaded.
 * - A successor is provisional until it has proved itself (proof.ts); until then, and across restarts, the good form is kept.
 * - While the node is held, files are fetched and new triggers start; what runs is neither changed nor stopped.
 * - What fails says why. A download is tried again with back-off; a file that does not load and a trigger that does not
 *   start would fail again in the same way, so they wait for another file or another form of the trigger.
 * - A blob is deleted only when everything has settled and neither this desired state nor the one before it names it.
 */
import type { DesiredState } from '../protocol/messages.ts';
import { describe, isSettled } from './describe.ts';
import type { Effect, Event, NodeState, WantedModel } from './node-state.ts';
import { begun, type Form, look, type Proof } from './proof.ts';
import { outlived, startTrials, trialWakes, tryTrials } from './trials.ts';
import { blobsOf, choices, modelId, modelsToLoad, wantedModels } from './wanted.ts';

const DOWNLOADS_MAX = 2;
const BACKOFF_MS = { first: 1_000, max: 60_000 };

export function step(before: NodeState, event: Event, now: number): { state: NodeState; effects: Effect[] } {
  const state = draftOf(before);
  const effects: Effect[] = [];
  if (!apply(state, event, now, effects)) return { state: before, effects };
  if (event.type === 'tick' && effects.length === 0 && isQuiet(before, state, now)) return { state, effects };
  startDownloads(state, now, effects);
  tryForms(state, effects);
  tryTrials(state, effects);
  startLoads(state, effects);
  swapTriggers(state, effects);
  startTrials(state, now, effects);
  releaseModels(state, effects);
  const described = describe(state);
  if (isSettled(described)) {
    state.reached = state.desired?.version ?? 0;
    removeBlobs(state, effects);
  }
  const text = JSON.stringify([described, state.reached, state.hold, trialsText(state)]);
  if (text !== state.described) effects.push({ type: 'report' });
  state.described = text;
  return { state, effects };
}

/** Most ticks look at provisional forms and find nothing new: what a step goes through depends on nothing that they changed. */
function isQuiet(before: NodeState, state: NodeState, now: number): boolean {
  for (const [name, { proving }] of state.triggers)
    if (proving?.error !== before.triggers.get(name)?.proving?.error) return false;
  const retries = Object.values(state.blobs).some((blob) => blob.state === 'waiting' && blob.retryAt <= now);
  return !retries && trialWakes(state).every((at) => at > now);
}

function trialsText({ trials }: NodeState): string {
  return JSON.stringify([...trials].map(([name, { key, error, isOn }]) => [name, key, error, isOn]));
}

/** Copies what a step writes to; a desired state and forms are replaced as a whole. */
function draftOf(state: NodeState): NodeState {
  const copied = <T extends object>(slots: Record<string, T>): Record<string, T> =>
    Object.fromEntries(Object.entries(slots).map(([key, slot]) => [key, { ...slot }]));
  const triggers = [...state.triggers].map(([name, slot]): [string, typeof slot] => [
    name,
    { ...slot, ...(slot.proving && { proving: { ...slot.proving } }) },
  ]);
  return {
    ...state,
    blobs: copied(state.blobs),
    models: copied(state.models),
    triggers: new Map(triggers),
    trials: new Map(state.trials),
  };
}

/** Takes the event into the state; false when it changes nothing at all. */
function apply(state: NodeState, event: Event, now: number, effects: Effect[]): boolean {
  switch (event.type) {
    case 'started':
      state.desired = event.desired;
      state.local = event.local;
      state.proofs = event.proofs;
      state.hold = event.hold;
      state.isOnTrial = event.isOnTrial ?? false;
      for (const sha256 of event.present) state.blobs[sha256] = { state: 'present', attempts: 0, retryAt: 0 };
      for (const sha256 of event.partial) state.blobs[sha256] ??= { state: 'waiting', attempts: 0, retryAt: 0 };
      for (const [name, { chosen, trigger }] of choices(state)) {
        state.triggers.set(name, { held: true });
        effects.push({ type: 'holdTrigger', trigger: chosen?.trigger ?? trigger });
      }
      return true;
    case 'programProved':
      state.isOnTrial = false;
      return true;
    case 'desired':
      if (state.desired && !isNewer(event.desired, state.desired)) return false;
      state.previousBlobs = blobsOf(state.desired?.models ?? []).map(({ sha256 }) => sha256);
      state.desired = event.desired;
      effects.push({ type: 'saveDesired', desired: event.desired });
      forgetOthers(state, effects);
      return true;
    case 'hold':
      if (state.hold === event.reason) return false;
      state.hold = event.reason;
      effects.push({ type: 'saveHold', hold: event.reason });
      return true;
    case 'downloaded':
      state.blobs[event.sha256] = { state: 'present', attempts: 0, retryAt: 0 };
      return true;
    case 'downloadFailed': {
      const attempts = (state.blobs[event.sha256]?.attempts ?? 0) + 1;
      const retryAt = now + backoff(attempts, `${state.name}${event.sha256}`);
      state.blobs[event.sha256] = { state: 'waiting', attempts, retryAt, error: event.error };
      return true;
    }
    case 'blobLost':
      delete state.blobs[event.sha256];
      for (const [id, { model, state: phase }] of Object.entries(state.models))
        if (phase !== 'ready' && (model.sha256 === event.sha256 || model.labels === event.sha256))
          delete state.models[id];
      return true;
    case 'loaded':
    case 'loadFailed': {
      const slot = state.models[event.id];
      if (slot?.state !== 'loading') return false;
      const { type, id: _, ...outcome } = event;
      state.models[event.id] = { model: slot.model, state: type === 'loaded' ? 'ready' : 'failed', ...outcome };
      if (type === 'loadFailed')
        for (const [name, { chosen }] of choices(state))
          if (chosen?.models.some((model) => modelId(model) === event.id)) survived(state, name, effects);
      return true;
    }
    case 'engineChanged': {
      const slot = state.models[event.id];
      if (slot?.state !== 'ready') return false;
      slot.engine = event.engine;
      slot.fallbackReason = event.fallbackReason;
      return true;
    }
    case 'triggerStarted':
    case 'triggerFailed': {
      const slot = state.triggers.get(event.name);
      if (slot?.starting?.key !== event.key) return false;
      if (event.type === 'triggerFailed') {
        slot.failed = { key: event.key, error: event.error };
        survived(state, event.name, effects);
      } else runs(state, event.name, slot.starting, now, effects);
      delete slot.starting;
      return true;
    }
    case 'trialFailed': {
      const slot = state.trials.get(event.name);
      if (slot?.key !== event.key) return false;
      state.trials.set(event.name, { ...slot, error: event.error });
      outlived(state, event.name, effects);
      return true;
    }
    case 'tick':
      if (look(state, event.served, now)) effects.push({ type: 'saveProofs', proofs: state.proofs });
      return true;
  }
}

/** Within one controller's history a version is made once, at one time. */
function isNewer(desired: DesiredState, held: DesiredState): boolean {
  return desired.version > held.version || (desired.version === held.version && desired.at !== held.at);
}

/** Doubling, and spread by up to half, so that a fleet that lost its controller does not return in step. */
function backoff(attempts: number, salt: string): number {
  const base = Math.min(BACKOFF_MS.max, BACKOFF_MS.first * 2 ** (attempts - 1));
  let hash = 2166136261;
  for (const character of `${salt}${attempts}`) hash = Math.imul(hash ^ character.charCodeAt(0), 16777619);
  return base * (0.75 + ((hash >>> 0) / 2 ** 32) * 0.5);
}

/** Every form has to prove itself; a first one is good until then, there being nothing to go back to. */
function runs(state: NodeState, name: string, form: Form, now: number, effects: Effect[]): void {
  const slot = state.triggers.get(name) ?? {};
  slot.running = form;
  delete slot.proving;
  const proof = state.proofs.get(name);
  const isGood = proof?.good?.key === form.key;
  if (choices(state).get(name)?.isLocal || (isGood && !proof.good.isUnproved)) return;
  slot.proving = { key: form.key, sinceMs: now, lookAtMs: now };
  if (!proof?.good) saveProof(state, name, { good: { ...form, isUnproved: true } }, effects);
}

/** A form that failed in a way that can be told did not take the process down: that is not counted against it. */
function survived(state: NodeState, name: string, effects: Effect[]): void {
  const { provisional, ...rest } = state.proofs.get(name) ?? {};
  if (provisional) saveProof(state, name, rest, effects);
}

/** What was found out about other forms than those that are wanted now. */
function forgetOthers(state: NodeState, effects: Effect[]): void {
  const all = choices(state);
  for (const [name, { good, provisional, rejected }] of state.proofs) {
    const key = all.get(name)?.wanted?.key;
    const found = [provisional, rejected].filter((one) => one !== undefined);
    if (found.some((one) => one.key !== key)) saveProof(state, name, good && { good }, effects);
  }
}

function saveProof(state: NodeState, name: string, proof: Proof | undefined, effects: Effect[]): void {
  const proofs = new Map(state.proofs);
  if (proof) proofs.set(name, proof);
  else proofs.delete(name);
  state.proofs = proofs;
  effects.push({ type: 'saveProofs', proofs });
}

function startDownloads(state: NodeState, now: number, effects: Effect[]): void {
  const wanted = blobsOf([...wantedModels(state).values(), ...modelsToLoad(state).values()]);
  const files = state.desired?.files;
  if (files === undefined) return;
  for (const [sha256, blob] of Object.entries(state.blobs)) {
    if (blob.state !== 'waiting' || wanted.some((one) => one.sha256 === sha256)) continue;
    delete state.blobs[sha256];
    // What has arrived of it would lie on the disk for ever.
    effects.push({ type: 'removeBlob', sha256 });
  }
  let running = downloading(state);
  for (const file of wanted) {
    const { sha256 } = file;
    const blob = state.blobs[sha256];
    if (running >= DOWNLOADS_MAX) return;
    if (blob && (blob.state !== 'waiting' || blob.retryAt > now)) continue;
    state.blobs[sha256] = { ...blob, state: 'downloading', attempts: blob?.attempts ?? 0, retryAt: 0 };
    effects.push({ type: 'download', files, file });
    running++;
  }
}

function downloading(state: NodeState): number {
  return Object.values(state.blobs).filter((blob) => blob.state === 'downloading').length;
}

/** Before the first step towards a new form, which may take the process down, it is written that it was tried. */
function tryForms(state: NodeState, effects: Effect[]): void {
  for (const [name, { chosen, good, isLocal }] of choices(state)) {
    const slot = state.triggers.get(name) ?? {};
    if (isLocal || !chosen || chosen.key === good?.key || slot.tried === chosen.key) continue;
    if (!arrived(state, chosen.models)) continue;
    state.triggers.set(name, slot);
    slot.tried = chosen.key;
    saveProof(state, name, begun(state.proofs.get(name) ?? {}, chosen.key), effects);
  }
}

function startLoads(state: NodeState, effects: Effect[]): void {
  for (const [id, model] of modelsToLoad(state)) {
    if (state.models[id] || !arrived(state, [model])) continue;
    state.models[id] = { model, state: 'loading' };
    effects.push({ type: 'load', id, model });
  }
}

function arrived(state: NodeState, models: readonly WantedModel[]): boolean {
  return blobsOf(models).every(({ sha256 }) => state.blobs[sha256]?.state === 'present');
}

function swapTriggers(state: NodeState, effects: Effect[]): void {
  const all = choices(state);
  const refused = new Set(state.desired?.refused.map(({ name }) => name));
  const isReady = (form: Form): boolean =>
    form.models.every((model) => state.models[modelId(model)]?.state === 'ready');
  for (const [name, { wanted, chosen, good }] of all) {
    const slot = state.triggers.get(name) ?? {};
    const stopgap = slot.running ? undefined : good;
    const form = [chosen, stopgap].find((one) => one && isReady(one));
    if (!form) continue;
    state.triggers.set(name, slot);
    if (slot.starting || slot.running?.key === form.key || slot.failed?.key === form.key) continue;
    if (slot.failed?.key !== wanted?.key) delete slot.failed;
    slot.starting = form;
    const models = Object.fromEntries(form.models.map((model) => [model.name, modelId(model)]));
    effects.push({ type: 'startTrigger', key: form.key, trigger: form.trigger, models });
  }
  for (const [name, slot] of state.triggers) {
    if (all.has(name) || refused.has(name) || slot.starting) continue;
    state.triggers.delete(name);
    if (slot.running || slot.held) effects.push({ type: 'stopTrigger', name });
    if (state.proofs.has(name)) saveProof(state, name, undefined, effects);
  }
}

function releaseModels(state: NodeState, effects: Effect[]): void {
  const wanted = new Set(modelsToLoad(state).keys());
  for (const { running, starting } of state.triggers.values())
    for (const model of [...(running?.models ?? []), ...(starting?.models ?? [])]) wanted.add(modelId(model));
  for (const [id, slot] of Object.entries(state.models)) {
    if (wanted.has(id) || slot.state === 'loading') continue;
    delete state.models[id];
    if (slot.state === 'ready') effects.push({ type: 'unload', id });
  }
}

/** Once everything has settled. What is described does not change by it: files that are wanted stay. */
function removeBlobs(state: NodeState, effects: Effect[]): void {
  if (!state.desired || state.desired.models.length === 0) return;
  const inUse = Object.values(state.models).map((slot) => slot.model);
  const good = [...state.proofs.values()].flatMap((proof) => proof.good?.models ?? []);
  const toLoad = modelsToLoad(state).values();
  const kept = new Set(
    blobsOf([...wantedModels(state).values(), ...toLoad, ...inUse, ...good]).map(({ sha256 }) => sha256),
  );
  for (const sha256 of state.previousBlobs) kept.add(sha256);
  for (const [sha256, blob] of Object.entries(state.blobs)) {
    if (kept.has(sha256) || blob.state === 'downloading') continue;
    delete state.blobs[sha256];
    if (blob.state === 'present') effects.push({ type: 'removeBlob', sha256 });
  }
}

/** The reported `desiredVersion`: the last desired state in which everything became ready or failed for a stated reason. */
export function reachedVersion(state: NodeState): number {
  return state.reached;
}

/** When the next `tick` is due, or undefined; with all downloads taken, the end of one comes before the next attempt. */
export function nextWake(state: NodeState): number | undefined {
  const retries = downloading(state) >= DOWNLOADS_MAX ? [] : Object.values(state.blobs);
  const times = retries.flatMap((blob) => (blob.state === 'waiting' ? [blob.retryAt] : []));
  times.push(...trialWakes(state));
  for (const { proving } of state.triggers.values()) if (proving) times.push(proving.lookAtMs);
  return times.length > 0 ? Math.min(...times) : undefined;
}
