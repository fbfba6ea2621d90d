/**
 * Serves runs on the core: starts the next one, sets the current one aside for a more urgent one, resumes it, ends it. A run that is set
 * aside lies whole in its arena with a word to resume at, so that nothing is saved or copied.
 */
import { FAULT_INDEX, FAULT_TRAP } from '../../assembly/opcodes.ts';
import { PRIORITIES } from '../schedule/priorities.ts';
import type { Core } from './core.ts';
import { type Halt, nowMs, type Stop } from './core-messages.ts';
import type { LoadedProgram } from './loaded-program.ts';
import type { RunOptions, RunResult } from './model.ts';
import { RunQueue } from './run-queue.ts';
import type { ShortRuns } from './short-runs.ts';
import type { Tensor } from './tensor.ts';

const DONE = -1;
/** The class of runs that say nothing: its place among PRIORITIES. */
const NORMAL = 2;

/** A program has tensors only. */
export interface ProgramResult extends RunResult {
  readonly outputs: Readonly<Record<string, Tensor>>;
}

interface Run {
  /** Its class, 0 the most urgent. */
  readonly priority: number;
  readonly model: string;
  readonly program: LoadedProgram;
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly submittedMs: number;
  readonly promise: PromiseWithResolvers<ProgramResult>;
  arena?: number;
  /** Memory of further cores, when they may take part. */
  lanes?: number;
  /** How often it was started or resumed, and whether several cores compute it now. */
  slices: number;
  isShared: boolean;
  /** It is to make room for a more urgent one, and goes on before others of its class. */
  isPreempted: boolean;
  pc: number;
  startedMs?: number;
  /** Why the run is to end early. */
  cancelled?: unknown;
}

export class Dispatcher {
  readonly #core: Pick<Core, 'execute' | 'hasThread' | 'block'>;
  readonly #helpers: readonly Core[];
  readonly #queue = new RunQueue<Run>();
  readonly #runs = new Set<Run>();
  #current: Run | undefined;
  readonly #short: ShortRuns | undefined;

  constructor(core: Pick<Core, 'execute' | 'hasThread' | 'block'>, helpers: readonly Core[] = [], short?: ShortRuns) {
    this.#core = core;
    this.#helpers = helpers;
    this.#short = short;
  }

  /** Runs a program with checked inputs. They must not change until the run has ended. */
  async run(
    model: string,
    program: LoadedProgram,
    inputs: Readonly<Record<string, Tensor>>,
    options: RunOptions,
  ): Promise<ProgramResult> {
    options.signal?.throwIfAborted();
    const { priority = NORMAL } = options;
    if (!(priority in PRIORITIES))
      throw new Error(`model "${model}": expected a priority from 0 (safety) to 3 (background), got ${priority}`);
    const begun = this.#short?.takes(program) ? this.#runAtOnce(this.#short, model, program, inputs) : undefined;
    if (begun && 'outputs' in begun) return begun;
    const run: Run = {
      pc: 0,
      slices: 0,
      isShared: false,
      isPreempted: false,
      priority,
      ...begun,
      model,
      program,
      inputs,
      submittedMs: nowMs(),
      promise: Promise.withResolvers(),
    };
    if (begun) this.#queue.putBack(run, priority, 'first');
    else this.#queue.add(run, priority);
    if (this.#current && this.#current.priority > priority) {
      this.#current.isPreempted = true;
      this.#core.block.setFlag(1);
    }
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
    if (this.#queue.length > 0) this.#core.block.setFlag(1);
  }

  /** Ends all runs of the programs: they reject with `reason`. Resolves when the core works on none of them. */
  async cancelAll(programs: readonly LoadedProgram[], reason: Error): Promise<void> {
    const runs = [...this.#runs].filter((run) => programs.includes(run.program));
    for (const run of runs) this.#cancel(run, reason);
    await Promise.allSettled(runs.map((run) => run.promise.promise));
  }

  /** On this thread: the result, or where the run stands when it has taken too long. */
  #runAtOnce(
    short: ShortRuns,
    model: string,
    program: LoadedProgram,
    inputs: Readonly<Record<string, Tensor>>,
  ): ProgramResult | Pick<Run, 'arena' | 'pc' | 'startedMs'> {
    const arena = program.openArena(model);
    let goesOn = false;
    try {
      program.writeInputs(arena, inputs);
      const halt = short.execute(program, arena);
      program.lastMs = halt.ms;
      goesOn = halt.trap === undefined && halt.result >= 0;
      if (goesOn) return { arena, pc: halt.result, startedMs: nowMs() - halt.ms };
      return { outputs: outputsOf(model, program, arena, halt), queueMs: 0, runMs: halt.ms };
    } finally {
      if (!goesOn) program.closeArena(arena);
    }
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
    const { block } = this.#core;
    program.writeBases(block.bases, run.arena);
    const helpers = this.#helpersFor(run);
    block.setHelpers(
      run.lanes ?? 0,
      helpers.map((helper) => helper.block),
    );
    block.setFlag(0);
    program.weights.hold();
    run.slices++;
    run.isShared = helpers.length > 0;
    this.#current = run;
    const segment = { words: program.words, pc: run.pc, bases: block.bases, flag: block.flag };
    this.#core.execute(segment, helpers).then(
      (stop) => this.#stopped(run, stop),
      (cause) => this.#stopped(run, undefined, cause),
    );
  }

