/**
 * mqtt.js's client, without the part of it that opens connections: that loads every transport there is (WebSocket, SOCKS, …), which takes
 * a start 50 ms and some 10 MB that a small gateway has a better use for.
 */
import type { Duplex } from 'node:stream';
import type { IClientOptions, MqttClient } from 'mqtt';
import clientModule from 'mqtt/lib/client';
import { type BrokerAddress, parseBrokerAddress, streamFactory } from './broker-stream-io.ts';

/** CommonJS: its default export is a property of what an ES module gets. */
const { default: Client } = clientModule;
type StreamBuilder = ConstructorParameters<typeof Client>[0];

/** Connects at once, with the address's name and password; by itself again where the options say so. */
export function createClient(
  { username, password }: BrokerAddress,
  openStream: () => Duplex,
  options: IClientOptions,
): MqttClient {
  return new Client(openStream as unknown as StreamBuilder, {
    // The cache holds a Buffer for each of 65,536 numbers: 10 MB, and 50 ms of a start, to save a four-byte allocation.
    writeCache: false,
    ...options,
    ...(username && { username }),
    ...(password && { password }),
  });
}

/** Rejects with an Error when the text is not the address of a broker; everything else is told by the client's events. */
export async function openClient(text: string, options: IClientOptions): Promise<MqttClient> {
  const address = parseBrokerAddress(text);
  return createClient(address, await streamFactory(address), options);
}

/**
 * Filters in one SUBSCRIBE. A server of a NATS cluster that has lost another takes up to 4 s for each, in which it answers no ping: with
 * all of them in one packet the connection would be given up before they are granted.
 */
const FILTERS_PER_PACKET = 4;
/** [MQTT-3.9.3]: the return code of a filter that the broker does not grant. */
const REFUSED = 128;

/** Resolves with the filters that the broker refused. Rejects when the connection ends first. */
export async function subscribe(client: MqttClient, filters: Readonly<Record<string, 0 | 1>>): Promise<string[]> {
  const all = Object.entries(filters);
  const refused: string[] = [];
  for (let at = 0; at < all.length; at += FILTERS_PER_PACKET) {
    const asked = all.slice(at, at + FILTERS_PER_PACKET);
    const granted = await client
      .subscribeAsync(Object.fromEntries(asked.map(([filter, qos]) => [filter, { qos }])))
      .then(
        () => [],
        // mqtt.js rejects when one of them is refused, with the broker's answer for each.
        (error: Error & { packet?: { granted: number[] } }) => {
          if (!error.packet) throw error;
          return error.packet.granted;
        },
      );
    refused.push(...asked.flatMap(([filter], index) => (granted[index] === REFUSED ? [filter] : [])));
  }
  return refused;
}
