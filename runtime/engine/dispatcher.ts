/**
 * Carries out what the policy decides (schedule/scheduler.ts): gives runs to cores, sets them aside, goes on with them, ends them. Each core
 * has a run of its own, or helps another one with its run. A run that is set aside lies whole in its arena with a word to resume at, so
 * that nothing is saved or copied.
 */
import { speedOf } from '../schedule/cores.ts';
import type { Decision, RunAccount, RunRequest, SchedulerEvent, StopOutcome } from '../schedule/events.ts';
import { priorityOf } from '../schedule/priorities.ts';
import { Scheduler } from '../schedule/scheduler.ts';
import { Timeline } from '../schedule/timeline.ts';
import { type Clock, machineClock } from './clock-io.ts';
import type { Core } from './core.ts';
import type { Stop } from './core-messages.ts';
import {
  type AskedRun,
  type Computation,
  closeWork,
  type EngineRun,
  finishRun,
  helpersOf,
  learnFrom,
  leaveWork,
  newRun,
  openWork,
  segmentOf,
  workOf,
} from './engine-run.ts';
import { FurtherCores } from './further-cores.ts';
import type { LoadedProgram } from './loaded-program.ts';
import type { RunOptions } from './model.ts';
import type { NextRun } from './next-run.ts';
import { OffloadedRuns } from './offloaded-runs.ts';
import { type PolicyOptions, policySpec } from './policy-spec.ts';
import { isDone, type ProgramResult } from './program-result.ts';
import { type ResidencyNews, ResidentModels } from './resident-models.ts';
import { runAtOnce } from './run-at-once.ts';
import { endedEarly, refused } from './run-error.ts';
import { isAdmissible, NORMAL, type PartOptions, requestOf } from './run-request.ts';
import type { ShortRuns } from './short-runs.ts';
import type { Tensor } from './tensor.ts';
import { WakeTimer } from './wake-timer.ts';

/** A core that is told to stop takes what is on offer without a word: so often it is looked whether it has. */
const LOOK_MS = 1;

/** The first core's orders may be carried out elsewhere in its first moments: see FirstSteps. */
export interface Processors {
  readonly first: Pick<Core, 'execute' | 'hasThread'>;
  readonly cores: readonly Core[];
}

export interface DispatcherOptions extends PolicyOptions {
  readonly short?: ShortRuns;
  readonly clock?: Clock;
  readonly onResidency?: ResidencyNews;
}

export class Dispatcher {
  /** What became of the latest runs. */
  readonly timeline = new Timeline();
  /** Those that another engine computes. */
  readonly offloaded: OffloadedRuns;
  /** Models that come and go by the policy. The others are their owners' matter. */
  readonly residents: ResidentModels;
  readonly #first: Processors['first'];
  readonly #cores: readonly Core[];
  readonly #next: NextRun;
  readonly #short: ShortRuns | undefined;
  readonly #clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #further: FurtherCores;
  readonly #timer: WakeTimer;
  readonly #runs = new Map<number, EngineRun>();
  /** What each core works on, as far as is known; and what the one that stops first goes on with. */
  readonly #current: (Computation | undefined)[] = [];
  #offered: Computation | undefined;
  /** Names of the models that the policy knows. */
  readonly #models = new Set<string>();
  readonly #events: SchedulerEvent[] = [];
  #isTelling = false;
  /** To be done when the cores have what they are to go on with. */
  #afterwards: (() => void)[] = [];
  #runsBegun = 0;

