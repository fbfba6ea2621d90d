/**
 * A node without an engine: the real protocol over a real connection, the real machine of tasks, and nothing else, so that
 * thousands fit into a process. It says that everything it should have is ready, and answers at once. For load, not for trust:
 * what it holds is in memory only.
 */
import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import mqtt, { type Packet } from 'mqtt-packet';
import { checkDesired } from '../../runtime/node/desired.ts';
import { TaskRunner } from '../../runtime/node/task-runner.ts';
import type { Inventory, ReportedState } from '../../runtime/protocol/messages.ts';
import { type Assignment, envelopeOf, type Outcome, type TaskEvent } from '../../runtime/protocol/tasks.ts';
import { type NodeChannel, nodeTopic } from '../../runtime/protocol/topics.ts';

/** As a node's (runtime/node/broker-io.ts). */
const KEEPALIVE_S = 15;
const BACKOFF_MS = { first: 500, max: 30_000 };
const CONNECT_MS = 10_000;
/** A model that every one of them has, so that tasks find work without an upload. */
export const SIMULATED_MODEL = 'simulated';
const METRICS_MS = 60_000;

export interface LightNodePorts {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly version: string;
  readonly openStream: () => Duplex;
  readonly tally: Tally;
}

/** What happened to all of them together. */
export interface Tally {
  connected: number;
  connects: number;
  uplinkBytes: number;
  uplinkPackets: number;
  downlinkBytes: number;
  unitsDone: number;
  assigned(assignment: Assignment): void;
}

