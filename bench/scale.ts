/**
 * What a fleet of a size asks of its controller, from simulated nodes over real MQTT: memory and processor of the controller,
 * uplink of an idle node, how soon a command has reached everybody, how soon everybody is back after the broker was killed, and
 * whether all this holds while a tenth of the nodes loses its connection each minute.
 *
 *   npm run bench -- scale [--only NODES[@BROKER]] [--minutes N]
 *
 * 1,000, 3,000 and 10,000 nodes without it; on mosquitto (where it is installed) and on the embedded broker, or on the one named; N minutes of
 * flapping. What each minute and each stage gave is told and written to bench/results/ when it is over.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { ModeOptions, ModeResult } from './modes.ts';
import { type Command, commandEverybody, type Minute, megabytes, minuteLine, soak, soakLine } from './soak.ts';
import { type BenchFleet, hasMosquitto, type Stage, startFleet } from './swarm.ts';

const SIZES = [1_000, 3_000, 10_000];
const AIM = { kilobytesPerNode: 20, kilobitsPerNode: 0.2, deliveryMs: 2_000, backS: 60 };
const IDLE_S = 12;
const CONNECTS_PER_SECOND = 1_000;
/** Of the nodes, in a minute. */
const FLAPPING = 0.1;

type Broker = 'embedded' | 'mosquitto';

interface Outcome {
  readonly broker: Broker;
  readonly nodes: number;
  readonly online: Stage;
  /** Of the controller: before any node came, and while all are idle. */
  readonly bytes: { readonly first: number; readonly idle: number };
  /** Of one core, while all are idle. */
  readonly idleCpu: number;
  readonly kilobitsPerNode: number;
  readonly command: Command;
  readonly back: Stage;
  readonly flapping: readonly Minute[];
}

export async function scale({ quick, only, minutes, record }: ModeOptions): Promise<ModeResult> {
  const { sizes, brokers } = wanted(only, quick);
  const times = quick ? { idleS: 3, flapS: 3 } : { idleS: IDLE_S, flapS: minutes * 60 };
  const outcomes: Outcome[] = [];
  for (const broker of brokers)
    for (const nodes of sizes)
      outcomes.push(
        await measure(broker, nodes, times, (line, part) => {
          if (!quick) console.error(`${new Date().toISOString()} ${nodes} nodes on ${broker}: ${line}`);
          record({ broker, nodes, ...part });
        }),
      );
  const { kilobytesPerNode, kilobitsPerNode, deliveryMs, backS } = AIM;
  return {
    tables: [{ header: HEADER, rows: outcomes.map(rowOf) }],
    notes: [
      `aim: ≤ ${kilobytesPerNode} kB a node beside the broker, ≤ ${kilobitsPerNode} kbit/s, p99 < ${deliveryMs} ms, back < ${backS} s for 10,000`,
    ],
    lines: [
      ...outcomes.map(lineOf),
      ...brokers.flatMap((broker) => slopeOf(broker, outcomes)),
      ...outcomes.map(
        ({ broker, nodes, flapping }) => `scale: ${nodes} nodes on ${broker}, ${soakLine(flapping, nodes)}`,
      ),
    ],
    record: { outcomes },
  };
}

function wanted(only: string | undefined, quick: boolean): { sizes: number[]; brokers: Broker[] } {
  const brokers: Broker[] = hasMosquitto && !quick ? ['mosquitto', 'embedded'] : ['embedded'];
  if (only === undefined) return { sizes: quick ? [50] : SIZES, brokers };
  const [size, name] = only.split('@');
  const named = brokers.filter((broker) => name === undefined || broker === name);
  if (!Number.isInteger(Number(size)) || Number(size) < 1 || named.length === 0)
    throw new Error(`--only: expected a number of nodes, such as 3000 or 3000@${brokers[0]}, got "${only}"`);
  return { sizes: [Number(size)], brokers: named };
}

async function measure(
  broker: Broker,
  nodes: number,
  { idleS, flapS }: { idleS: number; flapS: number },
  tell: (line: string, part: object) => void,
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
    const before = { broker, nodes, online, bytes, idleCpu, kilobitsPerNode, command, back };
    tell(`${figuresOf(before)}, first command p99 ${commandText(command, nodes)}`, before);
    return { ...before, flapping: await flap(fleet, nodes, flapS, tell) };
  } finally {
    await fleet.stop();
  }
}

async function flap(
  fleet: BenchFleet,
  nodes: number,
  seconds: number,
  tell: (line: string, part: object) => void,
): Promise<Minute[]> {
  const there = await fleet.flap(FLAPPING);
  if (there.reached < nodes * 0.99) tell(`flapping: ${stageText(there, nodes)}`, { there });
  return soak(fleet, nodes, seconds, (minute) => tell(minuteLine(minute), { minute }));
}

const HEADER = [
  ...['broker', 'nodes', 'all online', 'controller, a node', 'idle core', 'idle uplink', 'command p99', 'back'],
  ...['flapping: fewest online', 'controller', 'command p99'],
];

function rowOf({ broker, nodes, online, bytes, idleCpu, kilobitsPerNode, command, back, flapping }: Outcome): string[] {
  const last = flapping.at(-1) as Minute;
  return [
    ...[broker, `${nodes}`, stageText(online, nodes), `${kilobytesOf(bytes, nodes).toFixed(1)} kB`],
    ...[`${(idleCpu * 100).toFixed(0)}%`, `${kilobitsPerNode.toFixed(3)} kbit/s`],
    ...[commandText(command, nodes), stageText(back, nodes)],
    `${Math.min(...flapping.map(({ fewestOnline }) => fewestOnline))}`,
    `+${megabytes(last.residentBytes - bytes.first)} MB`,
    commandText(last.command, nodes),
  ];
}

function lineOf(outcome: Outcome): string {
  return `scale: ${outcome.nodes} nodes on ${outcome.broker}: ${figuresOf(outcome)}`;
}

function figuresOf({ nodes, bytes, kilobitsPerNode, back }: Omit<Outcome, 'flapping'>): string {
  return `${kilobytesOf(bytes, nodes).toFixed(1)} kB a node, ${kilobitsPerNode.toFixed(3)} kbit/s idle, back in ${stageText(back, nodes)}`;
}

/** What one more node takes: the first load brings code and buffers that do not grow with the fleet. */
function slopeOf(broker: Broker, outcomes: readonly Outcome[]): string[] {
  const own = outcomes.filter((outcome) => outcome.broker === broker);
  const [least, most] = [own[0], own.at(-1)] as [Outcome, Outcome];
  if (least === most) return [];
  const kilobytes = (most.bytes.idle - least.bytes.idle) / (most.nodes - least.nodes) / 1000;
  return [`scale: ${kilobytes.toFixed(1)} kB for each node from ${least.nodes} to ${most.nodes} on ${broker}`];
}

function kilobytesOf({ first, idle }: Outcome['bytes'], nodes: number): number {
  return (idle - first) / nodes / 1000;
}

/** How long it took; or how far it came. */
function stageText({ reached, seconds }: Stage, nodes: number): string {
  return reached >= nodes ? `${seconds.toFixed(1)} s` : `${reached} of ${nodes} in ${seconds.toFixed(0)} s`;
}

function commandText(command: Command, nodes: number): string {
  return command.reached >= nodes ? `${command.deliveryMsP99} ms` : stageText(command, nodes);
}
