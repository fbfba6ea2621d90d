/**
 * Which models are in memory. Memory is reserved from the decision to load until a model is reported as unloaded, so
 * that the budget holds at every instant; how much a model needs may show only when it is loaded, or later. The most urgent job without its model decides what is loaded next; room is
 * made by unloading idle models, least recently used first, then by letting models drain whose waiting jobs all come
 * later than that job. Jobs whose models are in memory go on all the while.
 */
import type { ModelSpec, SchedulerSpec } from './events.ts';
import { isBefore } from './heap.ts';
import type { Job, ResidentModel } from './job.ts';
import { SAFETY } from './priorities.ts';

/** Where jobs go when their model comes and goes, and who carries it out. */
export interface ResidencyHooks {
  readonly load: (model: string) => void;
  readonly unload: (model: string) => void;
  /** The jobs of the model that have not started may do so from now on, or no longer. */
  readonly admit: (model: ResidentModel) => void;
  readonly park: (model: ResidentModel) => void;
  /** What waits for the model can wait no longer. */
  readonly giveUp: (model: ResidentModel, reason: string) => void;
}

export class Residency {
  readonly #models = new Map<string, ResidentModel>();
  readonly #budget: number;
  readonly #hooks: ResidencyHooks;
  /** Models with jobs that wait for them to be loaded, or to be kept. */
  readonly #wanted = new Set<ResidentModel>();
  /** Places that models had which are gone. */
  readonly #freePlaces: number[] = [];
  #pinnedBytes = 0;
  #reservedBytes = 0;

  constructor(spec: SchedulerSpec, hooks: ResidencyHooks) {
    this.#budget = spec.memoryBytes;
    this.#hooks = hooks;
    for (const model of spec.models) this.#add(model);
  }

  #add(spec: ModelSpec): ResidentModel {
    if (this.#models.has(spec.name)) throw new Error(`model "${spec.name}": expected one model of this name, got two`);
    if (!(spec.bytes >= 0)) throw new Error(`model "${spec.name}": expected a size in bytes, got ${spec.bytes}`);
    if (spec.pinned) this.#pinnedBytes += spec.bytes;
    if (this.#pinnedBytes > this.#budget)
      throw new Error(
        `model "${spec.name}": pinned models need ${this.#pinnedBytes} bytes, expected at most ${this.#budget}; pin fewer`,
      );
    const model: ResidentModel = {
      spec,
      state: 'absent',
      place: this.#freePlaces.pop() ?? this.#models.size,
      draining: false,
      short: false,
      usedUs: 0,
      started: 0,
      lanes: [],
    };
    this.#models.set(spec.name, model);
    return model;
  }

  /** Takes note of a model that was loaded without a decision. Throws as the constructor does. */
  addLoaded(spec: ModelSpec): void {
    this.#add(spec).state = 'loaded';
    this.#reservedBytes += spec.bytes;
  }

  /** Takes note of a model that is not loaded yet. Throws as the constructor does. */
  addAbsent(spec: ModelSpec): void {
    this.#add(spec);
  }

  /** Forgets a model of which no run is left. */
  remove(name: string): void {
    const model = this.#expect(name, 'loaded', 'absent');
    const { started, lanes, place, state } = model;
    if (started > 0 || lanes.some(({ jobs }) => jobs.length > 0))
      throw new Error(`assertion: model "${name}" is removed, expected none of its runs to be left`);
    for (const { share } of lanes) share.lanes[place] = undefined;
    this.#freePlaces.push(place);
    this.#wanted.delete(model);
    this.#models.delete(name);
    if (state === 'loaded') this.#reservedBytes -= model.spec.bytes;
    if (model.spec.pinned) this.#pinnedBytes -= model.spec.bytes;
  }

  get(name: string): ResidentModel | undefined {
    return this.#models.get(name);
  }

  /** Why the model can never be loaded; undefined when it can. */
  neverFits({ spec }: ResidentModel): string | undefined {
    const most = this.mostBytes(spec);
    if (spec.bytes <= most) return undefined;
    return `model "${spec.name}" needs ${spec.bytes} bytes, expected at most ${most}, the memory budget less pinned models; use a smaller model or unpin others`;
  }

  /** What the model could have at the most: all that others do not have for ever. */
  mostBytes({ pinned, bytes }: ModelSpec): number {
    return this.#budget - this.#pinnedBytes + (pinned ? bytes : 0);
  }

  canStart(model: ResidentModel): boolean {
    return model.state === 'loaded' && !model.draining && !model.short;
  }

  /** A job of the model waits for memory. */
  want(model: ResidentModel): void {
    this.#wanted.add(model);
  }

  loaded(name: string, nowUs: number, { bytes, loadUs }: { bytes?: number; loadUs?: number } = {}): void {
    const model = this.#expect(name, 'loading');
    this.#resize(model, bytes ?? model.spec.bytes);
    model.spec = { ...model.spec, loadUs: loadUs ?? model.spec.loadUs };
    model.state = 'loaded';
    model.usedUs = nowUs;
    this.#hooks.admit(model);
  }

  /** There was no room for a model, which needs so much in all. */
  isShort(name: string, bytes: number): void {
    const model = this.#expect(name, 'absent', 'loading', 'loaded', 'unloading');
    if (model.state === 'loading') this.gone(name, 'loading');
    else if (model.state === 'loaded') {
      model.short = true;
      this.#hooks.park(model);
    }
    this.#resize(model, bytes);
    this.#wanted.add(model);
  }

  measured(name: string, bytes: number): void {
    const model = this.#expect(name, 'loaded');
    if (bytes > model.spec.bytes) this.#resize(model, bytes);
  }

  hold(name: string): void {
    this.#expect(name, 'loaded').started++;
  }

  letGo(name: string, nowUs: number): void {
    const model = this.#expect(name, 'loaded');
    model.started--;
    model.usedUs = nowUs;
  }

  #resize(model: ResidentModel, bytes: number): void {
    const { state, spec } = model;
    if (state !== 'absent') this.#reservedBytes += bytes - spec.bytes;
    if (spec.pinned) this.#pinnedBytes += bytes - spec.bytes;
    model.spec = { ...spec, bytes };
  }

