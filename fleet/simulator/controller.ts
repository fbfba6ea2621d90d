/**
 * A controller: the real registry, desired states and task book on a simulated database, which takes a commit whole or not at
 * all. The order of commit and messages is that of fleet-service.ts and desk.ts.
 */
import type { DesiredState } from '../../runtime/protocol/messages.ts';
import { envelopeOf, type TaskMessage } from '../../runtime/protocol/tasks.ts';
import type { NodeChannel } from '../../runtime/protocol/topics.ts';
import { nodeTopic } from '../../runtime/protocol/topics.ts';
import { nextDesired } from '../controller/desired.ts';
import { FactBook } from '../controller/node-facts.ts';
import { connectedOf, foldMessages, type Live, readNodeMessage, type StateMessage } from '../controller/registry.ts';
import { selects } from '../controller/selector.ts';
import type { StoredNode } from '../controller/store.ts';
import { isActive, type Step } from '../rollouts/rollout.ts';
import type { RolloutSpec } from '../rollouts/spec.ts';
import { type Changes, TaskBook } from '../tasks/book.ts';
import type { TaskSpec } from '../tasks/task.ts';
import { unitId } from '../tasks/unit.ts';
import type { Client, SimBroker } from './broker.ts';
import { SimRollouts, simOverlays } from './rollouts.ts';
import { emptyRows, type Rows, softwareOf } from './rows.ts';
import type { CrashPoint, World } from './world.ts';

const TICK_MS = 1_000;
const FILES = 'http://controller/v1/blobs';

export class SimController implements Client {
  readonly rows = emptyRows();
  readonly #world: World;
  readonly #broker: SimBroker;
  #process = 0;
  #alive = false;
  #connected = false;
  #live = new Map<string, Live>();
  #facts = new FactBook();
  #book: TaskBook;
  #rollouts: SimRollouts;
  #upAt = 0;
  /** When it last could not hear everybody. */
  deafAt = 0;

  constructor(world: World, broker: SimBroker) {
    this.#world = world;
    this.#broker = broker;
    this.#rollouts = this.#newRollouts();
    this.#book = this.#readBook();
  }

  get isUp(): boolean {
    return this.#alive && this.#connected;
  }

  isOnline(node: string): boolean {
    return this.#live.get(node)?.online ?? false;
  }

  start(): void {
    this.#process++;
    this.#alive = true;
    this.deafAt = this.#world.now;
    this.#live = new Map();
    this.#facts = new FactBook();
    for (const node of this.rows.nodes.values()) this.#facts.note(node);
    this.#book = this.#readBook();
    this.#rollouts = this.#newRollouts();
    this.#refresh([...this.rows.nodes.keys()]);
    if (!this.#alive) return;
    this.#connect();
    this.#every(TICK_MS, () => {
      if (!this.#connected) return;
      this.#rollouts.look(this.#upAt);
      this.#work((book) => {
        book.tick(this.#world.now);
        book.repeat(this.#facts.able(this.#live), this.#world.now);
      });
    });
  }

