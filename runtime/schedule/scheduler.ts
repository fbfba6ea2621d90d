/**
 * The policy: what every core does next, which models are in memory, which runs are refused. A state machine that is
 * told events and the time and answers with decisions; it does nothing itself and reads no clock. docs/scheduling.md
 * states its rules and guarantees.
 */
import { expectedResponseUs, findMiss, milliseconds } from './admission.ts';
import { batchSize } from './batch.ts';
import { Cores } from './cores.ts';
import type { Decision, EndOutcome, RunRequest, SchedulerEvent, SchedulerSpec, StopOutcome } from './events.ts';
import type { FairQueue } from './fair-queue.ts';
import { Floors } from './floors.ts';
import { Heap, isBefore } from './heap.ts';
import { type Job, type Run, remainingUs, type Slice } from './job.ts';
import { type Measured, Meter } from './measure.ts';
import { PRIORITIES, type PriorityClass, SAFETY } from './priorities.ts';
import { Ready } from './ready.ts';
import { Residency } from './residency.ts';
import { Tenants } from './tenants.ts';

export class Scheduler {
  readonly #spec: SchedulerSpec;
  readonly #floors = new Floors();
  readonly #ready = new Ready(this.#floors);
  readonly #cores: Cores;
  readonly #residency: Residency;
  readonly #tenants: Tenants;
  readonly #meters: readonly Meter[];
  readonly #runs = new Map<number, Run>();
  /** Runs by deadline. */
  readonly #expiry = new Heap<Run>();
  #decisions: Decision[] = [];
  #sequence = 0;
  #nowUs: number;

