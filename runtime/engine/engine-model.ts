/** A model that our own kernels run: compiled once per concrete input shape, its weights packed once. */
import { compile, type InputShape, NeedsValueError, type Prepared, prepare } from '../compile/compile.ts';
import { UnsupportedError } from '../compile/program.ts';
import type { OnnxModel } from '../onnx/graph.ts';
import { checkInputs } from './check-inputs.ts';
import type { Dispatcher } from './dispatcher.ts';
import { LoadedProgram } from './loaded-program.ts';
import { MemoryLimitError } from './memory.ts';
import { MemoryWeights } from './memory-weights.ts';
import type { Model, RunOptions, RunResult } from './model.ts';
import type { ModelMemory } from './model-memory.ts';
import type { DataType, Tensor } from './tensor.ts';

/** Programs kept per model: one for each set of input shapes in use. The one unused for longest makes room. */
const PROGRAMS_MAX = 32;

/**
 * Constants that follow from an input's shape, such as a part of a table of positions, are packed for every shape that
 * comes. What programs share may grow to twice what the first one needed and this, then it is made anew.
 */
const GROWTH_BYTES_MAX = 32 * 2 ** 20;
const GROWTH_NAMES_MAX = 10_000;

/** What the programs of a model have in common. */
interface Shared {
  readonly prepared: Prepared;
  readonly weights: MemoryWeights;
  /** Bounds, known from the first program on. */
  bytesMax: number;
  namesMax: number;
}

export interface ModelHome {
  readonly memory: ModelMemory;
  readonly dispatcher: Dispatcher;
  /** Columns in one panel of a packed matrix; it belongs to the kernels' build. */
  readonly panel: 8 | 16;
  /** All models that are open. */
  readonly models: Set<Model>;
}

export class EngineModel implements Model {
  readonly name: string;
  readonly engine = 'llmasos';
  readonly inputs: Model['inputs'];
  readonly outputs: Model['outputs'];
  readonly #home: ModelHome;
  readonly #file: OnnxModel;
  readonly #fileBytes: number;
  #shared: Shared;
  /** By input shapes (and the values that a program depends on), the least recently used first. */
  readonly #programs = new Map<string, LoadedProgram>();
  /** Programs that have left the cache and whose last runs are under way. */
  readonly #leaving = new Set<LoadedProgram>();
  /** Inputs whose values decide the program, such as a shape; found out while compiling. */
  readonly #specialised = new Set<string>();
  #closed = false;

  /** Throws an UnsupportedError when the kernels lack what the model needs. */
  constructor(file: OnnxModel, name: string, fileBytes: number, home: ModelHome) {
    this.name = name;
    this.inputs = file.graph.inputs;
    this.outputs = file.graph.outputs;
    this.#home = home;
    this.#file = file;
    this.#fileBytes = fileBytes;
    this.#shared = this.#prepare();
    home.models.add(this);
  }

  /**
   * Compiles ahead where the file fixes every shape, so that the first run is quick and a lack shows at once: throws
   * an UnsupportedError or a MemoryLimitError. Whatever else is wrong may be due to values that only a run has.
   */
  compileAhead(): void {
    const inputs: Record<string, Tensor> = {};
    for (const { name, type, dims } of this.inputs) {
      if (!dims.every((dim) => typeof dim === 'number')) return;
      inputs[name] = { type: type as DataType, dims, data: new Uint8Array() };
    }
    try {
      this.#programs.set(this.#keyOf(inputs), this.#compile(inputs));
    } catch (error) {
      if (error instanceof UnsupportedError || error instanceof MemoryLimitError) throw error;
    }
  }

  async run(inputs: Readonly<Record<string, Tensor>>, options: RunOptions = {}): Promise<RunResult> {
    checkInputs(this.name, this.inputs, inputs);
    if (this.#closed) throw new Error(`model "${this.name}" is closed`);
    try {
      return await this.#home.dispatcher.run(this.name, this.#programFor(inputs), inputs, options);
    } finally {
      this.#sweep();
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#home.models.delete(this);
    const programs = [...this.#programs.values(), ...this.#leaving];
    await this.#home.dispatcher.cancelAll(programs, new Error(`model "${this.name}" was closed`));
    for (const program of this.#programs.values()) this.#leaving.add(program);
    this.#programs.clear();
    this.#sweep();
    this.#shared.weights.free();
  }

  #prepare(): Shared {
    const prepared = prepare(this.#file);
    const weights = new MemoryWeights(
      this.#home.memory,
      this.name,
      // A guess: what a file holds besides weights shall not count.
      Math.min(this.#fileBytes, this.#home.memory.maxBytes / 2),
    );
    return { prepared, weights, bytesMax: Infinity, namesMax: Infinity };
  }

  #programFor(inputs: Readonly<Record<string, Tensor>>): LoadedProgram {
    for (;;) {
      const key = this.#keyOf(inputs);
      const known = this.#programs.get(key);
      this.#programs.delete(key);
      try {
        const program = known ?? this.#compile(inputs);
        this.#programs.set(key, program);
        return program;
      } catch (error) {
        const found =
          error instanceof NeedsValueError ? error.inputs.filter((name) => !this.#specialised.has(name)) : [];
        if (found.length === 0) throw error;
        for (const name of found) this.#specialised.add(name);
      }
    }
  }

  #compile(inputs: Readonly<Record<string, Tensor>>): LoadedProgram {
    const { memory, panel } = this.#home;
    const shapes = this.inputs.map(({ name }): [string, InputShape] => {
      const tensor = inputs[name] as Tensor;
      const { type, dims } = tensor;
      return [name, this.#specialised.has(name) ? { type, dims, value: tensor } : { type, dims }];
    });
    this.#makeRoom();
    const { prepared, weights, bytesMax } = this.#shared;
    const program = compile(prepared, Object.fromEntries(shapes), weights, panel);
    if (bytesMax === Infinity) {
      this.#shared.bytesMax = 2 * weights.byteLength + GROWTH_BYTES_MAX;
      this.#shared.namesMax = 2 * prepared.keys.size + GROWTH_NAMES_MAX;
    }
    // Said now, not at the first run: a model that is loaded can run.
    memory.expect(program.arenaBytes, `a run of model "${this.name}"`);
    return new LoadedProgram(program, weights, memory, this.name);
  }

  /** For one more program. */
  #makeRoom(): void {
    const { prepared, weights, bytesMax, namesMax } = this.#shared;
    const grown = weights.byteLength > bytesMax || prepared.keys.size > namesMax;
    for (const [key, program] of this.#programs) {
      if (!grown && this.#programs.size < PROGRAMS_MAX) break;
      this.#programs.delete(key);
      this.#leaving.add(program);
    }
    this.#sweep();
    if (!grown) return;
    // Where runs still need the old weights, both need room for a while.
    if (this.#leaving.size === 0) weights.free();
    this.#shared = this.#prepare();
  }

  /** Gives back what left the cache, once no run uses it any more. */
  #sweep(): void {
    for (const program of this.#leaving) {
      if (program.users > 0) continue;
      this.#leaving.delete(program);
      program.free();
      const { weights } = program;
      if (weights !== this.#shared.weights && ![...this.#leaving].some((other) => other.weights === weights))
        weights.free();
    }
  }

  #keyOf(inputs: Readonly<Record<string, Tensor>>): string {
    return this.inputs
      .map(({ name }) => {
        const { dims, data } = inputs[name] as Tensor;
        return this.#specialised.has(name) ? `${dims}=${data}` : `${dims}`;
      })
      .join(';');
  }
}
