/** A controller and simulated nodes as processes, for benches; the broker is the controller's own or Debian's mosquitto. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ControllerClient } from '../fleet/api/client.ts';
import type { SwarmReading } from '../fleet/swarm/swarm-io.ts';

const START_MS = 30_000;
/** So long a stage may take: then it says how far it came. */
const STAGE_MS = 120_000;
const MOSQUITTO = '/usr/sbin/mosquitto';
/**
 * What Debian's mosquitto has by default, 20 unconfirmed and 1,000 waiting messages for a client, is for one device: it drops what the
 * controller does not take at once when thousands of nodes announce themselves (mosquitto.conf(5); docs/scale.md).
 */
const MOSQUITTO_SETTINGS = [
  'user root',
  'allow_anonymous true',
  'set_tcp_nodelay true',
  'max_inflight_messages 1000',
  'max_queued_messages 0',
];
export const hasMosquitto = existsSync(MOSQUITTO);
const file = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));

export interface BenchFleet {
  readonly service: ControllerClient;
  /** One a second, newest last. */
  readonly readings: readonly SwarmReading[];
  /** Of the controller before any node came. */
  readonly first: Controller;
  metric(name: string): Promise<number>;
  /** How soon all were online after the start. */
  readonly online: Stage;
  /** Kills the process that the broker is in and starts it again; resolves when every node is online again, or has not come back. */
  restartBroker(): Promise<Stage>;
  /** Simulates the same nodes anew, of which a share loses its connection each minute; resolves when they are there. */
  flap(share: number): Promise<Stage>;
  stop(): Promise<void>;
}

/** How many nodes a stage has reached, and after how long. */
export interface Stage {
  readonly reached: number;
  readonly seconds: number;
}

interface Controller {
  readonly residentBytes: number;
}

export interface FleetWish {
  readonly nodes: number;
  readonly broker: 'embedded' | 'mosquitto';
  readonly connectsPerSecond?: number;
}

/** Resolves when all nodes are online, or have had time to be. */
export async function startFleet({ nodes, broker, connectsPerSecond = 500 }: FleetWish): Promise<BenchFleet> {
  const folder = mkdtempSync(join(tmpdir(), 'llmasos-bench-'));
  const [mqttPort, httpPort] = [await freePort(), await freePort()];
  const own = ['--mqtt-port', `${mqttPort}`, '--ws-port', '0'];
  const url = `mqtt://127.0.0.1:${mqttPort}`;
  const httpUrl = `http://127.0.0.1:${httpPort}`;
  const flags = ['--data', folder, '--http-port', `${httpPort}`, ...(broker === 'embedded' ? own : ['--broker', url])];
  const startController = (): ChildProcess => start(file('fleet/main.ts'), flags, 'ignore');
  const configuration = join(folder, 'mosquitto.conf');
  writeFileSync(configuration, [`listener ${mqttPort} 127.0.0.1`, ...MOSQUITTO_SETTINGS, ''].join('\n'));
  const startMosquitto = (): ChildProcess => spawn(MOSQUITTO, ['-c', configuration], { stdio: 'ignore' });
  let mosquitto = broker === 'mosquitto' ? startMosquitto() : undefined;
  let controller = startController();
  const metric = (name: string): Promise<number> => readMetric(httpUrl, name);
  const answers = await reach(1, () => metric('llmasos_broker_connected'), START_MS);
  if (answers.reached < 1) {
    for (const child of [controller, mosquitto]) await end(child, 'SIGKILL');
    throw new Error(`the controller was not connected to its broker within ${START_MS / 1000} s`);
  }
  await pause(2_000);
  const first = { residentBytes: await metric('llmasos_process_resident_bytes') };
  const readings: SwarmReading[] = [];
  const startSwarm = (flapping: number): ChildProcess => {
    const load = ['--nodes', `${nodes}`, '--connects', `${connectsPerSecond}`, '--flapping', `${flapping}`];
    const child = start(file('fleet/cli/main.ts'), ['simulate', '--broker', url, '--json', ...load], 'pipe');
    createInterface(child.stdout as NodeJS.ReadableStream).on('line', (line) => readings.push(JSON.parse(line)));
    return child;
  };
  const nodesOnline = (): Promise<number> => metric('llmasos_nodes{state="online"}');
  let swarm = startSwarm(0);
  return {
    ...{ service: new ControllerClient(httpUrl), readings, first, metric },
    online: await reach(nodes, nodesOnline),
    async stop() {
      for (const child of [swarm, controller, mosquitto]) await end(child, 'SIGTERM');
      rmSync(folder, { recursive: true, force: true });
    },
    async restartBroker() {
      if (mosquitto) {
        await end(mosquitto, 'SIGKILL');
        await reach(1, async () => Number((await metric('llmasos_broker_connected')) === 0));
        mosquitto = startMosquitto();
      } else {
        await end(controller, 'SIGKILL');
        controller = startController();
      }
      return reach(nodes, nodesOnline);
    },
    async flap(share) {
      await end(swarm, 'SIGTERM');
      const from = readings.length;
      swarm = startSwarm(share);
      // Some are always away.
      const connected = (): number => readings.slice(from).at(-1)?.connected ?? 0;
      return reach(Math.floor(nodes * 0.99), async () => Math.min(connected(), await nodesOnline()));
    },
  };
}

function start(program: string, words: readonly string[], stdout: 'pipe' | 'ignore'): ChildProcess {
  const environment = { ...process.env, LOG_LEVEL: 'error' };
  return spawn(process.execPath, [program, ...words], { stdio: ['ignore', stdout, 'inherit'], env: environment });
}

async function end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await ended;
}

/** NaN while there is no answer, or no such sample. */
async function readMetric(httpUrl: string, name: string): Promise<number> {
  const response = await fetch(`${httpUrl}/metrics`).catch(() => undefined);
  if (!response?.ok) return Number.NaN;
  const line = (await response.text()).split('\n').find((one) => one.startsWith(`${name} `));
  return Number(line?.slice(name.length) ?? Number.NaN);
}

/** Looks again and again until the number is reached, or the time is over. */
export async function reach(goal: number, look: () => Promise<number>, limitMs = STAGE_MS): Promise<Stage> {
  const startedMs = performance.now();
  for (;;) {
    const reached = await look();
    const elapsedMs = performance.now() - startedMs;
    if (reached >= goal || elapsedMs >= limitMs) return { reached: reached || 0, seconds: elapsedMs / 1000 };
    await pause(100);
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
