/**
 * One simulated life of a fleet, from one seed: first a time in which everything goes wrong, while people change what the
 * fleet should be and give it tasks; then a time in which nothing does. In the first nothing may be broken, by the end of the
 * second everything must have come to rest as it was asked for. After the method of FoundationDB and TigerBeetle's VOPR.
 */
import { priorities, type Trigger } from '../../runtime/triggers/schema.ts';
import { selects } from '../controller/selector.ts';
import type { NodeSelector } from '../controller/service.ts';
import { type TaskSpec, taskSpecSchema } from '../tasks/task.ts';
import { SimBroker } from './broker.ts';
import { SimController } from './controller.ts';
import { SimNode } from './node.ts';
import { answerTo, simModel, simTrigger, softwareQualityOf } from './quality.ts';
import { RolloutWishes } from './rollout-wishes.ts';
import { type CrashPoint, World } from './world.ts';

export interface SimulationOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly faultMs: number;
  readonly healMs: number;
  readonly trace?: (line: string) => void;
}

export interface SimulationResult {
  readonly violations: readonly string[];
  readonly crashes: ReadonlyMap<CrashPoint, number>;
  readonly tasks: Readonly<Record<string, number>>;
  readonly rollouts: Readonly<Record<string, number>>;
  /** Of versions of the nodes' program. */
  readonly trials: World['trials'];
  readonly steps: number;
}

/** How long a node that is well may count as gone: a last will and what follows it may be late. */
const DOUBT_MS = 120_000;
const SITES = ['north', 'south', 'west'];
const MODELS = ['detect', 'read'];
const TRIGGERS = ['a', 'b', 'c', 'd'];

export function simulate(options: SimulationOptions): SimulationResult {
  const fleet = new Fleet(options);
  return fleet.live();
}

