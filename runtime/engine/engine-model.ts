/** A model that our own kernels run: compiled once per concrete input shape, its weights packed once. */
import { setImmediate } from 'node:timers/promises';
import { UnsupportedError } from '../compile/program.ts';
import { sameDims } from '../compile/strides.ts';
import type { KernelTraits } from '../compile/traits.ts';
import type { OnnxModel } from '../onnx/graph.ts';
import { isControlFlow, isHostNode } from '../ops/host/node-kinds.ts';
import type { RunAccount } from '../schedule/events.ts';
import { BATCH_SIZES, type Batches, batchesToMake } from './batches.ts';
import { checkInputs } from './check-inputs.ts';
import type { CompileThread } from './compile-thread.ts';
import { nowMs } from './core-messages.ts';
import type { Dispatcher } from './dispatcher.ts';
import { Elsewhere, type ModelSource } from './elsewhere.ts';
import { checkNames, intoGiven } from './given-outputs.ts';
import { runModel } from './graph-runner.ts';
import type { WholeProgram } from './kept-programs-io.ts';
import type { LoadedProgram } from './loaded-program.ts';
import { MemoryLimitError } from './memory.ts';
import type { Model, RunResult } from './model.ts';
import type { ModelMemory } from './model-memory.ts';
import { ProgramStore } from './program-store.ts';
import type { Residence } from './resident-model.ts';
import { type PartOptions, timeLeft } from './run-request.ts';
import { type Live, type Scope, Stages } from './stages.ts';
import type { DataType, Tensor } from './tensor.ts';
import type { EngineValue } from './value.ts';
import { isWhole, wholeProgramOf } from './whole-program.ts';

export interface ModelHome {
  readonly memory: ModelMemory;
  readonly dispatcher: Dispatcher;
  /** What programs are made for here. */
  readonly traits: KernelTraits;
  readonly compiler: CompileThread;
  readonly residence: Residence;
  /** Is given a program that does all that the model does, when it is made first. */
  readonly keep?: (whole: WholeProgram) => void;
}

interface Recent {
  readonly program: LoadedProgram;
  readonly key: string;
  readonly inputs: readonly Pick<Tensor, 'type' | 'dims'>[];
  /** Those of the store at that time. */
  readonly changes: number;
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
  /** The whole program of the last run: most runs are like the one before. */
  #recent: Recent | undefined;
  #closed = false;
  readonly #elsewhere: Elsewhere;
  /** Nothing in it has to be done in JavaScript. */
  readonly #isPlain: boolean;

