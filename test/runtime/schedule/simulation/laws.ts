/** What must hold after every step, judged by what the world shows and not by what the scheduler thinks. */
import * as assert from 'uvu/assert';
import { FLOOR_QUANTUM_US } from '../../../../runtime/schedule/floors.ts';
import { PRIORITIES, type PriorityClass, SAFETY } from '../../../../runtime/schedule/priorities.ts';
import type { Ended, LiveRun } from './run.ts';
import type { World } from './world.ts';

export class Laws {
  readonly #lagUs = PRIORITIES.map(() => 0);
  #atUs = 0;
  #busy = PRIORITIES.map(() => 0);
  #waits = PRIORITIES.map(() => false);
  #left = 0;

  check(world: World): void {
    const ready = readyJobs(world);
    checkIdle(world, ready);
    const bound = ready.filter((run) => placesOf(world, run).every((core) => core < world.spec.cores));
    checkInversion(world, bound);
    checkMemory(world);
    checkParked(world);
    this.#checkProgress(world, bound);
  }

  /** While a class waits it falls no further behind its floor than two quanta and the stops that are under way. */
  #checkProgress(world: World, ready: readonly LiveRun[]): void {
    const us = world.nowUs - this.#atUs;
    for (const [priority, { floor, name }] of PRIORITIES.entries()) {
      if (floor === 0) continue;
      const owed = this.#waits[priority] ? floor * this.#left * us : 0;
      const lag = Math.max(0, (this.#lagUs[priority] as number) + owed - (this.#busy[priority] as number) * us);
      const most = 2 * FLOOR_QUANTUM_US + world.spec.cores * world.spec.instructionUs;
      assert.ok(lag <= most, `${world.nowUs} µs: ${name} is ${lag} µs behind its floor`);
      this.#lagUs[priority] = lag;
    }
    this.#atUs = world.nowUs;
    this.#busy = PRIORITIES.map(() => 0);
    for (const { priority, cores } of coreSlices(world))
      this.#busy[priority] = (this.#busy[priority] as number) + cores.length;
    this.#left = world.spec.cores - (this.#busy[SAFETY] as number);
    this.#waits = PRIORITIES.map((_, priority) => ready.some((run) => run.priority === priority));
    for (const priority of PRIORITIES.keys())
      if (!this.#waits[priority] && this.#busy[priority] === 0) this.#lagUs[priority] = 0;
  }
}

/** Nobody waits while all that could compute the run is idle; with several kinds to choose from one may be worth waiting for. */
function checkIdle(world: World, ready: readonly LiveRun[]): void {
  for (const run of ready) {
    const places = placesOf(world, run);
    const [first = 0] = places;
    const isOneKind = places.every((core) => core < world.spec.cores) || places.length === 1;
    const isIdle = isOneKind
      ? places.some((core) => world.idle.has(core))
      : places.every((core) => world.idle.has(core));
    if (isIdle) assert.unreachable(`${world.nowUs} µs: core ${first} is idle while run ${run.request.id} waits`);
  }
}

/** Whoever is more urgent than work that goes on has a core coming, after one instruction. */
function checkInversion(world: World, ready: readonly LiveRun[]): void {
  const { cores, instructionUs } = world.spec;
  let coming = [...world.idle].filter((core) => core < cores).length;
  let worst = -1;
  for (const slice of coreSlices(world))
    if (slice.stopping) coming += slice.cores.length;
    else worst = Math.max(worst, world.scheduler.level(slice.priority));
  const passed = ready.filter(({ priority }) => world.scheduler.level(priority) < worst).length;
  assert.ok(passed <= coming, `${world.nowUs} µs: ${passed} jobs wait behind less urgent work, ${coming} cores come`);
  for (const slice of coreSlices(world))
    if (slice.stopping) assert.ok(slice.alarm.key - world.nowUs <= instructionUs, 'a core stops after one instruction');
}

/** Of what is known. An engine, which learns sizes, sees to what is really there itself (engine-models.ts). */
function checkMemory({ spec, models, engine }: World): void {
  if (engine) return;
  let bytes = 0;
  for (const model of spec.models) if (models.get(model.name) !== 'absent') bytes += model.bytes;
  assert.ok(bytes <= spec.memoryBytes, `models take ${bytes} bytes of ${spec.memoryBytes}`);
}

/**
 * The most urgent run without its model waits for a reason: something is being unloaded, or what could be given up for it
 * is too little, since the rest is pinned, in use, or wanted by runs that are as urgent.
 */
function checkParked(world: World): void {
  const { spec, models } = world;
  const waiting = firstWaiting(world);
  const [first] = parkedFirst(world, waiting);
  if (!first || [...models.values()].includes('unloading')) return;
  const own = world.model(first.model);
  let free = spec.memoryBytes;
  for (const model of spec.models) {
    const { name, pinned } = model;
    if (model === own || (pinned && own.pinned && models.get(name) === 'absent')) continue;
    const wanted = waiting.get(name);
    const isBound = wanted?.priority === SAFETY && !world.engine?.fileOf(name).isShort;
    const yields = !wanted || (!isBound && byUrgency(first, wanted) < 0);
    const isGivenUp = models.get(name) === 'loaded' && !isInUse(world, name) && yields;
    if (pinned || (models.get(name) !== 'absent' && !isGivenUp)) free -= knownBytes(world, name);
  }
  const bytes = knownBytes(world, first.model);
  assert.ok(free < bytes, `${world.nowUs} µs: run ${first.request.id} waits for ${bytes} bytes, ${free} are to be had`);
}

function isInUse({ live, slices, engine }: World, name: string): boolean {
  return (
    [...live.values()].some(({ model, state }) => model === name && state === 'suspended') ||
    [...slices.values()].some(({ model }) => model === name) ||
    (engine?.fileOf(name).holds ?? 0) > 0
  );
}

function knownBytes(world: World, name: string): number {
  return world.engine?.fileOf(name).toldBytes ?? world.model(name).bytes;
}

/** Of each model the most urgent run that has not begun. */
function firstWaiting({ live }: World): Map<string, LiveRun> {
  const first = new Map<string, LiveRun>();
  for (const run of live.values()) {
    const other = first.get(run.model);
    if (run.state === 'waiting' && run.request.part !== 'step' && (!other || byUrgency(run, other) < 0))
      first.set(run.model, run);
  }
  return first;
}

/** Those of models that have to be loaded, or to get more room, the most urgent first. */
function parkedFirst({ models, engine }: World, waiting: ReadonlyMap<string, LiveRun>): LiveRun[] {
  const isParked = ({ model }: LiveRun): boolean =>
    models.get(model) === 'absent' || (models.get(model) === 'loaded' && engine?.fileOf(model).isShort === true);
  return [...waiting.values()].filter(isParked).sort(byUrgency);
}

/**
 * Models whose runs that have not begun may do so. Others are not in memory, or have to make room for a run that comes before all that wait for them,
 * or have too little room themselves.
 */
function openModels(world: World): Set<string> {
  const { models, engine, spec } = world;
  const waiting = firstWaiting(world);
  const open = new Set<string>();
  for (const { name, pinned } of spec.models) {
    const first = waiting.get(name);
    if (!first || models.get(name) !== 'loaded') continue;
    const ahead = parkedFirst(world, waiting).some((run) => run.model !== name && byUrgency(run, first) < 0);
    const file = engine?.fileOf(name);
    if (file?.isShort && (ahead || engine?.isOver(name))) continue;
    if (file?.isShort) engine?.letIn(name);
    if (pinned || first.priority === SAFETY || !ahead) open.add(name);
  }
  return open;
}

/** Whoever gets a core is the most urgent, and the first of its tenant in its class. */
export function checkOrder(world: World, lead: LiveRun, cores: readonly number[]): void {
  if ((cores[0] as number) >= world.spec.cores) return;
  const { id, tenant } = lead.request;
  const level = world.scheduler.level(lead.priority);
  for (const other of readyJobs(world)) {
    if (other === lead || placesOf(world, other).some((core) => core >= world.spec.cores)) continue;
    const what = `${world.nowUs} µs: run ${id} starts before ${other.request.id}`;
    assert.ok(level <= world.scheduler.level(other.priority), `${what}, which is more urgent`);
    if (other.priority !== lead.priority || other.request.tenant !== tenant) continue;
    // The job of a batch keeps its deadline when the run that had it is cancelled.
    if (lead.task || other.task) continue;
    assert.ok(dueUs(lead) <= dueUs(other), `${what}, which is due earlier`);
  }
}

/** The account of a run adds up: its slices are in order, apart, and make its time. */
export function checkAccount({ plan, request, outcome, account }: Ended): void {
  const { slices, submittedUs, readyUs, endedUs, runUs, preemptions } = account;
  let fromUs = readyUs ?? endedUs;
  let us = 0;
  assert.ok(fromUs >= submittedUs);
  if (!request.isContinued) assert.is(submittedUs, plan.arrivalUs);
  for (const slice of slices) {
    assert.ok(slice.fromUs >= fromUs && slice.untilUs >= slice.fromUs, `run ${request.id}: slices overlap`);
    fromUs = slice.untilUs;
    us += ((slice.untilUs - slice.fromUs) * slice.cores.length) / slice.batch;
  }
  assert.ok(fromUs <= endedUs);
  if (slices.length < 64) {
    assert.ok(Math.abs(us - runUs) < 1e-3, `run ${request.id}: slices of ${us} µs, ${runUs} accounted for`);
    assert.is(preemptions, slices.filter(({ preemptedBy }) => preemptedBy !== undefined).length);
  }
  if (outcome === 'done') assert.is(slices.at(-1)?.untilUs, endedUs);
}

function coreSlices({ slices, spec }: World) {
  return [...slices].filter(([core]) => core < spec.cores).map(([, slice]) => slice);
}

/** Cores and accelerators that could compute the run. */
function placesOf(world: World, run: LiveRun): number[] {
  const { onCores = true, accelerators = {} } = world.model(run.model);
  const { spec } = world;
  const cores = onCores ? Array.from({ length: spec.cores }, (_, core) => core) : [];
  const others = (spec.accelerators ?? []).flatMap((name, place) => (name in accelerators ? [spec.cores + place] : []));
  return [...cores, ...(run.priority === SAFETY ? [] : others)];
}

function dueUs({ plan: { request, arrivalUs }, priority }: LiveRun): number {
  return request.deadlineUs ?? arrivalUs + (PRIORITIES[priority] as PriorityClass).targetUs;
}

function byUrgency(a: LiveRun, b: LiveRun): number {
  return a.priority - b.priority || dueUs(a) - dueUs(b);
}

/** One run of every job that could start now. */
function readyJobs(world: World): LiveRun[] {
  const suspended = new Map<unknown, LiveRun>();
  const waiting: LiveRun[] = [];
  const open = openModels(world);
  for (const run of world.live.values()) {
    if (run.state === 'suspended') suspended.set(run.task, run);
    if (run.state !== 'waiting') continue;
    if (run.request.part === 'step') waiting.push(run);
    else if (open.has(run.model)) {
      assert.not(run.isEntry, `${world.nowUs} µs: entry ${run.request.id} waits although ${run.model} is there`);
      waiting.push(run);
    }
  }
  return [...suspended.values(), ...waiting];
}