  constructor({ first, cores }: Processors, options: DispatcherOptions = {}) {
    const { short, clock = machineClock, memoryBytes = Infinity } = options;
    this.#first = first;
    this.#cores = cores;
    this.#next = (cores[0] as Core).next;
    this.#short = short;
    this.#clock = clock;
    this.#scheduler = new Scheduler(policySpec(cores.length, options), this.#nowUs());
    this.#further = new FurtherCores(first, cores, () => this.#tell({ kind: 'core-ready' }));
    this.#timer = new WakeTimer(clock, () => this.#tell({ kind: 'tick' }));
    const ports = {
      clock,
      nextId: () => ++this.#runsBegun,
      submitted: (request: RunRequest) => this.timeline.submitted(request),
      tell: (event: SchedulerEvent) => this.#tell(event),
    };
    this.offloaded = new OffloadedRuns(ports);
    this.residents = new ResidentModels({
      ...{ ...ports, budgetBytes: memoryBytes, news: options.onResidency },
      hasInMemory: (model) => this.#scheduler.hasInMemory(model),
      mostBytes: (model) => this.#scheduler.mostBytes(model),
    });
    for (const core of cores) core.onWentOn = () => this.#tell({ kind: 'tick' });
  }

  /** Those to come included. */
  get cores(): number {
    return this.#cores.length;
  }

  /** Runs a program with checked inputs. They must not change until the run has ended. */
  async run(
    model: string,
    program: LoadedProgram,
    inputs: Readonly<Record<string, Tensor>>,
    options: PartOptions,
  ): Promise<ProgramResult> {
    const { signal, outputs: given } = options;
    signal?.throwIfAborted();
    program.checkGiven(model, given);
    const submittedMs = this.#clock.nowMs();
    const request = requestOf(options, { model, program, cores: this.#cores.length }, ++this.#runsBegun, {
      nowUs: submittedMs * 1000,
      epochMs: () => this.#clock.epochMs(),
    });
    const asked: AskedRun = { request, program, inputs, given, submittedMs };
    const isAtOnce = isAdmissible(request, submittedMs * 1000) && this.#scheduler.hasTenant(request.tenant);
    const served = (us: number, account: RunAccount): void => this.#noteServed(request, us, account);
    const begun = isAtOnce && this.#short?.takes(program) ? runAtOnce(this.#short, asked, served) : undefined;
    if (begun && 'outputs' in begun) return begun;
    const abort = (): void => this.#cancel(run, signal?.reason);
    const run = newRun(asked, begun, () => signal?.removeEventListener('abort', abort));
    signal?.addEventListener('abort', abort, { once: true });
    program.users++;
    this.#runs.set(request.id, run);
    this.timeline.submitted(request);
    if (!this.#models.has(model) && !this.residents.has(model)) {
      this.#models.add(model);
      this.#tell({ kind: 'model-added', model: { name: model, bytes: 0, pinned: true } });
    }
    if ((request.cores as number) > 1) this.#further.want();
    this.#tell({ kind: 'submit', request, batching: begun ? undefined : program.batches?.of(inputs) });
    return run.answer.promise;
  }

  /** How long a new run would take from now until its end, on the cores or on an accelerator, where its own work takes so long. Microseconds. */
  expectedUs(priority: RunOptions['priority'], workUs: number, accelerator?: string): number {
    return this.#scheduler.expectedUs(priorityOf(priority ?? NORMAL) ?? NORMAL, workUs, this.#nowUs(), accelerator);
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

  /** A run that asked nobody counts all the same: in what is measured, and among the latest runs. */
  #noteServed(request: RunRequest, us: number, account: RunAccount): void {
    this.#scheduler.served(request.model, priorityOf(request.priority) as number, us, account.endedUs);
    this.timeline.served(request, account);
  }

