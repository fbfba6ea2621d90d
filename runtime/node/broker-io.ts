/**
 * The connection to the MQTT broker: one mqtt.js client per connection, thrown away when it ends, so that no state of a
 * dead connection can leak into the next. Reconnects for ever, later and later, with jitter: a thousand nodes that lost
 * one broker must not return in step (findings: a reconnect storm costs the broker ~1 ms of CPU for every TLS handshake).
 *
 * MQTT 3.1.1, `clean: false`: the broker keeps QoS 1 messages for a node that is away. mqtt.js would acknowledge a QoS 1
 * message when `handleMessage` calls back, one message after the other; here the callback is told not to, and PUBACK is
 * sent when the message is safe (incoming.ts), so that many may be in work at once.
 */
import type { Duplex } from 'node:stream';
import type { IClientOptions, IPublishPacket, MqttClient } from 'mqtt';
import { type BrokerAddress, describeError, parseBrokerAddress, streamFactory } from './broker-stream-io.ts';
import type { IncomingMessage } from './incoming.ts';
import { createClient, subscribe } from './mqtt-client-io.ts';
import type { Link, OutgoingMessage } from './outgoing.ts';

const BACKOFF_MS = { first: 500, max: 30_000 };
const CONNECT_TIMEOUT_MS = 10_000;
/** A broker that leaves a QoS 1 message unconfirmed for so long has lost it: a new connection sends it again. */
const CONFIRM_MS = 30_000;
const CLOSE_MS = 200;

export interface BrokerOptions {
  /** One address, or those of a cluster's servers with commas between them: the next one is tried when one is lost. */
  readonly url: string;
  readonly clientId: string;
  /** Published by the broker when this connection dies. */
  readonly will: () => OutgoingMessage;
  /** Runs on every connection, before any message. `resumed`: the broker still had our subscriptions. */
  readonly onConnected: (resumed: boolean) => void;
  /** The connection ended, or could not be made. `retryMs`: the next attempt. */
  readonly onDisconnected: (reason: string, retryMs: number) => void;
  /** `acknowledge` is given at QoS 1. */
  readonly onMessage: (message: IncomingMessage, acknowledge?: () => void) => void;
}

export class Broker implements Link {
  readonly #options: BrokerOptions;
  readonly #address: BrokerAddress;
  #client: MqttClient | undefined;
  #retry: NodeJS.Timeout | undefined;
  /** QoS 1 messages of this connection, oldest first. */
  #unconfirmed = new Set<Sent>();
  #failures = 0;
  #closed = false;

  /** Throws an Error when the URL is not the address of a broker. */
  constructor(options: BrokerOptions) {
    this.#options = options;
    this.#address = parseBrokerAddress(options.url);
  }

  get connected(): boolean {
    return this.#client?.connected ?? false;
  }

