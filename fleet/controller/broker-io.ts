/**
 * The broker that a controller brings along: aedes, MQTT 3.1.1 over TCP and WebSocket. It keeps everything in memory, and
 * it confirms QoS 1 before it passes a message on; so nothing here is the truth: the controller publishes desired state
 * again whenever it starts, and what matters is acknowledged by its receiver (docs/architecture.md).
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { type Duplex, Readable } from 'node:stream';
import type { Meter } from '@opentelemetry/api';
import { Aedes, type Client } from 'aedes';
import type { Logger } from 'pino';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { noTelemetry } from '../../runtime/telemetry/telemetry.ts';
import { originProblem } from '../api/origin.ts';
import { Bucket, isControl, publishProblem, type Rate } from './broker-access.ts';
import { Backlog, Retained } from './broker-memory.ts';
import type { Link } from './link-io.ts';
import { type OwnLinkOptions, openOwnLink } from './own-link-io.ts';
import { PortError } from './port-error.ts';

export const BROKER_LIMITS = {
  /** One MQTT packet, its payload and topic together. A camera's picture fits, a film does not. */
  packetBytes: 16 * 2 ** 20,
  connections: 20_000,
  /** Persistent sessions of clients that are away. */
  sessionsAway: 20_000,
  /** For one client. */
  subscriptions: 1_000,
  /** QoS 2 messages that a client has begun and not released. */
  unreleased: 100,
  topicLevels: 16,
  clientIdBytes: 128,
  retainedTopics: 100_000,
  retainedBytes: 256 * 2 ** 20,
  waitingMessages: 10_000,
  waitingBytes: 64 * 2 ** 20,
  allWaitingBytes: 256 * 2 ** 20,
  /** Packets that a client may send before its connection is accepted. */
  earlyPackets: 1_000,
  connectMs: 10_000,
  /** A client that does not read for so long is disconnected. */
  drainMs: 60_000,
} as const;

/** What one client may send; beyond, it is read more slowly. Of control messages each costs the controller a look at its schema. */
const RATES = {
  messages: { perSecond: 20_000, burst: 40_000 },
  bytes: { perSecond: 256 * 2 ** 20, burst: 512 * 2 ** 20 },
  controlMessages: { perSecond: 1_000, burst: 4_000 },
  controlBytes: { perSecond: 4 * 2 ** 20, burst: 16 * 2 ** 20 },
} satisfies Record<string, Rate>;

const CONTROLLER = 'llmasos-controller';
/** MQTT 3.1.1, 3.2.2.3. */
const REFUSED = { unavailable: 3, badPassword: 4 } as const;

export interface BrokerOptions {
  /** Address to bind to. */
  readonly host: string;
  /** 0: chosen by the system. */
  readonly tcpPort: number;
  readonly webSocketPort: number;
  readonly log: Logger;
  readonly meter?: Meter;
}

export interface EmbeddedBroker {
  readonly tcpPort: number;
  readonly webSocketPort: number;
  /** User name and password that make a client the controller, as they stand in an address. */
  readonly controllerLogin: string;
  link(options: OwnLinkOptions): Promise<Link>;
  close(): Promise<void>;
}

