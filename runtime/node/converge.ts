/** Runs the machine of reconcile.ts: carries out its effects with the ports given and feeds the outcomes back. */
import type { Model } from '../engine/model.ts';
import type { DesiredState } from '../protocol/messages.ts';
import type { Blobs } from '../store/blobs.ts';
import type { Trigger } from '../triggers/schema.ts';
import type { LoadedModel } from '../triggers/stage.ts';
import type { Compared } from './comparison.ts';
import { describe, itemsOf } from './describe.ts';
import { parseLabels } from './labels.ts';
import { type CheckedDesired, type Effect, type Event, initialState, type NodeState } from './node-state.ts';
import type { Proofs, Served } from './proof.ts';
import { nextWake, reachedVersion, step } from './reconcile.ts';
import { describeTrials } from './trials.ts';
import { modelId } from './wanted.ts';

export interface ConvergePorts {
  readonly blobs: Blobs;
  readonly now: () => number;
  /** `path` names a file that stays as it is. */
  loadModel(path: string, name: string): Promise<Model>;
  /** Keeps the messages that come for the trigger until it is started, or stopped. */
  holdTrigger(trigger: Trigger): void;
  /** Makes the trigger ready and puts it, or its new form, to work. Throws when its models cannot be fed that way. */
  startTrigger(trigger: Trigger, models: Readonly<Record<string, LoadedModel>>): void;
  stopTrigger(name: string): void;
  /** Runs a new form beside the trigger that serves. Throws as `startTrigger` does. */
  startTrial(trigger: Trigger, models: Readonly<Record<string, LoadedModel>>): void;
  stopTrial(name: string): void;
  /** By trigger: how the new forms do. */
  compared(): ReadonlyMap<string, Compared>;
  /** Resolves when no stopped or replaced trigger uses its models any longer. */
  quiet(): Promise<void>;
  /** On the disk when it returns. */
  saveDesired(desired: CheckedDesired): void;
  saveProofs(proofs: Proofs): void;
  saveHold(hold: string | null): void;
  /** What each trigger has done since the process began. */
  served(): ReadonlyMap<string, Served>;
  reportChanged(): void;
  log(message: string, error?: Error): void;
}

/** What a node has on its disk of its desired state. */
export interface Kept {
  readonly desired: CheckedDesired | null;
  readonly proofs: Proofs;
  readonly hold: string | null;
}

export class Converge {
  readonly #ports: ConvergePorts;
  #state: NodeState;
  readonly #loaded = new Map<string, LoadedModel>();
  readonly #stop = new AbortController();
  readonly #events: Event[] = [];
  #working = false;
  #timer: NodeJS.Timeout | undefined;
  /** One model is loaded after the other: compiling takes memory. */
  #loading = Promise.resolve();

  constructor(node: string, ports: ConvergePorts) {
    this.#ports = ports;
    this.#state = initialState(node);
  }

  /** @param isOnTrial whether this version of the program is (software.ts) */
  async start(kept: Kept, local: Pick<DesiredState, 'models' | 'triggers'>, isOnTrial = false): Promise<void> {
    this.#send({ type: 'started', isOnTrial, ...kept, ...(await this.#ports.blobs.list()), local });
  }

  /** This version of the program was on trial, and has proved itself. */
  programProved(): void {
    this.#send({ type: 'programProved' });
  }

  /** Nothing that runs is changed until it is called with null. On the disk when it returns. */
  hold(reason: string | null): void {
    this.#send({ type: 'hold', reason });
  }

  get held(): string | null {
    return this.#state.hold;
  }

  desire(desired: CheckedDesired): void {
    this.#send({ type: 'desired', desired });
  }

  get desired(): CheckedDesired | null {
    return this.#state.desired;
  }