class Fleet {
  readonly #options: SimulationOptions;
  readonly #world: World;
  readonly #broker: SimBroker;
  readonly #controller: SimController;
  readonly #nodes: SimNode[];
  readonly #commandsBegun = new Map<string, number>();
  /** Accepted, so never to be lost. */
  readonly #accepted = new Map<string, TaskSpec>();
  /** Those of them that only have to be done. */
  readonly #sure = new Set<string>();
  readonly #rollouts: RolloutWishes;
  #steps = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#world = new World(options.seed, options.trace);
    this.#broker = new SimBroker(this.#world);
    this.#controller = new SimController(this.#world, this.#broker);
    this.#rollouts = new RolloutWishes(this.#world, this.#controller, {
      ...{ models: MODELS, triggers: TRIGGERS, sites: SITES },
      another: (name) => this.#anotherForm(name),
      gaveUp: (name, sha256) => this.#nodes.some((node) => node.name === name && node.gaveUp.has(sha256)),
    });
    this.#nodes = Array.from(
      { length: options.nodes },
      (_, index) =>
        new SimNode(`n${index}`, { site: SITES[index % 3] as string }, this.#world, this.#broker, this.#commandsBegun),
    );
  }

  live(): SimulationResult {
    const { faultMs, healMs } = this.#options;
    const world = this.#world;
    this.#controller.start();
    for (const node of this.#nodes) world.clock.after(world.chance.between(0, 5_000), () => node.start());
    this.#setUp();
    this.#misfortune();
    this.#wishes();
    this.#watch();
    this.#run(faultMs);
    world.faulty = false;
    world.say('from here on nothing goes wrong');
    this.#heal();
    this.#run(faultMs + healMs);
    this.#checkEnd();
    const rollouts = this.#rollouts.check();
    this.#checkReconnect();
    return {
      violations: world.violations,
      crashes: world.crashes,
      tasks: this.#outcomes(),
      rollouts,
      trials: world.trials,
      steps: this.#steps,
    };
  }

  #run(until: number): void {
    while (this.#world.clock.step(until)) this.#steps++;
  }

  #setUp(): void {
    const done = this.#controller.change(({ models, triggers, versions }) => {
      for (const name of MODELS) {
        models.set(name, simModel(name, 1));
        versions.set(`${name}@1`, simModel(name, 1));
      }
      // Model "detect" is to be everywhere.
      triggers.set('everywhere', { trigger: simTrigger('everywhere', 'detect', 1), selector: {} });
    });
    if (!done) this.#world.clock.after(1_000, () => this.#setUp());
  }

  /** What goes wrong beside the crash points. */
  #misfortune(): void {
    const { chance } = this.#world;
    const kinds: (() => void)[] = [
      () => chance.pick(this.#nodes).crash(),
      () => chance.pick(this.#nodes).stopMachine(),
      () => chance.pick(this.#nodes).cut(),
      () => this.#partition(chance.pick(this.#nodes).name),
      () => this.#fillDisk(chance.pick(this.#nodes)),
      () => this.#flap(chance.pick(this.#nodes), 10),
      () => chance.happens(0.5) && this.#controller.crash(),
      () => chance.happens(0.3) && this.#partition('controller'),
      () => chance.happens(0.3) && this.#stopBroker(),
    ];
    this.#whileFaulty(2_000, 20_000, () => chance.pick(kinds)());
  }

  #partition(name: string): void {
    this.#world.say(`nobody hears ${name}`);
    this.#broker.partitioned.add(name);
    this.#broker.cut(name);
    for (const node of this.#nodes) if (node.name === name) node.cut();
    this.#world.clock.after(this.#world.chance.between(1_000, 90_000), () => this.#broker.partitioned.delete(name));
  }

  #fillDisk(node: SimNode): void {
    node.diskIsFull = true;
    this.#world.clock.after(this.#world.chance.between(1_000, 60_000), () => {
      node.diskIsFull = false;
    });
  }

  #flap(node: SimNode, times: number): void {
    node.cut();
    if (times > 0 && this.#world.faulty) this.#world.clock.after(1_000, () => this.#flap(node, times - 1));
  }

  #stopBroker(): void {
    this.#world.crashed('broker: at any time');
    this.#broker.stop(this.#world.chance.between(500, 20_000));
  }

  /** What people ask for meanwhile. */
  #wishes(): void {
    const { chance } = this.#world;
    const kinds: (() => void)[] = [
      () => this.#addTask(),
      () => this.#addTask(),
      () => this.#addTask(),
      () => this.#addUpdate(),
      () => this.#cancelTask(),
      () => this.#changeTrigger(),
      () => this.#changeModel(),
      () => this.#hold(chance.pick(this.#nodes)),
      () => this.#rollouts.start(),
      () => this.#rollouts.interfere(),
    ];
    this.#whileFaulty(500, 8_000, () => chance.pick(kinds)());
  }

  #addTask(): void {
    const { chance, now } = this.#world;
    if (this.#controller.rows.models.size < MODELS.length) return;
    const id = `t${this.#steps}`;
    const left = Math.max(1_000, this.#options.faultMs + this.#options.healMs - now);
    const isSure = chance.happens(0.4);
    const inputs = Array.from({ length: chance.between(1, 30) }, (_, index) => ({
      base64: !isSure && chance.happens(0.01) ? 'fails' : `${id}/${index}`,
    }));
    const inference = {
      kind: 'inference',
      model: 'detect',
      format: 'json',
      inputs,
      inputsPerUnit: chance.between(1, 8),
    };
    const isCommand = !isSure && chance.happens(0.3);
    const spec = taskSpecSchema.parse({
      work: isCommand ? { kind: 'command', command: 'logs' } : inference,
      selector: isSure ? {} : this.#anySelector(),
      priority: chance.pick(priorities),
      attemptsMax: isSure ? 100 : chance.between(1, 4),
      timeoutMs: isSure ? left : chance.between(1_000, Math.max(2_000, left)),
    });
    if (!this.#controller.addTask(id, spec)) return;
    this.#accepted.set(id, spec);
    if (isSure) this.#sure.add(id);
  }

  #addUpdate(): void {
    const { chance, now } = this.#world;
    const version = this.#rollouts.anyVersion();
    const software = this.#controller.rows.software.get(version);
    if (!software) return;
    const id = `u${this.#steps}`;
    const spec = taskSpecSchema.parse({
      work: { kind: 'update', version, sha256: software.sha256 },
      selector: this.#anySelector(),
      timeoutMs: chance.between(30_000, this.#options.faultMs + this.#options.healMs / 2 - now),
    });
    if (this.#controller.addTask(id, spec)) this.#accepted.set(id, spec);
  }

  #cancelTask(): void {
    const open = [...this.#accepted.keys()].filter((id) => this.#controller.rows.tasks.get(id)?.state === 'active');
    if (open.length === 0) return;
    const id = this.#world.chance.pick(open);
    this.#sure.delete(id);
    this.#controller.cancelTask(id);
  }

  #changeTrigger(): void {
    const { chance } = this.#world;
    if (this.#controller.rows.models.size < MODELS.length) return;
    const name = chance.pick(TRIGGERS);
    if (!this.#rollouts.isFree('trigger', name)) return;
    const trigger = simTrigger(name, chance.pick(MODELS), chance.between(1, 5));
    const selector = this.#anySelector();
    this.#controller.change(({ triggers }) => {
      if (chance.happens(0.3)) triggers.delete(name);
      else triggers.set(name, { trigger, selector });
    });
  }

  #changeModel(): void {
    const name = this.#world.chance.pick(MODELS);
    if (!this.#controller.rows.models.has(name) || !this.#rollouts.isFree('model', name)) return;
    const model = simModel(name, this.#rollouts.nextVersion(name));
    this.#controller.change(({ models, versions }) => {
      models.set(name, model);
      versions.set(`${name}@${model.version}`, model);
    });
  }

  #anotherForm(name: string): Trigger | undefined {
    const { chance } = this.#world;
    const before = this.#controller.rows.triggers.get(name)?.trigger;
    return before && simTrigger(name, chance.pick(MODELS), chance.between(6, 1_000));
  }

  #hold(node: SimNode): void {
    node.hold('in motion');
    this.#world.clock.after(this.#world.chance.between(1_000, 120_000), () => node.hold(null));
  }

  #anySelector(): NodeSelector {
    const { chance } = this.#world;
    if (chance.happens(0.4)) return {};
    if (chance.happens(0.5)) return { labels: { site: chance.pick(SITES) } };
    return { nodes: [chance.pick(this.#nodes).name] };
  }

  #whileFaulty(lowMs: number, highMs: number, run: () => void): void {
    const { clock, chance } = this.#world;
    const again = (): void => {
      if (!this.#world.faulty) return;
      run();
      clock.after(chance.between(lowMs, highMs), again);
    };
    clock.after(chance.between(lowMs, highMs), again);
  }

  /** A node that is well, while the controller hears everybody, does not count as gone. */
  #watch(): void {
    const world = this.#world;
    const look = (): void => {
      world.clock.after(5_000, look);
      if (!this.#controller.isUp || world.now - this.#controller.deafAt < DOUBT_MS) return;
      for (const node of this.#nodes)
        if (node.isWell && world.now - node.illAt > DOUBT_MS && !this.#controller.isOnline(node.name))
          world.violate(`${node.name} is well and counts as gone`);
    };
    world.clock.after(5_000, look);
  }

  #heal(): void {
    this.#broker.partitioned.clear();
    for (const node of this.#nodes) node.diskIsFull = false;
    this.#release();
  }

  /** Again and again: a node may be down when it is told, also late, when the third trial of a form has killed it. */
  #release(): void {
    for (const node of this.#nodes) node.hold(null);
    this.#rollouts.resumeAll();
    if (this.#world.now < this.#options.faultMs + this.#options.healMs / 2)
      this.#world.clock.after(30_000, () => this.#release());
  }

  #checkEnd(): void {
    const { rows } = this.#controller;
    const world = this.#world;
    for (const [id, spec] of this.#accepted) {
      const task = rows.tasks.get(id);
      if (!task) world.violate(`task ${id} was accepted and is lost`);
      else if (task.state === 'active') world.violate(`task ${id} has not ended: ${task.unitsEnded} of ${task.units}`);
      else if (this.#sure.has(id) && task.state !== 'succeeded')
        world.violate(`task ${id} could be done and is ${task.state}`);
      if (task?.state === 'succeeded') this.#checkResults(id, spec, task.units);
    }
    for (const node of this.#nodes) this.#checkNode(node);
  }

  #checkResults(id: string, { work }: TaskSpec, units: number): void {
    const { results } = this.#controller.rows;
    const lists = Array.from({ length: units }, (_, index) => results.get(`${id}.${index}`) ?? []);
    if (lists.some((list) => list.length === 0)) this.#world.violate(`task ${id} succeeded without all results`);
    if (work.kind === 'update' && softwareQualityOf(work.sha256) !== 'good')
      this.#world.violate(`task ${id} brought nodes ${work.version}, which ${softwareQualityOf(work.sha256)}`);
    if (work.kind !== 'inference') return;
    const wanted = work.inputs.map((input) => ('base64' in input ? answerTo(input.base64) : ''));
    if (JSON.stringify(lists.flat()) !== JSON.stringify(wanted)) this.#world.violate(`task ${id} has other results`);
  }

  #checkNode(node: SimNode): void {
    const world = this.#world;
    const { rows } = this.#controller;
    const { triggers, versions, settled } = node.describe();
    const wanted = [...rows.triggers.values()].filter(({ selector }) => selects(selector, node));
    const names = wanted.map(({ trigger }) => trigger.name).sort();
    if (!node.isWell || !this.#controller.isOnline(node.name)) world.violate(`${node.name} has not come back`);
    if (!settled || names.join() !== triggers.join())
      world.violate(
        `${node.name} runs [${triggers}] and is to run [${names}]${settled ? '' : ', and has not settled'}`,
      );
    for (const [model, version] of Object.entries(versions))
      if (version !== rows.models.get(model)?.version) world.violate(`${node.name} has version ${version} of ${model}`);
    this.#checkSoftware(node);
    if (node.heldUnits > 0) world.violate(`${node.name} still holds ${node.heldUnits} units of tasks that have ended`);
  }

  /** Every node runs a version that does, and the one that it is to run unless it has said why not. */
  #checkSoftware({ name, software }: SimNode): void {
    const world = this.#world;
    const wanted = this.#controller.rows.nodes.get(name)?.desired?.software;
    const runs = `${name} runs ${software?.sha256 ?? 'the program of the machine'}`;
    if (!software || software.provisional) world.violate(`${runs}, which is still on trial`);
    if (!software) return;
    const quality = softwareQualityOf(software.sha256);
    if (quality !== 'good') world.violate(`${runs}, which ${quality}`);
    if (wanted && wanted.sha256 !== software.sha256 && software.update?.state !== 'failed')
      world.violate(`${runs} and is to run ${wanted.version}: ${JSON.stringify(software.update)}`);
  }

  /** All nodes come back at once, and nothing has changed: nothing may happen. */
  #checkReconnect(): void {
    const world = this.#world;
    const before = this.#nodes.map(({ changes }) => changes);
    for (const node of this.#nodes) node.cut();
    this.#run(world.now + 120_000);
    for (const [index, node] of this.#nodes.entries()) {
      if (node.changes !== before[index]) world.violate(`${node.name} did something because it reconnected`);
      if (!this.#controller.isOnline(node.name)) world.violate(`${node.name} was lost in the storm`);
    }
  }

  #outcomes(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { state } of this.#controller.rows.tasks.values()) counts[state] = (counts[state] ?? 0) + 1;
    return counts;
  }
}
