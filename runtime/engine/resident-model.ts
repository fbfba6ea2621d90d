/** A model that is in memory while the policy wants it there. */
import { WorkEstimate } from '../schedule/work-estimate.ts';
import type { Clock } from './clock-io.ts';
import type { MemoryLimitError } from './memory.ts';
import type { Model, RunOptions, RunResult } from './model.ts';
import type { ModelMemory } from './model-memory.ts';
import { Displaced } from './run-error.ts';
import { type PartOptions, timeLeft } from './run-request.ts';
import type { EngineValue } from './value.ts';

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

/** What the parts of a model know of its place in memory. */
export interface Residence {
  /** Its name for the policy. */
  readonly key: string;
  /** Keeps the model in memory until what it returns is called. */
  readonly hold: () => () => void;
}

export interface Opening {
  readonly name: string;
  readonly pinned: boolean;
  /** The model's part of the memory. */
  readonly memory: Pick<ModelMemory, 'usedBytes' | 'neededBytes' | 'refusedBytes' | 'startOver'>;
  /** Loads the model. Rejects with a MemoryLimitError when there is no room. */
  readonly open: (residence: Residence) => Promise<Model>;
}

/** Where models come to ask. */
export interface ResidenceDesk {
  readonly clock: Clock;
  hasInMemory(key: string): boolean;
  /** Resolves when the model is in memory, where it is held from then on; rejects as the run would. */
  enter(model: ResidentModel, options: PartOptions): Promise<void>;
  letGo(key: string): void;
  /** Whether there may be room for what the model was refused, once others have made it. */
  mayFit(key: string, error: unknown): error is MemoryLimitError;
  /** Tells that there was no room for what a run of the model needs. */
  isShort(model: ResidentModel, error: MemoryLimitError): void;
  /** Tells when the model takes more than was known. */
  measure(model: ResidentModel): void;
  cancelEntries(model: ResidentModel, reason: Error): void;
  forget(model: ResidentModel): void;
}

export class ResidentModel implements Model {
  readonly name: string;
  readonly engine = 'llmasos';
  readonly opening: Opening;
  /** Its name for the policy. */
  readonly key: string;
  inputs: Model['inputs'] = [];
  outputs: Model['outputs'] = [];
  wasLoaded = false;
  /** How long its runs take in all. */
  readonly work = new WorkEstimate();
  /** What the policy knows that it needs. */
  toldBytes = 0;
  /** While it is loaded or unloaded. */
  change: Promise<void> | undefined;
  /** Why it could not be loaded, while that is told. */
  failure: unknown;
  readonly #desk: ResidenceDesk;
  #part: Model | undefined;
  /** How often there was too little room. */
  #shorts = 0;
  #unloads = 0;
  #closed = false;

  constructor(key: string, opening: Opening, desk: ResidenceDesk) {
    this.key = key;
    this.name = opening.name;
    this.opening = opening;
    this.#desk = desk;
  }

  get use(): ModelUse {
    const { name, pinned, memory } = this.opening;
    return { name, bytes: memory.usedBytes, pinned, loaded: this.isThere, unloads: this.#unloads };
  }

  get isThere(): boolean {
    return this.#part !== undefined;
  }

  /** What is in memory of it. */
  get loaded(): Model | undefined {
    return this.#part;
  }

  take(part: Model): void {
    this.#part = part;
    this.inputs = part.inputs;
    this.outputs = part.outputs;
    this.wasLoaded = true;
  }

  /** Its memory is to be given back until it is to run again. */
  leave(): Model | undefined {
    const part = this.#part;
    if (part) this.#unloads++;
    this.#part = undefined;
    return part;
  }

  async run(inputs: Readonly<Record<string, EngineValue>>, options: RunOptions = {}): Promise<RunResult> {
    const { clock } = this.#desk;
    const sinceMs = clock.nowMs();
    let entry = this.#desk.hasInMemory(this.key) ? undefined : this.#enter(options, sinceMs);
    for (;;) {
      if (entry) await entry;
      const shorts = this.#shorts;
      try {
        const waitedMs = entry ? clock.nowMs() - sinceMs : 0;
        const left = entry ? { ...timeLeft(options, waitedMs), sinceMs } : options;
        const result = await this.#begin(inputs, left, entry !== undefined);
        this.#learn(result);
        return { ...result, queueMs: result.queueMs + waitedMs };
      } catch (error) {
        if (error instanceof Displaced) entry = error.entry;
        else if (!this.#closed && this.#desk.mayFit(this.key, error)) {
          // Several that fail together ask once.
          if (shorts === this.#shorts++) this.#desk.isShort(this, error);
          entry = this.#enter(timeLeft(options, clock.nowMs() - sinceMs), sinceMs);
        } else throw error;
      }
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#desk.cancelEntries(this, new Error(`model "${this.name}" is closed`));
    for (;;) {
      const part = this.#part;
      this.#part = undefined;
      // At once: runs that were given before end with it, also those that would be over in a moment.
      await part?.close();
      if (!this.change) break;
      await this.change;
    }
    this.#desk.forget(this);
  }

  #enter(options: RunOptions, sinceMs: number): Promise<void> {
    if (this.#closed) throw new Error(`model "${this.name}" is closed`);
    return this.#desk.enter(this, { ...options, sinceMs });
  }

  /** The model is in memory when this is called, and cannot go before the policy has been given the run. */
  #begin(inputs: Readonly<Record<string, EngineValue>>, options: PartOptions, isHeld: boolean): Promise<RunResult> {
    try {
      if (!this.#part) throw new Error(`model "${this.name}" is closed`);
      return this.#part.run(inputs, options);
    } finally {
      if (isHeld) this.#desk.letGo(this.key);
    }
  }

  #learn({ accounts, runMs }: RunResult): void {
    const us = accounts?.reduce((sum, { runUs }) => sum + runUs, 0) ?? runMs * 1000;
    this.work.note(us, this.#desk.clock.nowMs() * 1000);
    this.#desk.measure(this);
  }
}
