/**
 * Kills controller, nodes and broker at random moments, and cuts nodes off, under load, and checks afterwards that nothing
 * acknowledged is lost.
 *
 * Unless a broker is named, half of the kills are on the embedded broker (it dies with its controller), half on mosquitto as a
 * process of its own. A supervisor starts again what died, later and later, as on a real machine; it may be killed while it starts.
 *
 * What is promised, and asserted:
 *   - what the controller acknowledged over HTTP (a model's version, a trigger, a removal) is there, and every node is known;
 *   - the nodes converge to it: the version that they report is the one that is desired, everything ready;
 *   - a QoS 1 message that a node acknowledged (PUBACK, seen on the wire) is answered, and the broker has confirmed the answer;
 *   - a sender that repeats what has no answer until there is one gets it: every message has a right answer in the end;
 *   - nobody ends by itself.
 * Not promised: that a message survives in a broker that is killed. Brokers confirm what they only hold in memory, and, once
 * they have forgotten everything, what nobody has subscribed to again yet. The line "repeated by the sender" counts what
 * had no answer when everything ran again and had come to rest. The seed fixes victims and pauses, not what the machine
 * does in between.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ControllerClient } from '../../fleet/api/client.ts';
import { createSupervisor } from '../../fleet/cli/supervisor.ts';
import { readFlags, refuseFlag } from '../../fleet/cli/usage.ts';
import type { ControllerService } from '../../fleet/controller/service.ts';
import { triggerSchema } from '../../runtime/triggers/schema.ts';
import { largestTrigger } from '../devices/gateway/bench.ts';
import { chunks, eventually, hashOf, temporary } from '../fleet/fleet-parts.ts';
import { findProgram } from '../requirement.ts';
import { type Person, type Sensor, slowModel, startPerson, startSensor } from './load.ts';
import { freePort, hasMosquitto, isListening } from './processes.ts';
import { startTap, type Tap } from './tap.ts';

const BROKER_RESTART_MS = 250;
const OPEN_MS_MAX = 2_000;
/** While answers come, at least one comes in this time. */
const REST_MS = 1_000;
/** How often the sender repeats what has no answer: its node may still be on its way back to the broker. */
const REPETITIONS = 100;
/** For how long a node hears nothing, at most: longer than its keep-alive notices. */
const CUT_MS_MAX = 20_000;
/** How many of a node's turns cut it off instead of killing it. */
const CUT_SHARE = 0.3;
const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export type BrokerKind = 'embedded' | 'mosquitto';

export interface KillOptions {
  readonly broker: BrokerKind;
  /** Kills and cuts. */
  readonly kills: number;
  readonly nodes: number;
  readonly seed: number;
  /** How long, at most, a process is left alone before its kill, and the fleet after it. */
  readonly pauseMs: number;
}

export interface KillReport {
  readonly figures: Readonly<Record<string, number | string>>;
  /** One sentence for everything that should not have happened. */
  readonly losses: readonly string[];
}

interface Victim {
  readonly name: string;
  pid(): number | undefined;
  /** Only of a node: what it has acknowledged and not answered. */
  readonly tap?: Tap | undefined;
}

interface Fleet {
  readonly controller: ControllerService;
  readonly brokerUrl: string;
  /** Of nodes. */
  readonly names: readonly string[];
  readonly victims: readonly Victim[];
  readonly taps: readonly Tap[];
  /** Processes that ended although nobody killed them. */
  readonly ends: readonly string[];
  stop(): Promise<void>;
}

/** Rejects when the fleet cannot be started, or does not come to rest afterwards. */
export async function runKills({ broker, kills, nodes, seed, pauseMs }: KillOptions): Promise<KillReport> {
  const folder = temporary();
  const names = ['north', 'south', ...Array.from({ length: nodes }, (_, index) => `node-${index + 3}`)].slice(0, nodes);
  const fleet = await startFleet(folder, broker, names);
  try {
    await install(fleet);
    const topics = names.map((name) => `sensors/${name}/values`);
    const sensor = await startSensor(fleet.brokerUrl, topics);
    const person = startPerson(fleet.controller, { model: 'slow' });
    const killed = await killAtRandom(fleet.victims, { kills, pauseMs }, createRandom(seed));
    sensor.finish();
    const losses = await audit(fleet, person, sensor);
    await sensor.close();
    rmSync(folder, { recursive: true, force: true });
    return { figures: figuresOf({ broker, killed, fleet, person, sensor }), losses };
  } catch (error) {
    throw new Error(`${(error as Error).message}; data and logs are in ${folder}`, { cause: error });
  } finally {
    await fleet.stop();
  }
}

