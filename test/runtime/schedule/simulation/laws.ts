/** What must hold after every step, judged by what the world shows and not by what the scheduler thinks. */
import * as assert from 'uvu/assert';
import { FLOOR_QUANTUM_US } from '../../../../runtime/schedule/floors.ts';
import { PRIORITIES, SAFETY } from '../../../../runtime/schedule/priorities.ts';
import type { LiveRun, World } from './world.ts';

export class Laws {
  readonly #lagUs = PRIORITIES.map(() => 0);
  #atUs = 0;
  #busy = PRIORITIES.map(() => 0);
  #waits = PRIORITIES.map(() => false);
  #left = 0;

  check(world: World): void {
    const ready = readyJobs(world);
    if (world.idle.size > 0 && ready.length > 0)
      assert.unreachable(`${world.nowUs} µs: a core is idle while ${ready.length} jobs could start`);
    this.#checkInversion(world, ready);
    this.#checkMemory(world);
    this.#checkProgress(world, ready);
  }

  /** Whoever is more urgent than work that goes on has a core coming, after one instruction. */
  #checkInversion(world: World, ready: readonly LiveRun[]): void {
    let coming = world.idle.size;
    let worst = -1;
    for (const slice of world.slices.values())
      if (slice.stopping) coming += slice.cores.length;
      else worst = Math.max(worst, world.scheduler.level(slice.priority));
    const passed = ready.filter(({ priority }) => world.scheduler.level(priority) < worst).length;
    assert.ok(passed <= coming, `${world.nowUs} µs: ${passed} jobs wait behind less urgent work, ${coming} cores come`);
    for (const slice of world.slices.values())
      if (slice.stopping)
        assert.ok(slice.alarm.key - world.nowUs <= world.spec.instructionUs, 'a core stops after one instruction');
  }

  #checkMemory({ spec, models }: World): void {
    let bytes = 0;
    for (const model of spec.models) if (models.get(model.name) !== 'absent') bytes += model.bytes;
    assert.ok(bytes <= spec.memoryBytes, `models take ${bytes} bytes of ${spec.memoryBytes}`);
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
    for (const { priority, cores } of world.slices.values())
      this.#busy[priority] = (this.#busy[priority] as number) + cores.length;
    this.#left = world.spec.cores - (this.#busy[SAFETY] as number);
    this.#waits = PRIORITIES.map((_, priority) => ready.some((run) => run.priority === priority));
    for (const priority of PRIORITIES.keys())
      if (!this.#waits[priority] && this.#busy[priority] === 0) this.#lagUs[priority] = 0;
  }
}

/** One run of every job that could start now. While a model waits for memory, another may be held back to drain. */
function readyJobs({ live, models }: World): LiveRun[] {
  const suspended = new Map<unknown, LiveRun>();
  const waiting: LiveRun[] = [];
  let parked = false;
  for (const run of live.values()) {
    if (run.state === 'suspended') suspended.set(run.task, run);
    if (run.state !== 'waiting') continue;
    if (models.get(run.plan.request.model) === 'loaded') waiting.push(run);
    else parked = true;
  }
  return [...suspended.values(), ...(parked ? [] : waiting)];
}
