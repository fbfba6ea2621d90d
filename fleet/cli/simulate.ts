/** `llmasos simulate`: load for a controller, from nodes that speak the real protocol and compute nothing. */
import { runSwarm, type SwarmReading } from '../swarm/swarm-io.ts';
import type { Terminal } from './program.ts';

export interface SimulateOptions {
  readonly nodes: number;
  readonly broker: string;
  readonly prefix: string;
  readonly label: readonly string[];
  readonly connects: number;
  readonly flapping: number;
  readonly json?: boolean;
}

const NODES_MAX = 20_000;
const PREFIX = /^[A-Za-z0-9_-]{1,50}$/;

/** Runs until the terminal's signal aborts. */
export async function simulate(
  options: SimulateOptions,
  asJson: boolean,
  { print, style, signal }: Terminal,
): Promise<void> {
  const { nodes, broker, prefix, connects, flapping } = options;
  if (!(nodes <= NODES_MAX))
    throw new Error(`--nodes ${nodes}: expected at most ${NODES_MAX}, which one controller takes`);
  if (!PREFIX.test(prefix))
    throw new Error(`--prefix "${prefix}": expected letters, digits, _ and - only, 1 to 50 of them`);
  const labels = Object.fromEntries(options.label.map(labelOf));
  if (!asJson) print(`${nodes} nodes on ${broker}; a line a second. Ctrl-C ends them.`);
  const show = (reading: SwarmReading): void => print(asJson ? JSON.stringify(reading) : lineOf(reading, nodes, style));
  await runSwarm({ nodes, broker, prefix, labels, connectsPerSecond: connects, flapping, signal }, show);
}

function labelOf(text: string): [string, string] {
  const [, key, value] = /^([^=]+)=(.*)$/.exec(text) ?? [];
  if (key === undefined || value === undefined) throw new Error(`--label "${text}": expected key=value`);
  return [key, value];
}

function lineOf(reading: SwarmReading, nodes: number, style: Terminal['style']): string {
  const { seconds, connected, connects, uplinkKilobitsPerNode, unitsPerSecond, deliveryMsP50, deliveryMsP99 } = reading;
  const online = `${connected} of ${nodes} connected`;
  const delivery = deliveryMsP99 === null ? '' : `, delivered after ${deliveryMsP50} / ${deliveryMsP99} ms (p50 / p99)`;
  const rest = `${connects} connections made, ${uplinkKilobitsPerNode} kbit/s up a node, ${unitsPerSecond} units/s${delivery}`;
  return `${style.dim(`${seconds.toFixed(0)} s`)}  ${connected === nodes ? style.good(online) : style.bad(online)}, ${rest}`;
}