async function startFleet(folder: string, kind: BrokerKind, names: readonly string[]): Promise<Fleet> {
  const ends: string[] = [];
  const supervisor = createSupervisor(join(folder, 'logs'), (name, reason) => {
    if (!reason.startsWith('was ended by SIGKILL')) ends.push(`${name} ${reason}`);
  });
  const [mqttPort, httpPort] = [await freePort(), await freePort()];
  const brokerUrl = `mqtt://127.0.0.1:${mqttPort}`;
  const httpUrl = `http://127.0.0.1:${httpPort}`;
  const mosquitto = kind === 'mosquitto' ? keepMosquitto(mqttPort, folder, ends) : undefined;
  const flags = mosquitto
    ? ['--broker', brokerUrl]
    : ['--mqtt-port', `${mqttPort}`, '--ws-port', `${await freePort()}`];
  const controller = supervisor.start({
    name: 'controller',
    file: file('fleet/main.ts'),
    arguments: ['--data', join(folder, 'controller'), '--http-port', `${httpPort}`, ...flags],
  });
  const taps = await Promise.all(names.map(() => startTap(mqttPort)));
  const nodes = names.map((name, index) =>
    supervisor.start({
      name,
      file: file('devices/gateway/main.ts'),
      arguments: [
        ...['--name', name, '--broker', `mqtt://127.0.0.1:${taps[index]?.port}`],
        ...['--data', join(folder, name), '--labels', `site=${name}`],
      ],
    }),
  );
  await eventually(
    'the controller answers',
    async () => (await fetch(`${httpUrl}/healthz`).catch(() => undefined))?.ok,
  );
  await eventually('the broker listens', () => isListening(mqttPort));
  return {
    controller: new ControllerClient(httpUrl),
    victims: [
      controller,
      ...nodes.map(({ name, pid }, index) => ({ name, pid, tap: taps[index] })),
      ...(mosquitto ? [mosquitto] : []),
    ],
    ...{ brokerUrl, names, taps, ends },
    async stop() {
      await supervisor.stop();
      await mosquitto?.stop();
      for (const tap of taps) await tap.close();
    },
  };
}

/** The supervisor starts programs of ours only. Its sessions and retained messages come back as of the last second, at best. */
function keepMosquitto(port: number, folder: string, ends: string[]): Victim & { stop(): Promise<void> } {
  const own = join(folder, 'mosquitto/');
  mkdirSync(own);
  const lines = ['user root', `listener ${port} 127.0.0.1`, 'allow_anonymous true', 'max_queued_messages 100000'];
  lines.push('persistence true', `persistence_location ${own}`, 'autosave_interval 1');
  writeFileSync(join(own, 'mosquitto.conf'), lines.join('\n'));
  let child: ChildProcess | undefined;
  let stopping = false;
  const start = (): void => {
    if (stopping) return;
    child = spawn(findProgram('mosquitto') as string, ['-c', join(own, 'mosquitto.conf')], { stdio: 'ignore' });
    child.on('close', (code, signal) => {
      child = undefined;
      if (!stopping && signal !== 'SIGKILL') ends.push(`mosquitto ended with ${signal ?? code}`);
      setTimeout(start, BROKER_RESTART_MS);
    });
  };
  start();
  return {
    name: 'broker',
    pid: () => child?.pid,
    async stop() {
      stopping = true;
      const last = child;
      if (!last) return;
      const closed = new Promise((resolve) => last.on('close', resolve));
      last.kill('SIGTERM');
      await closed;
    },
  };
}

/** One trigger a node, so that every message has exactly one node that answers it. */
async function install({ controller, names }: Pick<Fleet, 'controller' | 'names'>): Promise<void> {
  await eventually('the nodes are known', async () => (await controller.nodes()).length === names.length);
  const bytes = slowModel();
  await controller.putBlob(hashOf(bytes), chunks(bytes));
  await controller.addModel('slow', hashOf(bytes));
  for (const name of names) {
    const trigger = { ...largestTrigger(`answer-${name}`, 'slow'), topic: `sensors/${name}/values` };
    const output = { ...trigger.output, topic: `answers/${name}` };
    await controller.putTrigger(triggerSchema.parse({ ...trigger, output }), { labels: { site: name } });
  }
  await converged(controller, names.length);
}

