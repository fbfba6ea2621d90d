/**
 * All active tasks of a controller and who holds their units. No I/O and no clock: what is asked or heard goes in with the
 * time, `takeChanges` gives what must be committed, and the messages that may go out once it is. Leases are kept in memory
 * only: a controller that starts, or that had no broker, gives everybody a whole lease to be heard again. So it is never its
 * own absence that counts against a node.
 */
import type { Content, Outcome, TaskEvent, UnitFence } from '../../runtime/protocol/tasks.ts';
import { type Dispatchable, dispatch, type NodeFacts } from './dispatch.ts';
import { Fences } from './fences.ts';
import { fenceOf, Mail, type Outgoing } from './mail.ts';
import { moreUrgent, newTask, type Task, type TaskSpec, withProgress, workOf } from './task.ts';
import {
  assigned,
  ended,
  hasEnded,
  held,
  isFrom,
  isOut,
  leaseEnded,
  refused,
  stop,
  taskOf,
  type Unit,
  unitId,
} from './unit.ts';

export const LEASE_MS = 30_000;
/**
 * How long until a node that does not answer is told again to take a unit, or to give it up: doubling, also beyond a lease that ended
 * unheard, since where the broker is far behind each repetition is one more message before the answer.
 */
const REPEAT_MS = { first: 5_000, max: 60_000 };
const LIMITS = { tasks: 10_000, units: 200_000 };

export interface Snapshot {
  /** Active ones. */
  readonly tasks: readonly Task[];
  readonly units: readonly Unit[];
  /** The highest that was given. */
  readonly fence: number;
}

export interface Changes {
  readonly tasks: readonly Task[];
  readonly units: readonly Unit[];
  readonly results: readonly { readonly task: string; readonly index: number; readonly results: readonly unknown[] }[];
  /** The highest fence given away, when it has changed; of a book that is not alone it is kept elsewhere (fences.ts). */
  readonly fence: number | undefined;
}

interface Entry {
  unit: Unit;
  leaseUntil: number;
  /** When the node is told again what it has not answered. */
  repeatAt: number;
  /** From then until the time after that. */
  repeatMs: number;
}

export class TaskBook {
  readonly #tasks = new Map<string, Task>();
  readonly #entries = new Map<string, Entry>();
  readonly #unitsOf = new Map<string, string[]>();
  /** By task: what waits for a node. */
  readonly #queued = new Map<string, Set<string>>();
  /** What each node holds, or may hold. */
  readonly #out = new Map<string, Set<string>>();
  readonly #fences: Fences;
  #changedTasks = new Set<string>();
  #changedUnits = new Map<string, Unit>();
  #endedTasks: Task[] = [];
  #results: Changes['results'][number][] = [];
  #fenceChanged = false;
  readonly #mail = new Mail();

  constructor({ tasks, units, fence }: Snapshot, now: number, fences = Fences.alone(fence)) {
    this.#fences = fences;
    for (const task of tasks) this.#tasks.set(task.id, task);
    for (const unit of units) this.#enter(unit, now);
  }