export class LightNode {
  readonly #ports: LightNodePorts;
  readonly #tasks: TaskRunner;
  #stream: Duplex | undefined;
  #up = false;
  #messageId = 0;
  #failures = 0;
  #sentMs = 0;
  #metricsMs = 0;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  #state: Pick<ReportedState, 'desiredVersion' | 'models' | 'triggers'> = {
    desiredVersion: 0,
    models: [{ name: SIMULATED_MODEL, state: 'ready' }],
    triggers: [],
  };

  constructor(ports: LightNodePorts) {
    this.#ports = ports;
    this.#tasks = new TaskRunner(
      {
        node: ports.name,
        store: { commit() {} },
        now: Date.now,
        send: (content) =>
          this.#publish(
            'task-events',
            envelopeOf<TaskEvent>(content, `/nodes/${ports.name}`, randomUUID(), Date.now()),
          ),
        run: (assignment, _, done) => setImmediate(() => done(this.#answer(assignment))),
        log() {},
      },
      { floor: 0, units: new Map(), gone: new Map() },
    );
  }

  connect(): void {
    if (this.#closed) return;
    const stream = this.#ports.openStream();
    this.#stream = stream;
    const parser = mqtt.parser();
    parser.on('packet', (packet: Packet) => this.#take(packet));
    parser.on('error', () => stream.destroy());
    const late = setTimeout(() => stream.destroy(), CONNECT_MS);
    stream.on('data', (chunk: Buffer) => {
      clearTimeout(late);
      this.#ports.tally.downlinkBytes += chunk.length;
      // What answers it leaves together, the outcome of a task too: thousands of nodes share this process.
      stream.cork();
      parser.parse(chunk);
      setImmediate(() => stream.uncork());
    });
    stream.on('error', () => {});
    stream.once('close', () => {
      clearTimeout(late);
      this.#ended(stream);
    });
    const will = {
      topic: this.#topic('presence'),
      payload: Buffer.from(presence(false)),
      qos: 1 as const,
      retain: true,
    };
    const session = { protocolId: 'MQTT', protocolVersion: 4, clean: false, clientId: this.#ports.name } as const;
    this.#write({ cmd: 'connect', ...session, keepalive: KEEPALIVE_S, will });
  }

  /** Cut off, as by a network that fails; it comes back by itself. */
  cut(): void {
    this.#stream?.destroy();
  }

  /** Call it every second. */
  tick(nowMs: number): void {
    this.#tasks.tick();
    if (!this.#up) return;
    if (nowMs - this.#metricsMs >= METRICS_MS) this.#metrics(nowMs);
    if (nowMs - this.#sentMs >= (KEEPALIVE_S - 1) * 1000) this.#write({ cmd: 'pingreq' });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#tasks.close();
    this.#stream?.destroy();
  }

  #ended(stream: Duplex): void {
    if (stream !== this.#stream) return;
    this.#stream = undefined;
    if (this.#up) this.#ports.tally.connected--;
    this.#up = false;
    if (this.#closed) return;
    const delay = Math.min(BACKOFF_MS.max, BACKOFF_MS.first * 2 ** this.#failures++) * (0.5 + Math.random() * 0.5);
    this.#retry = setTimeout(() => this.connect(), delay);
  }

  #take(packet: Packet): void {
    if (packet.cmd === 'connack') {
      if (packet.returnCode === 0) this.#announce();
      else this.#stream?.destroy();
    }
    if (packet.cmd !== 'publish') return;
    if (packet.qos === 1) this.#write({ cmd: 'puback', messageId: packet.messageId as number });
    const payload = packet.payload as Buffer;
    if (payload.length === 0) return;
    if (packet.topic === this.#topic('tasks')) this.#tasks.receive(packet.topic, payload);
    else if (packet.topic === this.#topic('desired')) this.#desire(packet.topic, payload);
    else this.#reply(payload);
  }

  #announce(): void {
    const { tally } = this.#ports;
    this.#up = true;
    this.#failures = 0;
    tally.connected++;
    tally.connects++;
    const channels = ['desired', 'requests', 'tasks'] as const;
    const subscriptions = channels.map((channel) => ({ topic: this.#topic(channel), qos: 1 as const }));
    this.#write({ cmd: 'subscribe', messageId: this.#nextId(), subscriptions } as Packet);
    this.#publish('presence', presence(true), true);
    this.#report();
    this.#tasks.connected();
    // The first minute begins anywhere, or all would count at once.
    this.#metricsMs = performance.now() - Math.random() * METRICS_MS;
  }

  #report(): void {
    const { labels, version } = this.#ports;
    const reported: ReportedState = {
      ...{ at: Date.now(), labels: { ...labels }, features: ['tasks'], inventory: inventoryOf(version) },
      ...this.#state,
    };
    this.#publish('reported', reported, true);
  }

  #desire(topic: string, payload: Uint8Array): void {
    const { version, models, triggers } = checkDesired(topic, payload);
    const ready = { state: 'ready' } as const;
    this.#state = {
      desiredVersion: version,
      models: [
        { name: SIMULATED_MODEL, ...ready },
        ...models.map(({ name, version: newest, sha256 }) => ({ name, version: newest, sha256, ...ready })),
      ],
      triggers: triggers.map(({ name }) => ({ name, ...ready })),
    };
    this.#report();
  }

  #reply(payload: Uint8Array): void {
    const { id } = JSON.parse(new TextDecoder().decode(payload)) as { id: string };
    this.#publish('replies', { id, ok: true, result: { node: this.#ports.name } });
  }

  #answer(assignment: Assignment): Outcome {
    this.#ports.tally.assigned(assignment);
    this.#ports.tally.unitsDone++;
    const { work } = assignment;
    const inputs = work.kind === 'inference' ? work.inputs : [undefined];
    return { state: 'succeeded', results: inputs.map(() => ({ node: this.#ports.name })) };
  }

  #metrics(nowMs: number): void {
    this.#metricsMs = nowMs;
    const counts = { outboxItems: 0, outboxDropped: 0, refusedMessages: 0, triggers: [] };
    const residentBytes = 80e6;
    this.#publish('metrics', { at: Date.now(), uptimeMs: nowMs, residentBytes, ...counts }, false, 0);
  }

  #publish(channel: NodeChannel, value: object | string, retain = false, qos: 0 | 1 = 1): void {
    if (!this.#up) return;
    const payload = typeof value === 'string' ? value : JSON.stringify(value);
    const id = qos === 1 ? { messageId: this.#nextId() } : {};
    this.#write({ cmd: 'publish', topic: this.#topic(channel), payload, qos, retain, dup: false, ...id } as Packet);
  }

  #write(packet: Packet): void {
    const bytes = mqtt.generate(packet);
    this.#ports.tally.uplinkBytes += bytes.length;
    this.#ports.tally.uplinkPackets++;
    this.#sentMs = performance.now();
    this.#stream?.write(bytes);
  }

  #topic(channel: NodeChannel): string {
    return nodeTopic(this.#ports.name, channel);
  }

  #nextId(): number {
    this.#messageId = (this.#messageId % 65_535) + 1;
    return this.#messageId;
  }
}

function presence(online: boolean): string {
  return JSON.stringify({ online, at: Date.now() });
}

function inventoryOf(version: string): Inventory {
  const machine = {
    node: process.versions.node,
    platform: 'simulated',
    architecture: 'none',
    cores: 4,
    memoryBytes: 4e9,
  };
  return { version, ...machine, simd: 'relaxed', gpu: { usable: false, detail: 'simulated' } };
}
