/**
 * A node: the real machines for tasks and for its desired state, on a simulated disk, network and engine. Its process can
 * stop at any effect; what a machine then still does has no effect, and the next process starts from the disk.
 */
import { describe } from '../../runtime/node/describe.ts';
import { checkDesired } from '../../runtime/node/desired.ts';
import {
  type CheckedDesired,
  type Effect,
  type Event,
  initialState,
  type NodeState,
  type WantedModel,
} from '../../runtime/node/node-state.ts';
import type { Proofs, Served } from '../../runtime/node/proof.ts';
import { nextWake, reachedVersion, step } from '../../runtime/node/reconcile.ts';
import { TaskRunner } from '../../runtime/node/task-runner.ts';
import { envelopeOf } from '../../runtime/protocol/tasks.ts';
import { nodeTopic } from '../../runtime/protocol/topics.ts';
import type { Client, SimBroker } from './broker.ts';
import { emptyDisk } from './node-disk.ts';
import { INVENTORY, METRICS } from './node-machine.ts';
import { SimTrials } from './node-trials.ts';
import { taskPorts } from './node-units.ts';
import { qualityOf } from './quality.ts';
import type { CrashPoint, World } from './world.ts';

const TICK_MS = 5_000;
const METRICS_MS = 10_000;
const RECONNECT_MS = { first: 500, max: 30_000 };

export class SimNode implements Client {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly #world: World;
  readonly #broker: SimBroker;
  readonly #commandsBegun: Map<string, number>;
  readonly #disk = emptyDisk();
  /** Counts processes: what an earlier one has announced does not happen. */
  #process = 0;
  #servedAt = 0;
  #counts = new Map<string, Served>();
  #trials = new SimTrials();
  #alive = false;
  #connected = false;
  #failures = 0;
  /** While true the disk takes nothing. */
  diskIsFull = false;
  #state: NodeState;
  /** By trigger, the form that this process has started. */
  #running = new Map<string, string>();
  #tasks: TaskRunner | undefined;
  #wake = 0;
  #checked: { text: string; desired: CheckedDesired } | undefined;
  /** When it was last anything but well: then it may count as gone for a while. */
  illAt = 0;
  /** Effects that change anything: a reconnect must cause none. */
  changes = 0;

  constructor(
    name: string,
    labels: Readonly<Record<string, string>>,
    world: World,
    broker: SimBroker,
    commandsBegun: Map<string, number>,
  ) {
    this.name = name;
    this.labels = labels;
    this.#world = world;
    this.#broker = broker;
    this.#commandsBegun = commandsBegun;
    this.#state = initialState(name);
  }

  get isWell(): boolean {
    return this.#connected && this.#alive;
  }

  get isAlive(): boolean {
    return this.#alive;
  }

  get heldUnits(): number {
    return this.#disk.units.size;
  }

  describe(): { triggers: string[]; versions: Record<string, number>; settled: boolean } {
    const { models, triggers } = describe(this.#state);
    // What three processes tried and did not survive is given up: then its predecessor serves.
    const givenUp = (error = ''): boolean => error.includes('times that it was tried') && error.includes('goes on');
    const serving = triggers.filter(({ state, error }) => state === 'ready' || givenUp(error));
    const running = serving.map(({ name }) => name);
    const versions = Object.fromEntries(models.map((model) => [model.name, model.version ?? 0]));
    const settled = reachedVersion(this.#state) === (this.#state.desired?.version ?? 0);
    return { triggers: running.sort(), versions, settled };
  }

  start(): void {
    this.#process++;
    this.#alive = true;
    this.illAt = this.#world.now;
    this.#servedAt = this.#world.now;
    this.#wake = 0;
    this.#counts = new Map();
    this.#trials = new SimTrials();
    const disk = this.#disk;
    this.#state = initialState(this.name);
    this.#running = new Map();
    const kept = { floor: disk.floor, units: new Map(disk.units), gone: new Map(disk.gone) };
    this.#tasks = new TaskRunner(this.#taskPorts(), kept);
    const desired = disk.desired === null ? null : this.#check(disk.desired);
    this.#send({
      type: 'started',
      desired,
      present: [...disk.blobs],
      partial: [],
      local: { models: [], triggers: [] },
      proofs: new Map(JSON.parse(disk.proofs)) as Proofs,
      hold: disk.hold,
    });
    this.#tasks.start();
    if (!this.#alive) return;
    this.#later(this.#world.chance.between(0, 1_000), () => this.#connect());
    this.#every(TICK_MS, () => this.#tasks?.tick());
    this.#every(METRICS_MS, () => {
      this.#publish('metrics', { ...METRICS, at: this.#world.now }, 0, false);
      if (this.#trials.size > 0) this.#report();
    });
  }

