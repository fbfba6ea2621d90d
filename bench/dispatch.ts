/**
 * How fast a controller with its own broker and database gives work away: tasks are accepted over HTTP at a given rate, their
 * units go to simulated nodes in another process, which say when each has come. Units a second and how long they were on
 * their way, counted from the acceptance of their task, by the clock of this machine.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { SIMULATED_MODEL } from '../fleet/swarm/light-node-io.ts';
import { taskSpecSchema } from '../fleet/tasks/task.ts';
import type { ModeOptions, ModeResult } from './modes.ts';
import { type BenchFleet, startFleet } from './swarm.ts';

const AIM = { unitsPerSecond: 5_000, p99Ms: 1_000 };
const HTTP_MAX = 64;
const REST_MS = 30_000;

interface Load {
  readonly unitsPerTask: number;
  readonly offeredPerSecond: number;
}

interface Outcome extends Load {
  readonly nodes: number;
  readonly seconds: number;
  readonly unitsPerSecond: number;
  readonly p50Ms: number;
  /** Of the worst second. */
  readonly p99Ms: number;
  readonly undone: number;
}

export async function dispatch({ quick, minutes, only }: ModeOptions): Promise<ModeResult> {
  const nodes = Number(only ?? (quick ? 20 : 200));
  if (!(Number.isInteger(nodes) && nodes >= 1)) throw new Error(`--only: expected a number of nodes, got "${only}"`);
  const seconds = quick ? 3 : Math.round(minutes * 60);
  const loads: Load[] = quick
    ? [{ unitsPerTask: 50, offeredPerSecond: 500 }]
    : [
        { unitsPerTask: 200, offeredPerSecond: 5_000 },
        { unitsPerTask: 200, offeredPerSecond: 10_000 },
        { unitsPerTask: 1, offeredPerSecond: 1_000 },
      ];
  const fleet = await startFleet({ nodes, broker: 'embedded' });
  try {
    const outcomes: Outcome[] = [];
    for (const load of loads) outcomes.push(await measure(fleet, load, seconds, nodes));
    const rows = outcomes.map((each) => [
      ...[`${each.unitsPerTask}`, `${each.offeredPerSecond}`, `${Math.round(each.unitsPerSecond)}`],
      ...[`${each.p50Ms} ms`, `${each.p99Ms} ms`, `${each.undone}`],
    ]);
    const best = outcomes[0] as Outcome;
    return {
      tables: [{ header: ['units a task', 'offered/s', 'done/s', 'p50', 'p99 (worst second)', 'not done'], rows }],
      notes: [`aim: ${AIM.unitsPerSecond} units/s sustained, p99 below ${AIM.p99Ms} ms`],
      lines: [
        `dispatch: ${Math.round(best.unitsPerSecond)} units/s over ${seconds} s, p99 ${best.p99Ms} ms, ${nodes} nodes`,
      ],
      record: { outcomes },
    };
  } finally {
    await fleet.stop();
  }
}

async function measure(
  { service, readings }: BenchFleet,
  load: Load,
  seconds: number,
  nodes: number,
): Promise<Outcome> {
  const { unitsPerTask, offeredPerSecond } = load;
  const inputs = Array.from({ length: unitsPerTask }, () => ({ base64: 'e30=' }));
  const work = { kind: 'inference', model: SIMULATED_MODEL, format: 'json', inputs, inputsPerUnit: 1 };
  const spec = taskSpecSchema.parse({ work });
  const from = readings.length + 1;
  const startedMs = performance.now();
  const pending = new Set<Promise<unknown>>();
  let offered = 0;
  while (performance.now() - startedMs < seconds * 1000) {
    const due = Math.floor(((performance.now() - startedMs) / 1000) * (offeredPerSecond / unitsPerTask));
    if (offered >= due || pending.size >= HTTP_MAX) {
      await (pending.size >= HTTP_MAX ? Promise.race(pending) : pause(2));
      continue;
    }
    offered++;
    const asked = service.tasks.add(spec).finally(() => pending.delete(asked));
    pending.add(asked);
  }
  await Promise.all(pending);
  const during = readings.slice(from, from + seconds - 1);
  const units = offered * unitsPerTask;
  const done = (): number => readings.slice(from - 1).reduce((sum, reading) => sum + reading.unitsPerSecond, 0);
  for (let waitedMs = 0; done() < units && waitedMs < REST_MS; waitedMs += 200) await pause(200);
  const sum = during.reduce((total, { unitsPerSecond }) => total + unitsPerSecond, 0);
  const sorted = during.flatMap(({ deliveryMsP50 }) => deliveryMsP50 ?? []).sort((a, b) => a - b);
  return {
    ...{ ...load, nodes, seconds },
    unitsPerSecond: sum / Math.max(1, during.length),
    p50Ms: sorted[Math.floor(sorted.length / 2)] ?? Number.NaN,
    p99Ms: Math.max(...during.flatMap(({ deliveryMsP99 }) => deliveryMsP99 ?? [])),
    undone: Math.max(0, units - done()),
  };
}
