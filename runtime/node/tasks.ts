/**
 * What a node does with the units of tasks that it is given, as a state machine without I/O: `step(state, event, now)` gives
 * the next state and the effects. Effects that change the disk (`keep`, `forget`, `floor`) are committed together before any
 * other is carried out, and when they cannot be, the event never happened. So whatever the controller hears is on the disk.
 *
 * - A unit is run once, however often it is assigned: it is known by its id, and a later fence only renames its holder.
 * - An outcome stays on the disk, and is told again and again, until the controller has settled it.
 * - What was settled is remembered until its fence is under the floor, so that a late copy of its assignment starts nothing.
 * - What a stop of the node has cut short is begun again where that is harmless (inference), but not for ever. An update goes on
 *   waiting: that the node stops is its purpose.
 */
import type { Assignment, Content, Outcome, TaskEvent, UnitFence } from '../protocol/tasks.ts';
import { priorities } from '../triggers/schema.ts';

/** Units that a node takes; more are refused, and the controller tries another node or waits. */
const HELD_MAX = 256;
const HEARTBEAT_MS = 10_000;
/** How often a unit is begun, when the node stops in the midst of it: a model that kills the process must not do so for ever. */
const STARTS_MAX = { inference: 2, command: 1, update: Number.POSITIVE_INFINITY };

export interface HeldUnit {
  readonly assignment: Assignment;
  readonly state: 'accepted' | 'started' | 'ended';
  readonly starts: number;
  /** Which run of this process it is, while it is in work: one that was aborted may still say `done` later. */
  readonly run?: number;
  /** With `ended`. */
  readonly outcome?: Outcome;
}

export interface TaskState {
  readonly node: string;
  readonly floor: number;
  readonly units: ReadonlyMap<string, HeldUnit>;
  /** Settled units above the floor, with the fence under which they were. */
  readonly gone: ReadonlyMap<string, number>;
  /** Units that came since the last tick: those that have not ended by the next one are told as held. */
  readonly untold: ReadonlySet<string>;
  readonly heartbeatAt: number;
  readonly runs: number;
}

export type TaskInput =
  /** After a start; the state is what was on the disk. It may come late, when the disk did not take it at first. */
  | { type: 'restarted' }
  | { type: 'assigned'; floor: number; units: readonly Assignment[] }
  /** Units of an assignment that this node cannot read. */
  | { type: 'unreadable'; units: readonly (UnitFence & { error: string })[] }
  | { type: 'withdrawn'; units: readonly UnitFence[] }
  | { type: 'settled'; floor: number; units: readonly UnitFence[] }
  | { type: 'done'; unit: string; run: number; outcome: Outcome }
  | { type: 'connected' }
  | { type: 'tick' };

export type TaskChange =
  | { type: 'keep'; unit: HeldUnit }
  | { type: 'forget'; unit: string; goneFence: number | undefined }
  | { type: 'floor'; floor: number };

export type TaskEffect =
  | TaskChange
  | { type: 'send'; content: Content<TaskEvent> }
  | { type: 'run'; run: number; assignment: Assignment }
  /** The run need not go on; it still says `done`. */
  | { type: 'abort'; run: number };

export function initialTasks(node: string): TaskState {
  return { node, floor: 0, units: new Map(), gone: new Map(), untold: new Set(), heartbeatAt: 0, runs: 0 };
}

export function step(before: TaskState, input: TaskInput, now: number): { state: TaskState; effects: TaskEffect[] } {
  const draft = new Draft(before);
  switch (input.type) {
    case 'restarted':
      draft.restart();
      break;
    case 'assigned':
      for (const assignment of input.units) draft.assign(assignment, now);
      draft.raiseFloor(input.floor);
      break;
    case 'unreadable':
      for (const { unit, fence, error } of input.units) draft.refuse({ unit, fence, reason: 'unsupported', error });
      break;
    case 'withdrawn':
      for (const { unit, fence } of input.units) draft.withdraw(unit, fence);
      break;
    case 'settled':
      for (const { unit, fence } of input.units) draft.settle(unit, fence);
      draft.raiseFloor(input.floor);
      break;
    case 'done':
      draft.end(input);
      break;
    case 'connected':
      draft.tellAll(now);
      break;
    case 'tick':
      if (now >= before.heartbeatAt) draft.tellAll(now);
      else draft.tellNew();
  }
  draft.startNext(now);
  return draft.result();
}

