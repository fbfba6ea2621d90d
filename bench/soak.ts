/** A fleet of which some nodes lose their connection all the time, watched for minutes: who is online, memory, and a command to everybody each minute. */
import { setTimeout as pause } from 'node:timers/promises';
import { taskSpecSchema } from '../fleet/tasks/task.ts';
import { figuresOf } from './statistics.ts';
import { type BenchFleet, reach, type Stage } from './swarm.ts';

const MINUTE_MS = 60_000;
/** Below it memory can say nothing about where it goes. */
const MINUTES_FOR_MEMORY = 9;
const LIMITS = { onlineShare: 0.99, deliveryMs: 2_000, memoryGrowth: 0.05 };

export interface Command extends Stage {
  /** From the acceptance of the task until its unit was at a node, over all units. */
  readonly deliveryMsP50: number;
  readonly deliveryMsP99: number;
  /** How many took up to so many milliseconds. */
  readonly deliveries: Readonly<Record<string, number>>;
  /** Processor time of the controller until all was answered. */
  readonly controllerCpuMs: number;
  /** Of the simulated nodes' process, in its busiest second. */
  readonly nodesBusy: number;
}

export interface Minute {
  readonly seconds: number;
  readonly fewestOnline: number;
  /** Nodes that were connected and did not count as online in any look of this minute. */
  readonly lost: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
  readonly command: Command;
}

/** @param tell is told of each minute when it is over */
export async function soak(
  fleet: BenchFleet,
  nodes: number,
  seconds: number,
  tell: (minute: Minute) => void,
): Promise<Minute[]> {
  const minutes: Minute[] = [];
  const watch = watchNodes(fleet);
  const startedMs = performance.now();
  const leftMs = (): number => startedMs + seconds * 1000 - performance.now();
  try {
    do {
      const began = performance.now();
      const command = await commandEverybody(fleet, nodes);
      await pause(Math.max(0, Math.min(leftMs(), MINUTE_MS - (performance.now() - began))));
      const minute = {
        seconds: (performance.now() - startedMs) / 1000,
        ...watch.take(),
        residentBytes: await fleet.metric('llmasos_process_resident_bytes'),
        heapBytes: await fleet.metric('llmasos_process_heap_bytes'),
        command,
      };
      minutes.push(minute);
      tell(minute);
    } while (leftMs() > 0);
    return minutes;
  } finally {
    watch.stop();
  }
}

/**
 * Looks about once a second, also while a command is under way; at random moments, because the nodes are cut off once a second: looks in
 * step with that would find those of the last cut away each time, or never.
 */
function watchNodes(fleet: BenchFleet) {
  let online: number[] = [];
  let missing: number[] = [];
  const stopped = new AbortController();
  const look = async (): Promise<void> => {
    const connected = fleet.readings.at(-1)?.connected ?? 0;
    const counted = await fleet.metric('llmasos_nodes{state="online"}');
    // No answer is no count: the controller that answers nothing fails the command.
    if (Number.isNaN(counted)) return;
    online.push(counted);
    missing.push(connected - counted);
  };
  const watch = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      await look();
      await pause(1_000 * (0.5 + Math.random()), undefined, { signal: stopped.signal }).catch(() => {});
    }
  };
  watch();
  return {
    /** Since the last call. */
    take() {
      const seen = { fewestOnline: Math.min(...online), lost: Math.max(0, Math.min(...missing)) };
      online = [];
      missing = [];
      return seen;
    },
    stop: () => stopped.abort(),
  };
}

export async function commandEverybody({ service, readings, metric }: BenchFleet, nodes: number): Promise<Command> {
  const from = readings.length;
  const cpuS = await metric('llmasos_process_cpu_seconds_total');
  await service.tasks.add(taskSpecSchema.parse({ work: { kind: 'command', command: 'logs' } }));
  // As the nodes tell: whoever asks the controller again and again is load of its own.
  const done = (): number => readings.slice(from).reduce((sum, { unitsPerSecond }) => sum + unitsPerSecond, 0);
  const stage = await reach(nodes, async () => done());
  // The last second is told when it is over.
  await pause(1_100);
  const controllerCpuMs = Math.round(((await metric('llmasos_process_cpu_seconds_total')) - cpuS) * 1000);
  const during = readings.slice(from);
  const deliveries = together(during.map((reading) => reading.deliveries));
  return {
    ...stage,
    deliveryMsP50: quantile(deliveries, 0.5),
    deliveryMsP99: quantile(deliveries, 0.99),
    deliveries,
    controllerCpuMs,
    nodesBusy: Math.max(...during.map(({ busy }) => busy)),
  };
}

