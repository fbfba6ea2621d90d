/**
 * The policy: what every core does next, which models are in memory, which runs are refused. A state machine that is
 * told events and the time and answers with decisions; it does nothing itself and reads no clock. docs/scheduling.md
 * states its rules and guarantees.
 */
import { type Batching, fillBatch } from './batch.ts';
import { speedOf } from './cores.ts';
import type { Decision, EndOutcome, RunRequest, SchedulerEvent, SchedulerSpec, StopOutcome } from './events.ts';
import { Gate } from './gate.ts';
import { Heap } from './heap.ts';
import { type Job, type Lane, type ResidentModel, type Run, remainingUs, type Slice, takeDown } from './job.ts';
import type { Measured, Meter } from './measure.ts';
import { givingWay, nextJob } from './next.ts';
import { Pool } from './pool.ts';
import { letGoOn, suspendJobs } from './preemption.ts';
import { rebalance } from './rebalance.ts';
import { Residency } from './residency.ts';

export class Scheduler {
  readonly #cores: Pool;
  /** Those to come included. */
  readonly #coresMax: number;
  /** The cores first, then the accelerators. */
  readonly #pools: readonly Pool[];
  readonly #residency: Residency;
  readonly #gate: Gate;
  readonly #runs = new Map<number, Run>();
  /** Runs by deadline. */
  readonly #expiry = new Heap<Run>();
  #decisions: Decision[] = [];
  #nowUs: number;