  describe(): ReturnType<typeof describe> {
    return describe(this.#state);
  }

  items(): ReturnType<typeof itemsOf> {
    return itemsOf(this.#state);
  }

  trials(): ReturnType<typeof describeTrials> {
    return describeTrials(this.#state, this.#ports.compared());
  }

  get reached(): number {
    return reachedVersion(this.#state);
  }

  /** The model that is ready under this name, the wanted version first. */
  loaded = (name: string): LoadedModel | undefined => {
    const ready = Object.values(this.#state.models).filter(
      (slot) => slot.model.name === name && slot.state === 'ready',
    );
    const wanted = this.describe().models.find((model) => model.name === name);
    const slot = ready.find((candidate) => candidate.model.sha256 === wanted?.sha256) ?? ready[0];
    return slot && this.#loaded.get(modelId(slot.model));
  };

  /** Looks whether a model has changed engines since, so that the report stays true. */
  checkEngines(): void {
    for (const [id, { model }] of this.#loaded) {
      const { engine, fallbackReason } = model;
      if (engine !== this.#state.models[id]?.engine) this.#send({ type: 'engineChanged', id, engine, fallbackReason });
    }
  }

  /** Unloads everything; nothing may be in work any more. */
  async close(): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#timer);
    await this.#ports.quiet();
    await Promise.allSettled([...this.#loaded.values()].map(({ model }) => model.close()));
    this.#loaded.clear();
  }

  /** Effects that end at once send their outcome from within; it waits its turn. */
  #send(event: Event): void {
    if (this.#stop.signal.aborted) return;
    this.#events.push(event);
    if (this.#working) return;
    this.#working = true;
    for (let next = this.#events.shift(); next; next = this.#events.shift()) {
      const { state, effects } = step(this.#state, next, this.#ports.now());
      this.#state = state;
      for (const effect of effects) this.#carryOut(effect);
    }
    this.#working = false;
    clearTimeout(this.#timer);
    const wake = nextWake(this.#state);
    if (wake === undefined) return;
    const waitMs = Math.max(10, wake - this.#ports.now());
    this.#timer = setTimeout(() => this.#send({ type: 'tick', served: this.#ports.served() }), waitMs);
  }

  #carryOut(effect: Effect): void {
    switch (effect.type) {
      case 'saveDesired':
        this.#save('the desired state', () => this.#ports.saveDesired(effect.desired));
        break;
      case 'saveProofs':
        this.#save('what is known of its triggers', () => this.#ports.saveProofs(effect.proofs));
        break;
      case 'saveHold':
        this.#save('that it is held, or no longer', () => this.#ports.saveHold(effect.hold));
        break;
      case 'download':
        void this.#download(effect);
        break;
      case 'removeBlob':
        this.#ports.blobs
          .remove(effect.sha256)
          .catch((error: Error) => this.#ports.log('a blob could not be removed', error));
        break;
      case 'load':
        this.#loading = this.#loading.then(() => this.#load(effect));
        break;
      case 'unload':
        void this.#unload(effect.id);
        break;
      case 'holdTrigger':
        this.#ports.holdTrigger(effect.trigger);
        break;
      case 'startTrigger':
        this.#startTrigger(effect);
        break;
      case 'stopTrigger':
        this.#ports.stopTrigger(effect.name);
        break;
      case 'startTrial':
        this.#startTrial(effect);
        break;
      case 'stopTrial':
        this.#ports.stopTrial(effect.name);
        break;
      case 'report':
        this.#ports.reportChanged();
    }
  }

  /** A disk that is full keeps the node from remembering, not from obeying. */
  #save(what: string, write: () => void): void {
    try {
      write();
    } catch (error) {
      this.#ports.log(`${what} could not be saved`, error as Error);
    }
  }

  async #download({ files, file }: Effect & { type: 'download' }): Promise<void> {
    const { sha256 } = file;
    try {
      await this.#ports.blobs.download(files, file, this.#stop.signal);
      this.#send({ type: 'downloaded', sha256 });
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.#ports.log('a download failed', error as Error);
      this.#send({ type: 'downloadFailed', sha256, error: (error as Error).message });
    }
  }

  /** What `read` gives of a blob, or nothing when the blob is damaged or gone. */
  async #fromBlob<T>(sha256: string, read: (sha256: string) => Promise<T>): Promise<T | undefined> {
    try {
      return await read(sha256);
    } catch (error) {
      this.#ports.log('a blob is lost', error as Error);
      this.#send({ type: 'blobLost', sha256 });
      return undefined;
    }
  }

  async #load({ id, model }: Effect & { type: 'load' }): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const { blobs } = this.#ports;
    const path = await this.#fromBlob(model.sha256, blobs.checkedPath);
    const list = model.labels === undefined ? undefined : await this.#fromBlob(model.labels, blobs.read);
    if (!path || (model.labels !== undefined && !list)) return;
    try {
      const labels = list && parseLabels(list);
      const made = await this.#ports.loadModel(path, model.name);
      if (this.#stop.signal.aborted) return await made.close();
      this.#loaded.set(id, { model: made, version: model.version, ...(labels && { labels }) });
      this.#send({ type: 'loaded', id, engine: made.engine, fallbackReason: made.fallbackReason });
    } catch (error) {
      this.#ports.log(`model "${model.name}" could not be loaded`, error as Error);
      this.#send({ type: 'loadFailed', id, error: (error as Error).message });
    }
  }

  async #unload(id: string): Promise<void> {
    const entry = this.#loaded.get(id);
    this.#loaded.delete(id);
    await this.#ports.quiet();
    await entry?.model.close().catch((error: Error) => this.#ports.log('a model did not close', error));
  }

  #startTrigger({ trigger, models, key }: Effect & { type: 'startTrigger' }): void {
    const { name } = trigger;
    try {
      this.#ports.startTrigger(trigger, this.#held(models));
      this.#send({ type: 'triggerStarted', name, key });
    } catch (error) {
      this.#ports.log(`trigger "${name}" could not be started`, error as Error);
      this.#send({ type: 'triggerFailed', name, key, error: (error as Error).message });
    }
  }

  #startTrial({ name, trigger, models, key }: Effect & { type: 'startTrial' }): void {
    try {
      this.#ports.startTrial(trigger, this.#held(models));
    } catch (error) {
      this.#ports.log(`the new form of trigger "${name}" could not be tried`, error as Error);
      this.#send({ type: 'trialFailed', name, key, error: (error as Error).message });
    }
  }

  /** @param models name to loaded id */
  #held(models: Readonly<Record<string, string>>): Record<string, LoadedModel> {
    const held = Object.entries(models).map(([model, id]) => [model, this.#loaded.get(id) as LoadedModel]);
    return Object.fromEntries(held);
  }
}