  /** Throws an UnsupportedError when the kernels lack what the model needs. */
  constructor(file: OnnxModel, source: ModelSource, home: ModelHome) {
    const { name } = source;
    this.name = name;
    this.inputs = file.graph.inputs;
    this.outputs = file.graph.outputs;
    this.#home = home;
    const { memory, traits, keep } = home;
    this.#store = new ProgramStore(file, {
      ...{ name, weightBytes: source.file.byteLength, memory, traits },
      onFirst:
        keep &&
        ((stage, request, weights) => {
          const whole = wholeProgramOf(this.#store.model, stage, request, weights.bytes);
          if (whole) keep(whole);
        }),
    });
    this.#stages = new Stages(this.#store);
    const { nodes } = this.#store.model.graph;
    this.#isPlain = !nodes.some((node) => isControlFlow(node) || isHostNode(node));
    this.#elsewhere = new Elsewhere({
      ...{ source, store: this.#store, stages: this.#stages, thread: home.compiler, traits },
    });
  }

  /**
   * Compiles ahead where the file fixes every shape, so that the first run is quick and a lack shows at once: throws
   * an UnsupportedError or a MemoryLimitError. Whatever else is wrong may be due to values that only a run has.
   */
  async compileAhead(): Promise<void> {
    const values = new Map<string, Live>();
    for (const { name, type, dims } of this.inputs) {
      if (!dims.every((dim) => typeof dim === 'number')) return;
      const isHost = /^(string$|seq|optional|map)/.test(type);
      const value = isHost ? { type: 'string' as const, dims, data: [] } : placeholder(type, dims);
      values.set(name, { value });
    }
    const scope: Scope = { graph: this.#store.model.graph, path: '', depth: 0, values };
    try {
      if (this.#isForThread) await this.#elsewhere.make(scope);
      if (this.#stages.missing(scope, 0)) this.#stages.ahead(scope);
    } catch (error) {
      if (error instanceof UnsupportedError || error instanceof MemoryLimitError) throw error;
    }
  }

  async run(inputs: Readonly<Record<string, EngineValue>>, options: PartOptions = {}): Promise<RunResult> {
    checkInputs(this.name, this.inputs, inputs);
    checkNames(this.name, this.outputs, options.outputs);
    const recent = this.#recentProgram(inputs);
    if (recent && recent.users > this.#home.dispatcher.cores)
      this.#wantBatches(recent, inputs as Readonly<Record<string, Tensor>>);
    const run = recent
      ? this.#home.dispatcher.run(this.#home.residence.key, recent, inputs as Readonly<Record<string, Tensor>>, options)
      : this.#run(inputs, options);
    this.#runs.add(run);
    try {
      return await run;
    } finally {
      this.#runs.delete(run);
      this.#home.compiler.noteRun();
      this.#store.sweep();
    }
  }

  async #run(inputs: Readonly<Record<string, EngineValue>>, options: PartOptions): Promise<RunResult> {
    if (this.#closed) throw new Error(`model "${this.name}" is closed`);
    const { dispatcher, residence } = this.#home;
    const letGo = residence.hold();
    try {
      const startedMs = nowMs();
      const scope = this.#scopeOf(inputs);
      const making = this.#isMissing(scope) && this.#isForThread ? this.#elsewhere.make(scope) : undefined;
      if (making) await this.#made(making, options.signal);
      // What the thread does not make is made here, when it has left this model alone.
      while (this.#elsewhere.busy && this.#isMissing(scope)) await this.#elsewhere.busy;
      const whole = this.#wholeProgram(scope);
      const left = { ...timeLeft(options, nowMs() - startedMs), sinceMs: options.sinceMs ?? startedMs };
      // At once: until the run has it, the program may have to go. And the policy has the run before the model is let go of.
      if (whole) return dispatcher.run(residence.key, whole, inputs as Readonly<Record<string, Tensor>>, left);
      return await this.#walk(inputs, left);
    } finally {
      letGo();
    }
  }

  /** One program after the other, and what has to be done in JavaScript between them. The model is held meanwhile. */
  async #walk(inputs: Readonly<Record<string, EngineValue>>, options: PartOptions): Promise<RunResult> {
    const { dispatcher, residence } = this.#home;
    const startedMs = nowMs();
    const steps = runModel(this.#store.model, this.#stages, inputs);
    const accounts: RunAccount[] = [];
    let [queueMs, runMs] = [0, 0];
    let answer: Readonly<Record<string, Tensor>> | undefined;
    for (;;) {
      if (this.#closed) throw new Error(`model "${this.name}" is closed`);
      options.signal?.throwIfAborted();
      while (this.#elsewhere.busy) await this.#elsewhere.busy;
      const step = steps.next(answer);
      if (step.done) {
        const outputs = intoGiven(this.name, step.value, options.outputs);
        return { outputs, queueMs, runMs, accounts };
      }
      answer = undefined;
      if (step.value.kind === 'pause') await setImmediate();
      else {
        const { program, inputs } = step.value;
        const left = { ...timeLeft(options, nowMs() - startedMs), outputs: undefined, part: 'step' } as const;
        const isContinued = accounts.length > 0;
        const result = await dispatcher.run(residence.key, program, inputs, { ...left, isContinued });
        answer = result.outputs;
        accounts.push(...(result.accounts ?? []));
        queueMs += result.queueMs;
        runMs += result.runMs;
      }
    }
  }

  /** The program that does for these inputs all that the model does, where one does: such a run needs no walk over the graph. */
  #wholeProgram(scope: Scope): LoadedProgram | undefined {
    if (!this.#mayBeWhole) return undefined;
    const stage = this.#stages.next(scope, 0);
    const program = stage.kind === 'program' ? stage.program : undefined;
    this.#mayBeWhole = program !== undefined && isWhole(scope.graph, stage.end, program.program.outputs);
    if (!this.#mayBeWhole || !program) return undefined;
    const key = this.#stages.keyByShapes(scope, 0);
    // The last one was in use until now.
    if (this.#recent) this.#store.find(this.#recent.key);
    const inputs = this.inputs.map(({ name }) => scope.values.get(name)?.value as Tensor);
    const shapes = inputs.map(({ type, dims }) => ({ type, dims: [...dims] }));
    this.#recent = key === undefined ? undefined : { program, key, inputs: shapes, changes: this.#store.changes };
    return program;
  }

  #recentProgram(inputs: Readonly<Record<string, EngineValue>>): LoadedProgram | undefined {
    const recent = this.#recent;
    if (!recent || recent.changes !== this.#store.changes || this.#closed) return undefined;
    for (let i = 0; i < this.inputs.length; i++) {
      const { type, dims } = recent.inputs[i] as Tensor;
      const given = inputs[this.inputs[i]?.name as string] as Tensor;
      if (given.type !== type || !sameDims(given.dims, dims)) return undefined;
    }
    return recent.program;
  }

  /** More runs wait for a program than there are cores: several could be computed together. */
  #wantBatches(program: LoadedProgram, inputs: Readonly<Record<string, Tensor>>): void {
    const batches = batchesToMake(program, this.inputs, inputs, () => this.#isForThread, nowMs() * 1000);
    // Without them each run is computed alone, as before.
    if (batches) void this.#makeBatches(batches, inputs).catch(() => undefined);
  }

  /** Rejects as the compiler throws: for one, where the results of a run would depend on others. */
  async #makeBatches(batches: Batches, inputs: Readonly<Record<string, Tensor>>): Promise<void> {
    for (const runs of BATCH_SIZES) {
      const all = batches.inputsOf(runs, inputs);
      const scope = { ...this.#scopeOf(all), batch: { runs, axes: batches.axes } };
      await this.#elsewhere.make(scope);
      if (this.#closed || this.#stages.missing(scope, 0)) return;
      const stage = this.#stages.next(scope, 0);
      if (stage.kind === 'program' && stage.program) batches.add(stage.program);
    }
  }

  get #isForThread(): boolean {
    return this.#mayBeWhole && this.#isPlain && this.#elsewhere.isWanted;
  }

  #isMissing(scope: Scope): boolean {
    return this.#mayBeWhole && this.#stages.missing(scope, 0) !== undefined;
  }

  #scopeOf(inputs: Readonly<Record<string, EngineValue>>): Scope {
    const values = new Map<string, Live>();
    for (const { name } of this.inputs) values.set(name, { value: inputs[name] as EngineValue });
    return { graph: this.#store.model.graph, path: '', depth: 0, values };
  }

  /** Waits for a program that is made elsewhere; the run may be cancelled meanwhile, or the model closed. */
  async #made(making: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
    await orAborted(making, signal);
    if (this.#closed) throw new Error(`model "${this.name}" is closed`);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const reason = new Error(`model "${this.name}" was closed`);
    await this.#home.dispatcher.cancelAll(this.#home.residence.key, this.#store.programs, reason);
    await this.#elsewhere.close();
    await Promise.allSettled(this.#runs);
    this.#store.close();
  }
}

/** Settles as the promise does, or rejects with the signal's reason before. */
function orAborted(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (!signal) return promise;
  const { promise: result, resolve, reject } = Promise.withResolvers<void>();
  const abort = (): void => reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  return result;
}

/** A tensor of which only type and shape matter. */
function placeholder(type: string, dims: readonly number[]): Tensor {
  return { type: type as DataType, dims, data: new Uint8Array() };
}
