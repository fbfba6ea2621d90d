/** A node in virtual time: cores that take as long as they are told, memory, arrivals. It carries out what the real scheduler decides. */
import * as assert from 'uvu/assert';
import type { Batching } from '../../../../runtime/schedule/batch.ts';
import type { Decision, RunRequest, SchedulerEvent, SchedulerSpec } from '../../../../runtime/schedule/events.ts';
import { Heap } from '../../../../runtime/schedule/heap.ts';
import { priorityOf } from '../../../../runtime/schedule/priorities.ts';
import { Scheduler } from '../../../../runtime/schedule/scheduler.ts';
import type { Timeline } from '../../../../runtime/schedule/timeline.ts';
import type { Random } from '../../../random.ts';
import { EngineModels } from './engine-models.ts';
import { type Alarm, batchUs, type Ended, type LiveRun, type PlannedRun, type WorldSlice } from './run.ts';

export interface WorldOptions {
  /** Called after every step, with the time and whatever the world shows. */
  readonly watch?: (world: World) => void;
  /** Called before a run, or a batch, gets its cores. */
  readonly onStart?: (world: World, lead: LiveRun, cores: readonly number[]) => void;
  readonly onEnd?: (ended: Ended) => void;
  readonly onRefuse?: (plan: PlannedRun, refusal: Refusal) => void;
  /** What is told to stop goes on to its end, as with an engine that cannot interrupt a run. */
  readonly isDeaf?: boolean;
  /** Takes down what becomes of the runs. */
  readonly timeline?: Timeline;
  /** How often a core that stops goes on with `Scheduler.next` before anybody is told. */
  readonly handOverShare?: number;
  /** Models come and go as in an engine: see EngineModels. Else their sizes are stated, and runs wait as what they are. */
  readonly isEngine?: boolean;
}

export type Refusal = Extract<Decision, { kind: 'refuse' }>;

/** Several cores are worth less than their number. */
const FURTHER_CORE = 0.8;

export class World {
  readonly spec: SchedulerSpec;
  readonly scheduler: Scheduler;
  readonly live = new Map<number, LiveRun>();
  readonly slices = new Map<number, WorldSlice>();
  readonly idle: Set<number>;
  readonly models = new Map<string, 'absent' | 'loading' | 'loaded' | 'unloading'>();
  nowUs = 0;
  ended = 0;
  refused = 0;
  degraded = 0;
  steps = 0;
  handOvers = 0;
  gaveWay = 0;
  wentOn = 0;
  entries = 0;
  displaced = 0;
  readonly random: Random;
  readonly engine: EngineModels | undefined;
  readonly #options: WorldOptions;
  readonly #alarms = new Heap<Alarm>();
  #sequence = 0;
  /** What the policy has yet to hear, and what is to be noted then. */
  readonly #events: { readonly event: SchedulerEvent; readonly before?: () => void }[] = [];
  #isStepping = false;

  constructor(spec: SchedulerSpec, random: Random, options: WorldOptions = {}) {
    this.spec = spec;
    this.random = random;
    this.#options = options;
    const accelerators = spec.accelerators?.length ?? 0;
    this.idle = new Set(Array.from({ length: spec.cores + accelerators }, (_, i) => i));
    for (const { name } of spec.models) this.models.set(name, 'absent');
    this.scheduler = new Scheduler(options.isEngine ? { ...spec, models: [] } : spec, 0);
    if (options.isEngine) this.engine = new EngineModels(this);
    this.tell({ kind: 'tick' });
  }

  /** Runs arrive one after the other; ends when all have ended. */
  play(runs: Iterator<PlannedRun>): void {
    const arrive = (): void => {
      const { value, done } = runs.next();
      if (!done) this.at(value.arrivalUs, () => this.submit(value, arrive));
    };
    arrive();
    while (this.turn());
  }

