/**
 * What an engine does about memory, in virtual time (runtime/engine/resident-models.ts): nobody knows how much a model needs before it was
 * loaded, or tried in vain; a run whose model is absent waits as an entry; models are loaded one after the other, and may need more later.
 */
import * as assert from 'uvu/assert';
import type { Batching } from '../../../../runtime/schedule/batch.ts';
import type {
  EndOutcome,
  ModelSpec,
  RunRequest,
  SchedulerEvent,
  SchedulerSpec,
} from '../../../../runtime/schedule/events.ts';
import type { Scheduler } from '../../../../runtime/schedule/scheduler.ts';
import type { Random } from '../../../random.ts';
import type { LiveRun, PlannedRun } from './run.ts';

/** What a model needs more, and how often a run shows it. */
const GROWTH_SHARE = 0.1;
const GROWTHS = 0.3;
const LATER = 0.2;
const FAILED_LOADS = 0.05;
/** Of the budget, which is asked for where a load finds less room than there should be. */
const MORE_SHARE = 1 / 16;
const UNLOAD_US = 1000;

interface ModelFile {
  readonly spec: ModelSpec;
  /** What it really needs. */
  bytes: number;
  /** What the policy was told, and when that changed last. */
  toldBytes: number;
  toldUs: number;
  isIn: boolean;
  hasGrown: boolean;
  /** Whoever uses it besides its runs. */
  holds: number;
  /** It was told to have too little room. */
  isShort: boolean;
}

/** The node that the engine is a part of: World. */
export interface EngineHost {
  readonly spec: SchedulerSpec;
  readonly scheduler: Scheduler;
  readonly live: ReadonlyMap<number, LiveRun>;
  readonly models: Map<string, 'absent' | 'loading' | 'loaded' | 'unloading'>;
  readonly random: Random;
  readonly nowUs: number;
  entries: number;
  displaced: number;
  at(us: number, act: () => void): void;
  tell(event: SchedulerEvent, before?: () => void): void;
  ask(plan: PlannedRun, request: RunRequest, batching?: Batching): void;
  over(plan: PlannedRun): void;
}

interface DecidedLoad {
  readonly file: ModelFile;
  /** When that was decided. */
  readonly sinceUs: number;
}

export class EngineModels {
  readonly #world: EngineHost;
  readonly #files = new Map<string, ModelFile>();
  readonly #budget: number;
  readonly #loads: DecidedLoad[] = [];
  readonly #stepsLeft = new Map<PlannedRun, number>();
  readonly #cancelled = new Set<PlannedRun>();
  #lastId = 1_000_000;

  constructor(world: EngineHost) {
    this.#world = world;
    this.#budget = world.spec.memoryBytes;
    for (const spec of world.spec.models) {
      const file = { spec, bytes: spec.bytes, toldBytes: 0, toldUs: 0, isIn: false, hasGrown: false };
      this.#files.set(spec.name, { ...file, holds: 0, isShort: false });
      world.tell({ kind: 'model-known', model: { ...spec, bytes: 0 } });
    }
  }

  /** What the policy can know. */
  fileOf(model: string): Pick<ModelFile, 'toldBytes' | 'holds' | 'isShort'> {
    return this.#files.get(model) as ModelFile;
  }

  /** Before the policy hears of it. */
  note(event: SchedulerEvent): void {
    if (event.kind === 'hold') this.#hold(event.model, 1);
    else if (event.kind === 'let-go') this.#hold(event.model, -1);
    else if (event.kind === 'loaded' || event.kind === 'short' || event.kind === 'measured') {
      const file = this.#files.get(event.model) as ModelFile;
      file.toldBytes = event.bytes as number;
      file.toldUs = this.#world.nowUs;
      if (event.kind === 'short') file.isShort = this.#world.models.get(event.model) === 'loaded';
    }
  }

