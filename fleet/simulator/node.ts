/**
 * A node: the real machines for tasks and for its desired state, on a simulated disk, network and engine. Its process can
 * stop at any effect; what a machine then still does has no effect, and the next process starts from the disk.
 */
import { describe, itemsOf } from '../../runtime/node/describe.ts';
import { checkDesired } from '../../runtime/node/desired.ts';
import type { CheckedDesired } from '../../runtime/node/node-state.ts';
import { TaskRunner } from '../../runtime/node/task-runner.ts';
import type { ReportedSoftware } from '../../runtime/protocol/software.ts';
import { envelopeOf } from '../../runtime/protocol/tasks.ts';
import { nodeTopic } from '../../runtime/protocol/topics.ts';
import type { Client, SimBroker } from './broker.ts';
import { type ConvergePorts, SimConverge } from './node-converge.ts';
import { emptyDisk } from './node-disk.ts';
import { SimLauncher, TRIAL_MS } from './node-launcher.ts';
import { INVENTORY, METRICS } from './node-machine.ts';
import { SimSoftware, type SoftwarePorts } from './node-software.ts';
import { taskPorts } from './node-units.ts';
import { softwareQualityOf } from './quality.ts';
import type { CrashPoint, World } from './world.ts';

const TICK_MS = 5_000;
const SOFTWARE_MS = 2_000;
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
  #alive = false;
  #connected = false;
  #failures = 0;
  /** While true the disk takes nothing. */
  diskIsFull = false;
  #converge: SimConverge | undefined;
  #changesBefore = 0;
  #tasks: TaskRunner | undefined;
  readonly #launcher: SimLauncher;
  #software: SimSoftware | undefined;
  /** Versions of its program that it has said it cannot run. */
  readonly gaveUp = new Set<string | undefined>();
  #checked: { text: string; desired: CheckedDesired } | undefined;
  /** When it was last anything but well: then it may count as gone for a while. */
  illAt = 0;

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
    this.#launcher = new SimLauncher(
      name,
      world,
      (point) => this.#machineStopsAt(point),
      () => this.diskIsFull,
    );
  }

  /** As it is reported; undefined while it does not run. */
  get software(): ReportedSoftware | undefined {
    return this.#alive ? this.#software?.describe() : undefined;
  }

  get isWell(): boolean {
    return this.#connected && this.#alive;
  }

  get isAlive(): boolean {
    return this.#alive;
  }

  /** Effects that change anything: a reconnect must cause none. */
  get changes(): number {
    return this.#changesBefore + (this.#converge?.changes ?? 0);
  }

  get heldUnits(): number {
    return this.#disk.units.size;
  }

  describe(): { triggers: string[]; versions: Record<string, number>; settled: boolean } {
    if (!this.#converge) return { triggers: [], versions: {}, settled: false };
    const { models, triggers, desiredVersion } = this.#converge.describe();
    // What three processes tried and did not survive is given up: then its predecessor serves.
    const givenUp = (error = ''): boolean => error.includes('times that it was tried') && error.includes('goes on');
    const serving = triggers.filter(({ state, error }) => state === 'ready' || givenUp(error));
    const running = serving.map(({ name }) => name);
    const versions = Object.fromEntries(models.map((model) => [model.name, model.version ?? 0]));
    const settled = desiredVersion === (this.#converge.state.desired?.version ?? 0);
    return { triggers: running.sort(), versions, settled };
  }

  start(): void {
    this.#process++;
    this.#alive = true;
    this.illAt = this.#world.now;
    this.#software = undefined;
    if (!this.#launcher.start()) return;
    const { chance } = this.#world;
    const quality = softwareQualityOf(this.#launcher.program);
    if (this.#launcher.launched.isTrial) this.#later(TRIAL_MS, () => this.#endTrial());
    if (quality === 'ends at once') this.#later(chance.between(10, 500), () => this.crash());
    if (quality === 'ends before it is proved') this.#later(chance.between(1_000, 9_000), () => this.crash());
    if (quality !== 'ends at once' && quality !== 'does nothing') this.#begin();
  }

  #begin(): void {
    const disk = this.#disk;
    this.#changesBefore = this.changes;
    const converge = new SimConverge(this.#convergePorts());
    this.#converge = converge;
    this.#software = new SimSoftware(this.#softwarePorts(converge));
    const kept = { floor: disk.floor, units: new Map(disk.units), gone: new Map(disk.gone) };
    this.#tasks = new TaskRunner(this.#taskPorts(converge), kept);
    const desired = disk.desired === null ? null : this.#check(disk.desired);
    if (desired) this.#software.want(desired.software);
    converge.start(desired, this.#launcher.launched.isTrial);
    this.#tasks.start();
    if (!this.#alive) return;
    this.#later(this.#world.chance.between(0, 1_000), () => this.#connect());
    this.#every(TICK_MS, () => this.#tasks?.tick());
    this.#every(SOFTWARE_MS, () => this.#software?.tick());
    this.#every(METRICS_MS, () => {
      this.#publish('metrics', { ...METRICS, at: this.#world.now }, 0, false);
      if (converge.comparesAny) this.#report();
    });
  }

  /** Somebody beside the node says that nothing may change, or that it may again. */
  hold(reason: string | null): void {
    if (this.#alive) this.#converge?.send({ type: 'hold', reason });
  }

  /** The process ends without a word. */
  crash(point: CrashPoint = 'node: at any time'): void {
    if (!this.#alive) return;
    if (point === 'node: at any time') this.#world.crashed(point);
    this.#end(this.#world.chance.between(500, 60_000));
    this.#launcher.ended('was ended');
  }

  /** The power is cut: the launcher ends too. */
  stopMachine(point: CrashPoint = 'machine: at any time'): void {
    if (!this.#alive) return;
    if (point === 'machine: at any time') this.#world.crashed(point);
    this.#launcher.boot();
    this.#end(this.#world.chance.between(500, 60_000));
  }

  #end(restartMs: number): void {
    this.#world.say(`${this.name} is gone`);
    this.#alive = false;
    this.#process++;
    this.#connected = false;
    this.illAt = this.#world.now;
    this.#broker.lost(this.name);
    this.#world.clock.after(restartMs, () => this.start());
  }

  #endTrial(): void {
    if (!this.#launcher.launched.isTrial) return;
    this.#launcher.giveUp();
    this.crash();
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
    else if (channel === 'desired' && text !== '') {
      this.#converge?.send({ type: 'desired', desired: this.#check(text) });
      // Not what came, which may be older: what counts.
      const { desired } = this.#converge?.state ?? {};
      if (desired) this.#software?.want(desired.software);
    }
  }

  #connect(): void {
    if (softwareQualityOf(this.#launcher.program) === 'does not connect') return;
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
    const about = {
      at: this.#world.now,
      labels: this.labels,
      features: ['tasks', 'trials', 'software'],
      inventory: INVENTORY,
    };
    const { software } = this;
    if (software?.update?.state === 'failed') this.gaveUp.add(software.update.sha256);
    this.#publish('reported', { ...about, ...this.#converge?.describe(), software }, 1, true);
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

  #machineStopsAt(point: CrashPoint): boolean {
    if (!this.#world.stopsAt(point)) return false;
    this.stopMachine(point);
    return true;
  }

  /** What the parts of one process ask for. */
  #common() {
    return {
      ...{ node: this.name, world: this.#world, disk: this.#disk },
      diskIsFull: () => this.diskIsFull,
      fetchFails: () => this.#fetchFails(),
      stopsAt: (point: CrashPoint) => this.#stopsAt(point),
      later: (delayMs: number, run: () => void) => this.#later(delayMs, run),
      report: () => this.#report(),
    };
  }

  #convergePorts(): ConvergePorts {
    const isAlive = () => this.#alive;
    return { ...this.#common(), program: this.#launcher.program, isAlive, crash: () => this.crash() };
  }

  #softwarePorts(converge: SimConverge): SoftwarePorts {
    return {
      ...{ ...this.#common(), launcher: this.#launcher },
      items: () => itemsOf(converge.state),
      held: () => converge.state.hold,
      connected: () => this.#connected,
      proved: () => converge.send({ type: 'programProved' }),
      end: () => this.#end(this.#world.chance.between(100, 3_000)),
    };
  }

  #fetchFails(): boolean {
    return this.diskIsFull || this.#broker.partitioned.has(this.name) || this.#world.happens(0.1);
  }

  // Tasks

  #taskPorts(converge: SimConverge): ConstructorParameters<typeof TaskRunner>[0] {
    const process = this.#process;
    return taskPorts({
      ...{ ...this.#common(), commandsBegun: this.#commandsBegun },
      isCurrent: () => this.#alive && this.#process === process,
      publish: (content) =>
        this.#publish('task-events', envelopeOf(content, `/nodes/${this.name}`, 'm', this.#world.now), 1, false),
      isReady: (name) =>
        describe(converge.state).models.some((model) => model.name === name && model.state === 'ready'),
      software: () => this.software,
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