  /** Further cores for a run, when it is worth it and there is memory for them. Their threads are started when there is something to do for them. */
  #helpersFor(run: Run): readonly Core[] {
    if (this.#helpers.length === 0 || !this.#core.hasThread || !run.program.sharing.isWanted) return [];
    const ready = this.#helpers.filter((helper) => helper.isReady);
    if (ready.length < this.#helpers.length) for (const helper of this.#helpers) helper.start().catch(() => {});
    if (ready.length === 0) return [];
    try {
      run.lanes ??= run.program.openLanes(this.#helpers.length + 1, run.model);
    } catch {
      return [];
    }
    return ready;
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
      this.#queue.putBack(run, run.priority, run.isPreempted ? 'first' : 'last');
      run.isPreempted = false;
    } else this.#finish(run, stop);
    this.#serve();
  }

  #finish(run: Run, stop: Stop): void {
    const startedMs = run.startedMs as number;
    const runMs = stop.endedMs - startedMs;
    try {
      const outputs = outputsOf(run.model, run.program, run.arena as number, stop);
      run.program.lastMs = runMs;
      if (run.slices === 1) run.program.sharing.note(run.isShared, runMs);
      const queueMs = Math.max(0, startedMs - run.submittedMs);
      this.#end(run, () => run.promise.resolve({ outputs, queueMs, runMs }));
    } catch (error) {
      this.#end(run, () => run.promise.reject(error));
    }
  }

  #cancel(run: Run, reason: unknown): void {
    run.cancelled = reason;
    if (this.#current === run) this.#core.block.setFlag(1);
    else if (this.#queue.remove(run)) this.#end(run, () => run.promise.reject(reason));
  }

  #end(run: Run, settle: () => void): void {
    if (run.arena !== undefined) run.program.closeArena(run.arena);
    if (run.lanes !== undefined) run.program.closeArena(run.lanes);
    run.arena = run.lanes = undefined;
    settle();
  }
}

/** Of a run that has ended. Throws an Error that names the node when that was before its time, or when there is no memory for them. */
function outputsOf(model: string, program: LoadedProgram, arena: number, halt: Halt): Record<string, Tensor> {
  if (halt.trap !== undefined || halt.result !== DONE) {
    const what = halt.trap ?? describeFault(-2 - halt.result);
    const node = halt.trap === undefined ? program.nodeAt(halt.faultWord) : 'unknown';
    throw new Error(`model "${model}", node "${node}": the run cannot go on: ${what}`);
  }
  try {
    return program.readOutputs(arena);
  } catch (cause) {
    throw new Error(`model "${model}": there is no memory for the outputs`, { cause });
  }
}

/** assembly/opcodes.ts, FAULT_… */
function describeFault(fault: number): string {
  if (fault === FAULT_TRAP) return 'a core that helped could not go on';
  return fault === FAULT_INDEX ? 'an index lies outside its axis' : `the kernels report fault ${fault}`;
}
