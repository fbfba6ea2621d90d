/**
 * What a fleet of a size asks of its controller, from simulated nodes over real MQTT: memory and processor of the controller,
 * uplink of an idle node, how soon a command has reached everybody, how soon everybody is back after the broker was killed, and
 * whether all this holds while a tenth of the nodes loses its connection each minute.
 *
 *   npm run bench -- scale [--only NODES] [--minutes N]      1,000, 3,000 and 10,000 nodes without it; N minutes of flapping
 */
import { setTimeout as pause } from 'node:timers/promises';
import { taskSpecSchema } from '../fleet/tasks/task.ts';
import type { ModeOptions, ModeResult } from './modes.ts';
import { type BenchFleet, hasMosquitto, reach, type Stage, startFleet } from './swarm.ts';

const SIZES = [1_000, 3_000, 10_000];
const AIM = { kilobytesPerNode: 20, kilobitsPerNode: 0.2, deliveryMs: 2_000, backS: 60 };
const IDLE_S = 12;
const CONNECTS_PER_SECOND = 1_000;
/** Of the nodes, in a minute. */
const FLAPPING = 0.1;

interface Command extends Stage {
  /** From its acceptance until it was at a node, in the worst second. */
  readonly deliveryMsP99: number;
}

interface Outcome {
  readonly broker: 'embedded' | 'mosquitto';
  readonly nodes: number;
  readonly online: Stage;
  /** Of the controller: before any node came, and while all are idle. */
  readonly bytes: { readonly first: number; readonly idle: number };
  /** Of one core, while all are idle. */
  readonly idleCpu: number;
  readonly kilobitsPerNode: number;
  readonly command: Command;
  readonly back: Stage;
  readonly flapping: { readonly fewestOnline: number; readonly bytes: number; readonly command: Command };
}

export async function scale({ quick, only, minutes }: ModeOptions): Promise<ModeResult> {
  const sizes = only === undefined ? (quick ? [50] : SIZES) : [Number(only)];
  if (!sizes.every((size) => Number.isInteger(size) && size >= 1))
    throw new Error(`--only: expected a number of nodes, got "${only}"`);
  const brokers = hasMosquitto && !quick ? (['mosquitto', 'embedded'] as const) : (['embedded'] as const);
  const times = quick ? { idleS: 3, flapS: 3 } : { idleS: IDLE_S, flapS: minutes * 60 };
  const outcomes: Outcome[] = [];
  for (const broker of brokers)
    for (const nodes of sizes) {
      const outcome = await measure(broker, nodes, times);
      outcomes.push(outcome);
      // A long run says what it has as it has it.
      if (!quick) console.error(lineOf(outcome));
    }
  const { kilobytesPerNode, kilobitsPerNode, deliveryMs, backS } = AIM;
  return {
    tables: [{ header: HEADER, rows: outcomes.map(rowOf) }],
    notes: [
      `aim: ≤ ${kilobytesPerNode} kB a node beside the broker, ≤ ${kilobitsPerNode} kbit/s, p99 < ${deliveryMs} ms, back < ${backS} s for 10,000`,
    ],
    lines: [...outcomes.map(lineOf), ...brokers.flatMap((broker) => slopeOf(broker, outcomes))],
    record: { outcomes },
  };
}

async function measure(
  broker: Outcome['broker'],
  nodes: number,
  { idleS, flapS }: { idleS: number; flapS: number },
): Promise<Outcome> {
  const fleet = await startFleet({ nodes, broker, connectsPerSecond: CONNECTS_PER_SECOND });
  try {
    await pause(3_000);
    const { metric, readings, first, online } = fleet;
    const [from, cpu] = [readings.length, await metric('llmasos_process_cpu_seconds_total')];
    await pause(idleS * 1000);
    const idle = readings.slice(from);
    const idleCpu = ((await metric('llmasos_process_cpu_seconds_total')) - cpu) / idleS;
    const kilobitsPerNode = idle.reduce((sum, reading) => sum + reading.uplinkKilobitsPerNode, 0) / idle.length;
    const bytes = { first: first.residentBytes, idle: await metric('llmasos_process_resident_bytes') };
    const command = await commandEverybody(fleet, nodes);
    const back = await fleet.restartBroker();
    const flapping = await flap(fleet, nodes, flapS);
    return { broker, nodes, online, bytes, idleCpu, kilobitsPerNode, command, back, flapping };
  } finally {
    await fleet.stop();
  }
}