  /** When something happens next; infinite when nothing will. */
  get nextUs(): number {
    const alarmUs = this.#alarms.first?.key ?? Number.POSITIVE_INFINITY;
    if (alarmUs === Number.POSITIVE_INFINITY && this.live.size === 0) return alarmUs;
    return Math.min(alarmUs, Math.max(this.nowUs, this.scheduler.wakeUs));
  }

  /** Lets the next thing happen; false when nothing is left to. */
  turn(): boolean {
    const alarm = this.#alarms.first;
    const wakeUs = this.scheduler.wakeUs;
    if (!alarm && this.live.size === 0) return false;
    if (!alarm && wakeUs === Number.POSITIVE_INFINITY)
      assert.unreachable(`${this.live.size} runs wait for ever at ${this.nowUs} µs`);
    if (alarm && alarm.key <= wakeUs) {
      this.#alarms.remove(alarm);
      this.nowUs = alarm.key;
      alarm.act();
    } else {
      this.nowUs = Math.max(this.nowUs, wakeUs);
      this.tell({ kind: 'tick' });
    }
    return true;
  }

  at(us: number, act: () => void): Alarm {
    const alarm = { key: Math.max(us, this.nowUs), sequence: this.#sequence++, slot: -1, act };
    this.#alarms.add(alarm);
    return alarm;
  }

  /** `next` is called when the run is there and before anything is decided. */
  submit(plan: PlannedRun, next: () => void = () => {}): void {
    this.nowUs = Math.max(this.nowUs, plan.arrivalUs);
    const { request, batching, cancelUs } = plan;
    const { engine } = this;
    next();
    if (engine) engine.submit(plan);
    else this.ask(plan, request, batching);
    if (cancelUs === undefined) return;
    this.at(cancelUs, () => (engine ? engine.cancel(plan) : this.tell({ kind: 'cancel', run: request.id })));
  }

  /** Submits what a plan asks for, or a part of it. */
  ask(plan: PlannedRun, request: RunRequest, batching?: Batching): void {
    const { id, model, part } = request;
    const priority = priorityOf(request.priority) ?? -1;
    this.tell({ kind: 'submit', request, batching }, () => {
      assert.not(this.live.has(id));
      this.live.set(id, { plan, request, priority, model, isEntry: part === 'entry', state: 'waiting' });
      this.#options.timeline?.submitted(request);
    });
  }

  cancel(run: number, nowUs: number): void {
    this.nowUs = Math.max(this.nowUs, nowUs);
    this.tell({ kind: 'cancel', run });
  }

  /** A plan is over of which the policy knows nothing at present. */
  over(plan: PlannedRun): void {
    assert.not([...this.live.values()].some((run) => run.plan === plan));
    this.ended++;
  }

  /** One after the other: what an engine tells while it carries out decisions is heard afterwards. */
  tell(event: SchedulerEvent, before?: () => void): void {
    this.#events.push({ event, before });
    if (this.#isStepping) return;
    this.#isStepping = true;
    for (let next = this.#events.shift(); next; next = this.#events.shift()) {
      next.before?.();
      this.#step(next.event);
    }
    this.#isStepping = false;
  }

  #step(event: SchedulerEvent): void {
    this.steps++;
    this.engine?.note(event);
    const decisions = this.scheduler.step(event, this.nowUs);
    this.#options.timeline?.note(decisions);
    for (const decision of decisions) this.#obey(decision);
    this.#askToGiveWay();
    this.#options.watch?.(this);
  }

  #obey(decision: Decision): void {
    switch (decision.kind) {
      case 'start':
        this.#start(decision.cores, decision.runs);
        break;
      case 'suspend':
        this.#suspend(decision.core, decision.for);
        break;
      case 'go-on':
        this.#goOn(decision.core);
        break;
      case 'load':
        this.#load(decision.model);
        break;
      case 'unload':
        this.#unload(decision.model);
        break;
      case 'degrade':
        (this.live.get(decision.run) as LiveRun).model = decision.model;
        this.degraded++;
        break;
      case 'refuse': {
        const run = this.live.get(decision.run) as LiveRun;
        assert.is(run.state, 'waiting');
        this.live.delete(decision.run);
        this.engine?.goesOn(run, 'refused');
        this.refused++;
        this.#options.onRefuse?.(run.plan, decision);
        break;
      }
      case 'end': {
        const run = this.live.get(decision.run) as LiveRun;
        assert.ok(run, `run ${decision.run} ended twice`);
        const { plan, request, isEntry, task } = run;
        const { outcome, account } = decision;
        this.live.delete(decision.run);
        if (outcome === 'done' && !isEntry)
          assert.ok(task && task.doneUs >= task.needUs - 1e-3, `run ${decision.run} is not done`);
        if (this.engine?.goesOn(run, outcome)) break;
        this.ended++;
        this.#options.onEnd?.({ plan, request, outcome, account });
      }
    }
  }