  /** What is known to be in memory, and what pinned models will need, is more than there is. */
  isOver(model: string): boolean {
    const isPinned = this.#files.get(model)?.spec.pinned;
    const counts = ({ spec: { name, pinned } }: ModelFile): boolean =>
      this.#world.models.get(name) !== 'absent' || (pinned === true && !isPinned);
    const used = [...this.#files.values()].reduce((sum, file) => sum + (counts(file) ? file.toldBytes : 0), 0);
    return used > this.#budget;
  }

  /** Runs of the model that have not begun may do so: if it was short of room, it has it now. */
  letIn(model: string): void {
    const file = this.#files.get(model);
    if (!file?.isShort) return;
    assert.not(this.isOver(model), `${model} is to run, although there is too little room for it`);
    file.isShort = false;
  }

  submit(plan: PlannedRun): void {
    const { model } = plan.request;
    if (!this.#files.has(model) || this.#world.scheduler.hasInMemory(model)) this.#begin(plan, false);
    else this.#enter(plan);
  }

  cancel(plan: PlannedRun): void {
    const live = [...this.#world.live.values()].find((run) => run.plan === plan);
    if (live) this.#world.tell({ kind: 'cancel', run: live.request.id });
    else this.#cancelled.add(plan);
  }

  /** Whether the plan goes on when this part of it has ended. */
  goesOn({ plan, request, isEntry }: LiveRun, outcome: EndOutcome | 'refused'): boolean {
    const { model } = request;
    if (isEntry && outcome === 'done') {
      assert.is(this.#world.models.get(model), 'loaded', `run ${request.id} is let in to ${model}`);
      this.letIn(model);
      this.#hold(model, 1);
      this.#later(() => this.#begin(plan, true));
      return true;
    }
    if (request.part !== 'step') return false;
    const left = (this.#stepsLeft.get(plan) as number) - 1;
    if (outcome === 'done' && left > 0) {
      this.#step(plan, left, true);
      return true;
    }
    this.#world.tell({ kind: 'let-go', model });
    return false;
  }

  load(model: string): void {
    const file = this.#files.get(model) as ModelFile;
    this.#loads.push({ file, sinceUs: this.#world.nowUs });
    if (this.#loads.length === 1) this.#load();
  }

  unload(model: string): void {
    const file = this.#files.get(model) as ModelFile;
    assert.not(file.spec.pinned, `${model}, which is pinned, is unloaded`);
    assert.is(file.holds, 0, `${model} is unloaded while it is held`);
    for (const run of this.#world.live.values()) {
      if (run.model !== model || run.isEntry) continue;
      assert.is(run.state, 'waiting', `${model} is unloaded under run ${run.request.id}`);
      run.isEntry = true;
      this.#world.displaced++;
      this.#world.tell({ kind: 'displaced', run: run.request.id });
    }
    this.#world.at(this.#world.nowUs + UNLOAD_US, () => {
      file.isIn = file.isShort = false;
      this.#world.models.set(model, 'absent');
      this.#world.tell({ kind: 'unloaded', model });
    });
  }

  #load(): void {
    const { file, sinceUs } = this.#loads[0] as DecidedLoad;
    const { spec } = file;
    const { name: model, loadUs = 0, pinned } = spec;
    const world = this.#world;
    const end = (event: SchedulerEvent): void => {
      file.isIn = event.kind === 'loaded';
      world.tell(event, () => world.models.set(model, file.isIn ? 'loaded' : 'absent'));
      this.#loads.shift();
      if (this.#loads.length > 0) this.#load();
    };
    if (this.#usedBytes + file.bytes > this.#budget) {
      const isKnown = file.toldBytes >= file.bytes;
      const others = [...this.#files.values()].filter((other) => other !== file);
      if (isKnown)
        assert.ok(
          others.some(({ toldUs }) => toldUs >= sinceUs),
          `${model} has no room, although its size is known`,
        );
      const more = Math.min(file.toldBytes + this.#budget * MORE_SHARE, world.scheduler.mostBytes(model));
      end({ kind: 'short', model, bytes: isKnown ? Math.max(more, file.bytes) : file.bytes });
      return;
    }
    file.isIn = true;
    file.hasGrown = false;
    world.at(world.nowUs + loadUs, () => {
      const fails = !pinned && world.random.next() < FAILED_LOADS;
      end(
        fails
          ? { kind: 'load-failed', model, reason: 'drawn by lot' }
          : { kind: 'loaded', model, bytes: file.bytes, loadUs },
      );
    });
  }

  get #usedBytes(): number {
    return [...this.#files.values()].reduce((sum, { isIn, bytes }) => sum + (isIn ? bytes : 0), 0);
  }

  #enter(plan: PlannedRun): void {
    this.#world.entries++;
    this.#ask(plan, { part: 'entry' });
  }

  /** `isHeld`: for an entry, until its run is with the policy. */
  #begin(plan: PlannedRun, isHeld: boolean): void {
    const world = this.#world;
    const { use = 'run', request } = plan;
    const { model } = request;
    const letGo = (): void => {
      if (isHeld) world.tell({ kind: 'let-go', model });
    };
    if (use === 'load' || this.#cancelled.has(plan)) {
      letGo();
      world.over(plan);
    } else if (this.#growsTooMuch(model)) {
      letGo();
      const { bytes } = this.#files.get(model) as ModelFile;
      world.tell({ kind: 'short', model, bytes });
      this.#enter(plan);
    } else if (use === 'run' || !this.#files.has(model)) {
      this.#ask(plan, {});
      letGo();
    } else {
      world.tell({ kind: 'hold', model });
      letGo();
      if (use === 'steps') this.#step(plan, 1 + world.random.below(3), false);
      else world.at(world.nowUs + world.random.below(30_000), () => this.#made(plan));
    }
  }

  /** What it is to run was found out, or made, while the model was held. */
  #made(plan: PlannedRun): void {
    const { model } = plan.request;
    assert.is(this.#world.models.get(model), 'loaded', `${model} leaves while it is held`);
    if (this.#cancelled.has(plan)) this.#world.over(plan);
    else this.#ask(plan, {});
    this.#world.tell({ kind: 'let-go', model });
  }

  #step(plan: PlannedRun, left: number, isContinued: boolean): void {
    this.#stepsLeft.set(plan, left);
    this.#ask(plan, { part: 'step', isContinued });
  }

  #ask(plan: PlannedRun, part: Pick<RunRequest, 'part' | 'isContinued'>): void {
    const { request, arrivalUs, batching } = plan;
    const timeoutUs =
      request.timeoutUs && Math.max(arrivalUs + request.timeoutUs - this.#world.nowUs, Number.MIN_VALUE);
    const asked = { ...request, ...part, id: ++this.#lastId, timeoutUs, sinceUs: arrivalUs };
    this.#world.ask(plan, asked, part.part ? undefined : batching);
  }

  /** Whether a run needs more of the memory than others leave, which could make room; what is there it takes. */
  #growsTooMuch(model: string): boolean {
    const world = this.#world;
    const file = this.#files.get(model);
    if (!file || file.hasGrown || world.random.next() >= GROWTHS) return false;
    const more = Math.ceil(file.spec.bytes * GROWTH_SHARE);
    const others = [...this.#files.values()].filter((other) => other !== file);
    const isThere = ({ spec: { name } }: ModelFile): boolean => world.models.get(name) !== 'absent';
    const promised = others.reduce((sum, other) => sum + (isThere(other) ? other.toldBytes : 0), 0);
    const canGo = others.some((other) => !other.spec.pinned && isThere(other));
    const fits = Math.max(promised + file.toldBytes, this.#usedBytes) + more <= this.#budget;
    if (!fits && (!canGo || file.bytes + more > world.scheduler.mostBytes(model))) return false;
    file.hasGrown = true;
    file.bytes += more;
    if (fits) world.tell({ kind: 'measured', model, bytes: file.bytes });
    return !fits;
  }

  #hold(model: string, by: number): void {
    (this.#files.get(model) as ModelFile).holds += by;
  }

  #later(act: () => void): void {
    const { random, nowUs } = this.#world;
    if (random.next() < LATER) this.#world.at(nowUs + random.below(500), act);
    else act();
  }
}