  /** Tells the policy what has happened and carries out what it decides, one event after the other. */
  #tell(event: SchedulerEvent): void {
    this.#events.push(event);
    if (this.#isTelling) return;
    this.#isTelling = true;
    this.#noteTaken();
    for (let next = this.#events.shift(); next; next = this.#events.shift()) this.#step(next, this.#nowUs());
    const isLooking = this.#cores.some(({ block }, place) => this.#current[place] && block.isToldToStop);
    this.#offerNext();
    this.#isTelling = false;
    for (const act of this.#afterwards.splice(0)) act();
    // Who was told to stop may be without a processor: the system has more to do than we.
    if (this.#next.isOpen) for (const place of this.#scheduler.givingWay) this.#cores[place]?.block.askToGiveWay();
    this.#timer.set(this.#scheduler.wakeUs / 1000);
    if (isLooking) this.#timer.set(this.#clock.nowMs() + LOOK_MS);
    this.#further.start(this.#scheduler.waiting);
  }

  #step(event: SchedulerEvent, nowUs: number): void {
    const decisions = this.#scheduler.step(event, nowUs);
    this.timeline.note(decisions);
    for (const decision of decisions) this.#carryOut(decision);
  }

  /** Until the next offer no core goes on by itself. Of one that has, the policy hears first, with the time when that was. */
  #noteTaken(): void {
    const place = this.#next.close();
    const next = this.#offered;
    if (place === undefined || !next) return;
    this.#offered = undefined;
    const core = this.#cores[place] as Core;
    const { stop, atMs } = core.block.left;
    const outcome = this.#leave(this.#current[place] as Computation, stop);
    this.#occupy(next, place, core.goOn(), 0);
    const [run] = [...next.runs] as [EngineRun];
    this.#step({ kind: 'stopped', core: place, outcome, next: run.request.id }, atMs * 1000);
  }

  /** While a core stops for the run, its input is copied already. */
  #offerNext(): void {
    const id = this.#first.hasThread ? this.#scheduler.next : undefined;
    const work = id === undefined ? undefined : this.#runs.get(id)?.work;
    if (this.#offered !== work) this.#withdraw();
    try {
      if (work && !this.#offered) {
        openWork(work);
        work.program.weights.hold();
        this.#offered = work;
      }
    } catch {
      // There may be memory when its turn has come; if not, it is told then.
    }
    this.#next.open(this.#offered && segmentOf(this.#offered), this.#scheduler.givingWay);
  }

  /** What is on offer no longer is. Of runs that have not begun it alone has memory. */
  #withdraw(): void {
    const work = this.#offered;
    if (!work) return;
    this.#offered = undefined;
    work.program.weights.release();
    if (work.startedMs === undefined) closeWork(work);
  }

  #carryOut(decision: Decision): void {
    switch (decision.kind) {
      case 'start':
        if (this.offloaded.carryOut(decision)) break;
        this.#start(
          decision.runs.map((id) => this.#runs.get(id) as EngineRun),
          decision.cores,
        );
        break;
      case 'suspend':
        (this.#cores[decision.core] as Core).block.setFlag(1);
        break;
      case 'refuse': {
        if (this.offloaded.carryOut(decision)) break;
        if (this.residents.carryOut(decision)) break;
        const run = this.#runs.get(decision.run) as EngineRun;
        this.#end(run, () => run.answer.reject(refused(run.request, decision)));
        break;
      }
      case 'end': {
        if (this.offloaded.carryOut(decision)) break;
        if (this.residents.carryOut(decision)) break;
        const run = this.#runs.get(decision.run) as EngineRun;
        const settle = (): void => this.#settle(run, decision);
        run.isOver = true;
        // The last one waits for the core to let go of the memory.
        if (run.work.core === undefined || [...run.work.runs].some(({ isOver }) => !isOver))
          this.#afterwards.push(settle);
        else run.work.settle = settle;
        break;
      }
      case 'unload':
        this.#displace(decision.model);
        this.residents.carryOut(decision);
        break;
      case 'load':
        this.residents.carryOut(decision);
        break;
      default:
        throw new Error(`assertion: the policy decided to ${decision.kind}, expected no smaller models`);
    }
  }

