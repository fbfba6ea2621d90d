/**
 * Carries out what the policy decides (schedule/scheduler.ts): gives runs to cores, sets them aside, goes on with them, ends them. Each core
 * has a run of its own, or helps another one with its run. A run that is set aside lies whole in its arena with a word to resume at, so
 * that nothing is saved or copied.
 */
import { speedOf } from '../schedule/cores.ts';
import type { Decision, RunAccount, RunRequest, SchedulerEvent, StopOutcome, TenantSpec } from '../schedule/events.ts';
import { priorityOf } from '../schedule/priorities.ts';
import { Scheduler } from '../schedule/scheduler.ts';
import { Timeline } from '../schedule/timeline.ts';
import { type Clock, machineClock } from './clock-io.ts';
import type { Core } from './core.ts';
import type { Stop } from './core-messages.ts';
import type { LoadedProgram } from './loaded-program.ts';
import type { RunOptions } from './model.ts';
import { copyOutputs, isDone, outputsOf, type ProgramResult } from './program-result.ts';
import { endedEarly, refused } from './run-error.ts';
import { DEFAULT_TENANT, isAdmissible, requestOf, SWITCH_US } from './run-request.ts';
import type { ShortRuns } from './short-runs.ts';
import type { Tensor } from './tensor.ts';

/** The first core's orders may be carried out elsewhere in its first moments: see FirstSteps. */
export interface Processors {
  readonly first: Pick<Core, 'execute' | 'hasThread'>;
  readonly cores: readonly Core[];
}

export interface DispatcherOptions {
  readonly short?: ShortRuns;
  /** Besides the default one. */
  readonly tenants?: readonly TenantSpec[];
  readonly clock?: Clock;
}

interface Run {
  readonly request: RunRequest;
  readonly program: LoadedProgram;
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly submittedMs: number;
  readonly answer: PromiseWithResolvers<ProgramResult>;
  /** Stops listening to whoever may cancel it. */
  readonly forget: () => void;
  arena?: number;
  /** Memory of further cores, when they may take part. */
  lanes?: number;
  /** The core that has it now; how often one was given to it, and whether others help. */
  core?: number;
  slices: number;
  isShared: boolean;
  pc: number;
  startedMs?: number;
  /** What it has computed, as if by one core. */
  workUs: number;
  /** How it ended on its core, or why it could not begin. */
  stop?: Stop;
  failure?: unknown;
  /** Why it was cancelled. */
  reason?: unknown;
  /** It has ended for the policy, and waits for its core to let go of its memory. */
  settle?: () => void;
}

export class Dispatcher {
  /** What became of the latest runs. */
  readonly timeline = new Timeline();
  readonly #first: Processors['first'];
  readonly #cores: readonly Core[];
  readonly #short: ShortRuns | undefined;
  readonly #clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #runs = new Map<number, Run>();
  /** Names of the models that the policy knows. */
  readonly #models = new Set<string>();
  readonly #events: SchedulerEvent[] = [];
  #isTelling = false;
  /** A core was told to stop for what was submitted last. */
  #isCoreComing = false;
  #runsBegun = 0;
  /** Cores that the policy knows, and whether the next one's thread is being started, or wanted by a run that could use it. */
  #coresReady = 1;
  #isStarting = false;
  #isMoreWanted = false;
  #wakeMs = Number.POSITIVE_INFINITY;
  #stopTimer: (() => void) | undefined;

  constructor({ first, cores }: Processors, { short, tenants = [], clock = machineClock }: DispatcherOptions = {}) {
    this.#first = first;
    this.#cores = cores;
    this.#short = short;
    this.#clock = clock;
    const spec = {
      cores: cores.length,
      coresReady: 1,
      // Models come and go by their owners' will, and see to their memory themselves.
      memoryBytes: Number.POSITIVE_INFINITY,
      instructionUs: SWITCH_US,
      tenants: [DEFAULT_TENANT, ...tenants],
      models: [],
    };
    this.#scheduler = new Scheduler(spec, this.#nowUs());
  }

