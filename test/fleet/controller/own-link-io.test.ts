/** The controller's own link against clients that are not ours (mqtt.js), on the broker that it brings along. */
import type { Readable } from 'node:stream';
import { Aedes } from 'aedes';
import { connectAsync } from 'mqtt';
import { pino } from 'pino';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startBroker } from '../../../fleet/controller/broker-io.ts';
import type { Link } from '../../../fleet/controller/link-io.ts';
import { openOwnLink } from '../../../fleet/controller/own-link-io.ts';
import { eventually } from '../fleet-parts.ts';

const warnings: string[] = [];
const log = pino({}, { write: (line) => void warnings.push(line) });
const broker = await startBroker({ host: '127.0.0.1', tcpPort: 0, webSocketPort: 0, log });
const heard: string[] = [];
const link: Link = await new Promise((resolve) => {
  const opened: Promise<Link> = broker.link({
    filters: ['llmasos/v1/nodes/+/presence'],
    onMessage: (topic, payload) => heard.push(`${topic} ${new TextDecoder().decode(payload)}`),
    onUp: () => void opened.then(resolve),
  });
});
const client = (clientId: string) =>
  connectAsync(`mqtt://127.0.0.1:${broker.tcpPort}`, { protocolVersion: 4, clientId, reconnectPeriod: 0 }, false);

test.after(() => broker.close());

test('messages of one topic come in the order in which they were given, each confirmed, and the last that is retained to who comes later', async () => {
  const node = await client('n1');
  const seen: string[] = [];
  node.on('message', (_, payload) => seen.push(payload.toString()));
  await node.subscribeAsync('llmasos/v1/nodes/n1/desired', { qos: 1 });
  const texts = Array.from({ length: 300 }, (_, index) => `${index}`);
  // Retained ones take a step more than others.
  await Promise.all(
    texts.map((text, index) => link.publish('llmasos/v1/nodes/n1/desired', text, { retain: index % 2 === 1 })),
  );
  await eventually('all have come', () => seen.length >= texts.length);
  assert.equal(seen, texts);
  const late = await client('late');
  const kept = new Promise((resolve) => late.once('message', (_, payload) => resolve(payload.toString())));
  await late.subscribeAsync('llmasos/v1/nodes/n1/desired', { qos: 1 });
  assert.is(await kept, '299');
  await Promise.all([node.endAsync(), late.endAsync()]);
});

test('what does not fit among the retained messages is passed on and not retained', async () => {
  const aedes = await Aedes.createBroker();
  const seen: string[] = [];
  const filters = ['a/#'];
  const onMessage = (_: string, payload: Uint8Array) => void seen.push(new TextDecoder().decode(payload));
  const full = await openOwnLink(aedes, { admit: (topic) => topic === 'a/fits' }, { filters, onMessage, onUp() {} });
  for (const topic of ['a/fits', 'a/not']) await full.publish(topic, topic, { retain: true });
  const retained: string[] = [];
  const { persistence } = aedes as unknown as { persistence: { createRetainedStream(filter: string): Readable } };
  for await (const { topic } of persistence.createRetainedStream('a/#')) retained.push(topic);
  assert.equal([seen, retained], [['a/fits', 'a/not'], ['a/fits']]);
  await new Promise<void>((resolve) => aedes.close(resolve));
});

test('it hears what fits its filters, until it is closed', async () => {
  const node = await client('n3');
  await node.publishAsync('llmasos/v1/nodes/n3/metrics', '{}', { qos: 1 });
  await node.publishAsync('llmasos/v1/nodes/n3/presence', 'here', { qos: 1 });
  assert.equal(heard, ['llmasos/v1/nodes/n3/presence here']);
  await link.close();
  assert.not.ok(link.connected);
  await node.publishAsync('llmasos/v1/nodes/n3/presence', 'again', { qos: 1 });
  assert.is(heard.length, 1);
  await node.endAsync();
});

test.run();