  /** Somebody beside the node says that nothing may change, or that it may again. */
  hold(reason: string | null): void {
    if (this.#alive) this.#send({ type: 'hold', reason });
  }

  /** The process ends without a word. */
  crash(point: CrashPoint = 'node: at any time'): void {
    if (!this.#alive) return;
    if (point === 'node: at any time') this.#world.crashed(point);
    this.#world.say(`${this.name} is gone`);
    this.#alive = false;
    this.#process++;
    this.#connected = false;
    this.illAt = this.#world.now;
    this.#broker.lost(this.name);
    this.#world.clock.after(this.#world.chance.between(500, 60_000), () => this.start());
  }

  /** Ends the connection, as a broken line does. */
  cut(): void {
    this.#broker.lost(this.name);
    this.disconnected();
  }

  connected(): void {
    this.#connected = true;
    this.#failures = 0;
    this.#publish('presence', { online: true, at: this.#world.now }, 1, true);
    this.#report();
    this.#tasks?.connected();
  }

  disconnected(): void {
    if (!this.#connected) return;
    this.#connected = false;
    this.illAt = this.#world.now;
    if (this.#alive) this.#reconnect();
  }

  receive(_: string, channel: string, text: string): void {
    if (!this.#alive || !this.#connected) return;
    const topic = nodeTopic(this.name, channel as 'tasks');
    if (channel === 'tasks') this.#tasks?.receive(topic, new TextEncoder().encode(text));
    else if (channel === 'desired' && text !== '') this.#send({ type: 'desired', desired: this.#check(text) });
  }

  #connect(): void {
    const will = JSON.stringify({ online: false, at: this.#world.now });
    if (this.#alive && !this.#connected && !this.#broker.connectNode(this.name, this, will)) this.#reconnect();
  }

  #reconnect(): void {
    const wait = Math.min(RECONNECT_MS.max, RECONNECT_MS.first * 2 ** this.#failures++);
    this.#later(wait * (0.5 + this.#world.chance.next() / 2), () => this.#connect());
  }

  #publish(
    channel: 'presence' | 'reported' | 'metrics' | 'task-events',
    value: object,
    qos: 0 | 1,
    retain: boolean,
  ): void {
    if (!this.#connected || !this.#alive) return;
    this.#broker.publish(this.name, { node: this.name, channel, text: JSON.stringify(value), qos, retain });
  }

  #report(): void {
    const about = { at: this.#world.now, labels: this.labels, features: ['tasks', 'trials'], inventory: INVENTORY };
    const held = this.#state.hold === null ? {} : { held: this.#state.hold };
    const reached = { desiredVersion: reachedVersion(this.#state), ...describe(this.#state), ...held };
    const trials = this.#trials.describe(this.#state, this.#world.now);
    this.#publish('reported', { ...about, ...reached, ...trials }, 1, true);
  }

  /** The same text comes again with every connection, and says the same. */
  #check(text: string): CheckedDesired {
    if (this.#checked?.text !== text) {
      const bytes = new TextEncoder().encode(text);
      this.#checked = { text, desired: checkDesired(nodeTopic(this.name, 'desired'), bytes) };
    }
    return this.#checked.desired;
  }

  #stopsAt(point: CrashPoint): boolean {
    if (!this.#alive) return true;
    if (!this.#world.stopsAt(point)) return false;
    this.crash(point);
    return true;
  }

  // Desired state

  #send(event: Event): void {
    if (!this.#alive) return;
    // Until now it was the form before that served.
    if (event.type === 'triggerStarted') this.#served();
    const { state, effects } = step(this.#state, event, this.#world.now);
    this.#state = state;
    for (const effect of effects) {
      if (!this.#alive) return;
      if (effect.type !== 'report') this.changes++;
      this.#carryOut(effect);
    }
    const wake = nextWake(this.#state);
    if (wake === undefined || wake === this.#wake) return;
    this.#wake = wake;
    this.#later(wake - this.#world.now, () => {
      if (this.#wake !== wake) return; // Another one has taken its place.
      this.#wake = 0;
      this.#send({ type: 'tick', served: this.#served() });
    });
  }

  #carryOut(effect: Effect): void {
    const { chance } = this.#world;
    switch (effect.type) {
      case 'saveDesired': {
        if (this.#stopsAt('node: before its desired state is written')) return;
        if (!this.diskIsFull) this.#disk.desired = JSON.stringify(effect.desired);
        this.#stopsAt('node: after its desired state is written');
        return;
      }
      case 'saveProofs': {
        if (this.#stopsAt('node: before proofs are written')) return;
        if (!this.diskIsFull) this.#disk.proofs = JSON.stringify([...effect.proofs]);
        this.#stopsAt('node: after proofs are written');
        return;
      }
      case 'saveHold':
        if (!this.diskIsFull) this.#disk.hold = effect.hold;
        return;
      case 'download':
        this.#later(chance.between(50, 5_000), () => this.#download(effect.file.sha256));
        return;
      case 'removeBlob':
        this.#disk.blobs.delete(effect.sha256);
        return;
      case 'load':
        this.#later(chance.between(10, 500), () => this.#load(effect.id, effect.model));
        return;
      case 'startTrigger': {
        const { name } = effect.trigger;
        const before = this.#running.get(name);
        if (this.#state.hold !== null && before !== undefined && before !== effect.key)
          this.#world.violate(`${this.name} changes trigger ${name} although it is held`);
        this.#running.set(name, effect.key);
        if (!this.#stopsAt('node: while a trigger is swapped'))
          this.#later(0, () => this.#send({ type: 'triggerStarted', name, key: effect.key }));
        return;
      }
      case 'stopTrigger':
        if (this.#running.delete(effect.name) && this.#state.hold !== null)
          this.#world.violate(`${this.name} stops trigger ${effect.name} although it is held`);
        if (this.#state.desired?.triggers.some(({ name }) => name === effect.name))
          this.#world.violate(`${this.name} stops trigger ${effect.name}, which it is to run`);
        return;
      case 'startTrial': {
        if (this.#stopsAt('node: while a new form begins to be compared')) return;
        this.#trials.start(effect, this.#state, this.#world.now);
        return;
      }
      case 'stopTrial':
        this.#trials.stop(effect.name);
        return;
      case 'report':
        this.#report();
    }
  }

  /** A message a second for every trigger, which its models answer or not. */
  #served(): Map<string, Served> {
    const seconds = Math.floor((this.#world.now - this.#servedAt) / 1_000);
    this.#servedAt += seconds * 1_000;
    for (const [name, { running }] of this.#state.triggers) {
      const { answered = 0, failed = 0 } = this.#counts.get(name) ?? {};
      const fails = running?.models.some((model) => qualityOf(model) === 'fails messages') ?? false;
      const counts = fails ? { answered, failed: failed + seconds } : { answered: answered + seconds, failed };
      this.#counts.set(name, counts);
    }
    return this.#counts;
  }

  #load(id: string, model: WantedModel): void {
    if (this.#stopsAt('node: while a model is loaded')) return;
    const quality = qualityOf(model);
    if (quality === 'takes the process down') this.crash('node: at any time');
    else if (quality === 'does not load') this.#send({ type: 'loadFailed', id, error: `${id} does not load` });
    else this.#send({ type: 'loaded', id, engine: 'llmasos' });
  }

  #download(sha256: string): void {
    if (this.#stopsAt('node: while a blob is downloaded')) return;
    const fails = this.diskIsFull || this.#broker.partitioned.has(this.name) || this.#world.happens(0.1);
    if (!fails) this.#disk.blobs.add(sha256);
    this.#send(fails ? { type: 'downloadFailed', sha256, error: 'simulated' } : { type: 'downloaded', sha256 });
  }

  // Tasks

  #taskPorts(): ConstructorParameters<typeof TaskRunner>[0] {
    const process = this.#process;
    return taskPorts({
      ...{ node: this.name, world: this.#world, disk: this.#disk, commandsBegun: this.#commandsBegun },
      isCurrent: () => this.#alive && this.#process === process,
      diskIsFull: () => this.diskIsFull,
      stopsAt: (point) => this.#stopsAt(point),
      later: (delayMs, run) => this.#later(delayMs, run),
      publish: (content) =>
        this.#publish('task-events', envelopeOf(content, `/nodes/${this.name}`, 'm', this.#world.now), 1, false),
      isReady: (name) => describe(this.#state).models.some((model) => model.name === name && model.state === 'ready'),
    });
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
    this.#later(this.#world.chance.between(1, periodMs), again);
  }
}