/** Rejects with an Error that names the flag when a port is in use or not allowed. */
export async function startBroker(options: BrokerOptions): Promise<EmbeddedBroker> {
  const { host, tcpPort, webSocketPort, log, meter = noTelemetry.meter } = options;
  const secret = randomBytes(24).toString('base64url');
  const counts = new Counts(meter);
  const retained = new Retained(BROKER_LIMITS);
  const aedes = await createAedes(log, secret, counts, retained);
  counts.watch(aedes);
  const accept = (stream: Duplex): void => {
    limitPackets(stream, BROKER_LIMITS.packetBytes);
    aedes.handle(stream);
  };
  const tcp = createServer({ noDelay: true }, accept);
  tcp.maxConnections = BROKER_LIMITS.connections;
  const http = createHttpServer((_, response) => response.writeHead(426).end('MQTT over WebSocket is spoken here\n'));
  http.maxConnections = BROKER_LIMITS.connections;
  const webSockets = acceptWebSockets(http, host, accept);
  const close = async (): Promise<void> => {
    await new Promise<void>((resolve) => aedes.close(resolve));
    for (const socket of webSockets.clients) socket.terminate();
    await Promise.all([tcp, http].map((server) => new Promise((resolve) => server.close(resolve))));
  };
  try {
    await listen(tcp, host, tcpPort, '--mqtt-port');
    await listen(http, host, webSocketPort, '--ws-port');
  } catch (error) {
    await close();
    throw error;
  }
  return {
    tcpPort: (tcp.address() as AddressInfo).port,
    webSocketPort: (http.address() as AddressInfo).port,
    controllerLogin: `${CONTROLLER}:${secret}`,
    link: (options) => openOwnLink(aedes, retained, options),
    close,
  };
}

async function createAedes(log: Logger, secret: string, counts: Counts, retained: Retained): Promise<Aedes> {
  const controllers = new WeakSet<Client>();
  const buckets = new WeakMap<Client, ReturnType<typeof createBuckets>>();
  const filters = new WeakMap<Client, Set<string>>();
  const aedes = await Aedes.createBroker({
    maxTopicLevels: BROKER_LIMITS.topicLevels,
    maxClientsIdLength: BROKER_LIMITS.clientIdBytes,
    queueLimit: BROKER_LIMITS.earlyPackets,
    connectTimeout: BROKER_LIMITS.connectMs,
    drainTimeout: BROKER_LIMITS.drainMs,
    // With a limit mqemitter queues, and empties its queue by recursion: of some ten thousand messages the stack did not take it.
    concurrency: 0,
    maxInflightInbound: BROKER_LIMITS.unreleased,
    authenticate(client, username, password, done) {
      const refuse = (returnCode: number, problem: string) =>
        done(Object.assign(new Error(problem), { returnCode }), false);
      if (username === CONTROLLER) {
        if (!isSecret(password, secret)) return refuse(REFUSED.badPassword, `expected the password of "${CONTROLLER}"`);
        controllers.add(client);
      }
      const { persistence } = aedes as unknown as AedesParts;
      persistence.countOffline().then(
        ({ clientsCount }) => {
          if (client.clean || clientsCount < BROKER_LIMITS.sessionsAway) done(null, true);
          else refuse(REFUSED.unavailable, `${clientsCount} sessions of clients that are away are kept, no more fit`);
        },
        (error: Error) => refuse(REFUSED.unavailable, error.message),
      );
    },
    authorizeSubscribe(client, subscription, done) {
      const known = filters.get(client) ?? new Set<string>();
      filters.set(client, known.add(subscription.topic));
      // Refused one by one, aedes would keep those of a persistent session all the same.
      if (known.size > BROKER_LIMITS.subscriptions)
        return done(new Error(`more than ${BROKER_LIMITS.subscriptions} subscriptions of one client`));
      done(null, subscription);
    },
    authorizePublish(client, packet, done) {
      const { topic, retain, payload } = packet;
      const isController = client !== null && controllers.has(client);
      const problem = publishProblem({ id: client?.id ?? '', isController }, topic, payload.length);
      // MQTT 3.1.1 has no other way to refuse a message [MQTT-3.3.5-2].
      if (problem !== undefined) return done(new Error(problem));
      // Ending the connection instead would bring a QoS 1 message back on the next one, for ever.
      if (retain && !retained.admit(topic, payload.length)) {
        packet.retain = false;
        log.warn(
          { client: client?.id },
          `topic "${topic}": passed on and not retained, too much is; clear retained topics`,
        );
      }
      if (client === null || isController) return done(null);
      const own = buckets.get(client) ?? createBuckets();
      buckets.set(client, own);
      const waitMs = own(isControl(topic), payload.length);
      if (waitMs < 1) return done(null);
      counts.throttled++;
      // Until then nothing more is read from it: its own buffers and its network's fill up.
      setTimeout(() => done(null), waitMs);
    },
  });
  aedes.on('unsubscribe', (topics, client) => {
    for (const topic of topics) filters.get(client)?.delete(topic);
  });
  const refused = (client: { id: string | null }, error: Error): void => {
    if (isDisconnect(error)) return;
    counts.refused++;
    log.warn({ client: client.id ?? undefined }, `disconnected an MQTT client: ${error.message}`);
  };
  limitBacklog(aedes, log);
  findRetainedByTopic(aedes);
  aedes.on('clientError', refused);
  aedes.on('connectionError', refused);
  return aedes;
}

