/** Runs the machine of tasks.ts with the ports given: commits what it keeps, then sends, runs and aborts. */
import { PAYLOAD_BYTES_MAX, parsePayload } from '../protocol/messages.ts';
import {
  type Assignment,
  assignmentSchema,
  type Content,
  looseTaskMessageSchema,
  type Outcome,
  type TaskEvent,
  type UnitFence,
} from '../protocol/tasks.ts';
import type { KeptTasks, TaskStore } from './task-store.ts';
import {
  type HeldUnit,
  initialTasks,
  isIdle,
  step,
  type TaskChange,
  type TaskEffect,
  type TaskInput,
  type TaskState,
} from './tasks.ts';

export interface TaskPorts {
  readonly node: string;
  readonly store: Pick<TaskStore, 'commit'>;
  readonly now: () => number;
  /** Sends when the broker is there, else forgets. */
  send(content: Content<TaskEvent>): void;
  /** Calls `done` once, later, also after the signal. */
  run(assignment: Assignment, signal: AbortSignal, done: (outcome: Outcome) => void): void;
  log(message: string, error: Error): void;
}

const OUTCOME_BYTES_MAX = PAYLOAD_BYTES_MAX - 10_000;

export class TaskRunner {
  readonly #ports: TaskPorts;
  #state: TaskState;
  readonly #running = new Map<number, AbortController>();
  /** What must not be lost because the disk does not take it now. */
  #unwritten: TaskInput[] = [];

  constructor(ports: TaskPorts, kept: KeptTasks) {
    this.#ports = ports;
    // What was in work is in work no longer.
    const units = [...kept.units].map(([id, { run: _, ...unit }]): [string, HeldUnit] => [id, unit]);
    this.#state = { ...initialTasks(ports.node), ...kept, units: new Map(units) };
  }

  /** Goes on with what the last process left. */
  start(): void {
    this.#finish({ type: 'restarted' });
  }

  /** Throws an Error that names the topic when the payload is no message about tasks. On the disk when it returns. */
  receive(topic: string, payload: Uint8Array): void {
    const { type, data } = parsePayload(looseTaskMessageSchema, topic, payload);
    if (type === 'llmasos.tasks.withdrawn') this.#take({ type: 'withdrawn', units: data.units });
    else if (type === 'llmasos.tasks.settled') this.#take({ type: 'settled', ...data });
    else {
      const { readable, unreadable } = checkUnits(data.units);
      if (unreadable.length > 0) this.#take({ type: 'unreadable', units: unreadable });
      this.#take({ type: 'assigned', floor: data.floor, units: readable });
    }
  }

  connected(): void {
    if (!isIdle(this.#state)) this.#take({ type: 'connected' });
  }

  /** Call it every second or so. */
  tick(): void {
    const waiting = this.#unwritten;
    this.#unwritten = [];
    for (const input of waiting) this.#finish(input);
    if (!isIdle(this.#state)) this.#take({ type: 'tick' });
  }

  /** Stops the runs; what is unfinished is begun again after the next start. */
  close(): void {
    for (const controller of this.#running.values()) controller.abort();
    this.#running.clear();
  }

  #take(input: TaskInput): boolean {
    const { state, effects } = step(this.#state, input, this.#ports.now());
    const changes = effects.filter(isChange);
    try {
      if (changes.length > 0) this.#ports.store.commit(changes);
    } catch (error) {
      this.#ports.log('what is known of tasks cannot be written; the controller will say it again', error as Error);
      return false;
    }
    this.#state = state;
    for (const effect of effects) this.#carryOut(effect);
    return true;
  }

  #carryOut(effect: TaskEffect): void {
    if (effect.type === 'send') this.#ports.send(effect.content);
    else if (effect.type === 'run') this.#run(effect.run, effect.assignment);
    else if (effect.type === 'abort') this.#running.get(effect.run)?.abort();
  }

  #run(run: number, assignment: Assignment): void {
    const controller = new AbortController();
    this.#running.set(run, controller);
    this.#ports.run(assignment, controller.signal, (outcome) => {
      if (this.#running.delete(run)) this.#finish({ type: 'done', unit: assignment.unit, run, outcome: fit(outcome) });
    });
  }

  #finish(input: TaskInput): void {
    if (!this.#take(input)) this.#unwritten.push(input);
  }
}

function isChange(effect: TaskEffect): effect is TaskChange {
  return effect.type === 'keep' || effect.type === 'forget' || effect.type === 'floor';
}

function checkUnits(units: readonly UnitFence[]) {
  const readable: Assignment[] = [];
  const unreadable: (UnitFence & { error: string })[] = [];
  for (const one of units) {
    const result = assignmentSchema.safeParse(one);
    if (result.success) {
      readable.push(result.data);
      continue;
    }
    const issue = result.error.issues[0];
    unreadable.push({ ...one, error: `${issue?.path.join('.') || 'unit'}: ${issue?.message}` });
  }
  return { readable, unreadable };
}

function fit(outcome: Outcome): Outcome {
  const bytes = Buffer.byteLength(JSON.stringify(outcome));
  if (bytes <= OUTCOME_BYTES_MAX) return outcome;
  const error = `its results take ${bytes} bytes, at most ${OUTCOME_BYTES_MAX} fit a message; put fewer inputs in a unit`;
  return { state: 'failed', error };
}