interface Kills {
  readonly counts: ReadonlyMap<string, number>;
  readonly cuts: number;
  /** Messages that nodes had acknowledged and not answered when they were killed. */
  readonly open: number;
}

/**
 * Whom the lot falls on is spared until everybody had a turn, so that a short run meets all of them. Every other node is
 * killed as soon as it has work that only its journal knows, which a random moment seldom finds.
 */
async function killAtRandom(
  victims: readonly Victim[],
  { kills, pauseMs }: Pick<KillOptions, 'kills' | 'pauseMs'>,
  random: () => number,
): Promise<Kills> {
  const counts = new Map(victims.map(({ name }) => [name, 0]));
  const cuts: Promise<void>[] = [];
  let open = 0;
  let waiting: Victim[] = [];
  for (let kill = 0; kill < kills; kill++) {
    if (waiting.length === 0) waiting = [...victims];
    const [victim] = waiting.splice(Math.floor(random() * waiting.length), 1) as [Victim];
    await eventually(`${victim.name} has been started again`, victim.pid);
    await pause(random() * pauseMs);
    const { tap } = victim;
    if (tap && random() < CUT_SHARE) {
      cuts.push(tap.cut(random() * CUT_MS_MAX));
      continue;
    }
    const until = performance.now() + OPEN_MS_MAX;
    if (tap && random() < 0.5) while (tap.open().length === 0 && performance.now() < until) await pause(1);
    const pid = victim.pid();
    if (pid === undefined) throw new Error(`${victim.name} ended before it was killed`);
    process.kill(pid, 'SIGKILL');
    open += tap?.open().length ?? 0;
    counts.set(victim.name, (counts.get(victim.name) ?? 0) + 1);
    // The next one to be killed may be the same.
    await eventually(`${victim.name} is seen to be gone`, () => victim.pid() !== pid);
    await pause(random() * pauseMs);
  }
  await Promise.all(cuts);
  return { counts, cuts: cuts.length, open };
}

async function audit(fleet: Fleet, person: Person, sensor: Sensor): Promise<string[]> {
  await eventually('every process runs', () => fleet.victims.every(({ pid }) => pid() !== undefined));
  const losses = await eventually('the controller answers again', () => person.losses().catch(() => undefined));
  await converged(fleet.controller, fleet.names.length);
  const unanswered = () => fleet.taps.flatMap((tap) => tap.open());
  await eventually('every acknowledged message is answered', () => unanswered().length === 0).catch(() => {});
  for (const id of unanswered()) losses.push(`message ${id}: acknowledged by its node, never answered`);
  // Only now the sender may help, with what died in a broker: its repetition would hide what a node has lost.
  await answersStop(sensor);
  for (let round = 0; round < REPETITIONS && sensor.unanswered().length > 0; round++) {
    sensor.repeat();
    await answersStop(sensor);
  }
  for (const id of sensor.unanswered()) losses.push(`message ${id}: sent again and again, never answered`);
  for (const node of await fleet.controller.nodes())
    if (node.labels.site !== node.name) losses.push(`node ${node.name}: its labels are ${JSON.stringify(node.labels)}`);
  for (const refusal of person.refused) losses.push(`refused: ${refusal}`);
  return [...losses, ...sensor.wrong.map((answer) => `wrong answer: ${answer}`), ...fleet.ends];
}

async function answersStop(sensor: Sensor): Promise<void> {
  let before: number;
  do {
    before = sensor.unanswered().length;
    await pause(REST_MS);
  } while (sensor.unanswered().length !== before);
}