async function flap(fleet: BenchFleet, nodes: number, seconds: number): Promise<Outcome['flapping']> {
  let { reached: fewestOnline } = await fleet.flap(FLAPPING);
  for (const endMs = performance.now() + seconds * 1000; performance.now() < endMs; await pause(1_000))
    fewestOnline = Math.min(fewestOnline, await fleet.metric('llmasos_nodes{state="online"}'));
  const bytes = await fleet.metric('llmasos_process_resident_bytes');
  return { fewestOnline, bytes, command: await commandEverybody(fleet, nodes) };
}

async function commandEverybody({ service, readings }: BenchFleet, nodes: number): Promise<Command> {
  const from = readings.length;
  await service.tasks.add(taskSpecSchema.parse({ work: { kind: 'command', command: 'logs' } }));
  // As the nodes tell: whoever asks the controller again and again is load of its own.
  const done = (): number => readings.slice(from).reduce((sum, { unitsPerSecond }) => sum + unitsPerSecond, 0);
  const stage = await reach(nodes, async () => done());
  // The last second is told when it is over.
  await pause(1_100);
  const worst = readings.slice(from).flatMap(({ deliveryMsP99 }) => deliveryMsP99 ?? []);
  return { ...stage, deliveryMsP99: Math.max(...worst) };
}

const HEADER = [
  ...['broker', 'nodes', 'all online', 'controller, a node', 'idle core', 'idle uplink', 'command p99', 'back'],
  ...['flapping: fewest online', 'controller', 'command p99'],
];

function rowOf({ broker, nodes, online, bytes, idleCpu, kilobitsPerNode, command, back, flapping }: Outcome): string[] {
  const grown = `${megabytes(flapping.bytes - bytes.first)} MB`;
  return [
    ...[broker, `${nodes}`, stageText(online, nodes), `${kilobytesOf(bytes, nodes).toFixed(1)} kB`],
    ...[`${(idleCpu * 100).toFixed(0)}%`, `${kilobitsPerNode.toFixed(3)} kbit/s`],
    ...[commandText(command, nodes), stageText(back, nodes)],
    ...[`${flapping.fewestOnline}`, `+${grown}`, commandText(flapping.command, nodes)],
  ];
}

function lineOf({ broker, nodes, bytes, kilobitsPerNode, back }: Outcome): string {
  return `scale: ${nodes} nodes on ${broker}: ${kilobytesOf(bytes, nodes).toFixed(1)} kB a node, ${kilobitsPerNode.toFixed(3)} kbit/s idle, back in ${stageText(back, nodes)}`;
}

/** What one more node takes: the first load brings code and buffers that do not grow with the fleet. */
function slopeOf(broker: Outcome['broker'], outcomes: readonly Outcome[]): string[] {
  const own = outcomes.filter((outcome) => outcome.broker === broker);
  const [least, most] = [own[0], own.at(-1)] as [Outcome, Outcome];
  if (least === most) return [];
  const kilobytes = (most.bytes.idle - least.bytes.idle) / (most.nodes - least.nodes) / 1000;
  return [`scale: ${kilobytes.toFixed(1)} kB for each node from ${least.nodes} to ${most.nodes} on ${broker}`];
}

function kilobytesOf({ first, idle }: Outcome['bytes'], nodes: number): number {
  return (idle - first) / nodes / 1000;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}

/** How long it took; or how far it came. */
function stageText({ reached, seconds }: Stage, nodes: number): string {
  return reached >= nodes ? `${seconds.toFixed(1)} s` : `${reached} of ${nodes} in ${seconds.toFixed(0)} s`;
}

function commandText(command: Command, nodes: number): string {
  return command.reached >= nodes ? `${command.deliveryMsP99} ms` : stageText(command, nodes);
}
