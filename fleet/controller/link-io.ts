/** The controller's connections to the broker, embedded or not: one for its own topics, and one for each person who watches. */
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IClientOptions, MqttClient } from 'mqtt';
import { describeError } from '../../runtime/node/broker-stream-io.ts';
import { openClient, subscribe } from '../../runtime/node/mqtt-client-io.ts';

const RECONNECT_MS = 1_000;
const CONNECT_TIMEOUT_MS = 10_000;
const KEEPALIVE_S = 15;
const CLOSE_MS = 1_000;

export type OnMessage = (topic: string, payload: Uint8Array) => void;

export interface LinkOptions {
  readonly url: string;
  readonly clientId: string;
  /** Subscribed on every connection at QoS 1; a retained message comes again each time. */
  readonly filters: readonly string[];
  readonly onMessage: OnMessage;
  /** Runs on every connection, once the broker has granted the subscriptions. */
  readonly onUp: () => void;
  /** There is no connection, or the broker refuses a subscription; the next attempt follows by itself. The same reason is told once. */
  readonly onDown: (reason: string) => void;
}

export interface Link {
  readonly connected: boolean;
  /** Resolves when the broker has confirmed the message. Rejects at once while there is no connection. */
  publish(topic: string, payload: string, options?: { retain?: boolean }): Promise<void>;
  /** Has the broker send again what it retains [MQTT-3.8.4-3]. */
  hearAgain(): Promise<void>;
  close(): Promise<void>;
}

const settings: IClientOptions = {
  protocolVersion: 4,
  clean: true,
  keepalive: KEEPALIVE_S,
  connectTimeout: CONNECT_TIMEOUT_MS,
  resubscribe: false,
  queueQoSZero: false,
};

/** Rejects with an Error when the address is not that of a broker; everything else is told through `onDown`. */
export async function openLink(options: LinkOptions): Promise<Link> {
  const { clientId } = options;
  const client = await openClient(options.url, {
    ...settings,
    clientId,
    reconnectPeriod: RECONNECT_MS,
    reconnectOnConnackError: true,
  });
  let up = false;
  let told = '';
  let reason = '';
  const tell = (why: string): void => {
    if (up || why !== told) options.onDown(why);
    up = false;
    told = why;
  };
  const down = (): void => {
    tell(`no connection to the broker (${reason || 'it ended'})`);
    reason = '';
  };
  client.on('connect', () => {
    const { stream } = client;
    gatherWrites(stream);
    subscribeAll(client, options.filters, tell).then(
      () => {
        up = true;
        told = '';
        options.onUp();
      },
      (error: Error) => {
        // The end of the connection is told below; what else there is ends it.
        if (!client.connected || client.stream !== stream) return;
        reason = error.message;
        stream.destroy();
      },
    );
  });
  client.on('message', options.onMessage);
  client.on('error', (error) => {
    reason = describeError(error);
  });
  client.on('close', down);
  return {
    get connected() {
      return up;
    },
    async publish(topic, payload, { retain = false } = {}) {
      if (!up) throw new Error('the controller has no connection to its broker at the moment; try again soon');
      await client.publishAsync(topic, payload, { qos: 1, retain });
    },
    // On a connection that is down it comes by itself with the next one.
    hearAgain: () => (up ? subscribeAll(client, options.filters, tell).catch(() => {}) : Promise.resolve()),
    async close() {
      client.removeAllListeners('close');
      await endClient(client);
    },
  };
}

/**
 * What answers the messages of one turn of the event loop leaves together. An acknowledgement is four bytes, and a system call for each is a
 * seventh of what a controller does while its fleet answers.
 */
function gatherWrites(stream: Duplex): void {
  let corked = false;
  stream.on('data', () => {
    if (corked) return;
    corked = true;
    stream.cork();
    setImmediate(() => {
      corked = false;
      stream.uncork();
    });
  });
}

/** Passes messages on until the signal aborts. Rejects when the broker refuses the filter or the connection ends. */
export async function watchTopics(
  url: string,
  filter: string,
  onMessage: OnMessage,
  signal: AbortSignal,
): Promise<void> {
  const client = await openClient(url, { ...settings, reconnectPeriod: 0 });
  const aborted = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  const failed = new Promise<never>((_, reject) => {
    client.on('error', (error) => reject(new Error(`watching "${filter}": ${describeError(error)}`, { cause: error })));
    client.on('close', () =>
      reject(new Error(`watching "${filter}": the connection to the broker ended; watch again`)),
    );
  });
  client.on('message', onMessage);
  const watching = new Promise<void>((resolve) => client.once('connect', () => resolve())).then(async () => {
    const [refused] = await subscribe(client, { [filter]: 1 });
    if (refused !== undefined) throw new Error(refusalOf(refused));
    await aborted;
  });
  try {
    await Promise.race([watching, aborted, failed]);
  } finally {
    failed.catch(() => {});
    watching.catch(() => {});
    await endClient(client);
  }
}

/**
 * Resolves when the broker has granted all. What it refuses is asked for again, without giving up the rest: of a cluster that has just lost
 * a server some are refused for a while. Rejects when the connection ends first.
 */
async function subscribeAll(
  client: MqttClient,
  filters: readonly string[],
  onRefused: (reason: string) => void,
): Promise<void> {
  const { stream } = client;
  let missing = filters;
  while (client.stream === stream) {
    missing = await subscribe(client, Object.fromEntries(missing.map((filter) => [filter, 1])));
    if (missing[0] === undefined) return;
    onRefused(refusalOf(missing[0]));
    await sleep(RECONNECT_MS);
  }
  throw new Error('the connection ended');
}

const refusalOf = (filter: string): string => `the broker refuses the subscription "${filter}"; check its access list`;

/** Waits a moment for what is on its way, then ends the connection in any case. */
async function endClient(client: MqttClient): Promise<void> {
  const force = setTimeout(() => client.end(true), CLOSE_MS);
  await client.endAsync().catch(() => {});
  clearTimeout(force);
}
