/** Many light nodes in one process, and what can be read off them from second to second. */
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import packageFile from '../../package.json' with { type: 'json' };
import { parseBrokerAddress, streamFactory } from '../../runtime/node/broker-stream-io.ts';
import { LightNode, type Tally } from './light-node-io.ts';

const TICK_MS = 1_000;
/** Latencies of one second that are kept. */
const LATENCIES_MAX = 100_000;

export interface SwarmOptions {
  readonly broker: string;
  readonly nodes: number;
  /** Names are `{prefix}-{number}`. */
  readonly prefix: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly connectsPerSecond: number;
  /** Share of the nodes that lose their connection in a minute. */
  readonly flapping: number;
  readonly signal: AbortSignal;
}

export interface SwarmReading {
  readonly seconds: number;
  readonly connected: number;
  readonly connects: number;
  /** Of one node in this second, with what TCP and IP add to a packet. */
  readonly uplinkKilobitsPerNode: number;
  readonly unitsPerSecond: number;
  /** From the moment a task was accepted until its unit reached a node; null in a second without any. */
  readonly deliveryMsP50: number | null;
  readonly deliveryMsP99: number | null;
  /** How many took up to so many milliseconds, in steps of 2%: seconds can be put together. */
  readonly deliveries: Readonly<Record<string, number>>;
  /** Share of the second in which this process was at work: near 1 it is itself what the latencies measure. */
  readonly busy: number;
}

const STEP = 1.02;

/** IPv4 and TCP with time stamps (RFC 791, RFC 9293, RFC 7323), and as much for the acknowledgement of what comes back. */
const HEADER_BYTES = 52;

/** Runs until the signal aborts; `onReading` is told once a second. */
export async function runSwarm(options: SwarmOptions, onReading: (reading: SwarmReading) => void): Promise<void> {
  const { signal } = options;
  const openStream = await streamFactory(parseBrokerAddress(options.broker));
  const delivered: number[] = [];
  const tally: Tally = {
    ...{ connected: 0, connects: 0, uplinkBytes: 0, uplinkPackets: 0, downlinkBytes: 0, unitsDone: 0 },
    assigned({ acceptedAt }) {
      if (acceptedAt !== undefined && delivered.length < LATENCIES_MAX) delivered.push(Date.now() - acceptedAt);
    },
  };
  const { prefix, labels } = options;
  const version = packageFile.version;
  const nodes = Array.from(
    { length: options.nodes },
    (_, index) => new LightNode({ name: `${prefix}-${index}`, labels, version, openStream, tally }),
  );
  const startedMs = performance.now();
  let before = { ...tally };
  let loop = performance.eventLoopUtilization();
  const ticking = setInterval(() => {
    const nowMs = performance.now();
    for (const node of nodes) node.tick(nowMs);
    for (let cuts = (options.flapping * nodes.length) / 60; cuts > 0; cuts--)
      if (Math.random() < cuts) nodes[Math.floor(Math.random() * nodes.length)]?.cut();
    const busy = performance.eventLoopUtilization(loop).utilization;
    loop = performance.eventLoopUtilization();
    onReading({ ...readingOf(before, tally, delivered.splice(0), (nowMs - startedMs) / 1000, nodes.length), busy });
    before = { ...tally };
  }, TICK_MS);
  try {
    await connectAll(nodes, options.connectsPerSecond, signal);
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  } finally {
    clearInterval(ticking);
    for (const node of nodes) node.close();
  }
}

async function connectAll(nodes: readonly LightNode[], perSecond: number, signal: AbortSignal): Promise<void> {
  const step = Math.max(1, Math.round(perSecond / 20));
  for (let at = 0; at < nodes.length && !signal.aborted; at += step) {
    for (const node of nodes.slice(at, at + step)) node.connect();
    await pause((step / perSecond) * 1000);
  }
}

function readingOf(
  before: Tally,
  after: Tally,
  delivered: number[],
  seconds: number,
  nodes: number,
): Omit<SwarmReading, 'busy'> {
  const bytes =
    after.uplinkBytes - before.uplinkBytes + HEADER_BYTES * 2 * (after.uplinkPackets - before.uplinkPackets);
  const sorted = Float64Array.from(delivered).sort();
  const deliveries: Record<string, number> = {};
  for (const ms of delivered) {
    const bound = Math.ceil(STEP ** Math.ceil(Math.log(Math.max(1, ms)) / Math.log(STEP)));
    deliveries[bound] = (deliveries[bound] ?? 0) + 1;
  }
  const quantile = (share: number): number | null => sorted[Math.ceil(sorted.length * share) - 1] ?? null;
  return {
    seconds: Math.round(seconds * 10) / 10,
    connected: after.connected,
    connects: after.connects,
    uplinkKilobitsPerNode: Math.round((bytes * 8) / nodes) / 1000,
    unitsPerSecond: after.unitsDone - before.unitsDone,
    deliveryMsP50: quantile(0.5),
    deliveryMsP99: quantile(0.99),
    deliveries,
  };
}
