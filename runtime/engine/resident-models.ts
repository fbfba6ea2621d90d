/**
 * Models that share a memory which may be too small for all of them. The policy says which are loaded and unloaded, and when a run may use
 * its model (rule 8 of docs/scheduling.md); here that is carried out and told, with the bytes that were measured. A run whose model is not
 * there waits in the policy as an entry, which is done when the model is.
 */
import type { Decision, RunRequest, SchedulerEvent, TenantSpec } from '../schedule/events.ts';
import type { Clock } from './clock-io.ts';
import { MemoryLimitError } from './memory.ts';
import type { Model } from './model.ts';
import { type ModelUse, type Opening, type ResidenceDesk, ResidentModel } from './resident-model.ts';
import { Displaced, endedEarly, refused } from './run-error.ts';
import { type PartOptions, requestOf } from './run-request.ts';

/** What is told of a model after it was loaded first. */
export type ResidencyNews = (model: string, change: 'unloaded' | 'loaded again') => void;

export interface ResidencyPorts {
  readonly clock: Clock;
  readonly nextId: () => number;
  readonly submitted: (request: RunRequest) => void;
  readonly tell: (event: SchedulerEvent) => void;
  /** Whether a run of the model would wait for a core only; what the model could have at the most. */
  readonly hasInMemory: (key: string) => boolean;
  readonly mostBytes: (key: string) => number;
  readonly budgetBytes: number;
  readonly news?: ResidencyNews;
}

/** Whose entries are the first loads: no quota of a tenant bounds them. */
export const LOADING: TenantSpec = { name: 'loading models', weight: 1, runsMax: Number.POSITIVE_INFINITY };
/** Free memory may lie in pieces: where too little is free although it should do, so much more of the budget is asked for each time. */
const MORE_SHARE = 1 / 16;

/** Somebody who waits for a model to be in memory. */
interface Entry {
  readonly request: RunRequest;
  readonly answer: PromiseWithResolvers<void>;
  /** Why it was cancelled. */
  readonly whose: { readonly reason?: unknown };
  /** Stops listening to whoever may cancel it. */
  readonly forget: () => void;
}

export class ResidentModels implements ResidenceDesk {
  readonly clock: Clock;
  readonly #ports: ResidencyPorts;
  readonly #models = new Map<string, ResidentModel>();
  readonly #entries = new Map<number, Entry>();
  /** One after the other, so that what each takes is known when the next one asks for room. */
  #lastLoad = Promise.resolve();

  constructor(ports: ResidencyPorts) {
    this.#ports = ports;
    this.clock = ports.clock;
  }