  async start(): Promise<void> {
    const openStream = await streamFactory(this.#address);
    if (!this.#closed) this.#open(openStream);
  }

  send(message: OutgoingMessage, confirmed: () => void): void {
    const sender = this.#client;
    if (!sender) return;
    const { topic, payload, qos, retain } = message;
    const sent = { sentMs: performance.now() };
    if (qos === 1) this.#unconfirmed.add(sent);
    sender.publish(topic, payload as Buffer, { qos, retain }, (error) => {
      if (error || sender !== this.#client) return;
      this.#unconfirmed.delete(sent);
      confirmed();
    });
  }

  /** Resolves with the filters that the broker refused. Rejects when the connection ends first. */
  async subscribe(filters: Readonly<Record<string, 0 | 1>>): Promise<string[]> {
    return subscribe(this.#present(), filters);
  }

  /** Rejects when the connection ends first. */
  async unsubscribe(filters: readonly string[]): Promise<void> {
    await this.#present().unsubscribeAsync([...filters]);
  }

  /** Publishes `farewell`, waits a moment for its confirmation and ends the connection for good. */
  async close({ topic, payload, qos, retain }: OutgoingMessage): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    const last = this.#client;
    if (!last) return;
    if (last.connected) await inTime(last.publishAsync(topic, payload as Buffer, { qos, retain }));
    this.#client = undefined;
    await inTime(last.endAsync());
    await last.endAsync(true).catch(() => {});
  }

  #present(): MqttClient {
    if (!this.#client) throw new Error('not connected to the broker');
    return this.#client;
  }

  #open(openStream: () => Duplex): void {
    const client = createClient(this.#address, openStream, this.#settings());
    this.#client = client;
    let reason = 'the connection ended';
    client.handleMessage = (packet, done) => {
      this.#take(client, packet);
      done(packet.qos === 0 ? undefined : NOT_YET);
    };
    client.on('connect', ({ sessionPresent }) => {
      this.#failures = 0;
      this.#options.onConnected(sessionPresent);
    });
    client.on('error', (error) => {
      reason = describeError(error);
      // Not every error ends the stream by itself (a malformed packet, for one).
      client.end(true);
    });
    this.#unconfirmed = new Set();
    const watch = watchConfirmations(this.#unconfirmed, () => {
      reason = `no confirmation for ${CONFIRM_MS} ms`;
      client.stream.destroy();
    });
    client.once('close', () => {
      clearInterval(watch);
      if (this.#client !== client) return;
      this.#client = undefined;
      client.end(true);
      if (!this.#closed) this.#openLater(openStream, reason);
    });
  }

  #openLater(openStream: () => Duplex, reason: string): void {
    const delay = Math.min(BACKOFF_MS.max, BACKOFF_MS.first * 2 ** this.#failures) * (0.5 + Math.random() * 0.5);
    this.#failures++;
    this.#retry = setTimeout(() => this.#open(openStream), delay);
    this.#options.onDisconnected(reason, delay);
  }

  #take(client: MqttClient, { topic, qos, retain, messageId, payload }: IPublishPacket): void {
    const message = {
      topic,
      payload: payload as Buffer,
      qos: qos === 0 ? (0 as const) : (1 as const),
      retain,
      receivedAt: Date.now(),
    };
    if (qos === 0 || messageId === undefined) this.#options.onMessage(message);
    else this.#options.onMessage(message, () => acknowledge(client, messageId));
  }

  #settings(): IClientOptions {
    return {
      clientId: this.#options.clientId,
      protocolVersion: 4,
      clean: false,
      reconnectPeriod: 0,
      connectTimeout: CONNECT_TIMEOUT_MS,
      keepalive: 15,
      resubscribe: false,
      queueQoSZero: false,
      timerVariant: 'native',
      will: willOf(this.#options.will()),
    };
  }
}

interface Sent {
  readonly sentMs: number;
}

const NOT_YET = new Error('acknowledged later');

function willOf({ topic, payload, qos, retain }: OutgoingMessage): IClientOptions['will'] {
  return { topic, payload: payload as Buffer, qos, retain };
}

/** PUBACK, MQTT 3.1.1 section 3.4: type 4, two bytes, the packet identifier. */
function acknowledge(client: MqttClient, messageId: number): void {
  if (client.connected) client.stream.write(Uint8Array.of(0x40, 2, messageId >> 8, messageId & 255));
}

/** Calls `onStuck` when the oldest unconfirmed message has been on its way for too long. */
function watchConfirmations(unconfirmed: ReadonlySet<Sent>, onStuck: () => void): NodeJS.Timeout {
  const check = (): void => {
    for (const { sentMs } of unconfirmed) {
      if (performance.now() - sentMs > CONFIRM_MS) onStuck();
      return;
    }
  };
  return setInterval(check, CONFIRM_MS / 4).unref();
}

async function inTime(work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, CLOSE_MS);
  });
  await Promise.race([work.catch(() => {}), late]);
  clearTimeout(timer);
}