  #start(cores: readonly number[], ids: readonly number[]): void {
    const runs = ids.map((id) => this.live.get(id) as LiveRun);
    const [lead] = runs as [LiveRun];
    this.#options.onStart?.(this, lead, cores);
    for (const core of cores) assert.ok(this.idle.delete(core), `core ${core} is given two runs`);
    const { name } = this.model(lead.model);
    assert.is(this.models.get(name), 'loaded', `model ${name} is not in memory`);
    const needUs = (): number => (runs.length === 1 ? this.#needUs(lead, cores[0] as number) : batchUs(runs));
    if (!lead.task && lead.request.part !== 'step') this.engine?.letIn(name);
    const task = lead.task ?? { needUs: needUs(), doneUs: 0 };
    for (const run of runs) {
      assert.is.not(run.state, 'running', `run ${run.request.id} is on two cores`);
      assert.not(run.isEntry, `run ${run.request.id} starts, although it only waits for memory`);
      assert.is(run.task, lead.task);
      run.state = 'running';
    }
    for (const run of runs) run.task = task;
    const core = cores[0] as number;
    const fails = runs.some(({ plan }) => plan.fails);
    const leftUs = (task.needUs - task.doneUs) * (fails ? 0.5 : 1);
    const alarm = this.at(this.nowUs + leftUs / speed(cores.length), () => this.#stop(core, fails ? 'failed' : 'done'));
    const { priority } = lead;
    this.slices.set(core, {
      cores,
      runs: ids,
      model: name,
      priority,
      task,
      startedUs: this.nowUs,
      fails,
      stopping: false,
      alarm,
    });
  }

  /** What the run takes where it starts: the estimate of the model there, off by as much as the run's own. */
  #needUs({ plan: { request, actualUs }, model }: LiveRun, core: number): number {
    const { workUs, instead = [] } = request;
    const accelerator = this.spec.accelerators?.[core - this.spec.cores];
    const estimateUs = instead.find((each) => each.model === model)?.workUs ?? workUs;
    const hereUs = accelerator === undefined ? estimateUs : this.model(model).accelerators?.[accelerator];
    assert.ok(hereUs !== undefined && (accelerator || this.model(model).onCores !== false), `${model} on core ${core}`);
    return workUs === 0 ? actualUs : (hereUs as number) * (actualUs / workUs);
  }

  #suspend(core: number, run: number | undefined): void {
    assert.ok(core < this.spec.cores, `accelerator ${core} is told to stop`);
    const slice = this.slices.get(core) as WorldSlice;
    const isWorthLess = slice.stopping && slice.stoppingFor !== undefined && run === undefined;
    assert.ok(!slice.stopping || isWorthLess, `core ${core} is told to stop twice`);
    assert.ok(
      run === undefined || this.live.get(run)?.state !== 'running',
      `core ${core} is to stop for ${run}, which runs`,
    );
    slice.stoppingFor = run;
    if (slice.stopping) return;
    slice.stopping = true;
    const atUs = this.nowUs + this.random.next() * this.spec.instructionUs;
    if (atUs >= slice.alarm.key || this.#options.isDeaf) return;
    this.#alarms.remove(slice.alarm);
    slice.ends = slice.alarm;
    slice.alarm = this.at(atUs, () => this.#stop(core, 'suspended'));
  }

  #goOn(core: number): void {
    const slice = this.slices.get(core) as WorldSlice;
    const run = this.live.get(slice.stoppingFor as number);
    assert.ok(
      slice.stopping && run?.state === 'running',
      `core ${core} need not stop, although nobody else has what waits`,
    );
    slice.stopping = false;
    slice.stoppingFor = undefined;
    if (!slice.ends) return;
    this.#alarms.remove(slice.alarm);
    slice.alarm = this.at(slice.ends.key, slice.ends.act);
    slice.ends = undefined;
    this.wentOn++;
  }

