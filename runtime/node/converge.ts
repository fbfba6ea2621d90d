/** Runs the machine of reconcile.ts: carries out its effects with the ports given and feeds the outcomes back. */
import type { Model } from '../engine/model.ts';
import type { DesiredState } from '../protocol/messages.ts';
import type { Blobs } from '../store/blobs.ts';
import type { Trigger } from '../triggers/schema.ts';
import type { LoadedModel } from '../triggers/stage.ts';
import { parseLabels } from './labels.ts';
import {
  type CheckedDesired,
  describe,
  type Effect,
  type Event,
  initialState,
  modelId,
  type NodeState,
  nextWake,
  reachedVersion,
  step,
} from './reconcile.ts';

export interface ConvergePorts {
  readonly blobs: Blobs;
  readonly now: () => number;
  loadModel(content: Uint8Array, name: string): Promise<Model>;
  /** Makes the trigger ready and puts it, or its new form, to work. Throws when its models cannot be fed that way. */
  startTrigger(trigger: Trigger, models: Readonly<Record<string, LoadedModel>>): void;
  stopTrigger(name: string): void;
  /** Resolves when no stopped or replaced trigger uses its models any longer. */
  quiet(): Promise<void>;
  /** On the disk when it returns. */
  saveDesired(desired: CheckedDesired): void;
  reportChanged(): void;
  log(message: string, error?: Error): void;
}

export interface Converge {
  start(desired: CheckedDesired | null, local: Pick<DesiredState, 'models' | 'triggers'>): Promise<void>;
  desire(desired: CheckedDesired): void;
  readonly desired: CheckedDesired | null;
  describe(): ReturnType<typeof describe>;
  readonly reached: number;
  /** Whether nothing is being loaded or started; downloads may go on. */
  readonly idle: boolean;
  /** The model that is ready under this name, the wanted version first. */
  loaded(name: string): LoadedModel | undefined;
  /** Unloads everything; nothing may be in work any more. */
  close(): Promise<void>;
}

export function createConverge(node: string, ports: ConvergePorts): Converge {
  let state: NodeState = initialState(node);
  const loaded = new Map<string, LoadedModel>();
  const stop = new AbortController();
  const events: Event[] = [];
  let working = false;
  let timer: NodeJS.Timeout | undefined;
  /** One model is loaded after the other: compiling takes memory. */
  let loading = Promise.resolve();

  const send = (event: Event): void => {
    if (stop.signal.aborted) return;
    events.push(event);
    if (working) return;
    working = true;
    for (let next = events.shift(); next; next = events.shift()) {
      const result = step(state, next, ports.now());
      state = result.state;
      for (const effect of result.effects) carryOut(effect);
    }
    working = false;
    wake();
  };
  const wake = (): void => {
    clearTimeout(timer);
    const at = nextWake(state);
    if (at !== undefined) timer = setTimeout(() => send({ type: 'tick' }), Math.max(10, at - ports.now()));
  };
  const carryOut = (effect: Effect): void => {
    switch (effect.type) {
      case 'saveDesired':
        try {
          ports.saveDesired(effect.desired);
        } catch (error) {
          ports.log('the desired state could not be saved', error as Error);
        }
        break;
      case 'download':
        void download(effect);
        break;
      case 'removeBlob':
        ports.blobs.remove(effect.sha256).catch((error: Error) => ports.log('a blob could not be removed', error));
        break;
      case 'load':
        loading = loading.then(() => load(effect));
        break;
      case 'unload':
        void unload(effect.id);
        break;
      case 'startTrigger':
        startTrigger(effect);
        break;
      case 'stopTrigger':
        ports.stopTrigger(effect.name);
        break;
      case 'report':
        ports.reportChanged();
    }
  };
  const download = async ({ sha256, bytes, files }: Effect & { type: 'download' }): Promise<void> => {
    try {
      await ports.blobs.download(files, sha256, bytes, stop.signal);
      send({ type: 'downloaded', sha256 });
    } catch (error) {
      if (stop.signal.aborted) return;
      ports.log('a download failed', error as Error);
      send({ type: 'downloadFailed', sha256, error: (error as Error).message });
    }
  };
  const read = async (sha256: string): Promise<Uint8Array | undefined> => {
    try {
      return await ports.blobs.read(sha256);
    } catch (error) {
      ports.log('a blob is lost', error as Error);
      send({ type: 'blobLost', sha256 });
      return undefined;
    }
  };
  const load = async ({ id, model }: Effect & { type: 'load' }): Promise<void> => {
    if (stop.signal.aborted) return;
    const content = await read(model.sha256);
    const list = model.labels === undefined ? undefined : await read(model.labels);
    if (!content || (model.labels !== undefined && !list)) return;
    try {
      const labels = list && parseLabels(list);
      const made = await ports.loadModel(content, model.name);
      if (stop.signal.aborted) return await made.close();
      loaded.set(id, { model: made, version: model.version, ...(labels && { labels }) });
      send({ type: 'loaded', id, engine: made.engine, fallbackReason: made.fallbackReason });
    } catch (error) {
      ports.log(`model "${model.name}" could not be loaded`, error as Error);
      send({ type: 'loadFailed', id, error: (error as Error).message });
    }
  };
  const unload = async (id: string): Promise<void> => {
    const entry = loaded.get(id);
    loaded.delete(id);
    await ports.quiet();
    await entry?.model.close().catch((error: Error) => ports.log('a model did not close', error));
  };
  const startTrigger = ({ trigger, models, key }: Effect & { type: 'startTrigger' }): void => {
    const { name } = trigger;
    try {
      const held = Object.entries(models).map(([model, id]) => [model, loaded.get(id) as LoadedModel]);
      ports.startTrigger(trigger, Object.fromEntries(held));
      send({ type: 'triggerStarted', name, key });
    } catch (error) {
      ports.log(`trigger "${name}" could not be started`, error as Error);
      send({ type: 'triggerFailed', name, key, error: (error as Error).message });
    }
  };

  return {
    async start(desired, local) {
      send({ type: 'started', desired, present: await ports.blobs.list(), local });
    },
    desire: (desired) => send({ type: 'desired', desired }),
    get desired() {
      return state.desired;
    },
    describe: () => describe(state),
    get reached() {
      return reachedVersion(state);
    },
    get idle() {
      const { models, triggers } = describe(state);
      return ![...models, ...triggers].some((item) => item.state === 'loading');
    },
    loaded(name) {
      const ready = Object.values(state.models).filter((slot) => slot.model.name === name && slot.state === 'ready');
      const wanted = describe(state).models.find((model) => model.name === name);
      const slot = ready.find((candidate) => candidate.model.sha256 === wanted?.sha256) ?? ready[0];
      return slot && loaded.get(modelId(slot.model));
    },
    async close() {
      stop.abort();
      clearTimeout(timer);
      await ports.quiet();
      await Promise.allSettled([...loaded.values()].map(({ model }) => model.close()));
      loaded.clear();
    },
  };
}
