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
  type EngineRun,
  finishRun,
  helpersOf,
  learnFrom,
  leaveWork,
  newRun,
  openWork,
  workOf,
} from './engine-run.ts';
import { FurtherCores } from './further-cores.ts';
import type { LoadedProgram } from './loaded-program.ts';
import type { RunOptions } from './model.ts';
import { Offer } from './offer.ts';
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
  /** What the core that stops first goes on with. */
  readonly #offer: Offer;
  readonly #short: ShortRuns | undefined;
  readonly #clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #further: FurtherCores;
  readonly #timer: WakeTimer;
  readonly #runs = new Map<number, EngineRun>();
  /** What each core works on, as far as is known. */
  readonly #current: (Computation | undefined)[] = [];
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
    this.#offer = new Offer((cores[0] as Core).next);
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
    const isLooking = this.#cores.some(({ block }, place) => this.#current[place] && block.asking !== 0);
    this.#offerNext();
    this.#isTelling = false;
    for (const act of this.#afterwards.splice(0)) act();
    if (this.#offer.isOpen) this.#askToGiveWay(this.#scheduler.givingWay);
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
    const taken = this.#offer.close();
    if (!taken) return;
    const { place, work } = taken;
    const core = this.#cores[place] as Core;
    const { stop, atMs } = core.block.left;
    const outcome = this.#leave(this.#current[place] as Computation, stop);
    this.#occupy(work, place, core.goOn(), 0);
    const [run] = [...work.runs] as [EngineRun];
    this.#step({ kind: 'stopped', core: place, outcome, next: run.request.id }, atMs * 1000);
  }

  #offerNext(): void {
    const run = this.#first.hasThread ? this.#scheduler.next : undefined;
    const work = run === undefined ? undefined : this.#runs.get(run)?.work;
    const { givingWay } = this.#scheduler;
    // One of those that might have it stops meanwhile as well: the one that is told to may be without a processor.
    if (work && this.#offer.work !== work) this.#askToGiveWay(givingWay.slice(0, 1));
    this.#offer.open(work, run, givingWay);
  }

  #askToGiveWay(places: readonly number[]): void {
    for (const place of places) this.#cores[place]?.block.ask('give way');
  }

  /** Who has helpers does not go on without them by itself. */
  #askToStop(place: number, run: number | undefined): void {
    const isAlone = this.#current[place]?.helpers === 0;
    (this.#cores[place] as Core).block.ask(run !== undefined && isAlone ? 'make way' : 'stop', run);
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
        this.#askToStop(decision.core, decision.for);
        break;
      case 'go-on':
        (this.#cores[decision.core] as Core).block.letGoOn();
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
    if (runs.length > 1 && runs.some(({ work }) => work === this.#offer.work)) this.#offer.withdraw();
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
    this.#offer.claim(work);
    try {
      return openWork(work);
    } catch {
      this.#offer.withdraw();
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
    if (this.#offer.work?.model === model) this.#offer.withdraw();
    for (const run of [...this.#runs.values()]) {
      if (run.request.model !== model || run.isOver) continue;
      this.#forget(run);
      run.answer.reject(this.residents.adopt(run));
    }
  }
}
