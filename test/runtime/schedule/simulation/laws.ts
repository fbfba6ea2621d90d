/** What must hold after every step, judged by what the world shows and not by what the scheduler thinks. */
import * as assert from 'uvu/assert';
import { FLOOR_QUANTUM_US } from '../../../../runtime/schedule/floors.ts';
import { PRIORITIES, type PriorityClass, SAFETY } from '../../../../runtime/schedule/priorities.ts';
import type { Ended, LiveRun, World } from './world.ts';

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
    if (isIdle) assert.unreachable(`${world.nowUs} µs: core ${first} is idle while run ${run.plan.request.id} waits`);
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

function checkMemory({ spec, models }: World): void {
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
  const waiting = [...world.live.values()].filter(({ state }) => state === 'waiting');
  const parked = waiting.filter(({ model }) => models.get(model) === 'absent').sort(byUrgency);
  const [first] = parked;
  if (!first || [...models.values()].includes('unloading')) return;
  let free = spec.memoryBytes;
  for (const { name, bytes, pinned } of spec.models) {
    const isHeld =
      [...world.live.values()].some(({ model, state }) => model === name && state === 'suspended') ||
      [...world.slices.values()].some(({ model }) => model === name);
    const wanted = waiting.filter(({ model }) => model === name).sort(byUrgency)[0];
    const yields = !wanted || (wanted.priority !== SAFETY && byUrgency(first, wanted) < 0);
    const isGivenUp = models.get(name) === 'loaded' && !isHeld && yields;
    if (pinned || (models.get(name) !== 'absent' && !isGivenUp)) free -= bytes;
  }
  const { bytes } = world.model(first.model);
  assert.ok(
    free < bytes,
    `${world.nowUs} µs: run ${first.plan.request.id} waits for ${bytes} bytes, ${free} are to be had`,
  );
}

/** Whoever gets a core is the most urgent, and the first of its tenant in its class. */
export function checkOrder(world: World, lead: LiveRun, cores: readonly number[]): void {
  if ((cores[0] as number) >= world.spec.cores) return;
  const { id, tenant } = lead.plan.request;
  const level = world.scheduler.level(lead.priority);
  for (const other of readyJobs(world)) {
    if (other === lead || placesOf(world, other).some((core) => core >= world.spec.cores)) continue;
    const what = `${world.nowUs} µs: run ${id} starts before ${other.plan.request.id}`;
    assert.ok(level <= world.scheduler.level(other.priority), `${what}, which is more urgent`);
    if (other.priority !== lead.priority || other.plan.request.tenant !== tenant) continue;
    // The job of a batch keeps its deadline when the run that had it is cancelled.
    if (lead.task || other.task) continue;
    assert.ok(dueUs(lead) <= dueUs(other), `${what}, which is due earlier`);
  }
}

/** The account of a run adds up: its slices are in order, apart, and make its time. */
export function checkAccount({ plan, outcome, account }: Ended): void {
  const { slices, submittedUs, readyUs, endedUs, runUs, preemptions } = account;
  let fromUs = readyUs ?? endedUs;
  let us = 0;
  assert.ok(fromUs >= submittedUs && submittedUs === plan.arrivalUs);
  for (const slice of slices) {
    assert.ok(slice.fromUs >= fromUs && slice.untilUs >= slice.fromUs, `run ${plan.request.id}: slices overlap`);
    fromUs = slice.untilUs;
    us += ((slice.untilUs - slice.fromUs) * slice.cores.length) / slice.batch;
  }
  assert.ok(fromUs <= endedUs);
  if (slices.length < 64) {
    assert.ok(Math.abs(us - runUs) < 1e-3, `run ${plan.request.id}: slices of ${us} µs, ${runUs} accounted for`);
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

/** One run of every job that could start now. While a model waits for memory, another may be held back to drain. */
function readyJobs({ live, models }: World): LiveRun[] {
  const suspended = new Map<unknown, LiveRun>();
  const waiting: LiveRun[] = [];
  let parked = false;
  for (const run of live.values()) {
    if (run.state === 'suspended') suspended.set(run.task, run);
    if (run.state !== 'waiting') continue;
    if (models.get(run.model) === 'loaded') waiting.push(run);
    else parked = true;
  }
  return [...suspended.values(), ...(parked ? [] : waiting)];
}
