/** A model that our own kernels run: compiled once per concrete input shape, its weights packed once. */
import { setImmediate } from 'node:timers/promises';
import { UnsupportedError } from '../compile/program.ts';
import type { KernelTraits } from '../compile/traits.ts';
import type { OnnxModel } from '../onnx/graph.ts';
import type { RunAccount } from '../schedule/events.ts';
import { checkInputs } from './check-inputs.ts';
import { nowMs } from './core-messages.ts';
import type { Dispatcher } from './dispatcher.ts';
import { runModel } from './graph-runner.ts';
import type { WholeProgram } from './kept-programs-io.ts';
import type { LoadedProgram } from './loaded-program.ts';
import { MemoryLimitError } from './memory.ts';
import type { Model, RunOptions, RunResult } from './model.ts';
import type { ModelMemory } from './model-memory.ts';
import { ProgramStore } from './program-store.ts';
import { type Live, Stages } from './stages.ts';
import type { DataType, Tensor } from './tensor.ts';
import type { EngineValue } from './value.ts';
import { wholeProgramOf } from './whole-program.ts';

export interface ModelHome {
  readonly memory: ModelMemory;
  readonly dispatcher: Dispatcher;
  /** What programs are made for here. */
  readonly traits: KernelTraits;
  /** All models that are open. */
  readonly models: Set<Model>;
  /** Is given a program that does all that the model does, when it is made first. */
  readonly keep?: (whole: WholeProgram) => void;
}

export class EngineModel implements Model {
  readonly name: string;
  readonly engine = 'llmasos';
  readonly inputs: Model['inputs'];
  readonly outputs: Model['outputs'];
  readonly #home: ModelHome;
  readonly #store: ProgramStore;
  readonly #stages: Stages<LoadedProgram>;
  readonly #runs = new Set<Promise<RunResult>>();
  #mayBeWhole = true;
  #closed = false;

  /** Throws an UnsupportedError when the kernels lack what the model needs. */
  constructor(file: OnnxModel, name: string, fileBytes: number, home: ModelHome) {
    this.name = name;
    this.inputs = file.graph.inputs;
    this.outputs = file.graph.outputs;
    this.#home = home;
    const { memory, traits, keep } = home;
    this.#store = new ProgramStore(file, {
      ...{ name, weightBytes: fileBytes, memory, traits },
      onFirst:
        keep &&
        ((stage, request, weights) => {
          const whole = wholeProgramOf(this.#store.model, stage, request, weights.bytes);
          if (whole) keep(whole);
        }),
    });
    this.#stages = new Stages(this.#store);
    home.models.add(this);
  }

  /**
   * Compiles ahead where the file fixes every shape, so that the first run is quick and a lack shows at once: throws
   * an UnsupportedError or a MemoryLimitError. Whatever else is wrong may be due to values that only a run has.
   */
  compileAhead(): void {
    const values = new Map<string, Live>();
    for (const { name, type, dims } of this.inputs) {
      if (!dims.every((dim) => typeof dim === 'number')) return;
      const isHost = /^(string$|seq|optional|map)/.test(type);
      const value = isHost ? { type: 'string' as const, dims, data: [] } : placeholder(type, dims);
      values.set(name, { value });
    }
    try {
      this.#stages.ahead({ graph: this.#store.model.graph, path: '', depth: 0, values });
    } catch (error) {
      if (error instanceof UnsupportedError || error instanceof MemoryLimitError) throw error;
    }
  }

  async run(inputs: Readonly<Record<string, EngineValue>>, options: RunOptions = {}): Promise<RunResult> {
    checkInputs(this.name, this.inputs, inputs);
    const run = this.#run(inputs, options);
    this.#runs.add(run);
    try {
      return await run;
    } finally {
      this.#runs.delete(run);
      this.#store.sweep();
    }
  }

  async #run(inputs: Readonly<Record<string, EngineValue>>, options: RunOptions): Promise<RunResult> {
    const { dispatcher } = this.#home;
    if (this.#closed) throw new Error(`model "${this.name}" is closed`);
    const whole = this.#wholeProgram(inputs);
    if (whole) return dispatcher.run(this.name, whole, inputs as Readonly<Record<string, Tensor>>, options);
    const steps = runModel(this.#store.model, this.#stages, inputs);
    const submittedMs = nowMs();
    const accounts: RunAccount[] = [];
    let [queueMs, runMs] = [0, 0];
    let answer: Readonly<Record<string, Tensor>> | undefined;
    for (;;) {
      if (this.#closed) throw new Error(`model "${this.name}" is closed`);
      options.signal?.throwIfAborted();
      const step = steps.next(answer);
      if (step.done) return { outputs: step.value, queueMs, runMs, accounts };
      answer = undefined;
      if (step.value.kind === 'pause') await setImmediate();
      else {
        const { program, inputs } = step.value;
        const result = await dispatcher.run(this.name, program, inputs, timeLeft(options, nowMs() - submittedMs));
        answer = result.outputs;
        accounts.push(...(result.accounts ?? []));
        queueMs += result.queueMs;
        runMs += result.runMs;
      }
    }
  }

  /** The program that does for these inputs all that the model does, where one does: such a run needs no walk over the graph. */
  #wholeProgram(inputs: Readonly<Record<string, EngineValue>>): LoadedProgram | undefined {
    if (!this.#mayBeWhole) return undefined;
    const values = new Map<string, Live>();
    for (const { name } of this.inputs) values.set(name, { value: inputs[name] as EngineValue });
    const { graph } = this.#store.model;
    const stage = this.#stages.next({ graph, path: '', depth: 0, values }, 0);
    const outputs = stage.kind === 'program' && stage.end === graph.nodes.length && stage.program?.program.outputs;
    this.#mayBeWhole = outputs ? sameNames(outputs, graph.outputs) : false;
    return this.#mayBeWhole && stage.kind === 'program' ? stage.program : undefined;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#home.models.delete(this);
    const reason = new Error(`model "${this.name}" was closed`);
    await this.#home.dispatcher.cancelAll(this.name, this.#store.programs, reason);
    await Promise.allSettled(this.#runs);
    this.#store.close();
  }
}

/** What is left of the run's time for its next program; next to nothing when it is over, so that the program ends it. */
function timeLeft(options: RunOptions, passedMs: number): RunOptions {
  const { timeoutMs } = options;
  if (timeoutMs === undefined || timeoutMs <= 0) return options;
  return { ...options, timeoutMs: Math.max(timeoutMs - passedMs, Number.MIN_VALUE) };
}

function sameNames(a: readonly { name: string }[], b: readonly { name: string }[]): boolean {
  return a.length === b.length && a.every(({ name }, index) => name === b[index]?.name);
}

/** A tensor of which only type and shape matter. */
function placeholder(type: string, dims: readonly number[]): Tensor {
  return { type: type as DataType, dims, data: new Uint8Array() };
}
