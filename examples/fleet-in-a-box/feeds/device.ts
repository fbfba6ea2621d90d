/** A simulated device's connection: what it sends while the broker is away is lost, as with a real one. */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { MqttClient } from 'mqtt';
import { openClient } from '../../../runtime/node/mqtt-client-io.ts';
import { onStop } from '../../../runtime/node/stop-io.ts';
import { encodeNote, type SentNote, sentTopic } from '../sent.ts';

export interface Device {
  /** Resolves once the broker is there; rejects when the device is switched off. */
  connected(): Promise<void>;
  /** Publishes at QoS 0. Dropped, not queued, while the broker is away. */
  publish(topic: string, payload: Uint8Array): void;
  /** Tells the judge which picture comes next, or which recording begins now. */
  note(device: string, note: SentNote): void;
  /** Resolves at `dueMs` on the clock of `performance.now()`; rejects when the device is switched off. */
  until(dueMs: number): Promise<void>;
}

const USAGE = 'usage: node FEED.ts --broker mqtt://HOST:PORT [--seed NUMBER]';

/**
 * Runs a device from the command line until SIGTERM or SIGINT. `play` publishes for ever; the seed given to it decides
 * the order of its material.
 */
export async function runDevice(name: string, play: (device: Device, seed: number) => Promise<never>): Promise<void> {
  const { broker, seed } = readArguments();
  const client = await openClient(broker, {
    clientId: `${name}-${process.pid}`,
    reconnectPeriod: 1000,
    connectTimeout: 5000,
    queueQoSZero: false,
  });
  let lastError = '';
  client.on('error', ({ message }) => {
    // The same refusal comes with every attempt: once is enough.
    if (message !== lastError) console.error(`${name}: ${broker}: ${message}`);
    lastError = message;
  });
  client.on('connect', () => {
    lastError = '';
  });
  const off = new AbortController();
  onStop(() => off.abort());
  const send = (topic: string, payload: Uint8Array | string) => {
    if (client.connected) client.publish(topic, payload as Buffer, { qos: 0 });
  };
  try {
    await play(
      {
        connected: () => connected(client, off.signal),
        publish: send,
        note: (device, note) => send(sentTopic(device), encodeNote(note)),
        until: (dueMs) => sleep(Math.max(0, dueMs - performance.now()), undefined, { signal: off.signal }),
      },
      seed,
    );
  } catch (error) {
    if (!off.signal.aborted) throw error;
  } finally {
    await client.endAsync(!client.connected);
  }
}

/** Not `once` of node:events: that gives up with the first attempt to connect that fails. */
function connected(client: MqttClient, off: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (client.connected) return resolve();
    client.once('connect', () => resolve());
    off.addEventListener('abort', () => reject(off.reason), { once: true });
  });
}

function readArguments(): { broker: string; seed: number } {
  try {
    const { values } = parseArgs({ options: { broker: { type: 'string' }, seed: { type: 'string', default: '1' } } });
    const seed = Number(values.seed);
    if (!values.broker || !/^(mqtts?|wss?|tcp):\/\//.test(values.broker))
      throw new Error('--broker: expected an MQTT URL');
    if (!Number.isInteger(seed)) throw new Error(`--seed: expected a whole number, got "${values.seed}"`);
    return { broker: values.broker, seed };
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}
