/**
 * What a node does to become what it should be, as a state machine without I/O: `step(state, event, now)` gives the next
 * state and the effects to carry out; their outcomes come back as events.
 *
 * - An older or repeated desired state changes nothing, so neither a reconnect nor a stale retained message can undo anything.
 *   The same version made at another time comes from a controller that was restored from older data: it counts as new.
 * - Whatever runs goes on running until its successor is ready: a new model version is fetched and loaded beside the old
 *   one, then each trigger that uses it is swapped, then the old one is unloaded.
 * - What fails says why. A download is tried again with back-off; a file that does not load and a trigger that does not
 *   start would fail again in the same way, so they wait for another file or another form of the trigger.
 * - A blob is deleted only when everything has settled and neither this desired state nor the one before it names it.
 */
import type { DesiredState, ReportedState } from '../protocol/messages.ts';
import { modelsOf, type Trigger } from '../triggers/schema.ts';

const DOWNLOADS_MAX = 2;
const BACKOFF_MS = { first: 1_000, max: 60_000 };

export type WantedModel = DesiredState['models'][number];

/** A desired state whose triggers were checked one by one: one that this node cannot read does not stop the others. */
export interface CheckedDesired extends DesiredState {
  readonly refused: readonly { readonly name: string; readonly error: string }[];
}

export type Event =
  /** Hashes of the blobs that are on disk, whole and in part; `local`: models and triggers from this node's own folders. */
  | {
      type: 'started';
      desired: CheckedDesired | null;
      present: string[];
      partial: string[];
      local: Pick<DesiredState, 'models' | 'triggers'>;
    }
  | { type: 'desired'; desired: CheckedDesired }
  | { type: 'downloaded'; sha256: string }
  | { type: 'downloadFailed'; sha256: string; error: string }
  /** The file on disk is damaged or gone. */
  | { type: 'blobLost'; sha256: string }
  | { type: 'loaded'; id: string; engine: 'llmasos' | 'onnxruntime'; fallbackReason?: string }
  | { type: 'loadFailed'; id: string; error: string }
  /** A run showed that a loaded model needs another engine (runtime/offload/load.ts). */
  | { type: 'engineChanged'; id: string; engine: 'llmasos' | 'onnxruntime'; fallbackReason?: string }
  | { type: 'triggerStarted'; name: string; key: string }
  | { type: 'triggerFailed'; name: string; key: string; error: string }
  /** Time has passed; see `nextWake`. */
  | { type: 'tick' };

export type Effect =
  | { type: 'saveDesired'; desired: CheckedDesired }
  /** `bytes` is undefined where the desired state does not say (labels). */
  | { type: 'download'; sha256: string; bytes: number | undefined; files: string }
  | { type: 'removeBlob'; sha256: string }
  | { type: 'load'; id: string; model: WantedModel }
  | { type: 'unload'; id: string }
  /** What was running at the end of this process's predecessor: messages for it may come before it is ready, and wait. */
  | { type: 'holdTrigger'; trigger: Trigger }
  /** Replaces a running trigger of that name once the new one is ready. `models`: model name to loaded id. */
  | { type: 'startTrigger'; key: string; trigger: Trigger; models: Record<string, string> }
  | { type: 'stopTrigger'; name: string }
  /** What `describe` returns has changed. */
  | { type: 'report' };

interface BlobSlot {
  state: 'present' | 'downloading' | 'waiting';
  attempts: number;
  retryAt: number;
  error?: string;
}

interface ModelSlot {
  model: WantedModel;
  state: 'loading' | 'ready' | 'failed';
  error?: string;
  engine?: 'llmasos' | 'onnxruntime';
  fallbackReason?: string;
}

interface TriggerSlot {
  /** Messages were told to wait for it. */
  held?: boolean;
  /** What runs now, and the loaded models that it holds. */
  running?: { key: string; models: string[] };
  starting?: { key: string; models: string[] };
  failed?: { key: string; error: string };
}

export interface NodeState {
  name: string;
  desired: CheckedDesired | null;
  /** Blobs of the desired state before this one: kept, so that going back is quick. */
  previousBlobs: string[];
  local: Pick<DesiredState, 'models' | 'triggers'>;
  blobs: Record<string, BlobSlot>;
  /** By `modelId`: several versions of one model may be there during a swap. */
  models: Record<string, ModelSlot>;
  triggers: Map<string, TriggerSlot>;
  reached: number;
  described: string;
}

export function initialState(name: string): NodeState {
  return {
    name,
    desired: null,
    previousBlobs: [],
    local: { models: [], triggers: [] },
    blobs: {},
    models: {},
    triggers: new Map(),
    reached: 0,
    described: '',
  };
}

export function modelId(model: WantedModel): string {
  return `${model.name}@${model.version}:${model.sha256}:${model.labels ?? ''}`;
}