function createBuckets(): (isControl: boolean, bytes: number) => number {
  const now = performance.now();
  const all = [new Bucket(RATES.messages, now), new Bucket(RATES.bytes, now)] as const;
  const control = [new Bucket(RATES.controlMessages, now), new Bucket(RATES.controlBytes, now)] as const;
  return (isControl, bytes) => {
    const [messages, sizes] = isControl ? control : all;
    const at = performance.now();
    return Math.max(messages.take(1, at), sizes.take(bytes, at));
  };
}

function isSecret(password: Buffer | undefined, secret: string): boolean {
  const expected = Buffer.from(secret);
  return password?.length === expected.length && timingSafeEqual(password, expected);
}

class Counts {
  refused = 0;
  throttled = 0;
  #messages = 0;
  readonly #meter: Meter;

  constructor(meter: Meter) {
    this.#meter = meter;
  }

  watch(aedes: Aedes): void {
    const meter = this.#meter;
    // Without a client it is the broker's own.
    aedes.on('publish', (_, client) => {
      if (client) this.#messages++;
    });
    const counter = (name: string, description: string, read: () => number) =>
      meter.createObservableCounter(name, { description }).addCallback((result) => result.observe(read()));
    counter('broker_messages', 'Messages that clients published', () => this.#messages);
    counter('broker_refused', 'Clients that were disconnected for what they did', () => this.refused);
    counter('broker_throttled', 'Messages that had to wait because their client sends too many', () => this.throttled);
    meter
      .createObservableGauge('broker_clients', { description: 'Clients that are connected' })
      .addCallback((result) => result.observe(aedes.connectedClients));
  }
}

/** Messages beyond the limit are lost to that client; one that is connected is cut off too, since it confirms nothing. */
function limitBacklog(aedes: Aedes, log: Logger): void {
  const { persistence, clients } = aedes as unknown as AedesParts;
  const backlog = new Backlog(
    BROKER_LIMITS,
    (client) => clients[client] === undefined,
    (client) => log.warn({ client }, 'too many messages wait for this client; those that come now are lost to it'),
  );
  const enqueue = persistence.outgoingEnqueueCombi.bind(persistence);
  persistence.outgoingEnqueueCombi = (subscriptions, packet) =>
    enqueue(
      subscriptions.filter(({ clientId }) => backlog.admit(clientId, packet.payload.length)),
      packet,
    );
  const clear = persistence.outgoingClearMessageId.bind(persistence);
  persistence.outgoingClearMessageId = async (client, packet) => {
    const cleared = await clear(client, packet);
    if (cleared) backlog.confirmed(client.id, cleared.payload?.length ?? 0);
    return cleared;
  };
}

/**
 * aedes looks through all retained messages for each subscription: of ten thousand nodes, each of which subscribes to topics of its
 * own when it comes, that is a minute of work. Topics without wildcards are looked up here.
 */
function findRetainedByTopic(aedes: Aedes): void {
  const { persistence } = aedes as unknown as AedesParts;
  const byTopic = new Map<string, RetainedPacket>();
  const store = persistence.storeRetained.bind(persistence);
  persistence.storeRetained = (packet) => {
    if (packet.payload.length > 0) byTopic.set(packet.topic, packet);
    else byTopic.delete(packet.topic);
    return store(packet);
  };
  const search = persistence.createRetainedStreamCombi.bind(persistence);
  persistence.createRetainedStreamCombi = (filters) => {
    const wild = filters.filter((filter) => /[+#]/.test(filter));
    if (wild.length > 0) return search(filters);
    return Readable.from(filters.flatMap((filter) => byTopic.get(filter) ?? []));
  };
}

interface RetainedPacket {
  readonly topic: string;
  readonly payload: Uint8Array;
}

/** What these need of aedes and of its persistence (aedes-persistence, "API"), which it leaves untyped. */
interface AedesParts {
  readonly clients: Readonly<Record<string, unknown>>;
  readonly persistence: {
    outgoingEnqueueCombi(subscriptions: { clientId: string }[], packet: { payload: Uint8Array }): Promise<void>;
    storeRetained(packet: RetainedPacket): Promise<void>;
    createRetainedStreamCombi(filters: readonly string[]): Readable;
    countOffline(): Promise<{ clientsCount: number }>;
    outgoingClearMessageId(client: { id: string }, packet: object): Promise<{ payload?: Uint8Array } | undefined>;
  };
}

/** A client that simply goes away is no error. */
function isDisconnect(error: Error): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ECONNRESET' || code === 'EPIPE' || code === 'ERR_STREAM_PREMATURE_CLOSE';
}

function acceptWebSockets(http: HttpServer, host: string, accept: (stream: Duplex) => void): WebSocketServer {
  const server = new WebSocketServer({
    server: http,
    maxPayload: BROKER_LIMITS.packetBytes,
    // [MQTT-6.0.0-4]: the sub-protocol is called "mqtt"; version 3.1 clients say "mqttv3.1".
    handleProtocols: (offered) => ['mqtt', 'mqttv3.1'].find((name) => offered.has(name)) ?? false,
    verifyClient: ({ req }: { req: { headers: Record<string, string | string[] | undefined> } }) =>
      originProblem(req.headers, host) === undefined,
  });
  server.on('connection', (socket) => accept(createWebSocketStream(socket)));
  // The HTTP server reports its own errors through `listen`; without a listener here they would end the process.
  server.on('error', () => {});
  return server;
}

/**
 * Ends a stream as soon as a packet announces itself as too long, before its body is gathered in memory: aedes and its
 * parser have no limit of their own. It looks at what passes through `read`, the one way in which aedes takes bytes.
 */
function limitPackets(stream: Duplex, bytesMax: number): void {
  const tooLong = watchPacketLength(bytesMax);
  const read = stream.read.bind(stream);
  stream.read = (size?: number) => {
    const chunk: Buffer | null = read(size);
    const length = chunk ? tooLong(chunk) : undefined;
    if (length === undefined) return chunk;
    stream.destroy(new Error(`expected packets of at most ${bytesMax} bytes, got one of ${length}`));
    return null;
  };
}

/**
 * Follows the fixed headers in a byte stream (MQTT 3.1.1, section 2.2: one byte type, then the remaining length, seven
 * bits a byte, least significant first) and returns the length of the first packet that is too long.
 */
export function watchPacketLength(bytesMax: number): (chunk: Uint8Array) => number | undefined {
  let skip = 0;
  let inLength = false;
  let length = 0;
  let scale = 1;
  return (chunk) => {
    let at = 0;
    while (at < chunk.length) {
      if (skip > 0) {
        const step = Math.min(skip, chunk.length - at);
        skip -= step;
        at += step;
      } else if (!inLength) {
        at++;
        inLength = true;
        length = 0;
        scale = 1;
      } else {
        const byte = chunk[at++] as number;
        length += (byte & 127) * scale;
        scale *= 128;
        if (length > bytesMax) return length;
        if (byte < 128) {
          skip = length;
          inLength = false;
        }
      }
    }
    return undefined;
  };
}

/** @param flag how a person chooses the port, for the error */
function listen(server: Server, host: string, port: number, flag: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => reject(new PortError(host, port, flag, cause)));
    server.listen(port, host, resolve);
  });
}
