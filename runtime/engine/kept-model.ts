/**
 * A model of which one program was kept from an earlier start. It runs that program at once, and becomes a model like any
 * other, read and compiled from its file, with the first input of another shape.
 */
import { sameDims } from '../compile/strides.ts';
import { checkInputs } from './check-inputs.ts';
import { nowMs } from './core-messages.ts';
import type { Dispatcher } from './dispatcher.ts';
import { checkNames } from './given-outputs.ts';
import { KeptBatches, type KeptBatchesSetup } from './kept-batches.ts';
import type { WholeProgram } from './kept-programs-io.ts';
import { LoadedProgram } from './loaded-program.ts';
import type { MemoryWeights } from './memory-weights.ts';
import type { Model, RunResult } from './model.ts';
import type { ModelMemory } from './model-memory.ts';
import type { Residence } from './resident-model.ts';
import type { PartOptions } from './run-request.ts';
import type { Tensor } from './tensor.ts';
import type { EngineValue } from './value.ts';

export interface KeptModelHome extends KeptBatchesSetup {
  readonly memory: ModelMemory;
  readonly dispatcher: Dispatcher;
  readonly residence: Residence;
  /** Reads and compiles the file. */
  open(): Promise<Model>;
}

export class KeptModel implements Model {
  readonly name: string;
  readonly engine = 'llmasos';
  readonly inputs: Model['inputs'];
  readonly outputs: Model['outputs'];
  readonly #home: KeptModelHome;
  readonly #shapes: WholeProgram['shapes'];
  readonly #program: LoadedProgram;
  readonly #batches: KeptBatches;
  /** Once nobody needs the program any more. */
  #freeing: Promise<void> | undefined;
  /** Read and compiled; then the kept program is used no more, so that the weights are there once. */
  #whole: Model | undefined;
  #opening: Promise<Model> | undefined;
  #closed = false;

  /** `weights` hold those of the program. Throws a MemoryLimitError when there is no room. */
  constructor({ program, inputs, outputs, shapes }: WholeProgram, weights: MemoryWeights, home: KeptModelHome) {
    const { name } = home.source;
    this.name = name;
    this.inputs = inputs;
    this.outputs = outputs;
    this.#home = home;
    this.#shapes = shapes;
    const { memory } = home;
    memory.expectRun(program.arenaBytes, `a run of model "${name}"`);
    this.#program = new LoadedProgram(program, weights, memory, name);
    this.#batches = new KeptBatches(home);
  }

  async run(inputs: Readonly<Record<string, EngineValue>>, options: PartOptions = {}): Promise<RunResult> {
    checkInputs(this.name, this.inputs, inputs);
    checkNames(this.name, this.outputs, options.outputs);
    if (this.#closed) throw new Error(`model "${this.name}" is closed`);
    const { dispatcher, residence } = this.#home;
    if (this.#whole) return this.#whole.run(inputs, options);
    if (!this.#fits(inputs)) {
      const letGo = residence.hold();
      try {
        const whole = await this.#open();
        return whole.run(inputs, options);
      } finally {
        letGo();
      }
    }
    const tensors = inputs as Readonly<Record<string, Tensor>>;
    if (this.#program.users > dispatcher.cores) this.#batches.want(this.#program, this.inputs, tensors, nowMs() * 1000);
    try {
      const { outputs, ...times } = await dispatcher.run(residence.key, this.#program, tensors, options);
      const ordered = this.outputs.map(({ name }) => [name, outputs[name] as Tensor] as const);
      return { outputs: Object.fromEntries(ordered), ...times };
    } finally {
      this.#home.compiler.noteRun();
      this.#sweep();
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (!this.#freeing)
      await this.#home.dispatcher.cancelAll(
        this.#home.residence.key,
        [this.#program],
        new Error(`model "${this.name}" was closed`),
      );
    const whole = await this.#opening?.catch(() => undefined);
    await whole?.close();
    this.#sweep();
    await this.#freeing;
  }

  #fits(inputs: Readonly<Record<string, EngineValue>>): boolean {
    return Object.entries(this.#shapes).every(([name, dims]) => sameDims(dims, (inputs[name] as Tensor).dims));
  }

  #open(): Promise<Model> {
    this.#opening ??= this.#home.open().then(
      (model) => {
        this.#whole = model;
        this.#sweep();
        return model;
      },
      (error) => {
        // The shape that is kept can be run all the same.
        this.#opening = undefined;
        throw error;
      },
    );
    return this.#opening;
  }

  /** Gives the program and its weights back when no run will use them any more. */
  #sweep(): void {
    if (this.#freeing || this.#program.users > 0 || !(this.#closed || this.#whole)) return;
    this.#program.free();
    this.#program.weights.free();
    this.#freeing = this.#batches.close();
  }
}
