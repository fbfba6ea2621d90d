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

const MOSQUITTO = '/usr/sbin/mosquitto';
export const hasMosquitto = existsSync(MOSQUITTO);
const WAIT_MS = 180_000;
const file = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));

export interface BenchFleet {
  readonly service: ControllerClient;
  /** One a second, newest last. */
  readonly readings: readonly SwarmReading[];
  /** Of the controller before any node came. */
  readonly first: Controller;
  metric(name: string): Promise<number>;
  /** Kills the process that the broker is in and starts it again; resolves in milliseconds until every node is online again. */
  restartBroker(): Promise<number>;
  stop(): Promise<void>;
}

interface Controller {
  readonly residentBytes: number;
}

export interface FleetWish {
  readonly nodes: number;
  readonly broker: 'embedded' | 'mosquitto';
  readonly connectsPerSecond?: number;
}

/** Resolves when all nodes are online. */
export async function startFleet({ nodes, broker, connectsPerSecond = 500 }: FleetWish): Promise<BenchFleet> {
  const folder = mkdtempSync(join(tmpdir(), 'llmasos-bench-'));
  const [mqttPort, httpPort] = [await freePort(), await freePort()];
  const own = ['--mqtt-port', `${mqttPort}`, '--ws-port', '0'];
  const url = `mqtt://127.0.0.1:${mqttPort}`;
  const httpUrl = `http://127.0.0.1:${httpPort}`;
  const flags = ['--data', folder, '--http-port', `${httpPort}`, ...(broker === 'embedded' ? own : ['--broker', url])];
  const startController = (): ChildProcess => start(file('fleet/main.ts'), flags, 'ignore');
  const configuration = join(folder, 'mosquitto.conf');
  writeFileSync(
    configuration,
    `user root\nlistener ${mqttPort} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n`,
  );
  const startMosquitto = (): ChildProcess => spawn(MOSQUITTO, ['-c', configuration], { stdio: 'ignore' });
  let mosquitto = broker === 'mosquitto' ? startMosquitto() : undefined;
  let controller = startController();
  const metric = (name: string): Promise<number> => readMetric(httpUrl, name);
  await until('the controller answers', async () => (await metric('llmasos_broker_connected')) === 1);
  await pause(2_000);
  const first = { residentBytes: await metric('llmasos_process_resident_bytes') };
  const words = ['simulate', '--nodes', `${nodes}`, '--broker', url, '--connects', `${connectsPerSecond}`, '--json'];
  const swarm = start(file('fleet/cli/main.ts'), words, 'pipe');
  const readings: SwarmReading[] = [];
  createInterface(swarm.stdout as NodeJS.ReadableStream).on('line', (line) => readings.push(JSON.parse(line)));
  const allOnline = () =>
    until('every node is online', async () => (await metric('llmasos_nodes{state="online"}')) === nodes);
  const stop = async (): Promise<void> => {
    for (const child of [swarm, controller, mosquitto]) await end(child, 'SIGTERM');
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await allOnline();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    ...{ service: new ControllerClient(httpUrl), readings, first, metric, stop },
    async restartBroker() {
      const startedMs = performance.now();
      if (mosquitto) {
        await end(mosquitto, 'SIGKILL');
        await until(
          'the controller misses its broker',
          async () => (await metric('llmasos_nodes{state="online"}')) === 0,
        );
        mosquitto = startMosquitto();
      } else {
        await end(controller, 'SIGKILL');
        controller = startController();
      }
      await allOnline();
      return performance.now() - startedMs;
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

async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  for (const endMs = performance.now() + WAIT_MS; performance.now() < endMs; await pause(100))
    if (await check()) return;
  throw new Error(`waited in vain until ${what}`);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
