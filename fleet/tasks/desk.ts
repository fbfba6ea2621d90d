/**
 * The controller's tasks at work: what is asked and heard gathers while a commit runs, the next one takes all of it, and
 * messages go out when it is on the disk. A commit that fails has never happened: those who asked are told, and the book is
 * read from the database again.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { type Content, envelopeOf, type TaskEvent, type TaskMessage } from '../../runtime/protocol/tasks.ts';
import { nodeTopic } from '../../runtime/protocol/topics.ts';
import type { Database } from '../controller/database.ts';
import { selects } from '../controller/selector.ts';
import { TaskBook } from './book.ts';
import type { NodeFacts } from './dispatch.ts';
import type { Fences } from './fences.ts';
import type { Outgoing } from './mail.ts';
import { endedOf, readActive, readTask, saveChanges } from './store.ts';
import { Strays } from './strays.ts';
import type { Task, TaskSpec } from './task.ts';
import type { TaskTrace } from './task-trace.ts';

const TICK_MS = 1_000;
const RETRY_MS = 1_000;
/** A broker that does not confirm holds nobody up for longer: leases see to what is lost. */
const SEND_MS = 5_000;
/** Messages of nodes that may wait for a commit; nodes repeat what was not answered. */
const WAITING_MAX = 50_000;

export interface DeskPorts {
  readonly database: Database;
  readonly now: () => number;
  readonly log: Logger;
  connected(): boolean;
  publish(topic: string, payload: string): Promise<void>;
  /** Those that are online and speak of tasks. */
  nodes(): readonly NodeFacts[];
  /** Where tasks are traced. */
  readonly trace?: TaskTrace | undefined;
  /** A transaction took so long. */
  committed(ms: number): void;
  /** Where several controllers share the tasks. */
  readonly sharing?: TaskSharing | undefined;
  /** All that are on record. */
  allNodes(): readonly Pick<NodeFacts, 'name' | 'labels'>[];
}

export interface TaskSharing {
  /** Of this controller's tasks. */
  readonly owner: string;
  readonly fences: Fences;
  /** Whether this controller answers nodes for what nobody has. */
  leads(): boolean;
}

interface Waiting {
  work(book: TaskBook, now: number): void;
  committed(): void;
  failed(error: Error): void;
  /** Where more than tasks is to be committed, or nothing; such work is taken by itself. */
  readonly commit?: Commit | undefined;
}

/** Runs `save` in a transaction, with what else belongs into it. Rejects with the reason that the person who asked is to read. */
export type Commit = (save: (transaction: Database) => Promise<void>) => Promise<void>;

export class TaskDesk {
  readonly #ports: DeskPorts;
  #book: TaskBook;
  #waiting: Waiting[] = [];
  #working: Promise<void> | undefined;
  #sending: Promise<void> = Promise.resolve();
  #closed = false;
  /** The database has more tasks of this controller than the book. */
  #isBehind = false;
  readonly #strays = new Strays();
  readonly #timer: NodeJS.Timeout;