  crash(point: CrashPoint = 'controller: at any time'): void {
    if (!this.#alive) return;
    if (point === 'controller: at any time') this.#world.crashed(point);
    this.#alive = false;
    this.#process++;
    this.#connected = false;
    this.#broker.lost('controller');
    this.#world.clock.after(this.#world.chance.between(500, 30_000), () => this.start());
  }

  connected(): void {
    this.#connected = true;
    this.#upAt = this.#world.now;
    this.deafAt = this.#world.now;
    this.#work((book) => book.renewLeases(this.#world.now));
    for (const { name, desired } of this.rows.nodes.values()) if (desired) this.#publishDesired(name, desired);
  }

  disconnected(): void {
    if (!this.#connected) return;
    this.#connected = false;
    this.deafAt = this.#world.now;
    for (const [node, live] of this.#live) this.#live.set(node, { ...live, online: false });
    this.#later(1_000, () => this.#connect());
  }

  receive(node: string, channel: NodeChannel, text: string): void {
    if (!this.#alive) return;
    const message = readNodeMessage(nodeTopic(node, channel), new TextEncoder().encode(text));
    if (message?.kind === 'task') this.#work((book) => book.receive(node, message.event, this.#world.now));
    else if (message && message.kind !== 'reply') this.#takeState(message);
  }

  /** True when the task is on the disk: then it must not be lost. */
  addTask(id: string, spec: TaskSpec): boolean {
    const matching = this.#facts.all().filter((node) => selects(spec.selector, node));
    const names = matching.map(({ name }) => name).sort();
    const { work } = spec;
    if (!this.#alive || (work.kind !== 'inference' && names.length === 0)) return false;
    if (work.kind !== 'update') return this.#work((book) => book.add(id, spec, names, this.#world.now));
    const rollouts = [...this.rows.rollouts.values()].map(({ rollout }) => rollout);
    if (rollouts.some((one) => isActive(one) && one.spec.target.kind === 'software')) return false;
    const give = (): void => {
      for (const name of names) this.rows.given.set(name, work.version);
    };
    const isAdded = this.#work((book) => book.add(id, spec, names, this.#world.now), give);
    if (isAdded) this.#refresh(names);
    return isAdded;
  }

  cancelTask(id: string): boolean {
    return this.#alive && this.#work((book) => book.cancel(id, this.#world.now));
  }

  /** Changes what the fleet should be; true when it is on the disk. */
  change(work: (rows: Pick<Rows, 'models' | 'triggers' | 'versions' | 'software'>) => void): boolean {
    if (!this.#alive || this.#stopsAt('controller: before desired states are committed')) return false;
    work(this.rows);
    this.#refresh([...this.rows.nodes.keys()]);
    return true;
  }

  startRollout(id: string, spec: RolloutSpec): boolean {
    return this.#alive && this.#rollouts.start(id, spec);
  }

  orderRollout(id: string, change: (step: Step) => Step): boolean {
    return this.#alive && this.#rollouts.order(id, change);
  }

  #newRollouts(): SimRollouts {
    return new SimRollouts({
      world: this.#world,
      rows: this.rows,
      isOnline: (node) => this.isOnline(node),
      refresh: () => this.#refresh([...this.rows.nodes.keys()]),
      stopsAt: (point) => this.#stopsAt(point),
    });
  }

  #readBook(): TaskBook {
    const tasks = [...this.rows.tasks.values()].filter(({ state }) => state === 'active');
    const active = new Set(tasks.map(({ id }) => id));
    const units = [...this.rows.units.values()].filter(({ task }) => active.has(task));
    return new TaskBook({ tasks, units, fence: this.rows.fence }, this.#world.now);
  }

  /** As the desk does it: work, dispatch, commit (with what else belongs to it), send. */
  #work(work: (book: TaskBook) => void, alsoCommit = (): void => {}): boolean {
    if (!this.#alive) return false;
    const book = this.#book;
    work(book);
    if (this.#connected) book.dispatch(this.#facts.able(this.#live), this.#world.now);
    const { changes, messages } = book.takeChanges();
    if (this.#stopsAt('controller: before tasks are committed')) return false;
    this.#commit(changes);
    alsoCommit();
    this.#stopsAt('controller: after tasks are committed');
    for (const { node, content } of messages) {
      if (this.#stopsAt('controller: between two messages about tasks')) break;
      if (!this.#connected) continue;
      const text = JSON.stringify(envelopeOf<TaskMessage>(content, '/controller', 'm', this.#world.now));
      this.#broker.publish('controller', { node, channel: 'tasks', text, qos: 1, retain: false });
    }
    return true;
  }

  #commit({ tasks, units, results, fence }: Changes): void {
    const { rows } = this;
    for (const task of tasks) {
      const before = rows.tasks.get(task.id);
      if (before && before.state !== 'active' && before.state !== task.state)
        this.#world.violate(`task ${task.id} was ${before.state} and becomes ${task.state}`);
      rows.tasks.set(task.id, task);
    }
    for (const unit of units) {
      if (unit.fence > (fence ?? rows.fence))
        this.#world.violate(`unit ${unitId(unit)} has a fence that was never kept`);
      rows.units.set(unitId(unit), unit);
    }
    for (const { task, index, results: list } of results) {
      const key = `${task}.${index}`;
      if (rows.results.has(key)) this.#world.violate(`unit ${key} takes effect twice`);
      rows.results.set(key, list);
    }
    rows.fence = fence ?? rows.fence;
  }

  #takeState(message: StateMessage): void {
    const { node } = message;
    const known = this.rows.nodes.get(node);
    const changes = foldMessages(new Map(known ? [[node, known]] : []), this.#live, [message], this.#world.now);
    for (const record of changes.save)
      this.rows.nodes.set(node, { desired: null, ...this.rows.nodes.get(node), ...record });
    for (const [name, live] of changes.live) this.#live.set(name, live);
    const others = changes.save.filter((record) => this.#facts.note(record)).length > 0;
    this.#refresh(changes.reconsider);
    const connected = connectedOf([message]);
    const tell = (book: TaskBook): void => {
      for (const name of connected) book.nodeCame(name, this.#world.now);
    };
    if (others || connected.length > 0) this.#work(tell);
  }

  #refresh(names: readonly string[]): void {
    const assignment = {
      files: FILES,
      models: [...this.rows.models.values()],
      triggers: [...this.rows.triggers.values()],
      settings: [],
      software: softwareOf(this.rows),
      overlays: simOverlays(this.rows),
    };
    const changed: [string, DesiredState][] = [];
    for (const name of names) {
      const node = this.rows.nodes.get(name) as StoredNode;
      const { reported, desired } = node;
      const facts = { name, labels: reported?.labels ?? {}, reachedVersion: reported?.desiredVersion ?? 0 };
      const next = nextDesired(desired, facts, assignment, this.#world.now);
      if (next === desired || next === null) continue;
      this.rows.nodes.set(name, { ...node, desired: next });
      changed.push([name, next]);
    }
    if (changed.length > 0 && this.#stopsAt('controller: after desired states are committed')) return;
    for (const [name, desired] of changed) this.#publishDesired(name, desired);
  }

  #publishDesired(node: string, desired: DesiredState): void {
    if (!this.#connected || !this.#alive) return;
    const text = JSON.stringify(desired);
    this.#broker.publish('controller', { node, channel: 'desired', text, qos: 1, retain: true });
  }

  #connect(): void {
    if (!this.#alive || this.#connected) return;
    if (!this.#broker.connectController(this)) this.#later(1_000, () => this.#connect());
  }

  #stopsAt(point: CrashPoint): boolean {
    if (!this.#alive) return true;
    if (!this.#world.stopsAt(point)) return false;
    this.crash(point);
    return true;
  }

  #later(delayMs: number, run: () => void): void {
    const process = this.#process;
    this.#world.clock.after(delayMs, () => {
      if (this.#process === process) run();
    });
  }

  #every(periodMs: number, run: () => void): void {
    const again = (): void => {
      run();
      this.#later(periodMs, again);
    };
    this.#later(periodMs, again);
  }
}