  /** Throws an Error when the task cannot be taken. */
  add(id: string, spec: TaskSpec, nodes: readonly string[], now: number): Task {
    if (this.#tasks.size >= LIMITS.tasks)
      throw new Error(
        `task "${id}": ${LIMITS.tasks} tasks are active, no more fit; wait for some to end, or cancel them`,
      );
    const { task, units } = newTask(id, spec, nodes, now);
    if (this.#entries.size + units.length > LIMITS.units)
      throw new Error(
        `task "${id}": its ${units.length} units and the ${this.#entries.size} that are active exceed ${LIMITS.units}; put more inputs in a unit, or wait`,
      );
    this.#tasks.set(id, task);
    this.#changedTasks.add(id);
    for (const unit of units) {
      this.#enter(unit, now);
      this.#changedUnits.set(unitId(unit), unit);
    }
    return task;
  }

  get(id: string): Task | undefined {
    return this.#tasks.get(id);
  }

  /** For metrics. */
  counts(): { tasks: number; assignments: number; unitsByState: ReadonlyMap<string, number> } {
    const unitsByState = new Map<string, number>(['queued', 'assigned', 'running'].map((state) => [state, 0]));
    for (const { unit } of this.#entries.values())
      unitsByState.set(unit.state, (unitsByState.get(unit.state) ?? 0) + 1);
    const { isShared, given, last } = this.#fences;
    return { tasks: this.#tasks.size, assignments: isShared ? given : last, unitsByState };
  }

  cancel(id: string, now: number): void {
    const task = this.#tasks.get(id);
    if (!task || task.cancelled) return;
    this.#tasks.set(id, { ...task, cancelled: true });
    this.#changedTasks.add(id);
    this.#stop(id, 'cancelled', now);
  }

  /** Returns units of tasks that another book may have, and that are not answered here; an alone one answers for all. */
  receive(node: string, { type, data }: Content<TaskEvent>, now: number): readonly UnitFence[] {
    const strays: UnitFence[] = [];
    // A node that is ahead of us obeyed a controller whose data is gone: it would take every assignment for a late one.
    if (data.floor > this.#fences.last) this.#setFence(data.floor);
    for (const told of data.units) {
      const entry = this.#entries.get(told.unit);
      const current = entry !== undefined && isFrom(entry.unit, node, told.fence);
      if (!current && !this.#answersFor(told.unit)) {
        if (type !== 'llmasos.tasks.refused') strays.push(fenceOf(told));
        continue;
      }
      if (!current && type !== 'llmasos.tasks.refused')
        this.#mail.settle(node, { unit: told.unit, fence: Math.max(told.fence, this.#endedUnder(told.unit)) });
      // It is at work in vain: told at once.
      if (!current && type === 'llmasos.tasks.held') this.#mail.hurry(node);
      if (!current) continue;
      entry.leaseUntil = now + LEASE_MS;
      repeatBy(entry, now + REPEAT_MS.first);
      if (type === 'llmasos.tasks.held') this.#update(entry, held(entry.unit, told.fence), now);
      if ('outcome' in told) this.#end(entry, told.outcome, now);
      if ('reason' in told && told.fence === entry.unit.fence)
        this.#update(entry, refused(entry.unit, told, this.#attemptsMax(entry.unit), now), now);
    }
    return strays;
  }

  /** Nobody has the unit any more: the node may forget it, or stop. */
  settle(node: string, unit: UnitFence): void {
    this.#mail.settle(node, fenceOf(unit));
    this.#mail.hurry(node);
  }

  /** Below it nothing is out, and nothing will be given. */
  get lowest(): number {
    let lowest = this.#fences.last + 1;
    for (const node of this.#out.keys()) lowest = Math.min(lowest, this.#lowestOut(node));
    return lowest;
  }

  /** A node has connected: what was on its way may be lost, and it is told at once. */
  nodeCame(node: string, now: number): void {
    for (const id of this.#out.get(node) ?? []) repeatBy(this.#entries.get(id) as Entry, now);
  }

  /** Everybody gets a whole lease to be heard again. */
  renewLeases(now: number): void {
    for (const entry of this.#entries.values()) entry.leaseUntil = now + LEASE_MS;
  }

  tick(now: number): void {
    for (const task of this.#tasks.values()) if (now > task.deadlineAt) this.#stop(task.id, 'expired', now);
    for (const entry of this.#entries.values()) {
      const { unit } = entry;
      if (!isOut(unit)) continue;
      if (now > entry.leaseUntil) this.#update(entry, leaseEnded(unit, this.#attemptsMax(unit), now), now);
      else if (unit.state === 'withdrawing' && now >= entry.repeatAt) this.#withdraw(entry, now);
    }
    this.#mail.tick();
  }

  /** Whether `dispatch` could have something to give: who asks need not look at ten thousand nodes otherwise. */
  get hasQueued(): boolean {
    return this.#queued.size > 0;
  }

  /** Gives queued units to nodes that have room. */
  dispatch(nodes: readonly NodeFacts[], now: number): void {
    const waiting = [...this.#queued.keys()].map((id) => this.#tasks.get(id) as Task);
    const queue = waiting.sort(moreUrgent).map((task): Dispatchable => {
      const units = [...(this.#queued.get(task.id) ?? [])].map((id) => (this.#entries.get(id) as Entry).unit);
      return { task, units: units.filter(({ retryAt }) => retryAt <= now) };
    });
    const held = (node: string): number => this.#out.get(node)?.size ?? 0;
    for (const { task, unit, node } of dispatch(queue, nodes, held)) {
      if (!this.#fences.areLeft) break;
      this.#setFence(this.#fences.last + 1);
      this.#fences.given++;
      const entry = this.#entries.get(unitId(unit)) as Entry;
      entry.leaseUntil = now + LEASE_MS;
      this.#update(entry, assigned(unit, node, this.#fences.last), now);
      this.#assign(entry, task, now);
    }
  }

  /**
   * Gives nodes once more what they have not confirmed: a node that was killed, or a broker, may have lost the assignment.
   * Under the same fence, so one that did arrive is not done twice; the lease runs on until the node is heard. Those that are
   * away are told when they are back.
   */
  repeat(nodes: readonly NodeFacts[], now: number): void {
    for (const { name } of nodes)
      for (const id of this.#out.get(name) ?? []) {
        const entry = this.#entries.get(id) as Entry;
        if (entry.unit.state === 'assigned' && now >= entry.repeatAt)
          this.#assign(entry, this.#tasks.get(entry.unit.task) as Task, now);
      }
  }

  /** What has changed since the last call. Commit it, then send the messages; if it cannot be committed, this book is void. */
  takeChanges(): { changes: Changes; messages: Outgoing[] } {
    const active = [...this.#changedTasks].flatMap((id) => this.#tasks.get(id) ?? []);
    const changes = {
      tasks: [...active, ...this.#endedTasks],
      units: [...this.#changedUnits.values()],
      results: this.#results,
      fence: this.#fenceChanged && !this.#fences.isShared ? this.#fences.last : undefined,
    };
    const messages = this.#mail.take((node) => this.#fences.floor(this.#lowestOut(node)));
    this.#changedTasks = new Set();
    this.#changedUnits = new Map();
    this.#endedTasks = [];
    this.#results = [];
    this.#fenceChanged = false;
    return { changes, messages };
  }

  #enter(unit: Unit, now: number): void {
    const id = unitId(unit);
    this.#entries.set(id, { unit, leaseUntil: now + LEASE_MS, repeatAt: now, repeatMs: REPEAT_MS.first });
    const siblings = this.#unitsOf.get(unit.task) ?? [];
    siblings.push(id);
    this.#unitsOf.set(unit.task, siblings);
    if (isOut(unit)) this.#outOf(unit.node as string).add(id);
    if (unit.state === 'queued') this.#queue(unit.task, id);
  }

  #queue(task: string, id: string): void {
    const waiting = this.#queued.get(task) ?? new Set<string>();
    this.#queued.set(task, waiting.add(id));
  }

  #unqueue(task: string, id: string): void {
    const waiting = this.#queued.get(task);
    waiting?.delete(id);
    if (waiting?.size === 0) this.#queued.delete(task);
  }

  #attemptsMax(unit: Unit): number {
    const spec = this.#tasks.get(unit.task)?.spec;
    // Whether a command may be given a second time only the person knows who gave it; a version that failed would fail again.
    return spec?.work.kind === 'inference' ? spec.attemptsMax : 1;
  }

  #end(entry: Entry, outcome: Outcome, now: number): void {
    const { unit } = entry;
    this.#mail.settle(unit.node as string, { unit: unitId(unit), fence: unit.fence });
    if (outcome.state === 'succeeded')
      this.#results.push({ task: unit.task, index: unit.index, results: outcome.results });
    this.#update(entry, ended(unit, outcome, this.#attemptsMax(unit), now), now);
  }

  #stop(id: string, how: 'cancelled' | 'expired', now: number): void {
    for (const unit of [...(this.#unitsOf.get(id) ?? [])]) {
      const entry = this.#entries.get(unit);
      if (!entry || hasEnded(entry.unit) || entry.unit.stopping !== null) continue;
      this.#update(entry, stop(entry.unit, how), now);
      repeatBy(entry, now);
      if (entry.unit.state === 'withdrawing') this.#withdraw(entry, now);
    }
  }

  #assign(entry: Entry, task: Task, now: number): void {
    const { unit } = entry;
    told(entry, now);
    const assignment = {
      unit: unitId(unit),
      fence: unit.fence,
      priority: task.spec.priority,
      deadlineAt: task.deadlineAt,
      acceptedAt: task.addedAt,
    };
    this.#mail.assign(unit.node as string, { ...assignment, work: workOf(task, unit.index) });
  }

  #withdraw(entry: Entry, now: number): void {
    const { unit } = entry;
    told(entry, now);
    this.#mail.withdraw(unit.node as string, { unit: unitId(unit), fence: unit.fence });
  }

  #update(entry: Entry, next: Unit, now: number): void {
    const before = entry.unit;
    if (next === before) return;
    const id = unitId(next);
    entry.unit = next;
    this.#changedUnits.set(id, next);
    if (isOut(before) && !isOut(next)) this.#outOf(before.node as string).delete(id);
    if (isOut(next)) this.#outOf(next.node as string).add(id);
    if (next.state === 'queued') this.#queue(next.task, id);
    else if (before.state === 'queued') this.#unqueue(next.task, id);
    if (hasEnded(next)) this.#countEnded(next.task, now);
  }

  #countEnded(id: string, now: number): void {
    const before = this.#tasks.get(id) as Task;
    if (before.unitsEnded + 1 < before.units) {
      this.#tasks.set(id, { ...before, unitsEnded: before.unitsEnded + 1 });
      this.#changedTasks.add(id);
      return;
    }
    const ids = this.#unitsOf.get(id) ?? [];
    const units = ids.map((unit) => (this.#entries.get(unit) as Entry).unit);
    const task = withProgress(before, units, now);
    this.#tasks.set(id, task);
    this.#changedTasks.add(id);
    if (task.state === 'active') return;
    this.#endedTasks.push(task);
    this.#fences.noteEnded(
      id,
      units.reduce((last, { fence }) => Math.max(last, fence), 0),
    );
    this.#tasks.delete(id);
    this.#unitsOf.delete(id);
    for (const unit of ids) this.#entries.delete(unit);
  }

  #setFence(fence: number): void {
    this.#fences.last = fence;
    this.#fenceChanged = true;
  }

  #outOf(node: string): Set<string> {
    const set = this.#out.get(node) ?? new Set<string>();
    this.#out.set(node, set);
    return set;
  }

  #lowestOut(node: string): number {
    let lowest = Number.POSITIVE_INFINITY;
    for (const id of this.#out.get(node) ?? []) lowest = Math.min(lowest, (this.#entries.get(id) as Entry).unit.fence);
    return lowest;
  }

  /**
   * The last fence under which a unit was given that is not given again: a copy of that assignment may still be on its way, and would
   * be begun by a node that has settled only an earlier one. 0 where others may have it.
   */
  #endedUnder(id: string): number {
    const entry = this.#entries.get(id);
    if (!entry) return this.#fences.endedUnder(taskOf(id)) ?? 0;
    return hasEnded(entry.unit) ? entry.unit.fence : 0;
  }

  #answersFor(unit: string): boolean {
    const task = taskOf(unit);
    return this.#tasks.has(task) || this.#fences.endedUnder(task) !== undefined;
  }
}

function told(entry: Entry, now: number): void {
  entry.repeatAt = now + entry.repeatMs;
  entry.repeatMs = Math.min(REPEAT_MS.max, entry.repeatMs * 2);
}

/** What was said until now does not count. */
function repeatBy(entry: Entry, at: number): void {
  entry.repeatAt = Math.min(entry.repeatAt, at);
  entry.repeatMs = REPEAT_MS.first;
}
