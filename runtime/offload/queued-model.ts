/** A model of onnxruntime, or of an accelerator, whose runs take their turns as the engine's policy says. */
import { checkInputs } from '../engine/check-inputs.ts';
import { checkNames, intoGiven } from '../engine/given-outputs.ts';
import type { Model, RunOptions, RunResult } from '../engine/model.ts';
import type { OffloadQueue } from '../engine/offloaded-runs.ts';
import type { EngineValue } from '../engine/value.ts';

export class QueuedModel implements Model {
  readonly engine = 'onnxruntime';
  readonly #model: Model;
  readonly #queue: OffloadQueue;
  readonly #accelerator: string | undefined;
  #closed = false;

  /** Without the name of an accelerator it is one of those that our kernels cannot run. */
  constructor(model: Model, queue: OffloadQueue, accelerator?: string) {
    this.#model = model;
    this.#queue = queue;
    this.#accelerator = accelerator;
  }

  get name(): string {
    return this.#model.name;
  }

  get fallbackReason(): string | undefined {
    return this.#model.fallbackReason;
  }

  get inputs(): Model['inputs'] {
    return this.#model.inputs;
  }

  get outputs(): Model['outputs'] {
    return this.#model.outputs;
  }

  async run(inputs: Readonly<Record<string, EngineValue>>, options: RunOptions = {}): Promise<RunResult> {
    checkInputs(this.name, this.inputs, inputs);
    checkNames(this.name, this.outputs, options.outputs);
    if (this.#closed) throw this.#reason;
    const result = await this.#queue.run(this.name, options, () => this.#model.run(inputs), this.#accelerator);
    // Only now: the library goes on with a run that was ended early, when the caller may use the arrays for something else.
    return { ...result, outputs: intoGiven(this.name, result.outputs, options.outputs) };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    // What is computed ends with the model, or before.
    await Promise.all([this.#queue.close(this.name, this.#reason, this.#accelerator), this.#model.close()]);
  }

  get #reason(): Error {
    return new Error(`model "${this.name}" is closed`);
  }
}