  /** Runs a program with checked inputs. They must not change until the run has ended. */
  async run(
    model: string,
    program: LoadedProgram,
    inputs: Readonly<Record<string, Tensor>>,
    options: RunOptions,
  ): Promise<ProgramResult> {
    const { signal } = options;
    signal?.throwIfAborted();
    const submittedMs = this.#clock.nowMs();
    const request = requestOf(options, { model, program, cores: this.#cores.length }, ++this.#runsBegun, {
      nowUs: submittedMs * 1000,
      epochMs: () => this.#clock.epochMs(),
    });
    const begun =
      this.#short?.takes(program) &&
      isAdmissible(request, submittedMs * 1000) &&
      this.#scheduler.hasTenant(request.tenant)
        ? this.#runAtOnce(this.#short, program, inputs, request, submittedMs)
        : undefined;
    if (begun && 'outputs' in begun) return begun;
    const abort = (): void => this.#cancel(run, signal?.reason);
    const run: Run = {
      ...{ pc: 0, slices: 0, isShared: false, workUs: 0 },
      ...begun,
      ...{ request, program, inputs, submittedMs },
      answer: Promise.withResolvers(),
      forget: () => signal?.removeEventListener('abort', abort),
    };
    signal?.addEventListener('abort', abort, { once: true });
    program.users++;
    this.#runs.set(request.id, run);
    this.timeline.submitted(request);
    if (!this.#models.has(model)) {
      this.#models.add(model);
      this.#tell({ kind: 'model-added', model: { name: model, bytes: 0, pinned: true } });
    }
    if ((request.cores as number) > 1) this.#isMoreWanted = true;
    this.#tell({ kind: 'submit', request });
    if (this.#isCoreComing) this.#prepare(run);
    return run.answer.promise;
  }

  /** Ends all runs of the model's programs: they reject with `reason`. Resolves when no core works on one of them. */
  async cancelAll(model: string, programs: readonly LoadedProgram[], reason: Error): Promise<void> {
    const runs = [...this.#runs.values()].filter((run) => programs.includes(run.program));
    for (const run of runs) this.#cancel(run, reason);
    await Promise.allSettled(runs.map((run) => run.answer.promise));
    // Another model may have the same name.
    if ([...this.#runs.values()].some(({ request }) => request.model === model) || !this.#models.delete(model)) return;
    this.#tell({ kind: 'model-removed', model });
  }

  #nowUs(): number {
    return this.#clock.nowMs() * 1000;
  }

  /** On this thread: the result, or where the run stands when it has taken too long. */
  #runAtOnce(
    short: ShortRuns,
    program: LoadedProgram,
    inputs: Readonly<Record<string, Tensor>>,
    request: RunRequest,
    submittedMs: number,
  ): ProgramResult | Pick<Run, 'arena' | 'pc' | 'startedMs' | 'workUs'> {
    const arena = program.openArena(request.model);
    let goesOn = false;
    try {
      program.writeInputs(arena, inputs);
      const halt = short.execute(program, arena);
      program.short.note(halt.ms);
      goesOn = halt.trap === undefined && halt.result >= 0;
      const us = halt.ms * 1000;
      if (goesOn) return { arena, pc: halt.result, startedMs: submittedMs, workUs: us };
      const outputs = outputsOf(request.model, program, arena, halt);
      const account = this.#noteServed(request, submittedMs * 1000, us);
      program.work.note(us, account.endedUs);
      return { outputs, queueMs: 0, runMs: halt.ms, accounts: [account] };
    } finally {
      if (!goesOn) program.closeArena(arena);
    }
  }

  /** A run that asked nobody counts all the same: in what is measured, and among the latest runs. */
  #noteServed(request: RunRequest, submittedUs: number, us: number): RunAccount {
    const endedUs = submittedUs + us;
    const slices = [{ fromUs: submittedUs, untilUs: endedUs, cores: [], batch: 1 }];
    const account = { submittedUs, readyUs: submittedUs, endedUs, runUs: us, preemptions: 0, slices };
    this.#scheduler.served(priorityOf(request.priority) as number, us, endedUs);
    this.timeline.served(request, account);
    return account;
  }

  /** Tells the policy what has happened and carries out what it decides, one event after the other. */
  #tell(event: SchedulerEvent): void {
    this.#events.push(event);
    if (this.#isTelling) return;
    this.#isTelling = true;
    this.#isCoreComing = false;
    for (let next = this.#events.shift(); next; next = this.#events.shift()) {
      const decisions = this.#scheduler.step(next, this.#nowUs());
      this.timeline.note(decisions);
      for (const decision of decisions) this.#carryOut(decision);
    }
    this.#isTelling = false;
    this.#setTimer();
    this.#startCore();
  }

  #carryOut(decision: Decision): void {
    switch (decision.kind) {
      case 'start':
        this.#start(this.#runs.get(decision.runs[0] as number) as Run, decision.cores);
        break;
      case 'suspend':
        this.#isCoreComing = true;
        (this.#cores[decision.core] as Core).block.setFlag(1);
        break;
      case 'refuse': {
        const run = this.#runs.get(decision.run) as Run;
        this.#end(run, () => run.answer.reject(refused(run.request, decision)));
        break;
      }
      case 'end': {
        const run = this.#runs.get(decision.run) as Run;
        const settle = (): void => this.#settle(run, decision);
        if (run.core === undefined) settle();
        else run.settle = settle;
        break;
      }
      default:
        throw new Error(`assertion: the policy decided to ${decision.kind}, expected nothing about models`);
    }
  }

  #start(run: Run, cores: readonly number[]): void {
    const { program } = run;
    const [place = 0] = cores;
    const core = this.#cores[place] as Core;
    const { block } = core;
    try {
      run.arena ??= openRun(run);
      program.writeBases(block.bases, run.arena);
      const helpers = this.#helpersFor(run, cores);
      block.setHelpers(
        run.lanes ?? 0,
        helpers.map((helper) => helper.block),
      );
      block.setFlag(0);
      program.weights.hold();
      run.core = place;
      run.slices++;
      run.isShared = helpers.length > 0;
      const segment = { words: program.words, pc: run.pc, bases: block.bases, flag: block.flag };
      (place === 0 ? this.#first : core).execute(segment, helpers).then(
        (stop) => this.#stopped(run, place, stop, 1 + helpers.length),
        (cause) => this.#stopped(run, place, undefined, 1, cause),
      );
    } catch (error) {
      run.failure = error;
      this.#tell({ kind: 'stopped', core: place, outcome: 'failed' });
    }
  }