function together(all: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const [ms, count] of all.flatMap(Object.entries<number>)) sums[ms] = (sums[ms] ?? 0) + count;
  return sums;
}

function quantile(deliveries: Readonly<Record<string, number>>, share: number): number {
  // Integers as keys come in ascending order (ECMA-262, OrdinaryOwnPropertyKeys).
  const all = Object.entries(deliveries);
  let left = share * all.reduce((sum, [, count]) => sum + count, 0);
  for (const [ms, count] of all) {
    left -= count;
    if (left <= 0) return Number(ms);
  }
  return Number.NaN;
}

/** What was not as it should be; empty when the fleet was stable. */
function problemsOf(minutes: readonly Minute[], nodes: number): string[] {
  const fewest = Math.min(...minutes.map(({ fewestOnline }) => fewestOnline));
  const lost = Math.max(...minutes.map((minute) => minute.lost));
  const unanswered = minutes.filter(({ command }) => command.reached < nodes).length;
  const worst = Math.max(...minutes.map(({ command }) => command.deliveryMsP99));
  const { start, middle, end } = memoryOf(minutes);
  const grown = end / middle - 1;
  const problems = [
    fewest < LIMITS.onlineShare * nodes && `${fewest} online at the fewest`,
    lost > 0 && `${lost} nodes were connected and counted as lost for a whole minute`,
    unanswered > 0 && `${unanswered} commands did not reach everybody`,
    worst >= LIMITS.deliveryMs && `command p99 ${worst} ms in the worst minute`,
    minutes.length >= MINUTES_FOR_MEMORY &&
      grown > LIMITS.memoryGrowth &&
      `memory grows: ${[start, middle, end].map(megabytes).join(', ')} MB`,
  ];
  return problems.filter((problem) => problem !== false);
}

/** Medians of thirds; of less than three minutes those of all. */
function memoryOf(minutes: readonly Minute[]): { start: number; middle: number; end: number } {
  const part = (third: number): number => {
    const at = (thirds: number): number => Math.floor((minutes.length * thirds) / 3);
    const some = minutes.length < 3 ? minutes : minutes.slice(at(third), at(third + 1));
    return figuresOf(some.map(({ residentBytes }) => residentBytes)).median;
  };
  return { start: part(0), middle: part(1), end: part(2) };
}

export function soakLine(minutes: readonly Minute[], nodes: number): string {
  const last = minutes.at(-1) as Minute;
  const p99s = minutes.map(({ command }) => command.deliveryMsP99);
  const { start, middle, end } = memoryOf(minutes);
  const all = together(minutes.map(({ command }) => command.deliveries));
  const problems = problemsOf(minutes, nodes);
  const figures = [
    `fewest online ${Math.min(...minutes.map(({ fewestOnline }) => fewestOnline))}`,
    `lost ${Math.max(...minutes.map(({ lost }) => lost))}`,
    `command p99 ${quantile(all, 0.99)} ms, of the worst minute ${Math.max(...p99s)} ms`,
    `controller ${[start, middle, end].map(megabytes).join(', ')} MB`,
  ];
  const verdict = problems.length === 0 ? 'stable' : `not stable (${problems.join('; ')})`;
  return `${(last.seconds / 60).toFixed(1)} minutes of flapping: ${verdict}; ${figures.join('; ')}`;
}

export function minuteLine(minute: Minute): string {
  const { command, residentBytes, heapBytes, seconds, fewestOnline, lost } = minute;
  return [
    `minute ${(seconds / 60).toFixed(1)}: ${fewestOnline} online at the fewest, ${lost} lost`,
    `command p50 ${command.deliveryMsP50} ms, p99 ${command.deliveryMsP99} ms`,
    `${command.controllerCpuMs} ms of the controller, nodes' process ${(command.nodesBusy * 100).toFixed(0)}% busy`,
    `controller ${megabytes(residentBytes)} MB, heap ${megabytes(heapBytes)} MB`,
  ].join('; ');
}

export function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}
