/**
 * Nodes that nobody hears for months, whose processes end again and again, while people change what the fleet should be. They
 * must go on serving what they were told last, and take up what is new when the line is back, without an operator.
 */
import { SimBroker } from './broker.ts';
import { SimController } from './controller.ts';
import { SimNode } from './node.ts';
import { simModel, simTrigger } from './quality.ts';
import { World } from './world.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 1_440 * MINUTE_MS;
/** Mean time between two ends of a process. */
const RESTART_MS = 6 * 60 * MINUTE_MS;
const LOOK_MS = 10 * MINUTE_MS;
/** A process that has been there for so long serves. */
const START_MS = MINUTE_MS;
const TRIGGERS = ['a', 'b', 'c'];

export interface OfflineResult {
  readonly violations: readonly string[];
  /** Of nodes. */
  readonly restarts: number;
  /** How often a node was looked at and served. */
  readonly looks: number;
}

export function simulateOffline(options: {
  readonly seed: number;
  readonly nodes: number;
  readonly days: number;
  readonly trace?: ((line: string) => void) | undefined;
}): OfflineResult {
  const world = new World(options.seed, options.trace);
  const broker = new SimBroker(world);
  const controller = new SimController(world, broker);
  const begun = new Map<string, number>();
  const nodes = Array.from({ length: options.nodes }, (_, index) => new SimNode(`n${index}`, {}, world, broker, begun));
  const run = (ms: number): void => {
    for (const until = world.now + ms; world.clock.step(until); );
  };
  let version = 0;
  const change = (): void => {
    version++;
    controller.change(({ models, triggers }) => {
      models.set('detect', simModel('detect', version));
      // All of them at first: a node that has been given nothing has nothing to serve.
      for (const name of TRIGGERS)
        if (version === 1 || world.chance.happens(0.7))
          triggers.set(name, { trigger: simTrigger(name, 'detect', version), selector: {} });
    });
  };

  world.faulty = false;
  controller.start();
  for (const node of nodes) node.start();
  run(MINUTE_MS);
  change();
  run(5 * MINUTE_MS);
  const served = nodes.map((node) => node.describe().triggers.join());
  for (const [index, triggers] of served.entries())
    if (triggers === '') world.violate(`n${index} serves nothing before it is cut off`);

  world.faulty = true;
  let looks = 0;
  const until = world.now + options.days * DAY_MS;
  for (const node of nodes) {
    broker.partitioned.add(node.name);
    node.cut();
    again(world, until, RESTART_MS, () => node.crash());
  }
  again(world, until, 7 * DAY_MS, change);
  again(world, until, DAY_MS, () => controller.crash());
  const look = (): void => {
    for (const [index, node] of nodes.entries()) {
      if (!node.isAlive || world.now - node.illAt < START_MS) continue;
      looks++;
      const now = node.describe().triggers.join();
      if (now !== served[index]) world.violate(`${node.name} serves [${now}] and was told [${served[index]}]`);
    }
    if (world.now < until) world.clock.after(LOOK_MS, look);
  };
  world.clock.after(LOOK_MS, look);
  run(options.days * DAY_MS);

  world.faulty = false;
  broker.partitioned.clear();
  run(10 * MINUTE_MS);
  const wanted = [...controller.rows.triggers.keys()].sort().join();
  for (const node of nodes) {
    const { triggers, versions, settled } = node.describe();
    if (!node.isWell || !controller.isOnline(node.name)) world.violate(`${node.name} has not come back`);
    if (!settled || triggers.join() !== wanted || versions.detect !== controller.rows.models.get('detect')?.version)
      world.violate(`${node.name} runs [${triggers}] version ${versions.detect} and is to run [${wanted}]`);
  }
  const ends = [...world.crashes].filter(([point]) => point.startsWith('node: '));
  return { violations: world.violations, restarts: ends.reduce((sum, [, count]) => sum + count, 0), looks };
}

/** Now and then, on average after `meanMs`. */
function again(world: World, until: number, meanMs: number, run: () => void): void {
  world.clock.after(world.chance.between(1, 2 * meanMs), () => {
    if (world.now > until) return;
    run();
    again(world, until, meanMs, run);
  });
}
