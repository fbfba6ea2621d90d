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
import type { IClientOptions, MqttClient } from 'mqtt';
import clientModule from 'mqtt/lib/client';
import { describeError, parseBrokerUrl, streamFactory } from './broker-stream-io.ts';
import type { IncomingMessage } from './incoming.ts';
import type { Link, OutgoingMessage } from './outgoing.ts';

/** CommonJS: its default export is a property of what an ES module gets. */
const { default: Client } = clientModule;
type StreamBuilder = ConstructorParameters<typeof Client>[0];

const BACKOFF_MS = { first: 500, max: 30_000 };
const CONNECT_TIMEOUT_MS = 10_000;
/** A broker that leaves a QoS 1 message unconfirmed for so long has lost it: a new connection sends it again. */
const CONFIRM_MS = 30_000;
const CLOSE_MS = 200;

export interface BrokerOptions {
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

export interface Broker extends Link {
  readonly connected: boolean;
  start(): Promise<void>;
  /** Resolves with the filters that the broker refused. Rejects when the connection ends first. */
  subscribe(filters: Readonly<Record<string, 0 | 1>>): Promise<string[]>;
  /** Rejects when the connection ends first. */
  unsubscribe(filters: readonly string[]): Promise<void>;
  /** Publishes `farewell`, waits a moment for its confirmation and ends the connection for good. */
  close(farewell: OutgoingMessage): Promise<void>;
}

/** Throws an Error when the URL is not the address of a broker. */
export function createBroker(options: BrokerOptions): Broker {
  const url = parseBrokerUrl(options.url);
  let client: MqttClient | undefined;
  let retry: NodeJS.Timeout | undefined;
  /** QoS 1 messages of this connection, oldest first. */
  let unconfirmed = new Set<Sent>();
  let failures = 0;
  let closed = false;

  const open = (openStream: () => Duplex): void => {
    const settings: IClientOptions = {
      clientId: options.clientId,
      protocolVersion: 4,
      clean: false,
      reconnectPeriod: 0,
      connectTimeout: CONNECT_TIMEOUT_MS,
      keepalive: 15,
      resubscribe: false,
      queueQoSZero: false,
      // The cache holds a Buffer for each of 65,536 numbers: 10 MB to save a four-byte allocation.
      writeCache: false,
      timerVariant: 'native',
      ...(url.username && { username: decodeURIComponent(url.username) }),
      ...(url.password && { password: decodeURIComponent(url.password) }),
      will: willOf(options.will()),
    };
    const made = new Client(openStream as unknown as StreamBuilder, settings);
    client = made;
    let reason = 'the connection ended';
    made.handleMessage = (packet, done) => {
      const { topic, qos, messageId } = packet;
      const payload = packet.payload as Uint8Array;
      const message = { topic, payload, qos: qos === 0 ? (0 as const) : (1 as const), receivedAt: Date.now() };
      if (qos === 0 || messageId === undefined) options.onMessage(message);
      else options.onMessage(message, () => acknowledge(made, messageId));
      done(qos === 0 ? undefined : NOT_YET);
    };
    made.on('connect', ({ sessionPresent }) => {
      failures = 0;
      options.onConnected(sessionPresent);
    });
    made.on('error', (error) => {
      reason = describeError(error);
      // Not every error ends the stream by itself (a malformed packet, for one).
      made.end(true);
    });
    unconfirmed = new Set();
    const watch = watchConfirmations(unconfirmed, () => {
      reason = `no confirmation for ${CONFIRM_MS} ms`;
      made.stream.destroy();
    });
    made.once('close', () => {
      clearInterval(watch);
      if (client !== made) return;
      client = undefined;
      made.end(true);
      if (closed) return;
      const delay = Math.min(BACKOFF_MS.max, BACKOFF_MS.first * 2 ** failures) * (0.5 + Math.random() * 0.5);
      failures++;
      retry = setTimeout(open, delay, openStream);
      options.onDisconnected(reason, delay);
    });
  };

  return {
    get connected() {
      return client?.connected ?? false;
    },
    async start() {
      const openStream = await streamFactory(url);
      if (!closed) open(openStream);
    },
    send(message, confirmed) {
      const sender = client;
      const sent = { sentMs: performance.now() };
      if (message.qos === 1) unconfirmed.add(sent);
      sender?.publish(
        message.topic,
        message.payload as Buffer,
        { qos: message.qos, retain: message.retain },
        (error) => {
          if (error || sender !== client) return;
          unconfirmed.delete(sent);
          confirmed();
        },
      );
    },
    async subscribe(filters) {
      if (!client) throw new Error('not connected to the broker');
      const wanted = Object.fromEntries(Object.entries(filters).map(([filter, qos]) => [filter, { qos }]));
      const grants = await client.subscribeAsync(wanted);
      return grants.filter(({ qos }) => qos === 128).map(({ topic }) => topic);
    },
    async unsubscribe(filters) {
      if (!client) throw new Error('not connected to the broker');
      await client.unsubscribeAsync([...filters]);
    },
    async close(farewell) {
      closed = true;
      clearTimeout(retry);
      const last = client;
      if (!last) return;
      const { topic, payload, qos, retain } = farewell;
      if (last.connected) await inTime(last.publishAsync(topic, payload as Buffer, { qos, retain }));
      client = undefined;
      await inTime(last.endAsync());
      await last.endAsync(true).catch(() => {});
    },
  };
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