  /** Throws an Error when the models or tenants contradict themselves. The first step loads the pinned models. */
  constructor(spec: SchedulerSpec, nowUs: number) {
    if (!(spec.instructionUs >= 0)) throw new Error(`instructionUs: expected 0 or more, got ${spec.instructionUs}`);
    this.#nowUs = nowUs;
    this.#coresMax = spec.cores;
    this.#cores = new Pool(0, spec.coresReady ?? spec.cores, 0, nowUs);
    const accelerators = spec.accelerators ?? [];
    this.#pools = [
      this.#cores,
      ...accelerators.map((name, place) => new Pool(place + 1, 1, spec.cores + place, nowUs, name)),
    ];
    this.#residency = new Residency(spec, {
      load: (model) => this.#decisions.push({ kind: 'load', model }),
      unload: (model) => this.#decisions.push({ kind: 'unload', model }),
      admit: ({ lanes }) => {
        for (const lane of lanes) this.#openLane(lane);
      },
      giveUp: (model, reason) => this.#dropWaiting(model, reason),
      park: ({ lanes }) => {
        for (const lane of lanes) lane.queue.close(lane);
      },
    });
    this.#gate = new Gate(spec, this.#pools, this.#residency);
    this.#residency.loadPinned();
  }

  /** Expected time until a new run of so much work ends that goes behind all of its class, on the cores or on an accelerator. */
  expectedUs(priority: number, workUs: number, nowUs: number, accelerator?: string): number {
    const pool = this.#pools.find(({ name }) => name === accelerator);
    return pool ? pool.responseUs(priority, workUs, nowUs) : Number.POSITIVE_INFINITY;
  }

  /** Takes note of an event and decides. Time must not go back. */
  step(event: SchedulerEvent, nowUs: number): readonly Decision[] {
    if (!(nowUs >= this.#nowUs)) throw new Error(`assertion: the time went from ${this.#nowUs} to ${nowUs}`);
    const pools = this.#pools;
    for (let i = 0; i < pools.length; i++) (pools[i] as Pool).floors.advance(nowUs - this.#nowUs);
    this.#nowUs = nowUs;
    this.#note(event);
    this.#expire();
    this.#residency.settle();
    if (pools.length > 1) rebalance(pools, nowUs, (job) => this.#wait(job, true));
    for (let i = 0; i < pools.length; i++) {
      const pool = pools[i] as Pool;
      this.#startJobs(pool);
      if (pool.isPreemptible) suspendJobs(pool, nowUs, (slice) => this.#suspend(slice));
      pool.floors.observe(pool.cores.count, pool.cores.busy, pool.waiting);
    }
    const decisions = this.#decisions;
    this.#decisions = [];
    return decisions;
  }

  /** When the scheduler wants a tick if no event comes before; infinite when it waits for events only. */
  get wakeUs(): number {
    const first = this.#expiry.first;
    // A run that ends at its deadline is in time.
    let wakeUs = first ? first.key + 1 : Number.POSITIVE_INFINITY;
    for (const { floors } of this.#pools) wakeUs = Math.min(wakeUs, this.#nowUs + Math.max(1, floors.changeUs));
    return wakeUs;
  }

  /** Urgency of a class at present on the cores: smaller goes first. A class that gets its floor goes before all but safety. */
  level(priority: number): number {
    return this.#cores.levelOf(priority);
  }

  /** Jobs that could start if there were a core for them. */
  get waiting(): number {
    return this.#cores.ready.total;
  }

  /**
   * The run that a core is given which stops before the next step, whichever it is and for whatever reason: it may begin before the stop is
   * told. Undefined when nothing waits that can be given so.
   */
  get next(): number | undefined {
    return nextJob(this.#cores, this.#nowUs)?.runs[0]?.request.id;
  }

  /** Cores that may stop for `next` although they were not told to: whichever stops first has it. None where no core is to stop for it. */
  get givingWay(): readonly number[] {
    const next = nextJob(this.#cores, this.#nowUs);
    return next ? givingWay(next, this.#cores) : [];
  }

  /** Whether a run of the model would wait for a core only. */
  hasInMemory(name: string): boolean {
    const model = this.#residency.get(name);
    return model !== undefined && this.#residency.canStart(model);
  }

  /** What a model could have of the memory at the most. */
  mostBytes(name: string): number {
    const model = this.#residency.get(name);
    return model ? this.#residency.mostBytes(model.spec) : 0;
  }

  hasTenant(name: string): boolean {
    return this.#gate.hasTenant(name);
  }

  /** Takes note of a run that was computed at once, by nobody's decision, so that what is measured is all that there is. */
  served(name: string, priority: number, us: number, nowUs: number): void {
    const model = this.#residency.get(name);
    if (model) model.usedUs = nowUs;
    const meter = this.#cores.meters[priority] as Meter;
    meter.arrived(nowUs);
    meter.served(nowUs, us);
  }

  /** What arrives for the cores and how long it takes, by class. */
  measured(): readonly Measured[] {
    return this.#cores.meters.map((meter) => meter.read(this.#nowUs));
  }

  #note(event: SchedulerEvent): void {
    switch (event.kind) {
      case 'submit':
        this.#submit(event.request, event.batching);
        break;
      case 'cancel': {
        const run = this.#runs.get(event.run);
        // It may have ended while the wish was on its way.
        if (run) this.#drop(run, 'cancelled');
        break;
      }
      case 'stopped':
        this.#stopped(event.core, event.outcome, event.next);
        if (event.next !== undefined) this.#begun(event.next, event.core);
        break;
      case 'loaded':
        this.#residency.loaded(event.model, this.#nowUs, event);
        break;
      case 'load-failed': {
        const model = this.#residency.gone(event.model, 'loading');
        this.#dropWaiting(model, `model "${event.model}" could not be loaded: ${event.reason}`);
        break;
      }
      case 'unloaded':
        this.#residency.gone(event.model, 'unloading');
        break;
      case 'short':
        this.#residency.isShort(event.model, event.bytes);
        break;
      case 'measured':
        this.#residency.measured(event.model, event.bytes);
        break;
      case 'hold':
        this.#residency.hold(event.model);
        break;
      case 'let-go':
        this.#residency.letGo(event.model, this.#nowUs);
        break;
      case 'displaced':
        this.#displace(event.run);
        break;
      case 'core-ready':
        this.#cores.cores.grow();
        break;
      case 'model-known':
        this.#residency.addAbsent(event.model);
        break;
      case 'model-added':
        this.#residency.addLoaded(event.model);
        break;
      case 'model-removed':
        this.#residency.remove(event.model);
    }
  }

  #submit(request: RunRequest, batching: Batching | undefined): void {
    const { id } = request;
    const nowUs = this.#nowUs;
    if (this.#runs.has(id)) {
      const reason = `run ${id}: expected an id that no unfinished run has`;
      this.#decisions.push({ kind: 'refuse', run: id, cause: 'request', reason });
      return;
    }
    const run = this.#gate.check(request, nowUs);
    if ('cause' in run) {
      this.#decisions.push({ kind: 'refuse', run: id, cause: run.cause, reason: run.reason });
      return;
    }
    const { job, tenant, degraded } = run;
    const { model, pool, priority } = job;
    if (degraded !== undefined)
      this.#decisions.push({ kind: 'degrade', run: id, model: model.spec.name, reason: degraded });
    else run.batching = batching;
    this.#runs.set(id, run);
    tenant.runs[priority] = (tenant.runs[priority] as number) + 1;
    if (run.key !== Number.POSITIVE_INFINITY) this.#expiry.add(run);
    // An entry brings no work.
    if (!job.isEntry) (pool.meters[priority] as Meter).arrived(nowUs);
    if (job.started) model.started++;
    const canStart = job.started || this.#residency.canStart(model);
    if (canStart) run.readyUs = nowUs;
    if (canStart && job.isEntry) {
      this.#enter(job);
      return;
    }
    this.#wait(job, canStart);
    if (!canStart) this.#residency.want(model);
  }

  /** Puts a job that has not started where it waits. */
  #wait(job: Job, canStart: boolean): void {
    const queue = job.pool.queue(job);
    queue.laneOf(job.share, job.model, canStart);
    queue.add(job);
  }

  #openLane(lane: Lane): void {
    for (const job of [...lane.jobs.items]) {
      for (const run of job.runs) run.readyUs ??= this.#nowUs;
      if (!job.isEntry) continue;
      lane.queue.remove(job);
      this.#enter(job);
    }
    lane.queue.open(lane);
  }

  /** Its model is there, and is held for it. */
  #enter({ model, runs }: Job): void {
    model.started++;
    for (const run of runs) this.#end(run, 'done');
  }

  /** What a run would have computed is gone; its turn is kept. */
  #displace(id: number): void {
    const run = this.#runs.get(id);
    if (!run) return;
    run.job.isEntry = true;
    run.batching = undefined;
    run.readyUs = undefined;
  }

  #dropWaiting({ lanes }: ResidentModel, reason: string): void {
    const jobs = lanes.flatMap((lane) => lane.jobs.items);
    for (const { runs } of jobs) for (const run of [...runs]) this.#drop(run, 'failed', reason);
  }

  #expire(): void {
    for (let run = this.#expiry.first; run && run.key < this.#nowUs; run = this.#expiry.first)
      this.#drop(run, run.key === run.request.deadlineUs ? 'late' : 'timed-out');
  }

  /** Ends a run before its time, wherever it is. A core that works on it is told to stop. */
  #drop(run: Run, outcome: EndOutcome, reason?: string): void {
    const { job } = run;
    const waits = job.slot >= 0;
    job.pool.queue(job).remove(job);
    job.runs = job.runs.filter((other) => other !== run);
    const slice = job.slice;
    if (slice) takeDown(run, slice, this.#nowUs);
    this.#end(run, outcome, reason);
    if (job.runs.length > 0) {
      // The rest of a batch goes on.
      if (waits) job.pool.queue(job).add(job);
    } else if (!slice) this.#forget(job);
    else if (job.pool.isPreemptible) this.#stop(slice);
  }

  #end(run: Run, outcome: EndOutcome, reason?: string): void {
    const { request, submittedUs, readyUs, usedUs: runUs, preemptions, slices } = run;
    this.#runs.delete(request.id);
    this.#expiry.remove(run);
    const { runs } = run.tenant;
    runs[run.job.priority] = (runs[run.job.priority] as number) - 1;
    const account = { submittedUs, readyUs, endedUs: this.#nowUs, runUs, preemptions, slices };
    this.#decisions.push({ kind: 'end', run: request.id, outcome, reason, account });
  }

  #forget(job: Job): void {
    if (job.started) job.model.started--;
    job.model.usedUs = this.#nowUs;
  }

  #stopped(core: number, outcome: StopOutcome, next: number | undefined): void {
    const pool = this.#poolOf(core);
    const slice = pool.cores.end(core);
    const { job } = slice;
    const usedUs = this.#nowUs - slice.startedUs;
    const queue = pool.queue(job);
    queue.charge(job.share, usedUs * slice.cores.length - slice.chargedUs);
    job.usedUs += usedUs * speedOf(slice.cores.length);
    // It may have come to its end before it was to stop, or have given way to a run for which another core was to.
    slice.stoppedFor = outcome === 'suspended' ? (slice.stoppedFor ?? next) : undefined;
    for (let i = 0; i < job.runs.length; i++) takeDown(job.runs[i] as Run, slice, this.#nowUs);
    if (outcome === 'suspended' && job.runs.length > 0) {
      queue.add(job);
      return;
    }
    if (outcome === 'done') (pool.meters[job.priority] as Meter).served(this.#nowUs, job.usedUs);
    this.#forget(job);
    for (let i = 0; i < job.runs.length; i++) this.#end(job.runs[i] as Run, outcome === 'done' ? 'done' : 'failed');
  }

  #poolOf(core: number): Pool {
    const count = this.#coresMax;
    const pool = core < count ? this.#cores : this.#pools[core - count + 1];
    if (!pool) throw new Error(`assertion: core ${core} stopped, expected one below ${count + this.#pools.length - 1}`);
    return pool;
  }

  #startJobs(pool: Pool): void {
    const { cores, ready } = pool;
    while (cores.idle > 0) {
      const job = ready.first;
      if (!job) return;
      pool.queue(job).remove(job);
      fillBatch(job, this.#nowUs);
      // Further cores as far as others do not need them.
      const part = job.cores === 1 ? 1 : Math.min(job.cores, Math.ceil(cores.idle / (1 + ready.total)));
      this.#begin(job, cores.take(part));
    }
  }

  /** A core that stopped has gone on with `next`. */
  #begun(next: number, core: number): void {
    const job = this.#runs.get(next)?.job;
    if (!job || job.slot < 0) throw new Error(`assertion: core ${core} began run ${next}, expected one that waits`);
    job.pool.queue(job).remove(job);
    this.#occupy(job, [job.pool.cores.takeLast(core)]);
    this.#letGoOn(job);
  }

  #begin(job: Job, cores: readonly number[]): void {
    this.#occupy(job, cores);
    const { runs } = job;
    const ids = runs.length === 1 ? [(runs[0] as Run).request.id] : runs.map(({ request }) => request.id);
    this.#decisions.push({ kind: 'start', cores, runs: ids });
    this.#letGoOn(job);
  }

  #occupy(job: Job, cores: readonly number[]): void {
    const { model, pool } = job;
    if (!job.started) model.started++;
    job.started = true;
    model.usedUs = this.#nowUs;
    const chargedUs = remainingUs(job);
    pool.queue(job).charge(job.share, chargedUs);
    pool.cores.begin({ job, cores, startedUs: this.#nowUs, chargedUs, stopping: false, stoppedFor: undefined });
  }

  /** Whoever was to stop for a run of the job need not. */
  #letGoOn(job: Job): void {
    for (const { cores } of letGoOn(job)) this.#decisions.push({ kind: 'go-on', core: cores[0] as number });
  }

  /** What it works on is over, whoever waits. */
  #stop(slice: Slice): void {
    slice.stopping &&= slice.stoppedFor === undefined;
    slice.stoppedFor = undefined;
    this.#suspend(slice);
  }

  #suspend(slice: Slice): void {
    if (slice.stopping) return;
    slice.stopping = true;
    const { stoppedFor } = slice;
    const waiting = stoppedFor === undefined ? {} : { for: stoppedFor };
    this.#decisions.push({ kind: 'suspend', core: slice.cores[0] as number, ...waiting });
  }
}