  /** Loads a model for the first time. Rejects as `open` does when others cannot make room. */
  async load(opening: Opening): Promise<Model> {
    let key = opening.name;
    for (let number = 2; this.#models.has(key); number++) key = `${opening.name} (${number})`;
    const model = new ResidentModel(key, opening, this);
    this.#models.set(key, model);
    this.#ports.tell({ kind: 'model-known', model: { name: key, bytes: 0, pinned: opening.pinned } });
    try {
      await this.enter(model, { tenant: LOADING.name });
    } catch (error) {
      await model.close();
      throw error;
    }
    this.letGo(key);
    return model;
  }

  get uses(): ModelUse[] {
    return [...this.#models.values()].filter(({ wasLoaded }) => wasLoaded).map(({ use }) => use);
  }

  has(key: string): boolean {
    return this.#models.has(key);
  }

  hasInMemory(key: string): boolean {
    return this.#ports.hasInMemory(key);
  }

  /** Whether there may be room for what the model was refused, once others have made it. */
  mayFit(key: string, error: unknown): error is MemoryLimitError {
    const model = this.#models.get(key);
    if (!model || !(error instanceof MemoryLimitError && error.othersHaveIt)) return false;
    const canGo = (other: ResidentModel): boolean =>
      other !== model && !other.opening.pinned && (other.isThere || other.change !== undefined);
    return [...this.#models.values()].some(canGo) && this.#wanted(model, error) <= this.#ports.mostBytes(key);
  }

  async enter(model: ResidentModel, options: PartOptions): Promise<void> {
    const { clock, nextId, submitted, tell } = this.#ports;
    const { signal } = options;
    signal?.throwIfAborted();
    const program = { work: model.work, sharing: { isWanted: false } };
    const nowUs = clock.nowMs() * 1000;
    const request = requestOf({ ...options, part: 'entry' }, { model: model.key, program, cores: 1 }, nextId(), {
      nowUs,
      epochMs: () => clock.epochMs(),
    });
    const whose: { reason?: unknown } = {};
    const abort = (): void => this.#cancel(request.id, whose, signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    const entry = {
      request,
      whose,
      answer: Promise.withResolvers<void>(),
      forget: () => signal?.removeEventListener('abort', abort),
    };
    this.#entries.set(request.id, entry);
    if (request.tenant !== LOADING.name) submitted(request);
    tell({ kind: 'submit', request });
    return entry.answer.promise;
  }

  /** A run that has not begun waits on as an entry, as what it was to run goes with its model. */
  adopt(whose: Pick<Entry, 'request' | 'forget'> & Entry['whose']): Displaced {
    const { request, forget } = whose;
    const answer = Promise.withResolvers<void>();
    // It may be cancelled before anybody has heard of it.
    answer.promise.catch(() => {});
    this.#entries.set(request.id, { request, whose, answer, forget });
    this.#ports.tell({ kind: 'displaced', run: request.id });
    return new Displaced(answer.promise);
  }

  #hold(key: string): () => void {
    this.#ports.tell({ kind: 'hold', model: key });
    let isHeld = true;
    return () => {
      if (isHeld) this.letGo(key);
      isHeld = false;
    };
  }

  letGo(key: string): void {
    if (this.#models.has(key)) this.#ports.tell({ kind: 'let-go', model: key });
  }

  isShort(model: ResidentModel, error: MemoryLimitError): void {
    model.toldBytes = this.#wanted(model, error);
    this.#ports.tell({ kind: 'short', model: model.key, bytes: model.toldBytes });
  }

  measure(model: ResidentModel): void {
    const bytes = model.opening.memory.neededBytes;
    if (!model.isThere || bytes <= model.toldBytes) return;
    model.toldBytes = bytes;
    this.#ports.tell({ kind: 'measured', model: model.key, bytes });
  }

  /** What the policy decides about models and entries; false when the run is none. */
  carryOut(decision: Extract<Decision, { kind: 'load' | 'unload' | 'refuse' | 'end' }>): boolean {
    if (decision.kind === 'load' || decision.kind === 'unload') {
      const model = this.#models.get(decision.model) as ResidentModel;
      if (decision.kind === 'unload') model.change = this.#unload(model);
      else model.change = this.#lastLoad = this.#lastLoad.then(() => this.#load(model));
      return true;
    }
    const entry = this.#entries.get(decision.run);
    if (!entry) return false;
    this.#entries.delete(decision.run);
    entry.forget();
    if (decision.kind === 'refuse') entry.answer.reject(refused(entry.request, decision));
    else this.#settle(entry, decision);
    return true;
  }

  cancelEntries({ key }: ResidentModel, reason: Error): void {
    for (const { request, whose } of [...this.#entries.values()])
      if (request.model === key) this.#cancel(request.id, whose, reason);
  }

  forget({ key }: ResidentModel): void {
    this.#models.delete(key);
    this.#ports.tell({ kind: 'model-removed', model: key });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#models.values()].map((model) => model.close()));
  }

  #cancel(run: number, whose: { reason?: unknown }, reason: unknown): void {
    whose.reason ??= reason;
    this.#ports.tell({ kind: 'cancel', run });
  }

  #settle({ request, answer, whose }: Entry, end: Extract<Decision, { kind: 'end' }>): void {
    const { outcome, reason } = end;
    if (outcome === 'done') answer.resolve();
    else if (outcome === 'cancelled') answer.reject(whose.reason);
    else if (outcome === 'failed')
      answer.reject(this.#models.get(request.model)?.failure ?? new MemoryLimitError(reason as string));
    else answer.reject(endedEarly(request, 0, end));
  }

  async #load(model: ResidentModel): Promise<void> {
    const { key, opening, wasLoaded } = model;
    const { clock, tell, news } = this.#ports;
    const startedMs = clock.nowMs();
    let part: Model;
    try {
      opening.memory.startOver();
      part = await opening.open({ key, hold: () => this.#hold(key) });
    } catch (error) {
      model.change = undefined;
      if (this.mayFit(key, error)) this.isShort(model, error);
      else {
        model.failure = error;
        tell({ kind: 'load-failed', model: key, reason: (error as Error).message });
        model.failure = undefined;
      }
      return;
    }
    model.change = undefined;
    model.take(part);
    model.toldBytes = opening.memory.neededBytes;
    if (wasLoaded) news?.(model.name, 'loaded again');
    tell({ kind: 'loaded', model: key, bytes: model.toldBytes, loadUs: (clock.nowMs() - startedMs) * 1000 });
  }

  async #unload(model: ResidentModel): Promise<void> {
    const { key, name } = model;
    const part = model.leave();
    await undefined;
    if (part) this.#ports.news?.(name, 'unloaded');
    await part?.close();
    model.change = undefined;
    this.#ports.tell({ kind: 'unloaded', model: key });
  }

  /** In all. */
  #wanted({ key, opening, toldBytes }: ResidentModel, { wantedBytes }: MemoryLimitError): number {
    const { neededBytes, refusedBytes } = opening.memory;
    const bytes = Math.max(neededBytes, refusedBytes);
    if (bytes > toldBytes) return bytes;
    const { mostBytes, budgetBytes } = this.#ports;
    const most = mostBytes(key);
    const more = toldBytes + Math.max(wantedBytes, budgetBytes * MORE_SHARE);
    return toldBytes < most ? Math.min(more, most) : more;
  }
}