  /** Whoever stops first, of those told to and those that may as well, has what comes next: the others go on. */
  #askToGiveWay(): void {
    const { handOverShare = 0 } = this.#options;
    if (handOverShare === 0) return;
    for (const core of this.scheduler.givingWay) {
      const slice = this.slices.get(core) as WorldSlice;
      if (this.random.next() >= handOverShare) continue;
      this.at(this.nowUs + this.random.next() * this.spec.instructionUs, () => {
        const { next, givingWay } = this.scheduler;
        if (next === undefined || this.slices.get(core) !== slice || !givingWay.includes(core)) return;
        this.#alarms.remove(slice.alarm);
        this.gaveWay++;
        this.#stop(core, 'suspended', next);
      });
    }
  }

  #stop(core: number, outcome: 'suspended' | 'done' | 'failed', begun?: number): void {
    const slice = this.slices.get(core) as WorldSlice;
    this.slices.delete(core);
    for (const each of slice.cores) this.idle.add(each);
    slice.task.doneUs += (this.nowUs - slice.startedUs) * speed(slice.cores.length);
    for (const id of slice.runs) {
      const run = this.live.get(id);
      if (run?.task === slice.task && outcome === 'suspended') run.state = 'suspended';
    }
    const next = begun ?? this.#handOver(core);
    if (begun !== undefined) this.#start([core], this.#mates(begun));
    this.tell({ kind: 'stopped', core, outcome, next });
  }

  #handOver(core: number): number | undefined {
    const { handOverShare = 0 } = this.#options;
    if (core >= this.spec.cores || handOverShare === 0 || this.random.next() >= handOverShare) return undefined;
    const { next } = this.scheduler;
    if (next === undefined) return undefined;
    this.handOvers++;
    this.#start([core], this.#mates(next));
    return next;
  }

  /** The runs of a batch that was set aside. */
  #mates(run: number): readonly number[] {
    const { task } = this.live.get(run) as LiveRun;
    if (!task) return [run];
    return [...this.live].filter(([, other]) => other.task === task).map(([id]) => id);
  }

  #load(model: string): void {
    assert.is(this.models.get(model), 'absent');
    this.models.set(model, 'loading');
    if (this.engine) {
      this.engine.load(model);
      return;
    }
    this.at(this.nowUs + (this.model(model).loadUs ?? 0), () => {
      const fails = !this.model(model).pinned && this.random.next() < 0.05;
      this.models.set(model, fails ? 'absent' : 'loaded');
      this.tell(fails ? { kind: 'load-failed', model, reason: 'drawn by lot' } : { kind: 'loaded', model });
    });
  }

  #unload(model: string): void {
    assert.is(this.models.get(model), 'loaded');
    this.models.set(model, 'unloading');
    if (this.engine) {
      this.engine.unload(model);
      return;
    }
    assert.not(this.model(model).pinned, `${model}, which is pinned, is unloaded`);
    this.at(this.nowUs + 1000, () => {
      this.models.set(model, 'absent');
      this.tell({ kind: 'unloaded', model });
    });
  }

  model(name: string): SchedulerSpec['models'][number] {
    return this.spec.models.find((model) => model.name === name) as SchedulerSpec['models'][number];
  }
}

function speed(cores: number): number {
  return 1 + (cores - 1) * FURTHER_CORE;
}
