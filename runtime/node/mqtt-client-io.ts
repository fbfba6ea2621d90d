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