/** All nodes are there, have reached the newest desired version, and everything on them is ready. */
async function converged(controller: ControllerService, count: number): Promise<void> {
  let state = 'nothing';
  const look = async (): Promise<boolean> => {
    const nodes = await controller.nodes();
    const triggers = await controller.triggers();
    state = JSON.stringify({
      nodes: nodes.map(({ metrics, ...node }) => node),
      triggers: triggers.map(({ nodes }) => nodes),
    });
    return (
      nodes.length === count &&
      nodes.every(({ online, desiredVersion, reported }) => online && reported?.desiredVersion === desiredVersion) &&
      triggers.every((trigger) => trigger.nodes.length > 0 && trigger.nodes.every(({ state }) => state === 'ready'))
    );
  };
  await eventually('the nodes converge', look).catch((error: Error) => {
    throw new Error(`${error.message}: ${state}`, { cause: error });
  });
}

function figuresOf(run: { broker: BrokerKind; killed: Kills; fleet: Fleet; person: Person; sensor: Sensor }) {
  const { broker, killed, fleet, person, sensor } = run;
  const size = (pick: (tap: Tap) => ReadonlySet<number>) => fleet.taps.reduce((sum, tap) => sum + pick(tap).size, 0);
  return {
    broker,
    kills: [...killed.counts.values()].reduce((sum, count) => sum + count, 0),
    'cut off instead': killed.cuts,
    victims: [...killed.counts].map(([name, count]) => `${name} ${count}`).join(', '),
    'model versions acknowledged': person.acknowledged.models,
    'triggers acknowledged': person.acknowledged.triggers,
    'removals acknowledged': person.acknowledged.removals,
    'changes that broke off': person.brokenOff,
    'messages sent': sensor.sent,
    'confirmed to the sender': sensor.confirmed,
    'acknowledged by nodes': size(({ acknowledged }) => acknowledged),
    'of these from the journal alone': fleet.taps.reduce((sum, tap) => sum + tap.journalled, 0),
    'open in nodes that were killed': killed.open,
    'answers confirmed by the broker': size(({ answered }) => answered),
    'repeated by the sender': sensor.repeated,
  };
}

/** Numerical Recipes' linear congruential generator: the kills need variety, not quality. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Prints the figures and what was lost. Returns whether all is well. */
export function printReport({ figures, losses }: KillReport): boolean {
  for (const [name, value] of Object.entries(figures)) console.log(`${name.padEnd(34)}${value}`);
  console.log(`${'lost'.padEnd(34)}${losses.length}`);
  for (const loss of losses) console.log(`  ${loss}`);
  return losses.length === 0;
}

function wholeNumber(flag: string, text: string, min: number): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < min)
    refuseFlag(`${flag}: expected a whole number from ${min} on, got "${text}"`);
  return number;
}

const USAGE = `Kills controller, nodes and broker at random moments under load, and says what was lost of what was acknowledged.

  --kills N          kills and cut lines (50)
  --nodes N          (2)
  --broker KIND      embedded or mosquitto (half of the kills on each)
  --pause-ms N       for which a process is left alone before its kill, at most (5000)
  --seed N           whom it hits and when (another one each time; printed first)

  npm run kill -- --kills 200 --nodes 10 --broker mosquitto --pause-ms 1500
`;

async function main(): Promise<void> {
  const { values } = readFlags(USAGE, {
    options: {
      kills: { type: 'string', default: '50' },
      nodes: { type: 'string', default: '2' },
      broker: { type: 'string' },
      'pause-ms': { type: 'string', default: '5000' },
      seed: { type: 'string' },
    },
  });
  const kills = wholeNumber('--kills', values.kills, 1);
  const nodes = wholeNumber('--nodes', values.nodes, 1);
  const pauseMs = wholeNumber('--pause-ms', values['pause-ms'], 0);
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : wholeNumber('--seed', values.seed, 0);
  console.log(`seed ${seed}\n`);
  const all: BrokerKind[] = hasMosquitto ? ['embedded', 'mosquitto'] : ['embedded'];
  const kinds = all.filter((kind) => values.broker === undefined || kind === values.broker);
  if (kinds.length === 0) refuseFlag(`--broker: expected ${all.join(' or ')}, got "${values.broker}"`);
  if (!hasMosquitto) console.log("mosquitto is missing (Debian's package of that name): the embedded broker only\n");
  for (const [index, broker] of kinds.entries()) {
    const share = Math.floor((kills + index) / kinds.length);
    const report = await runKills({ broker, kills: share, nodes, seed: seed + index, pauseMs });
    if (!printReport(report)) process.exitCode = 1;
    console.log();
  }
}

if (import.meta.main)
  await main().catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
