/**
 * Serves runs on the core: starts the next one, sets the current one aside, resumes it, ends it. A run that is set
 * aside lies whole in its arena with a word to resume at, so that nothing is saved or copied.
 */
import { FAULT_INDEX } from '../../assembly/opcodes.ts';
import type { Core } from './core.ts';
import type { Stop } from './core-messages.ts';
import type { LoadedProgram } from './loaded-program.ts';
import type { EngineMemory } from './memory.ts';
import type { RunOptions, RunResult } from './model.ts';
import { RunQueue } from './run-queue.ts';
import type { Tensor } from './tensor.ts';

const FLAG = 0;
const BASES = 16;
const CONTROL_BYTES = 64;
const DONE = -1;

/** A program has tensors only. */
export interface ProgramResult extends RunResult {
  readonly outputs: Readonly<Record<string, Tensor>>;
}

interface Run {
  readonly model: string;
  readonly program: LoadedProgram;
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly submittedMs: number;
  readonly promise: PromiseWithResolvers<ProgramResult>;
  arena?: number;
  pc: number;
  startedMs?: number;
  /** Why the run is to end early. */
  cancelled?: unknown;
}

export class Dispatcher {
  readonly #core: Pick<Core, 'execute'>;
  readonly #memory: EngineMemory;
  readonly #queue = new RunQueue<Run>();
  /** Where the suspension flag and the base pointers of the current run lie. */
  readonly #control: number;
  readonly #runs = new Set<Run>();
  #current: Run | undefined;

  constructor(core: Pick<Core, 'execute'>, memory: EngineMemory) {
    this.#core = core;
    this.#memory = memory;
    this.#control = memory.allocate(CONTROL_BYTES, 'the dispatcher');
  }

  /** Runs a program with checked inputs. They must not change until the run has ended. */
  async run(
    model: string,
    program: LoadedProgram,
    inputs: Readonly<Record<string, Tensor>>,
    options: RunOptions,
  ): Promise<ProgramResult> {
    options.signal?.throwIfAborted();
    const run: Run = { model, program, inputs, submittedMs: nowMs(), promise: Promise.withResolvers(), pc: 0 };
    this.#queue.add(run);
    this.#runs.add(run);
    program.users++;
    const abort = (): void => this.#cancel(run, options.signal?.reason);
    options.signal?.addEventListener('abort', abort, { once: true });
    try {
      this.#serve();
      return await run.promise.promise;
    } finally {
      options.signal?.removeEventListener('abort', abort);
      this.#runs.delete(run);
      program.users--;
    }
  }

  /** Sets the current run aside after its present instruction, in favour of those that wait. */
  suspend(): void {
    if (this.#queue.length > 0) this.#setFlag(1);
  }

  /** Ends all runs of the programs: they reject with `reason`. Resolves when the core works on none of them. */
  async cancelAll(programs: readonly LoadedProgram[], reason: Error): Promise<void> {
    const runs = [...this.#runs].filter((run) => programs.includes(run.program));
    for (const run of runs) this.#cancel(run, reason);
    await Promise.allSettled(runs.map((run) => run.promise.promise));
  }

  #setFlag(value: number): void {
    Atomics.store(new Int32Array(this.#memory.memory.buffer), (this.#control + FLAG) >> 2, value);
  }

  #serve(): void {
    while (!this.#current) {
      const run = this.#queue.take();
      if (!run) return;
      try {
        this.#start(run);
      } catch (error) {
        this.#end(run, () => run.promise.reject(error));
      }
    }
  }

  #start(run: Run): void {
    const { program } = run;
    if (run.arena === undefined) {
      run.arena = program.openArena(run.model);
      program.writeInputs(run.arena, run.inputs);
    }
    const bases = new Uint32Array(this.#memory.memory.buffer, this.#control + BASES, 3);
    bases.set([run.arena, program.weights.offset, program.tables]);
    this.#setFlag(0);
    program.weights.hold();
    this.#current = run;
    const segment = { words: program.words, pc: run.pc, bases: this.#control + BASES, flag: this.#control + FLAG };
    this.#core.execute(segment).then(
      (stop) => this.#stopped(run, stop),
      (cause) => this.#stopped(run, undefined, cause),
    );
  }

  #stopped(run: Run, stop: Stop | undefined, cause?: unknown): void {
    this.#current = undefined;
    run.program.weights.release();
    if (stop) run.startedMs ??= stop.startedMs;
    if ('cancelled' in run) this.#end(run, () => run.promise.reject(run.cancelled));
    else if (!stop)
      this.#end(run, () => run.promise.reject(new Error(`model "${run.model}": the run was lost`, { cause })));
    else if (stop.trap === undefined && stop.result >= 0) {
      run.pc = stop.result;
      this.#queue.putBack(run);
    } else this.#finish(run, stop);
    this.#serve();
  }

  #finish(run: Run, stop: Stop): void {
    if (stop.trap !== undefined || stop.result !== DONE) {
      const what = stop.trap ?? describeFault(-2 - stop.result);
      const node = stop.trap === undefined ? run.program.nodeAt(stop.faultWord) : 'unknown';
      this.#end(run, () =>
        run.promise.reject(new Error(`model "${run.model}", node "${node}": the run cannot go on: ${what}`)),
      );
      return;
    }
    const startedMs = run.startedMs as number;
    let outputs: ProgramResult['outputs'];
    try {
      outputs = run.program.readOutputs(run.arena as number);
    } catch (cause) {
      const error = new Error(`model "${run.model}": there is no memory for the outputs`, { cause });
      this.#end(run, () => run.promise.reject(error));
      return;
    }
    const result = { outputs, queueMs: Math.max(0, startedMs - run.submittedMs), runMs: stop.endedMs - startedMs };
    this.#end(run, () => run.promise.resolve(result));
  }

  #cancel(run: Run, reason: unknown): void {
    run.cancelled = reason;
    if (this.#current === run) this.#setFlag(1);
    else if (this.#queue.remove(run)) this.#end(run, () => run.promise.reject(reason));
  }

  #end(run: Run, settle: () => void): void {
    if (run.arena !== undefined) run.program.closeArena(run.arena);
    run.arena = undefined;
    settle();
  }
}

function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** assembly/opcodes.ts, FAULT_… */
function describeFault(fault: number): string {
  return fault === FAULT_INDEX ? 'an index lies outside its axis' : `the kernels report fault ${fault}`;
}