  /** While a core stops for the run, its input is copied already. */
  #prepare(run: Run): void {
    this.#isCoreComing = false;
    if (run.arena !== undefined || !this.#runs.has(run.request.id)) return;
    try {
      run.arena = openRun(run);
    } catch {
      // There may be memory when its turn has come; if not, it is told then.
    }
  }

  /** The run's further cores, when there is memory for them. */
  #helpersFor(run: Run, [, ...others]: readonly number[]): readonly Core[] {
    if (others.length === 0) return [];
    const helpers = others.map((other) => this.#cores[other] as Core).filter((helper) => helper.isReady);
    try {
      run.lanes ??= run.program.openLanes(this.#cores.length, run.request.model);
    } catch {
      return [];
    }
    return helpers;
  }

  #stopped(run: Run, core: number, stop: Stop | undefined, cores: number, cause?: unknown): void {
    run.core = undefined;
    run.program.weights.release();
    let outcome: StopOutcome = 'failed';
    if (!stop) run.failure = new Error(`model "${run.request.model}": the run was lost`, { cause });
    else {
      run.startedMs ??= stop.startedMs;
      run.workUs += (stop.endedMs - stop.startedMs) * 1000 * speedOf(cores);
      run.pc = stop.result;
      run.stop = stop;
      if (stop.trap === undefined && stop.result >= 0) outcome = 'suspended';
      else if (isDone(stop)) outcome = 'done';
    }
    run.settle?.();
    this.#tell({ kind: 'stopped', core, outcome });
  }