  /** Throws an Error when the models or tenants contradict themselves. The first step loads the pinned models. */
  constructor(spec: SchedulerSpec, nowUs: number) {
    if (!(spec.instructionUs >= 0)) throw new Error(`instructionUs: expected 0 or more, got ${spec.instructionUs}`);
    this.#spec = spec;
    this.#nowUs = nowUs;
    this.#cores = new Cores(spec.cores);
    this.#tenants = new Tenants(spec.tenants, this.#ready.queues);
    this.#meters = PRIORITIES.map(() => new Meter(nowUs));
    this.#residency = new Residency(spec, {
      load: (model) => this.#decisions.push({ kind: 'load', model }),
      unload: (model) => this.#decisions.push({ kind: 'unload', model }),
      admit: ({ waiting }) => {
        for (const job of waiting) if (job.slot < 0) this.#queue(job).add(job);
      },
      park: ({ waiting }) => {
        for (const job of waiting) this.#queue(job).remove(job);
      },
    });
    this.#residency.loadPinned();
  }

  /** Takes note of an event and decides. Time must not go back. */
  step(event: SchedulerEvent, nowUs: number): readonly Decision[] {
    if (!(nowUs >= this.#nowUs)) throw new Error(`assertion: the time went from ${this.#nowUs} to ${nowUs}`);
    this.#floors.advance(nowUs - this.#nowUs);
    this.#nowUs = nowUs;
    this.#note(event);
    this.#expire();
    this.#residency.settle();
    this.#startJobs();
    this.#suspendJobs();
    this.#floors.observe(this.#cores.count, this.#cores.busy, (priority) => this.#ready.of(priority).length > 0);
    const decisions = this.#decisions;
    this.#decisions = [];
    return decisions;
  }

  /** When the scheduler wants a tick if no event comes before; infinite when it waits for events only. */
  get wakeUs(): number {
    const first = this.#expiry.first;
    // A run that ends at its deadline is in time.
    const expiryUs = first ? first.key + 1 : Number.POSITIVE_INFINITY;
    return Math.min(expiryUs, this.#nowUs + Math.max(1, this.#floors.changeUs));
  }

  /** Urgency of a class at present: smaller goes first. A class that gets its floor goes before all but safety. */
  level(priority: number): number {
    return this.#floors.level(priority);
  }

  /** What arrives, was admitted, and how long it takes, by class. */
  measured(): readonly Measured[] {
    return this.#meters.map((meter) => meter.read(this.#nowUs));
  }

  #note(event: SchedulerEvent): void {
    switch (event.kind) {
      case 'submit':
        this.#submit(event.request);
        break;
      case 'cancel': {
        const run = this.#runs.get(event.run);
        // It may have ended while the wish was on its way.
        if (run) this.#drop(run, 'cancelled');
        break;
      }
      case 'stopped':
        this.#stopped(event.core, event.outcome);
        break;
      case 'loaded':
        this.#residency.loaded(event.model, this.#nowUs);
        break;
      case 'load-failed': {
        const model = this.#residency.gone(event.model, 'loading');
        const reason = `model "${event.model}" could not be loaded: ${event.reason}`;
        for (const job of [...model.waiting]) for (const run of [...job.runs]) this.#drop(run, 'failed', reason);
        break;
      }
      case 'unloaded':
        this.#residency.gone(event.model, 'unloading');
    }
  }

  #submit(request: RunRequest): void {
    const checked = this.#runs.has(request.id)
      ? `run ${request.id}: expected an id that no unfinished run has`
      : this.#check(request);
    if (typeof checked === 'string') {
      this.#decisions.push({ kind: 'refuse', run: request.id, reason: checked });
      return;
    }
    const [run] = checked.runs as [Run];
    this.#runs.set(request.id, run);
    this.#tenants.count(request.tenant, 1);
    if (request.deadlineUs !== undefined) this.#expiry.add(run);
    (this.#meters[checked.priority] as Meter).arrived(this.#nowUs);
    checked.model.waiting.add(checked);
    if (this.#residency.canStart(checked.model)) this.#queue(checked).add(checked);
    else this.#residency.want(checked.model);
  }

  /** The job of a run, or why it is refused. */
  #check(request: RunRequest): Job | string {
    const tenant = this.#tenants.check(request);
    if (typeof tenant === 'string') return tenant;
    const { priority, share } = tenant;
    const { deadlineUs, workUs, cores = 1 } = request;
    const model = this.#residency.get(request.model);
    if (!model) return `model: expected one that is registered, got "${request.model}"`;
    if (!(workUs >= 0)) return `workUs: expected 0 or more, got ${workUs}`;
    if (!Number.isInteger(cores) || cores < 1) return `cores: expected a whole number above 0, got ${cores}`;
    if (deadlineUs !== undefined && !(deadlineUs > this.#nowUs))
      return `deadline: expected one to come, got one ${milliseconds(this.#nowUs - deadlineUs)} ago`;
    const never = this.#residency.neverFits(model);
    if (never) return never;
    const sequence = this.#sequence++;
    const key = deadlineUs ?? this.#nowUs + (PRIORITIES[priority] as PriorityClass).targetUs;
    const runs: Run[] = [];
    const job: Job = {
      key,
      sequence,
      slot: -1,
      priority,
      share,
      model,
      cores,
      runs,
      workUs,
      usedUs: 0,
      started: false,
    };
    runs.push({
      key: deadlineUs ?? Number.POSITIVE_INFINITY,
      sequence,
      slot: -1,
      request,
      job,
      submittedUs: this.#nowUs,
      usedUs: 0,
      preemptions: 0,
    });
    return (priority === SAFETY ? this.#proveSafety(job) : this.#predictMiss(job)) ?? job;
  }

  /** Why a safety run is refused; undefined when it and all others will end in time. */
  #proveSafety(job: Job): string | undefined {
    const { name } = job.model.spec;
    if (!this.#residency.canStart(job.model))
      return `model "${name}" is not in memory, so that nothing can be promised to a safety run; pin the model`;
    const coreFreeUs = Array.from({ length: this.#cores.count }, () => this.#nowUs);
    for (const slice of this.#cores.slices) {
      if (slice.job.priority !== SAFETY || slice.job.runs.length === 0) continue;
      for (const core of slice.cores) coreFreeUs[core] = slice.startedUs + remainingUs(slice.job);
    }
    const waiting = this.#ready.of(SAFETY).jobs();
    const miss = findMiss({ nowUs: this.#nowUs, instructionUs: this.#spec.instructionUs, coreFreeUs, waiting }, job);
    if (!miss) return undefined;
    const whose = miss.job === job ? 'it' : `run ${miss.job.runs[0]?.request.id}, admitted before,`;
    return `the deadline cannot be promised: ${whose} would end ${milliseconds(miss.endUs - miss.job.key)} late behind other safety runs; allow more time or send it to another node`;
  }

  /** Why a run with a deadline is refused; undefined when it is expected to end in time. */
  #predictMiss(job: Job): string | undefined {
    const { deadlineUs } = (job.runs[0] as Run).request;
    if (deadlineUs === undefined) return undefined;
    const loadUs = job.model.state === 'loaded' ? 0 : (job.model.spec.loadUs ?? 0);
    const backlog = { workUs: job.workUs, cores: this.#cores.count, takenShare: this.#takenShare(job.priority) };
    const responseUs = (aheadUs: number): number => loadUs + expectedResponseUs({ ...backlog, aheadUs });
    let aheadUs = 0;
    for (const slice of this.#cores.slices)
      if (slice.job.priority <= job.priority)
        aheadUs += Math.max(0, remainingUs(slice.job) - (this.#nowUs - slice.startedUs));
    for (let priority = 0; priority < job.priority; priority++) aheadUs += this.#ready.of(priority).workUs;
    const own = this.#queue(job);
    if (this.#nowUs + responseUs(aheadUs + own.workUs) <= deadlineUs) return undefined;
    // Not all of the class goes before it: count those that do.
    const response = responseUs(aheadUs + own.workBefore(job.key));
    if (this.#nowUs + response <= deadlineUs) return undefined;
    return `expected to end after ${milliseconds(response)}, later than its deadline in ${milliseconds(deadlineUs - this.#nowUs)}: ${milliseconds(aheadUs)} of work as urgent or more is ahead on ${backlog.cores} cores, and ${Math.round(backlog.takenShare * 100)}% of them are taken by other classes; allow more time, a higher class, a smaller model or another node`;
  }

  /** Share of the cores that more urgent classes have lately taken, and that floors may take. */
  #takenShare(priority: number): number {
    let share = 0;
    for (const [other, { floor }] of PRIORITIES.entries()) {
      if (other > priority) {
        if (this.#ready.of(other).length > 0) share += floor;
        continue;
      }
      if (other === priority) continue;
      const { rate, mean = 0 } = (this.#meters[other] as Meter).read(this.#nowUs);
      share += (rate * mean) / this.#cores.count;
    }
    return share;
  }

  #expire(): void {
    for (let run = this.#expiry.first; run && run.key < this.#nowUs; run = this.#expiry.first) this.#drop(run, 'late');
  }

  /** Ends a run before its time, wherever it is. A core that works on it is told to stop. */
  #drop(run: Run, outcome: EndOutcome, reason?: string): void {
    const { job } = run;
    const queue = this.#queue(job);
    const ready = job.slot >= 0;
    queue.remove(job);
    job.runs = job.runs.filter((other) => other !== run);
    this.#end(run, outcome, reason);
    if (job.runs.length > 0) {
      // The rest of a batch goes on.
      if (ready) queue.add(job);
      return;
    }
    const slice = [...this.#cores.slices].find((each) => each.job === job);
    if (slice) this.#suspend(slice);
    else this.#forget(job);
  }

  #end(run: Run, outcome: EndOutcome, reason?: string): void {
    this.#runs.delete(run.request.id);
    this.#expiry.remove(run);
    this.#tenants.count(run.request.tenant, -1);
    const { submittedUs, startedUs, usedUs: runUs, preemptions, preemptedBy } = run;
    const account = { submittedUs, startedUs, endedUs: this.#nowUs, runUs, preemptions, preemptedBy };
    this.#decisions.push({ kind: 'end', run: run.request.id, outcome, reason, account });
  }

  #forget(job: Job): void {
    job.model.waiting.delete(job);
    job.model.started.delete(job);
    job.model.usedUs = this.#nowUs;
  }

  #stopped(core: number, outcome: StopOutcome): void {
    const slice = this.#cores.end(core);
    const { job } = slice;
    const usedUs = this.#nowUs - slice.startedUs;
    this.#queue(job).charge(job.share, usedUs * slice.cores.length - slice.chargedUs);
    job.usedUs += usedUs;
    for (const run of job.runs) run.usedUs += (usedUs * slice.cores.length) / job.runs.length;
    if (outcome === 'suspended' && job.runs.length > 0) {
      this.#queue(job).add(job);
      return;
    }
    if (outcome === 'done') (this.#meters[job.priority] as Meter).served(this.#nowUs, job.usedUs);
    this.#forget(job);
    for (const run of job.runs) this.#end(run, outcome === 'done' ? 'done' : 'failed');
  }

  #startJobs(): void {
    while (this.#cores.idle > 0) {
      const job = this.#ready.first;
      if (!job) return;
      this.#queue(job).remove(job);
      this.#fillBatch(job);
      // Further cores only when nobody else could use them.
      const spare = this.#cores.idle - this.#ready.total;
      const cores = this.#cores.take(Math.max(1, Math.min(job.cores, spare)));
      this.#begin(job, cores);
    }
  }

  #begin(job: Job, cores: readonly number[]): void {
    const { model, runs } = job;
    job.started = true;
    model.waiting.delete(job);
    model.started.add(job);
    model.usedUs = this.#nowUs;
    for (const run of runs) run.startedUs ??= this.#nowUs;
    const chargedUs = remainingUs(job);
    this.#queue(job).charge(job.share, chargedUs);
    this.#cores.begin({ job, cores, startedUs: this.#nowUs, chargedUs, stopping: false });
    this.#decisions.push({ kind: 'start', cores, runs: runs.map(({ request }) => request.id) });
  }

  /** Adds waiting runs of the same model, class and tenant to a job that is about to start. */
  #fillBatch(job: Job): void {
    const { batch } = job.model.spec;
    // While cores are idle, runs of their own end sooner. What is promised to safety is promised to each run alone.
    const most = this.#ready.total - this.#cores.idle + 2;
    if (!batch || job.started || job.priority === SAFETY || most < 2) return;
    const mates = [...job.model.waiting]
      .filter((other) => other !== job && other.share === job.share)
      .sort((a, b) => (isBefore(a, b) ? -1 : 1));
    const queue = this.#queue(job);
    const others = [...queue.jobs()].filter(
      (other) => other.started || other.model !== job.model || other.share !== job.share,
    );
    const size = batchSize({ nowUs: this.#nowUs, candidates: [job, ...mates], others, most });
    if (size === 1) return;
    for (const mate of mates.slice(0, size - 1)) {
      queue.remove(mate);
      job.model.waiting.delete(mate);
      for (const run of mate.runs) run.job = job;
      job.runs.push(...mate.runs);
    }
    job.workUs = batch.fixedUs + size * batch.perRunUs;
  }

  /** Tells cores to stop until, at every level, each job that waits has a core to come from less urgent work. */
  #suspendJobs(): void {
    if (this.#ready.total === 0) return;
    let coming = this.#cores.idle;
    for (const slice of this.#cores.slices) if (slice.stopping) coming += slice.cores.length;
    for (const priority of this.#ready.byLevel()) {
      const waiting = this.#ready.of(priority).length;
      while (waiting > coming) {
        const victim = this.#cores.victim(this.#floors.level(priority), (slice) =>
          this.#floors.level(slice.job.priority),
        );
        if (!victim) break;
        const waits = this.#ready.of(priority).first as Job;
        for (const run of victim.job.runs) {
          run.preemptions++;
          run.preemptedBy = waits.runs[0]?.request.id;
        }
        this.#suspend(victim);
        // One that is as urgent goes on with one core: it only gives back those that it had beyond.
        coming +=
          victim.cores.length - (this.#floors.level(victim.job.priority) <= this.#floors.level(priority) ? 1 : 0);
      }
      coming = Math.max(0, coming - waiting);
    }
  }

  #suspend(slice: Slice): void {
    if (slice.stopping) return;
    slice.stopping = true;
    this.#decisions.push({ kind: 'suspend', core: slice.cores[0] as number });
  }

  #queue(job: Job): FairQueue {
    return this.#ready.of(job.priority);
  }
}
