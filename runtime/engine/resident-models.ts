/**
 * Models that share a memory too small for all of them. Where one needs more than is left, the one that was unused for longest is unloaded,
 * and loaded again when it is to run next. That run waits for it, and nobody else does. Models that are pinned stay, as do those with runs.
 */
import { nowMs } from './core-messages.ts';
import { MemoryLimitError } from './memory.ts';
import type { Model, RunOptions, RunResult } from './model.ts';
import { timeLeft } from './run-request.ts';
import type { EngineValue } from './value.ts';

/** What is told of a model after it was loaded first. */
export type ResidencyNews = (model: string, change: 'unloaded' | 'loaded again') => void;

/** What a model takes of the memory. */
export interface ModelUse {
  readonly name: string;
  /** Weights, programs and runs. */
  readonly bytes: number;
  readonly pinned: boolean;
  /** False while it waits for its next run, to be loaded again. */
  readonly loaded: boolean;
  /** How often it made room for others. */
  readonly unloads: number;
}

interface Opening {
  readonly name: string;
  readonly pinned: boolean;
  /** The model's part of the memory. */
  readonly memory: { readonly usedBytes: number };
  /** Loads the model. Rejects with a MemoryLimitError when there is no room. */
  readonly open: () => Promise<Model>;
}

export class ResidentModels {
  readonly #models = new Set<ResidentModel>();
  readonly #tell: ResidencyNews;
  #uses = 0;

  constructor(tell: ResidencyNews = () => {}) {
    this.#tell = tell;
  }

  /** Loads a model for the first time. Rejects as `open` does when others cannot make room. */
  async load(opening: Opening): Promise<ResidentModel> {
    const model = new ResidentModel(opening, await this.open(opening), this);
    this.#models.add(model);
    return model;
  }

  async open({ open }: Opening): Promise<Model> {
    for (;;) {
      try {
        return await open();
      } catch (error) {
        await this.makeRoom(error);
      }
    }
  }

  get uses(): ModelUse[] {
    return [...this.#models].map((model) => model.use);
  }

  /** One could be unloaded. */
  get canMakeRoom(): boolean {
    return this.#victim() !== undefined;
  }

  /** Unloads a model. Throws the error again when it was not about memory, or nobody can make room. */
  async makeRoom(error: unknown): Promise<void> {
    const victim = error instanceof MemoryLimitError && error.othersHaveIt ? this.#victim() : undefined;
    if (!victim) throw error;
    this.#tell(victim.name, 'unloaded');
    await victim.rest();
  }

  /** The number of this use. */
  used(): number {
    return ++this.#uses;
  }

  isBack(name: string): void {
    this.#tell(name, 'loaded again');
  }

  forget(model: ResidentModel): void {
    this.#models.delete(model);
  }

  #victim(): ResidentModel | undefined {
    let victim: ResidentModel | undefined;
    for (const model of this.#models) if (model.canRest && (!victim || model.lastUse < victim.lastUse)) victim = model;
    return victim;
  }
}

export class ResidentModel implements Model {
  readonly name: string;
  readonly engine: Model['engine'];
  readonly inputs: Model['inputs'];
  readonly outputs: Model['outputs'];
  lastUse: number;
  readonly #opening: Opening;
  readonly #home: ResidentModels;
  #model: Model | undefined;
  #loading: Promise<Model> | undefined;
  /** Until then its memory is not free yet. */
  #resting: Promise<void> | undefined;
  #runs = 0;
  #unloads = 0;
  #closed = false;

  constructor(opening: Opening, model: Model, home: ResidentModels) {
    this.#opening = opening;
    this.name = opening.name;
    this.engine = model.engine;
    this.inputs = model.inputs;
    this.outputs = model.outputs;
    this.#model = model;
    this.#home = home;
    this.lastUse = home.used();
  }

  /** What is in memory of it. */
  get loaded(): Model | undefined {
    return this.#model;
  }

  get use(): ModelUse {
    const { name, pinned, memory } = this.#opening;
    const loaded = this.#model !== undefined;
    return { name, bytes: memory.usedBytes, pinned, loaded, unloads: this.#unloads };
  }

  get canRest(): boolean {
    return this.#model !== undefined && this.#runs === 0 && !this.#opening.pinned;
  }

  /** Gives its memory back until it is to run again. */
  rest(): Promise<void> {
    const model = this.#model;
    this.#unloads++;
    this.#model = undefined;
    this.#resting = model?.close();
    return this.#resting ?? Promise.resolve();
  }

  async run(inputs: Readonly<Record<string, EngineValue>>, options: RunOptions = {}): Promise<RunResult> {
    this.lastUse = this.#home.used();
    this.#runs++;
    try {
      for (;;) {
        try {
          // At once when it is in memory.
          return await (this.#model?.run(inputs, options) ?? this.#runLater(inputs, options));
        } catch (error) {
          await this.#home.makeRoom(error);
        }
      }
    } finally {
      this.#runs--;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#home.forget(this);
    // At once: runs that were given before end with it, also those that would be over in a moment.
    await this.#model?.close();
    await this.#resting;
    const model = await this.#loading?.catch(() => undefined);
    await model?.close();
  }

  async #runLater(inputs: Readonly<Record<string, EngineValue>>, options: RunOptions): Promise<RunResult> {
    const startedMs = nowMs();
    this.#loading ??= this.#load().finally(() => {
      this.#loading = undefined;
    });
    const model = await this.#loading;
    options.signal?.throwIfAborted();
    const waitedMs = nowMs() - startedMs;
    const result = await model.run(inputs, timeLeft(options, waitedMs));
    return { ...result, queueMs: result.queueMs + waitedMs };
  }

  async #load(): Promise<Model> {
    await this.#resting;
    if (this.#closed) throw new Error(`model "${this.name}" is closed`);
    const model = await this.#home.open(this.#opening);
    this.#model = model;
    this.#home.isBack(this.name);
    return model;
  }
}