export function step(before: NodeState, event: Event, now: number): { state: NodeState; effects: Effect[] } {
  const state = structuredClone(before);
  const effects: Effect[] = [];
  if (!apply(state, event, now, effects)) return { state: before, effects };
  startDownloads(state, now, effects);
  startLoads(state, effects);
  swapTriggers(state, effects);
  releaseModels(state, effects);
  removeBlobs(state, effects);
  const described = describe(state);
  if (isSettled(state)) state.reached = state.desired?.version ?? 0;
  const text = JSON.stringify([described, state.reached]);
  if (text !== state.described) effects.push({ type: 'report' });
  state.described = text;
  return { state, effects };
}

/** Takes the event into the state; false when it changes nothing at all. */
function apply(state: NodeState, event: Event, now: number, effects: Effect[]): boolean {
  switch (event.type) {
    case 'started':
      state.desired = event.desired;
      state.local = event.local;
      for (const sha256 of event.present) state.blobs[sha256] = { state: 'present', attempts: 0, retryAt: 0 };
      for (const sha256 of event.partial) state.blobs[sha256] ??= { state: 'waiting', attempts: 0, retryAt: 0 };
      for (const [name, trigger] of wantedTriggers(state)) {
        state.triggers.set(name, { held: true });
        effects.push({ type: 'holdTrigger', trigger });
      }
      return true;
    case 'desired':
      if (state.desired && !isNewer(event.desired, state.desired)) return false;
      state.previousBlobs = blobsOf(state.desired?.models ?? []).map(({ sha256 }) => sha256);
      state.desired = event.desired;
      effects.push({ type: 'saveDesired', desired: event.desired });
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
      if (event.type === 'triggerFailed') slot.failed = { key: event.key, error: event.error };
      else slot.running = slot.starting;
      delete slot.starting;
      return true;
    }
    case 'tick':
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

/** A file in the node's own folder wins over an assigned one of the same name: who put it there is standing beside it. */
function wantedModels(state: NodeState): Map<string, WantedModel> {
  const all = [...(state.desired?.models ?? []), ...state.local.models];
  return new Map(all.map((model) => [model.name, model]));
}

function wantedTriggers(state: NodeState): Map<string, Trigger> {
  const all = [...(state.desired?.triggers ?? []), ...state.local.triggers];
  return new Map(all.map((trigger) => [trigger.name, trigger]));
}

function blobsOf(models: Iterable<WantedModel>): { sha256: string; bytes: number | undefined }[] {
  return [...models].flatMap(({ sha256, bytes, labels }) => [
    { sha256, bytes },
    ...(labels === undefined ? [] : [{ sha256: labels, bytes: undefined }]),
  ]);
}

function startDownloads(state: NodeState, now: number, effects: Effect[]): void {
  const wanted = blobsOf(wantedModels(state).values());
  const files = state.desired?.files;
  if (files === undefined) return;
  for (const [sha256, blob] of Object.entries(state.blobs)) {
    if (blob.state !== 'waiting' || wanted.some((one) => one.sha256 === sha256)) continue;
    delete state.blobs[sha256];
    // What has arrived of it would lie on the disk for ever.
    effects.push({ type: 'removeBlob', sha256 });
  }
  let running = downloading(state);
  for (const { sha256, bytes } of wanted) {
    const blob = state.blobs[sha256];
    if (running >= DOWNLOADS_MAX) return;
    if (blob && (blob.state !== 'waiting' || blob.retryAt > now)) continue;
    state.blobs[sha256] = { ...blob, state: 'downloading', attempts: blob?.attempts ?? 0, retryAt: 0 };
    effects.push({ type: 'download', sha256, bytes, files });
    running++;
  }
}

function downloading(state: NodeState): number {
  return Object.values(state.blobs).filter((blob) => blob.state === 'downloading').length;
}

function startLoads(state: NodeState, effects: Effect[]): void {
  for (const model of wantedModels(state).values()) {
    const id = modelId(model);
    if (state.models[id] || blobsOf([model]).some(({ sha256 }) => state.blobs[sha256]?.state !== 'present')) continue;
    state.models[id] = { model, state: 'loading' };
    effects.push({ type: 'load', id, model });
  }
}

function swapTriggers(state: NodeState, effects: Effect[]): void {
  const models = wantedModels(state);
  const triggers = wantedTriggers(state);
  const refused = new Set(state.desired?.refused.map(({ name }) => name));
  for (const trigger of triggers.values()) {
    const ids = modelsOf(trigger).flatMap((name) => {
      const model = models.get(name);
      return model ? [[name, modelId(model)] as const] : [];
    });
    const held = ids.map(([, id]) => id);
    if (held.length < modelsOf(trigger).length || held.some((id) => state.models[id]?.state !== 'ready')) continue;
    const key = JSON.stringify([trigger, held]);
    const slot = state.triggers.get(trigger.name) ?? {};
    state.triggers.set(trigger.name, slot);
    if (slot.starting || slot.running?.key === key || slot.failed?.key === key) continue;
    delete slot.failed;
    slot.starting = { key, models: held };
    effects.push({ type: 'startTrigger', key, trigger, models: Object.fromEntries(ids) });
  }
  for (const [name, slot] of state.triggers) {
    if (triggers.has(name) || refused.has(name) || slot.starting) continue;
    state.triggers.delete(name);
    if (slot.running || slot.held) effects.push({ type: 'stopTrigger', name });
  }
}

function releaseModels(state: NodeState, effects: Effect[]): void {
  const wanted = new Set([...wantedModels(state).values()].map(modelId));
  for (const { running, starting } of state.triggers.values())
    for (const id of [...(running?.models ?? []), ...(starting?.models ?? [])]) wanted.add(id);
  for (const [id, slot] of Object.entries(state.models)) {
    if (wanted.has(id) || slot.state === 'loading') continue;
    delete state.models[id];
    if (slot.state === 'ready') effects.push({ type: 'unload', id });
  }
}

function removeBlobs(state: NodeState, effects: Effect[]): void {
  if (!state.desired || state.desired.models.length === 0 || !isSettled(state)) return;
  const inUse = Object.values(state.models).map((slot) => slot.model);
  const kept = new Set(blobsOf([...wantedModels(state).values(), ...inUse]).map(({ sha256 }) => sha256));
  for (const sha256 of state.previousBlobs) kept.add(sha256);
  for (const [sha256, blob] of Object.entries(state.blobs)) {
    if (kept.has(sha256) || blob.state === 'downloading') continue;
    delete state.blobs[sha256];
    if (blob.state === 'present') effects.push({ type: 'removeBlob', sha256 });
  }
}

type Described = Pick<ReportedState, 'models' | 'triggers'>;

/** Models and triggers as they are reported. */
export function describe(state: NodeState): Described {
  return { models: describeModels(state), triggers: describeTriggers(state) };
}

function describeModels(state: NodeState): Described['models'] {
  return [...wantedModels(state).values()].map((model) => {
    const { name, version, sha256 } = model;
    const slot = state.models[modelId(model)];
    if (slot) {
      const { model: _, ...outcome } = slot;
      return { name, version, sha256, ...outcome };
    }
    const blobs = blobsOf([model]).map((blob) => state.blobs[blob.sha256]);
    const failed = blobs.find((blob) => blob?.error !== undefined);
    if (failed) return { name, version, sha256, state: 'failed' as const, error: `${failed.error} (trying again)` };
    if (!state.desired)
      return { name, version, sha256, state: 'failed' as const, error: 'its file is not on this node' };
    const arriving = blobs.some((blob) => blob?.state === 'downloading');
    return { name, version, sha256, state: arriving ? ('downloading' as const) : ('waiting' as const) };
  });
}

function describeTriggers(state: NodeState): Described['triggers'] {
  const models = new Map(describeModels(state).map((model) => [model.name, model]));
  const failed = (name: string, error: string): Described['triggers'][number] => {
    const goesOn = state.triggers.get(name)?.running ? '; its previous form goes on' : '';
    return { name, state: 'failed', error: error + goesOn };
  };
  const described = [...wantedTriggers(state).values()].map((trigger) => {
    const { name } = trigger;
    const missing = modelsOf(trigger).find((model) => !models.has(model));
    if (missing) return failed(name, `model "${missing}" is not on this node: add the model, or correct the name`);
    const broken = modelsOf(trigger).find((model) => models.get(model)?.state === 'failed');
    if (broken) return failed(name, `model "${broken}": ${models.get(broken)?.error}`);
    const slot = state.triggers.get(name);
    if (slot?.starting) return { name, state: 'loading' as const };
    if (slot?.failed) return failed(name, slot.failed.error);
    const ready = slot?.running && modelsOf(trigger).every((model) => models.get(model)?.state === 'ready');
    return { name, state: ready ? ('ready' as const) : ('waiting' as const) };
  });
  const refused = (state.desired?.refused ?? []).map(({ name, error }) => failed(name, error));
  return [...described, ...refused];
}

function isSettled(state: NodeState): boolean {
  const { models, triggers } = describe(state);
  return [...models, ...triggers].every((item) => item.state === 'ready' || item.state === 'failed');
}

/** The reported `desiredVersion`: the last desired state in which everything became ready or failed for a stated reason. */
export function reachedVersion(state: NodeState): number {
  return state.reached;
}

/** When the next `tick` is due, or undefined; with all downloads taken, the end of one comes first. */
export function nextWake(state: NodeState): number | undefined {
  if (downloading(state) >= DOWNLOADS_MAX) return undefined;
  const times = Object.values(state.blobs).flatMap((blob) => (blob.state === 'waiting' ? [blob.retryAt] : []));
  return times.length > 0 ? Math.min(...times) : undefined;
}
