/** The programs of one model in the engine's memory, bounded, and the weights that they share. */
import { compileStage, type Prepared, prepare, type Stage, type StageRequest } from '../compile/compile.ts';
import type { KernelTraits } from '../compile/traits.ts';
import type { OnnxModel } from '../onnx/graph.ts';
import { LoadedProgram } from './loaded-program.ts';
import { MemoryWeights } from './memory-weights.ts';
import type { ModelMemory } from './model-memory.ts';
import type { Missing, StageStore } from './stages.ts';

/** Kept of one stage: one for each set of input shapes in use. The one unused for longest makes room. */
const PROGRAMS_MAX = 32;
/** Of all stages together. A model without cuts is one stage. */
const STAGES_MAX = 512;

/**
 * Constants that follow from an input's shape, such as a part of a table of positions, are packed for every shape that
 * comes. What programs share may grow to twice what the first one needed and this, then it is made anew.
 */
const GROWTH_BYTES_MAX = 32 * 2 ** 20;
const GROWTH_NAMES_MAX = 10_000;

/** What the programs of a model have in common. */
export interface Shared {
  readonly generation: number;
  readonly prepared: Prepared;
  readonly weights: MemoryWeights;
  /** Bounds, known from the first program on. */
  bytesMax: number;
  namesMax: number;
}

interface Entry {
  readonly place: string;
  readonly stage: Stage<LoadedProgram>;
}

export interface StoreOptions {
  readonly name: string;
  /** A guess at what the weights take. */
  readonly weightBytes: number;
  readonly memory: ModelMemory;
  /** What programs are made for here. */
  readonly traits: KernelTraits;
  /** Told of the first stage that was made. */
  readonly onFirst?: (stage: Stage, request: StageRequest, weights: MemoryWeights) => void;
}

export class ProgramStore implements StageStore<LoadedProgram> {
  readonly #options: StoreOptions;
  #shared: Shared;
  #generation = 0;
  /** Changes whenever a stage comes or goes. */
  changes = 0;
  /** The least recently used first. */
  readonly #entries = new Map<string, Entry>();
  /** Programs that have left the cache and whose last runs are under way. */
  readonly #leaving = new Set<LoadedProgram>();

  /** Throws an UnsupportedError when the kernels lack what the model needs. */
  constructor(model: OnnxModel, options: StoreOptions) {
    this.#options = options;
    this.#shared = this.#prepare(model);
  }

  /** With its nodes as they are compiled. */
  get model(): OnnxModel {
    return this.#shared.prepared.model;
  }

  /** All that may have runs. */
  get programs(): LoadedProgram[] {
    const programs = [...this.#entries.values()].flatMap(({ stage }) => programOf(stage) ?? []);
    return [...programs, ...this.#leaving];
  }

  find(key: string): Stage<LoadedProgram> | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.stage;
  }

  make(key: string, place: string, request: StageRequest): Stage<LoadedProgram> {
    this.#makeRoom(place);
    const { prepared, weights } = this.#shared;
    return this.#add(key, place, request, compileStage(prepared, request, weights, this.#options.traits));
  }

  /** For a stage that another thread makes: nothing else may be made until it has. */
  beginElsewhere(place: string): Shared {
    this.#makeRoom(place);
    return this.#shared;
  }

  /** Takes a stage that another thread made. */
  add({ key, place, request }: Missing, made: Stage): void {
    this.#add(key, place, request, made);
  }

  #add(key: string, place: string, request: StageRequest, made: Stage): Stage<LoadedProgram> {
    const { prepared, weights, bytesMax } = this.#shared;
    const { memory, name } = this.#options;
    if (bytesMax === Infinity) {
      this.#shared.bytesMax = 2 * weights.byteLength + GROWTH_BYTES_MAX;
      this.#shared.namesMax = 2 * prepared.keys.size + GROWTH_NAMES_MAX;
      this.#options.onFirst?.(made, request, weights);
    }
    const program = made.kind === 'program' ? made.program : undefined;
    // Said now, not at the first run: a model that is loaded can run.
    if (program) memory.expectRun(program.arenaBytes, `a run of model "${name}"`);
    const loaded = program && new LoadedProgram(program, weights, memory, name);
    const stage = made.kind === 'program' ? { ...made, program: loaded } : made;
    this.changes++;
    this.#entries.set(key, { place, stage });
    return stage;
  }

  /** Gives back what left the cache, once no run uses it any more. */
  sweep(): void {
    for (const program of this.#leaving) {
      if (program.users > 0) continue;
      this.#leaving.delete(program);
      program.free();
      const { weights } = program;
      if (weights !== this.#shared.weights && ![...this.#leaving].some((other) => other.weights === weights))
        weights.free();
    }
  }

  /** Gives all memory back; no run may be under way. */
  close(): void {
    for (const key of this.#entries.keys()) this.#drop(key);
    this.sweep();
    this.#shared.weights.free();
  }

  #prepare(model: OnnxModel): Shared {
    const { memory, name, weightBytes } = this.#options;
    const generation = this.#generation++;
    const prepared = prepare(model, generation);
    // A guess: what a file holds besides weights shall not count.
    const weights = new MemoryWeights(memory, name, Math.min(weightBytes, memory.maxBytes / 2));
    return { generation, prepared, weights, bytesMax: Infinity, namesMax: Infinity };
  }

  #drop(key: string): void {
    const stage = this.#entries.get(key)?.stage;
    this.changes++;
    this.#entries.delete(key);
    const program = stage && programOf(stage);
    if (program) this.#leaving.add(program);
  }

  /** For one more stage. */
  #makeRoom(place: string): void {
    const { prepared, weights, bytesMax, namesMax } = this.#shared;
    const grown = weights.byteLength > bytesMax || prepared.keys.size > namesMax;
    const alike = [...this.#entries.values()].filter((entry) => entry.place === place).length;
    let oldest = alike >= PROGRAMS_MAX;
    for (const [key, entry] of this.#entries) {
      const isOldest = oldest && entry.place === place;
      if (!grown && !isOldest && this.#entries.size < STAGES_MAX) continue;
      if (isOldest) oldest = false;
      this.#drop(key);
    }
    this.sweep();
    if (!grown) return;
    // Where runs still need the old weights, both need room for a while.
    if (this.#leaving.size === 0) weights.free();
    this.#shared = this.#prepare(prepared.model);
  }
}

function programOf(stage: Stage<LoadedProgram>): LoadedProgram | undefined {
  return stage.kind === 'program' ? stage.program : undefined;
}