  private constructor(ports: DeskPorts, book: TaskBook) {
    this.#ports = ports;
    this.#book = book;
    this.#timer = setInterval(() => {
      if (!ports.connected()) return;
      this.#tell((current, now) => {
        current.tick(now);
        current.repeat(ports.nodes(), now);
      });
      this.#settleStrays().catch((error: Error) => ports.log.warn(`units that nobody has wait: ${error.message}`));
    }, TICK_MS);
  }

  static async open(ports: DeskPorts): Promise<TaskDesk> {
    return new TaskDesk(ports, await readBook(ports));
  }

  /**
   * Resolves when the task is on the disk. The same id and the same task again is the task that is there.
   * @param commit commits more with it: where either is refused, neither has happened
   */
  async add(spec: TaskSpec, commit?: Commit): Promise<Task> {
    const id = spec.id ?? randomUUID();
    const nodes = this.#ports.allNodes().filter((node) => selects(spec.selector, node));
    const names = nodes.map(({ name }) => name).sort();
    const known = await readTask(this.#ports.database, id);
    if (known) return theSame(known, spec);
    return this.#ask((book, now) => {
      const there = book.get(id);
      return there ? theSame(there, spec) : book.add(id, spec, names, now);
    }, commit);
  }

  /** Resolves when that is on the disk. What is out at a node ends when the node has answered, or its lease has. */
  async cancel(id: string): Promise<void> {
    await this.#ask((book, now) => book.cancel(id, now));
  }

  counts(): ReturnType<TaskBook['counts']> {
    return this.#book.counts();
  }

  receive(node: string, content: Content<TaskEvent>): void {
    if (this.#waiting.length >= WAITING_MAX) return;
    this.#tell((book, now) => {
      const strays = book.receive(node, content, now);
      if (this.#ports.sharing?.leads()) this.#strays.note(node, strays, now);
    });
  }

  /** Nodes came, went, or have other models ready. @param connected those that have just connected */
  nodesChanged(connected: readonly string[] = []): void {
    this.#tell((book, now) => {
      for (const node of connected) book.nodeCame(node, now);
    });
  }

  linkUp(): void {
    this.#tell((book, now) => book.renewLeases(now));
  }

  /** What it has given to nodes, as it is on the disk. */
  standing(): Promise<{ fence: number; lowest: number }> {
    return this.#ask((book) => ({ fence: this.#ports.sharing?.fences.last ?? 0, lowest: book.lowest }));
  }

  /** More fences for what it gives; see Fences. */
  grant({ from, until, othersLowest }: { from: number; until: number; othersLowest: number }): void {
    this.#ports.sharing?.fences.grant(from, until, othersLowest);
    if (this.#book.hasQueued) this.nodesChanged();
  }

  /** Resolves when the book has all tasks of this controller, those that it took over, too. */
  async readAgain(): Promise<void> {
    this.#isBehind = true;
    await this.#ask(() => {});
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#working;
    await this.#sending;
  }

  #tell(work: Waiting['work']): void {
    const failed = (error: Error): void => this.#ports.log.error({ err: error }, 'a message about tasks was left out');
    if (!this.#closed) this.#enqueue({ work, committed() {}, failed });
  }

  #ask<T>(work: (book: TaskBook, now: number) => T, commit?: Commit): Promise<T> {
    return new Promise((resolve, reject) => {
      let result: T;
      this.#enqueue({
        work: (book, now) => {
          result = work(book, now);
        },
        committed: () => resolve(result),
        failed: reject,
        commit,
      });
    });
  }

  #enqueue(waiting: Waiting): void {
    if (this.#closed) {
      waiting.failed(new Error('the controller is stopping; ask again when it is back'));
      return;
    }
    this.#waiting.push(waiting);
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
  }

  async #work(): Promise<void> {
    // What is told in one turn of the event loop is taken together: the broker in this process hands on each message by itself.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const alone = this.#waiting.findIndex(({ commit }) => commit !== undefined);
      await this.#take(this.#waiting.splice(0, alone < 0 ? this.#waiting.length : Math.max(1, alone)));
    }
  }

  async #take(batch: readonly Waiting[]): Promise<void> {
    if (this.#isBehind) await this.#readAgain();
    const now = this.#ports.now();
    const done = batch.filter((waiting) => {
      try {
        waiting.work(this.#book, now);
        return true;
      } catch (error) {
        waiting.failed(error as Error);
        return false;
      }
    });
    if (this.#book.hasQueued && this.#ports.connected()) this.#book.dispatch(this.#ports.nodes(), now);
    const { changes, messages } = this.#book.takeChanges();
    const beganMs = performance.now();
    const { commit = this.#commitTasks } = batch[0] as Waiting;
    try {
      if (Object.values(changes).some((change) => (Array.isArray(change) ? change.length > 0 : change !== undefined)))
        await commit((transaction) => saveChanges(transaction, changes, this.#ports.sharing?.owner ?? null));
    } catch (cause) {
      const error =
        commit !== this.#commitTasks
          ? (cause as Error)
          : new Error(`tasks cannot be stored: ${(cause as Error).message}; try again`, { cause });
      this.#ports.log.error(error.message);
      for (const { failed } of done) failed(error);
      return this.#readAgain();
    }
    this.#ports.committed(performance.now() - beganMs);
    for (const task of changes.tasks) if (task.state !== 'active') this.#ports.trace?.ended(task);
    for (const { committed } of done) committed();
    // The next batch may be committed while this one is on its way; the one after that waits.
    const before = this.#sending;
    this.#sending = this.#send(messages);
    await before;
  }

  #commitTasks: Commit = (save) => this.#ports.database.transaction().execute(save);

  async #readAgain(): Promise<void> {
    while (!this.#closed) {
      try {
        this.#isBehind = false;
        this.#book = await readBook(this.#ports);
        return;
      } catch (error) {
        this.#ports.log.error(`tasks cannot be read: ${(error as Error).message}; trying again`);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  async #settleStrays(): Promise<void> {
    const strays = this.#strays.take(this.#ports.now());
    if (strays.length === 0) return;
    const ended = await endedOf(this.#ports.database, strays);
    if (ended.length === 0) return;
    this.#tell((book) => {
      for (const stray of ended) book.settle(stray.node, stray);
    });
  }

  async #send(messages: readonly Outgoing[]): Promise<void> {
    if (messages.length === 0) return;
    const now = this.#ports.now();
    const sent = messages.map(({ node, content }) =>
      this.#ports.publish(
        nodeTopic(node, 'tasks'),
        JSON.stringify(
          envelopeOf<TaskMessage>(this.#ports.trace?.mark(content) ?? content, '/controller', randomUUID(), now),
        ),
      ),
    );
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, SEND_MS);
    });
    const all = Promise.allSettled(sent).then((outcomes) => {
      const failure = outcomes.find((outcome) => outcome.status === 'rejected');
      if (failure)
        this.#ports.log.warn(`messages about tasks wait for the broker: ${(failure.reason as Error).message}`);
    });
    await Promise.race([all, late]);
    clearTimeout(timer);
  }
}

async function readBook({ database, now, sharing }: DeskPorts): Promise<TaskBook> {
  return new TaskBook(await readActive(database, sharing?.owner ?? null), now(), sharing?.fences);
}

function theSame(known: Task, spec: TaskSpec): Task {
  if (JSON.stringify({ ...known.spec, id: known.id }) === JSON.stringify({ ...spec, id: known.id })) return known;
  throw new Error(`task "${known.id}": another task has this id; choose a new one`);
}