  #start(runs: readonly EngineRun[], cores: readonly number[]): void {
    const [place = 0] = cores;
    const core = this.#cores[place] as Core;
    const { block } = core;
    if (runs.length > 1 && runs.some(({ work }) => work === this.#offered)) this.#withdraw();
    const work = workOf(runs);
    const { program } = work;
    try {
      program.writeBases(block.bases, this.#open(work));
      const helpers = helpersOf(work, this.#cores, cores.slice(1));
      block.setHelpers(
        work.lanes ?? 0,
        helpers.map((helper) => helper.block),
      );
      block.setFlag(0);
      program.weights.hold();
      const segment = { words: program.words, pc: work.pc, bases: block.bases, flag: block.flag };
      this.#occupy(work, place, (place === 0 ? this.#first : core).execute(segment, helpers), helpers.length);
    } catch (error) {
      work.failure = error;
      this.#tell({ kind: 'stopped', core: place, outcome: 'failed' });
    }
  }

  /** Its arena. What waits or is to be copied yet gives up its own when there is no room. */
  #open(work: Computation): number {
    if (this.#offered === work) {
      this.#offered = undefined;
      work.program.weights.release();
    }
    try {
      return openWork(work);
    } catch {
      this.#withdraw();
      for (const act of this.#afterwards.splice(0)) act();
      return openWork(work);
    }
  }

  /** A core has it now. */
  #occupy(work: Computation, place: number, stopping: Promise<Stop>, helpers: number): void {
    work.core = place;
    work.helpers = helpers;
    work.slices++;
    this.#current[place] = work;
    stopping.then(
      (stop) => this.#stopped(work, place, stop),
      (cause) => this.#stopped(work, place, undefined, cause),
    );
  }

  #stopped(work: Computation, place: number, stop: Stop | undefined, cause?: unknown): void {
    // A thread may have gone on with another run before it was lost.
    if (!stop) this.#tell({ kind: 'tick' });
    if (this.#current[place] !== work) return;
    this.#tell({ kind: 'stopped', core: place, outcome: this.#leave(work, stop, cause) });
  }

  /** The core has let go of it. */
  #leave(work: Computation, stop: Stop | undefined, cause?: unknown): StopOutcome {
    this.#current[work.core as number] = undefined;
    work.core = undefined;
    work.program.weights.release();
    if (work.settle) this.#afterwards.push(work.settle);
    if (!stop) {
      work.failure = new Error(`model "${work.model}": the run was lost`, { cause });
      return 'failed';
    }
    work.startedMs ??= stop.startedMs;
    work.workUs += (stop.endedMs - stop.startedMs) * 1000 * speedOf(1 + work.helpers);
    work.pc = stop.result;
    work.stop = stop;
    if (stop.trap === undefined && stop.result >= 0) return 'suspended';
    if (!isDone(stop)) return 'failed';
    learnFrom(work, stop);
    return 'done';
  }

  #settle(run: EngineRun, end: Extract<Decision, { kind: 'end' }>): void {
    const { request, work } = run;
    const { stop, failure } = work;
    const { outcome, account } = end;
    if (stop && (outcome === 'done' || (outcome === 'failed' && failure === undefined))) {
      finishRun(run, stop, account, (ended, answer) => this.#end(ended, answer));
      return;
    }
    const reason =
      outcome === 'failed' ? failure : outcome === 'cancelled' ? run.reason : endedEarly(request, work.workUs, end);
    this.#end(run, () => run.answer.reject(reason));
  }

  #cancel(run: EngineRun, reason: unknown): void {
    run.reason ??= reason;
    this.#tell({ kind: 'cancel', run: run.request.id });
  }

  #end(run: EngineRun, answer: () => void): void {
    this.#forget(run);
    run.forget();
    answer();
  }

  #forget(run: EngineRun): void {
    leaveWork(run);
    this.#runs.delete(run.request.id);
    run.program.users--;
  }

  /** The programs of a model go: its runs, of which none has begun, wait until it is back. */
  #displace(model: string): void {
    if (this.#offered?.model === model) this.#withdraw();
    for (const run of [...this.#runs.values()]) {
      if (run.request.model !== model || run.isOver) continue;
      this.#forget(run);
      run.answer.reject(this.residents.adopt(run));
    }
  }
}