  #settle(run: Run, end: Extract<Decision, { kind: 'end' }>): void {
    const { request, stop, failure } = run;
    const { outcome, account } = end;
    if (stop && (outcome === 'done' || (outcome === 'failed' && failure === undefined))) {
      this.#finish(run, stop, account);
      return;
    }
    const reason =
      outcome === 'failed' ? failure : outcome === 'cancelled' ? run.reason : endedEarly(request, run.workUs, end);
    this.#end(run, () => run.answer.reject(reason));
  }

  /** Its core may be at work on another run before the outputs are copied. */
  #finish(run: Run, stop: Stop, account: RunAccount): void {
    const { program, request, submittedMs, arena } = run;
    const startedMs = run.startedMs as number;
    const runMs = stop.endedMs - startedMs;
    const queueMs = Math.max(0, startedMs - submittedMs);
    if (isDone(stop)) {
      program.short.note(runMs);
      program.work.note(run.workUs, account.endedUs);
      if (run.slices === 1) program.sharing.note(run.isShared, runMs);
    }
    const copying = copyOutputs(request.model, program, arena as number, stop);
    const copy = (): void => {
      try {
        const { done, value } = copying.next();
        if (!done) setImmediate(copy);
        else this.#end(run, () => run.answer.resolve({ outputs: value, queueMs, runMs, accounts: [account] }));
      } catch (error) {
        this.#end(run, () => run.answer.reject(error));
      }
    };
    copy();
  }

  #cancel(run: Run, reason: unknown): void {
    run.reason ??= reason;
    this.#tell({ kind: 'cancel', run: run.request.id });
  }

  #end(run: Run, answer: () => void): void {
    const { program } = run;
    if (run.arena !== undefined) program.closeArena(run.arena);
    if (run.lanes !== undefined) program.closeArena(run.lanes);
    run.arena = run.lanes = undefined;
    this.#runs.delete(run.request.id);
    program.users--;
    run.forget();
    answer();
  }

  /** A timer that is set earlier than need be costs one question. */
  #setTimer(): void {
    const wakeMs = this.#scheduler.wakeUs / 1000;
    if (wakeMs >= this.#wakeMs) return;
    this.#stopTimer?.();
    this.#wakeMs = wakeMs;
    this.#stopTimer = this.#clock.after(Math.max(0, wakeMs - this.#clock.nowMs()), () => {
      this.#wakeMs = Number.POSITIVE_INFINITY;
      this.#stopTimer = undefined;
      this.#tell({ kind: 'tick' });
    });
  }

  /** Threads are started when there is something to do for them: not before the first one computes, as V8's flags may change until then. */
  #startCore(): void {
    const next = this.#cores[this.#coresReady];
    if (!next || this.#isStarting || !this.#first.hasThread) return;
    if (this.#scheduler.waiting === 0 && !this.#isMoreWanted) return;
    this.#isStarting = true;
    next.start().then(
      () => {
        this.#isStarting = false;
        this.#coresReady++;
        this.#isMoreWanted = false;
        this.#tell({ kind: 'core-ready' });
      },
      () => {
        this.#isStarting = false;
      },
    );
  }
}

/** An arena with the inputs of a run. Throws a MemoryLimitError. */
function openRun({ program, inputs, request }: Run): number {
  const arena = program.openArena(request.model);
  program.writeInputs(arena, inputs);
  return arena;
}