  /** The model's memory is free again: after an unload, or after a load that failed. */
  gone(name: string, from: 'loading' | 'unloading'): ResidentModel {
    const model = this.#expect(name, from);
    model.state = 'absent';
    this.#reservedBytes -= model.spec.bytes;
    return model;
  }

  /** Decides what to load and unload now. Call after anything that could change the answer. */
  settle(): void {
    if (this.#wanted.size === 0) return;
    for (const model of this.#wanted) {
      const never = model.state === 'absent' || model.short ? this.neverFits(model) : undefined;
      if (never !== undefined) this.#hooks.giveUp(model, never);
      if (!mostUrgent(model) || this.canStart(model)) this.#wanted.delete(model);
    }
    const before = [...this.#models.values()].filter((model) => model.draining);
    for (const model of before) model.draining = false;
    const requests = [...this.#wanted]
      .filter(({ state, short }) => state === 'absent' || short)
      .map((model) => ({ model, job: mostUrgent(model) as Job }))
      .sort((a, b) => (isMoreUrgent(a.job, b.job) ? -1 : 1));
    for (const { model, job } of requests) {
      // The first one that has to wait keeps the memory that becomes free: smaller ones must not overtake it for ever.
      if (!this.#makeRoom(model, job)) break;
      if (model.state === 'absent') this.#load(model);
      else this.#hasRoom(model);
    }
    for (const model of before) if (this.canStart(model)) this.#hooks.admit(model);
  }

  /** For what it was short of. */
  #hasRoom(model: ResidentModel): void {
    this.#wanted.delete(model);
    model.short = false;
    if (this.canStart(model)) this.#hooks.admit(model);
  }

  /** Loads the pinned models. Call once. */
  loadPinned(): void {
    for (const model of this.#models.values()) if (model.spec.pinned) this.#load(model);
  }

  #load(model: ResidentModel): void {
    model.state = 'loading';
    this.#reservedBytes += model.spec.bytes;
    this.#hooks.load(model.spec.name);
  }

  /** True when there is room now; otherwise does what brings it about. */
  #makeRoom(model: ResidentModel, job: Job): boolean {
    const needed = model.state === 'absent' ? model.spec.bytes : 0;
    let free = this.#budget - this.#reservedBytes;
    if (!model.spec.pinned) free -= this.#pinnedToCome();
    if (free >= needed) return true;
    const others = [...this.#models.values()].filter((other) => other !== model);
    for (const other of others) if (other.state === 'unloading') free += other.spec.bytes;
    const victims = others
      .filter((other) => other.state === 'loaded' && !other.spec.pinned && yields(other, job))
      .sort((a, b) => rank(a) - rank(b) || a.usedUs - b.usedUs);
    for (const victim of victims) {
      if (free >= needed) break;
      free += victim.spec.bytes;
      this.#hooks.park(victim);
      if (mostUrgent(victim)) this.#wanted.add(victim);
      if (victim.started > 0) victim.draining = true;
      else {
        victim.state = 'unloading';
        // It needs all of its room when it comes back.
        victim.short = false;
        this.#hooks.unload(victim.spec.name);
      }
    }
    return false;
  }

  /** A pinned model that failed to load keeps its room. */
  #pinnedToCome(): number {
    let sum = 0;
    for (const { spec, state } of this.#models.values()) if (spec.pinned && state === 'absent') sum += spec.bytes;
    return sum;
  }

  #expect(name: string, ...states: ResidentModel['state'][]): ResidentModel {
    const model = this.#models.get(name);
    if (!model || !states.includes(model.state))
      throw new Error(`assertion: model "${name}" is ${model?.state ?? 'unknown'}, expected ${states.join(' or ')}`);
    return model;
  }
}

/** Idle models go first, then those that only have jobs waiting, then those that must drain. */
function rank(model: ResidentModel): number {
  return model.started > 0 ? 2 : mostUrgent(model) ? 1 : 0;
}

/** Whether the model may go so that `job` gets its own. Safety runs keep theirs, but not where they cannot start: two such models would wait for each other. */
function yields(model: ResidentModel, job: Job): boolean {
  const first = mostUrgent(model);
  return !first || ((first.priority !== SAFETY || model.short) && isMoreUrgent(job, first));
}

function isMoreUrgent(a: Job, b: Job): boolean {
  return a.priority < b.priority || (a.priority === b.priority && isBefore(a, b));
}

/** Of the jobs that wait and have not started. */
function mostUrgent({ lanes }: ResidentModel): Job | undefined {
  let best: Job | undefined;
  for (const { jobs } of lanes) if (jobs.first && (!best || isMoreUrgent(jobs.first, best))) best = jobs.first;
  return best;
}
