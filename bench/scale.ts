/**
 * What a fleet of a size asks of its controller, from simulated nodes over real MQTT: memory and processor of the controller,
 * uplink of an idle node, how soon a command has reached everybody, how soon everybody is back after the broker was killed.
 *
 *   npm run bench -- scale [--only NODES]      1,000, 3,000 and 10,000 without it
 */
import { setTimeout as pause } from 'node:timers/promises';
import { taskSpecSchema } from '../fleet/tasks/task.ts';
import type { ModeOptions, ModeResult } from './modes.ts';
import { hasMosquitto, startFleet } from './swarm.ts';

const SIZES = [1_000, 3_000, 10_000];
const AIM = { kilobytesPerNode: 20, kilobitsPerNode: 0.2, deliveryMs: 2_000, backS: 60 };
const IDLE_S = 12;
const CONNECTS_PER_SECOND = 1_000;

interface Outcome {
  readonly broker: 'embedded' | 'mosquitto';
  readonly nodes: number;
  readonly onlineS: number;
  readonly kilobytesPerNode: number;
  /** Of one core, while all are idle. */
  readonly idleCpu: number;
  readonly kilobitsPerNode: number;
  readonly deliveryMsP99: number;
  readonly backS: number;
}

export async function scale({ quick, only }: ModeOptions): Promise<ModeResult> {
  const sizes = only === undefined ? (quick ? [50] : SIZES) : [Number(only)];
  if (!sizes.every((size) => Number.isInteger(size) && size >= 1))
    throw new Error(`--only: expected a number of nodes, got "${only}"`);
  const brokers = hasMosquitto && !quick ? (['mosquitto', 'embedded'] as const) : (['embedded'] as const);
  const outcomes: Outcome[] = [];
  for (const nodes of sizes)
    for (const broker of brokers) outcomes.push(await measure(broker, nodes, quick ? 3 : IDLE_S));
  const rows = outcomes.map((each) => [
    ...[each.broker, `${each.nodes}`, `${each.onlineS.toFixed(1)} s`, `${each.kilobytesPerNode.toFixed(1)} kB`],
    ...[`${(each.idleCpu * 100).toFixed(0)}%`, `${each.kilobitsPerNode.toFixed(3)} kbit/s`],
    ...[`${each.deliveryMsP99} ms`, `${each.backS.toFixed(1)} s`],
  ]);
  const header = [
    'broker',
    'nodes',
    'all online',
    'controller, a node',
    'idle core',
    'idle uplink',
    'command p99',
    'back',
  ];
  const { kilobytesPerNode, kilobitsPerNode, deliveryMs, backS } = AIM;
  return {
    tables: [{ header, rows }],
    notes: [
      `aim: ≤ ${kilobytesPerNode} kB a node beside the broker, ≤ ${kilobitsPerNode} kbit/s, p99 < ${deliveryMs} ms, back < ${backS} s for 10,000`,
    ],
    lines: outcomes.map(
      (each) =>
        `scale: ${each.nodes} nodes on ${each.broker}: ${each.kilobytesPerNode.toFixed(1)} kB a node, ${each.kilobitsPerNode.toFixed(3)} kbit/s idle, back in ${each.backS.toFixed(1)} s`,
    ),
    record: { outcomes },
  };
}

async function measure(broker: Outcome['broker'], nodes: number, idleS: number): Promise<Outcome> {
  const startedMs = performance.now();
  const fleet = await startFleet({ nodes, broker, connectsPerSecond: CONNECTS_PER_SECOND });
  try {
    const onlineS = (performance.now() - startedMs) / 1000;
    await pause(3_000);
    const { metric, readings, first } = fleet;
    const [from, cpu] = [readings.length, await metric('llmasos_process_cpu_seconds_total')];
    await pause(idleS * 1000);
    const idle = readings.slice(from);
    const idleCpu = ((await metric('llmasos_process_cpu_seconds_total')) - cpu) / idleS;
    const kilobitsPerNode = idle.reduce((sum, reading) => sum + reading.uplinkKilobitsPerNode, 0) / idle.length;
    const grown = (await metric('llmasos_process_resident_bytes')) - first.residentBytes;
    const deliveryMsP99 = await commandEverybody(fleet, nodes);
    const backS = (await fleet.restartBroker()) / 1000;
    return {
      broker,
      nodes,
      onlineS,
      kilobytesPerNode: grown / nodes / 1000,
      idleCpu,
      kilobitsPerNode,
      deliveryMsP99,
      backS,
    };
  } finally {
    await fleet.stop();
  }
}

/** Of the worst second. */
async function commandEverybody(
  { service, readings }: Awaited<ReturnType<typeof startFleet>>,
  nodes: number,
): Promise<number> {
  const from = readings.length;
  const { id } = await service.tasks.add(taskSpecSchema.parse({ work: { kind: 'command', command: 'logs' } }));
  while ((await service.tasks.show(id, false)).unitsEnded < nodes) await pause(200);
  await pause(1_100);
  return Math.max(...readings.slice(from).flatMap(({ deliveryMsP99 }) => deliveryMsP99 ?? []));
}
