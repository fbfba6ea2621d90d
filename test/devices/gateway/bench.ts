/** What the node's tests stand on: a real broker over TCP, a client that is not ours, a tiny model and its trigger on disk. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Aedes } from 'aedes';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { floats, writeModel } from '../../../bench/write-model.ts';

export const main = fileURLToPath(new URL('../../../devices/gateway/main.ts', import.meta.url));

const folders: string[] = [];

export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'node-'));
  folders.push(folder);
  return folder;
}

const leftOver = new Set<() => void>();

/** After a test that failed half-way too: nothing may keep the file running, and no process may outlive it. */
export function cleanUp(): void {
  for (const end of leftOver) end();
  // A process that was just killed may still write into its folder: without another try, what else is to be cleaned up would stay.
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
}

/** y = x + factor · x for three floats: the largest of the answer is known by heart. */
export function scaleModel(factor: number): Uint8Array {
  return writeModel({
    graph: {
      inputs: [{ name: 'x', type: 1, dims: [1, 3] }],
      outputs: [{ name: 'y', type: 1, dims: [1, 3] }],
      initializers: [floats('f', [1], Float32Array.of(factor))],
      nodes: [
        { operator: 'Mul', inputs: ['x', 'f'], outputs: ['scaled'] },
        { operator: 'Add', inputs: ['x', 'scaled'], outputs: ['y'] },
      ],
    },
  });
}

/** Answers `{ id, v: [a, b, c] }` on sensors/D/values with `{ id, score: largest }` on answers/D. */
export function largestTrigger(name = 'largest', model = 'double', qos: 0 | 1 = 1) {
  return {
    name,
    topic: 'sensors/{device}/values',
    qos,
    decode: { format: 'json', values: '$.v', id: '$.id' },
    stages: [{ name: 'answer', model, post: { step: 'top-k', k: 1 } }],
    output: { topic: 'answers/{device}', qos, fields: { id: 'message.id', score: 'answer[0].score' } },
  };
}

/** Folders `models` and `triggers` with the model that doubles and its trigger. */
export function localFiles(qos: 0 | 1 = 1): { models: string; triggers: string } {
  const folder = newFolder();
  const [models, triggers] = [join(folder, 'models'), join(folder, 'triggers')];
  mkdirSync(models);
  mkdirSync(triggers);
  writeFileSync(join(models, 'double.onnx'), scaleModel(1));
  writeFileSync(join(triggers, 'largest.json'), JSON.stringify(largestTrigger('largest', 'double', qos)));
  return { models, triggers };
}

export interface TestBroker {
  readonly url: string;
  readonly aedes: Aedes;
  /** Connections end and new ones are refused, as when the network is gone; sessions stay. */
  cut(): Promise<void>;
  mend(): Promise<void>;
  close(): Promise<void>;
}

export async function startBroker(): Promise<TestBroker> {
  const aedes = await Aedes.createBroker();
  const sockets = new Set<Socket>();
  let server!: Server;
  const listen = (port: number): Promise<void> => {
    server = createServer((socket) => {
      sockets.add(socket.on('close', () => sockets.delete(socket)));
      aedes.handle(socket);
    });
    return new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  };
  const cut = (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(() => resolve()));
  };
  leftOver.add(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
    aedes.close();
  });
  await listen(0);
  const { port } = server.address() as AddressInfo;
  return {
    url: `mqtt://127.0.0.1:${port}`,
    aedes,
    cut,
    mend: () => listen(port),
    async close() {
      await cut();
      await new Promise<void>((resolve) => aedes.close(resolve));
    },
  };
}

export interface Heard {
  readonly topic: string;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever came
  readonly json: any;
}

export interface TestClient {
  readonly mqtt: MqttClient;
  readonly heard: Heard[];
  send(topic: string, value: unknown, qos?: 0 | 1): Promise<unknown>;
  /** The first message, past or future, that fits. Rejects with `what` after a minute, a safety net. */
  wait(what: string, fits: (message: Heard) => boolean): Promise<Heard>;
}

export async function connectClient(url: string, filters: string[], options: IClientOptions = {}): Promise<TestClient> {
  const mqtt = await connectAsync(url, { protocolVersion: 4, reconnectPeriod: 50, ...options });
  leftOver.add(() => mqtt.end(true));
  const heard: Heard[] = [];
  const listeners = new Set<() => void>();
  mqtt.on('message', (topic, payload) => {
    const text = payload.toString();
    heard.push({ topic, text, json: text.startsWith('{') ? JSON.parse(text) : undefined });
    for (const listener of [...listeners]) listener();
  });
  for (const filter of filters) await mqtt.subscribeAsync(filter, { qos: 1 });
  return {
    mqtt,
    heard,
    send: (topic, value, qos = 1) =>
      mqtt.publishAsync(topic, Buffer.isBuffer(value) || typeof value === 'string' ? value : JSON.stringify(value), {
        qos,
      }),
    wait: (what, fits) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          listeners.delete(look);
          reject(new Error(`${what} did not come; heard ${JSON.stringify(heard.slice(-5))}`));
        }, 60_000);
        const look = (): void => {
          const found = heard.find(fits);
          if (!found) return;
          clearTimeout(timer);
          listeners.delete(look);
          resolve(found);
        };
        listeners.add(look);
        look();
      }),
  };
}

export interface NodeProcess {
  readonly child: ChildProcess;
  readonly log: () => string;
  /** Resolves when the log contains the words. */
  said(words: string): Promise<void>;
  stop(signal: NodeJS.Signals): Promise<number | null>;
}

export function spawnNode(flags: Readonly<Record<string, string>>): NodeProcess {
  const listed = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  const child = spawn(process.execPath, [main, ...listed], { stdio: ['ignore', 'ignore', 'pipe'] });
  leftOver.add(() => child.kill('SIGKILL'));
  let log = '';
  const exited = new Promise<number | null>((resolve) => child.on('close', resolve));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  return {
    child,
    log: () => log,
    async said(words) {
      for (let waited = 0; !log.includes(words); waited += 20) {
        if (waited > 15_000) throw new Error(`the node never said "${words}": ${log}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    stop(signal) {
      child.kill(signal);
      return exited;
    },
  };
}