/** Whether `tick` has anything to repeat. */
export function isIdle({ units }: TaskState): boolean {
  return units.size === 0;
}

type Told<Type extends TaskEvent['type']> = Extract<TaskEvent, { type: Type }>['data']['units'][number];

class Draft {
  #state: TaskState;
  readonly #units: Map<string, HeldUnit>;
  readonly #gone: Map<string, number>;
  readonly #untold: Set<string>;
  readonly #effects: TaskEffect[] = [];
  readonly #held: Told<'llmasos.tasks.held'>[] = [];
  readonly #ended: Told<'llmasos.tasks.ended'>[] = [];
  readonly #refused: Told<'llmasos.tasks.refused'>[] = [];

  constructor(state: TaskState) {
    this.#state = state;
    this.#units = new Map(state.units);
    this.#gone = new Map(state.gone);
    this.#untold = new Set(state.untold);
  }

  restart(): void {
    for (const held of this.#units.values()) {
      if (held.state !== 'started' || held.run !== undefined) continue;
      if (held.starts < STARTS_MAX[held.assignment.work.kind])
        this.#keep({ assignment: held.assignment, state: 'accepted', starts: held.starts });
      else this.#finish(held, { state: 'failed', error: interrupted(this.#state.node, held) });
    }
  }

  assign(assignment: Assignment, now: number): void {
    const { unit, fence } = assignment;
    // Nothing was told before: what comes now is told by the next tick, and again a whole heartbeat later.
    if (this.#units.size === 0) this.#state = { ...this.#state, heartbeatAt: now + HEARTBEAT_MS };
    const held = this.#units.get(unit);
    const isLate = fence <= this.#state.floor || fence <= (this.#gone.get(unit) ?? -1);
    const isFull = !held && this.#units.size >= HELD_MAX;
    if (isLate || isFull) {
      this.refuse({ unit, fence, reason: isLate ? 'stale' : 'full' });
      return;
    }
    if (held && held.assignment.fence > fence) return;
    const known = held && { ...held, assignment: { ...held.assignment, fence } };
    if (!held || held.assignment.fence < fence) this.#keep(known ?? { assignment, state: 'accepted', starts: 0 });
    if (known?.outcome) this.#ended.push({ unit, fence, outcome: known.outcome });
    else if (known) this.#held.push({ unit, fence });
    // Most units end within a moment, and then that says all: it halves what a fleet answers to a command.
    else this.#untold.add(unit);
  }

  refuse(refusal: Told<'llmasos.tasks.refused'>): void {
    this.#refused.push(refusal);
  }

  withdraw(unit: string, fence: number): void {
    const held = this.#units.get(unit);
    if (held && held.assignment.fence > fence) return;
    if (!held) {
      // Its assignment may still be on the way.
      if (fence > this.#state.floor && fence > (this.#gone.get(unit) ?? -1)) this.#forget(unit, fence);
      this.#ended.push({ unit, fence, outcome: { state: 'cancelled' } });
    } else if (held.run !== undefined) this.#effects.push({ type: 'abort', run: held.run });
    else if (held.outcome) this.#ended.push({ unit, fence: held.assignment.fence, outcome: held.outcome });
    else this.#finish(held, { state: 'cancelled' });
  }

  settle(unit: string, fence: number): void {
    const held = this.#units.get(unit);
    if (!held || held.assignment.fence > fence) return;
    if (held.run !== undefined) this.#effects.push({ type: 'abort', run: held.run });
    this.#forget(unit, fence);
  }

  end({ unit, run, outcome }: TaskInput & { type: 'done' }): void {
    const held = this.#units.get(unit);
    if (held?.state === 'started' && held.run === run) this.#finish(held, outcome);
  }

  raiseFloor(floor: number): void {
    if (floor <= this.#state.floor) return;
    this.#state = { ...this.#state, floor };
    for (const [unit, fence] of this.#gone) if (fence <= floor) this.#gone.delete(unit);
    this.#effects.push({ type: 'floor', floor });
  }

  tellNew(): void {
    for (const unit of this.#untold) {
      const held = this.#units.get(unit);
      if (held) this.#held.push({ unit, fence: held.assignment.fence });
    }
    this.#untold.clear();
  }

  tellAll(now: number): void {
    this.#state = { ...this.#state, heartbeatAt: now + HEARTBEAT_MS };
    this.#untold.clear();
    for (const [unit, { assignment, outcome }] of this.#units)
      if (outcome) this.#ended.push({ unit, fence: assignment.fence, outcome });
      else this.#held.push({ unit, fence: assignment.fence });
  }

  /** One unit of each class is in work at a time, so that an urgent one never waits for a long one of a lower class. */
  startNext(now: number): void {
    const held = [...this.#units.values()];
    for (const priority of priorities) {
      const ofClass = held.filter(({ assignment, state }) => assignment.priority === priority && state !== 'ended');
      // One that waits for an update does nothing, perhaps for days.
      const works = (held: HeldUnit): boolean => held.state === 'started' && held.assignment.work.kind !== 'update';
      if (ofClass.some(works)) continue;
      for (const unit of ofClass.filter(({ state }) => state === 'accepted')) {
        if (now <= unit.assignment.deadlineAt) {
          const run = this.#state.runs + 1;
          this.#state = { ...this.#state, runs: run };
          this.#keep({ ...unit, state: 'started', starts: unit.starts + 1, run });
          this.#effects.push({ type: 'run', run, assignment: unit.assignment });
          break;
        }
        this.#finish(unit, { state: 'expired' });
      }
    }
  }

  result(): { state: TaskState; effects: TaskEffect[] } {
    const { floor } = this.#state;
    // What has ended meanwhile is no longer told as held.
    const held = this.#held.filter(({ unit }) => this.#units.get(unit)?.state !== 'ended');
    const send = (content: Content<TaskEvent>) => this.#effects.push({ type: 'send', content });
    if (held.length > 0) send({ type: 'llmasos.tasks.held', data: { floor, units: held } });
    for (const units of bounded(this.#ended)) send({ type: 'llmasos.tasks.ended', data: { floor, units } });
    if (this.#refused.length > 0) send({ type: 'llmasos.tasks.refused', data: { floor, units: this.#refused } });
    const state = { ...this.#state, units: this.#units, gone: this.#gone, untold: this.#untold };
    return { state, effects: this.#effects };
  }

  #finish({ assignment, starts }: HeldUnit, outcome: Outcome): void {
    const { unit, fence } = assignment;
    this.#keep({ assignment, state: 'ended', starts, outcome });
    this.#ended.push({ unit, fence, outcome });
  }

  #keep(unit: HeldUnit): void {
    this.#units.set(unit.assignment.unit, unit);
    this.#gone.delete(unit.assignment.unit);
    this.#effects.push({ type: 'keep', unit });
  }

  #forget(unit: string, fence: number): void {
    this.#units.delete(unit);
    const remember = fence > this.#state.floor;
    if (remember) this.#gone.set(unit, fence);
    this.#effects.push({ type: 'forget', unit, goneFence: remember ? fence : undefined });
  }
}

/** Outcomes may be large: each of these lists fits a message. */
function* bounded(ended: Told<'llmasos.tasks.ended'>[]): Generator<Told<'llmasos.tasks.ended'>[]> {
  let units: Told<'llmasos.tasks.ended'>[] = [];
  let characters = 0;
  for (const one of ended) {
    const length = JSON.stringify(one).length;
    if (units.length > 0 && characters + length > MESSAGE_CHARACTERS) {
      yield units;
      units = [];
      characters = 0;
    }
    units.push(one);
    characters += length;
  }
  if (units.length > 0) yield units;
}

const MESSAGE_CHARACTERS = 200_000;

function interrupted(node: string, { assignment, starts }: HeldUnit): string {
  const times = starts === 1 ? 'while it was being done' : `each of the ${starts} times that it was begun`;
  const kind = assignment.work.kind === 'command' ? '; it may have had its effect' : '';
  return `node "${node}" stopped ${times}${kind}`;
}
