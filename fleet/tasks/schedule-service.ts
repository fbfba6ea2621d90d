/**
 * Schedules at work: every second those whose time has come give the fleet their task. The task is committed first, under an id
 * that its time makes, then the schedule's next time: a controller that is killed between the two gives the same task again,
 * which is the one that there is. While its last task has not ended, a schedule gives no other.
 */
import type { Logger } from 'pino';
import { parseFilter } from '../../runtime/triggers/topic-filter.ts';
import type { Database } from '../controller/database.ts';
import { after, newSchedule, type Schedule, type ScheduleSpec, taskAt } from './schedule.ts';
import { deleteSchedule, readSchedules, saveSchedule, updateSchedule } from './schedule-store.ts';
import { readTask } from './store.ts';
import type { TaskService } from './task-service.ts';

const LOOK_MS = 1_000;
const SCHEDULES_MAX = 1_000;
/** Those that wait for messages: each has a connection to the broker. */
const LISTENING_MAX = 50;

type Message = { readonly topic: string; readonly payload: Uint8Array };

export interface SchedulePorts {
  readonly database: Database;
  readonly tasks: Pick<TaskService, 'add' | 'check'>;
  readonly now: () => number;
  readonly log: Logger;
  /** Whether the broker is there. */
  connected(): boolean;
  /** Until the signal aborts; rejects when the connection ends. */
  watch(filter: string, onMessage: (topic: string, payload: Uint8Array) => void, signal: AbortSignal): Promise<void>;
}

/** Every rejection is an Error whose message is fit for the person who asked. */
export interface Schedules {
  /** Creates or replaces by name. On the disk when it resolves. */
  put(spec: ScheduleSpec): Promise<Schedule>;
  list(): Promise<Schedule[]>;
  /** Tasks that it gave go on. */
  remove(name: string): Promise<void>;
}

export class ScheduleService implements Schedules {
  readonly #ports: SchedulePorts;
  readonly #timer: NodeJS.Timeout;
  /** By name: which topic is listened to, and the end of it. */
  readonly #listening = new Map<string, { topic: string; stop: AbortController }>();
  /** Names of schedules with a message in work: further ones are one too many. */
  readonly #busy = new Set<string>();
  /** Looks and changes, one at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(ports: SchedulePorts) {
    this.#ports = ports;
    this.#timer = setInterval(() => {
      this.#inTurn(() => this.#look()).catch((error: Error) => ports.log.warn(`schedules wait: ${error.message}`));
    }, LOOK_MS);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    for (const { stop } of this.#listening.values()) stop.abort();
    await this.#turn;
  }

  put(spec: ScheduleSpec): Promise<Schedule> {
    return this.#inTurn(async () => {
      const { database, tasks, now } = this.#ports;
      if (spec.task.work.kind === 'update')
        throw new Error(`schedule "${spec.name}": a version is brought once: by a task, or a rollout`);
      const schedule = newSchedule({ ...spec, task: await tasks.check(spec.task) }, now());
      const others = (await readSchedules(database)).filter((other) => other.spec.name !== spec.name);
      if (others.length >= SCHEDULES_MAX)
        throw new Error(`schedule "${spec.name}": there are ${SCHEDULES_MAX} schedules, no more fit; remove one first`);
      if ('topic' in spec.when && others.filter(({ spec: { when } }) => 'topic' in when).length >= LISTENING_MAX)
        throw new Error(`schedule "${spec.name}": ${LISTENING_MAX} schedules wait for messages, no more can`);
      await saveSchedule(database, schedule);
      return schedule;
    });
  }

  list(): Promise<Schedule[]> {
    return readSchedules(this.#ports.database);
  }

  remove(name: string): Promise<void> {
    return this.#inTurn(async () => {
      if (await deleteSchedule(this.#ports.database, name)) return;
      throw new Error(`there is no schedule "${name}"; "llmasos schedules list" shows those that there are`);
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }

  async #look(): Promise<void> {
    const schedules = await readSchedules(this.#ports.database);
    this.#listen(schedules);
    for (const schedule of schedules)
      if (schedule.nextAt !== null && schedule.nextAt <= this.#ports.now()) await this.#give(schedule, schedule.nextAt);
  }

  async #give(schedule: Schedule, occasion: number | Message): Promise<void> {
    const { database, now } = this.#ports;
    const outcome = await this.#outcomeOf(schedule, occasion);
    if ('problem' in outcome) this.#ports.log.warn(`schedule "${schedule.spec.name}": ${outcome.problem}`);
    await updateSchedule(database, after(schedule, now(), outcome));
  }

  async #outcomeOf(schedule: Schedule, occasion: number | Message): Promise<{ task: string } | { problem: string }> {
    const { lastTask } = schedule;
    const spec = taskAt(schedule, occasion);
    const last = lastTask === null ? undefined : await readTask(this.#ports.database, lastTask);
    if (last?.state === 'active' && last.id !== spec.id)
      return { problem: `its last task, "${last.id}", had not ended when the next one was due` };
    try {
      return { task: (await this.#ports.tasks.add(spec)).id };
    } catch (error) {
      return { problem: (error as Error).message };
    }
  }

  /** Begins and ends listening as the schedules ask for. */
  #listen(schedules: readonly Schedule[]): void {
    const wanted = new Map(
      schedules.flatMap(({ spec: { name, when } }) => ('topic' in when ? [[name, when.topic] as const] : [])),
    );
    for (const [name, { topic, stop }] of this.#listening) if (wanted.get(name) !== topic) stop.abort();
    for (const [name, topic] of wanted) {
      if (this.#listening.has(name) || !this.#ports.connected()) continue;
      const stop = new AbortController();
      this.#listening.set(name, { topic, stop });
      this.#ports
        .watch(parseFilter(topic).mqtt, (at, payload) => this.#heard(name, { topic: at, payload }), stop.signal)
        .catch((error: Error) => {
          if (!stop.signal.aborted) this.#ports.log.warn(`schedule "${name}" listens again soon: ${error.message}`);
        })
        .finally(() => this.#listening.delete(name));
    }
  }

  #heard(name: string, message: Message): void {
    if (this.#busy.has(name)) return;
    this.#busy.add(name);
    this.#inTurn(async () => {
      const schedule = (await readSchedules(this.#ports.database)).find(({ spec }) => spec.name === name);
      if (schedule && 'topic' in schedule.spec.when) await this.#give(schedule, message);
    })
      .catch((error: Error) => this.#ports.log.warn(`schedule "${name}" left out a message: ${error.message}`))
      .finally(() => this.#busy.delete(name));
  }
}
