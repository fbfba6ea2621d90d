import { once } from 'node:events';
import { connect as connectSocket } from 'node:net';
import { connect, connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { pino } from 'pino';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { WebSocket } from 'ws';
import { BROKER_LIMITS, startBroker, watchPacketLength } from '../../../fleet/controller/broker-io.ts';
import { eventually, refusalOf } from '../fleet-parts.ts';

const lines: string[] = [];
const log = pino({}, { write: (line) => void lines.push(line) });
const start = (tcpPort = 0, webSocketPort = 0) => startBroker({ host: '127.0.0.1', tcpPort, webSocketPort, log });
const broker = await start();
const url = `mqtt://127.0.0.1:${broker.tcpPort}`;
const webSocketUrl = `ws://127.0.0.1:${broker.webSocketPort}`;

test.after(() => broker.close());

const open = (address: string, options: IClientOptions = {}): Promise<MqttClient> =>
  connectAsync(address, { protocolVersion: 4, reconnectPeriod: 0, ...options }, false);

/** Texts by topic, as they arrive. */
function collect(client: MqttClient): Map<string, string> {
  const seen = new Map<string, string>();
  client.on('message', (topic, payload) => seen.set(topic, payload.toString()));
  client.on('error', () => {});
  return seen;
}

const closing = (client: MqttClient): Promise<void> => new Promise((resolve) => client.once('close', () => resolve()));

test('messages pass between TCP and WebSocket clients, retained ones to those who come later', async () => {
  const [first, second, third] = [await open(url), await open(webSocketUrl), await open(webSocketUrl)];
  const live = collect(second);
  await second.subscribeAsync('a/b', { qos: 1 });
  await first.publishAsync('a/b', 'hello', { qos: 1, retain: true });
  assert.is(await eventually('the live message', () => live.get('a/b')), 'hello');
  const later = collect(third);
  await third.subscribeAsync('a/#', { qos: 1 });
  assert.is(await eventually('the retained message', () => later.get('a/b')), 'hello');
  for (const client of [first, second, third]) await client.endAsync();
});

test('a last will is published when its client is cut off', async () => {
  const watcher = await open(url);
  const seen = collect(watcher);
  await watcher.subscribeAsync('will/#');
  const doomed = await open(url, { will: { topic: 'will/x', payload: Buffer.from('gone'), qos: 1, retain: false } });
  doomed.stream.destroy();
  assert.is(await eventually('the last will', () => seen.get('will/x')), 'gone');
  await watcher.endAsync();
});

test('a payload beyond the limit ends the connection before it is gathered, and the log says why', async () => {
  const watcher = await open(url);
  const seen = collect(watcher);
  await watcher.subscribeAsync('big/#');
  const sender = await open(url, { clientId: 'sender-of-films' });
  collect(sender);
  const closed = closing(sender);
  sender.publish('big/one', Buffer.alloc(BROKER_LIMITS.packetBytes + 1));
  await closed;
  await eventually('the log', () =>
    lines.find((line) => line.includes('sender-of-films') && line.includes('of at most 16777216 bytes')),
  );
  const other = await open(url);
  await other.publishAsync('big/two', Buffer.alloc(1_000_000, 'x'), { qos: 1 });
  await eventually('the broker still serves', () => seen.get('big/two'));
  assert.not.ok(seen.has('big/one'));
  for (const client of [watcher, other]) await client.endAsync();
});

test('200 MB announced by a bare socket are refused by the first bytes', async () => {
  const socket = connectSocket(broker.tcpPort, '127.0.0.1');
  await once(socket, 'connect');
  const closed = once(socket, 'close');
  socket.on('error', () => {});
  // PUBLISH with a remaining length of 200 MiB (MQTT 3.1.1, 2.2.3), before any CONNECT.
  socket.write(Uint8Array.of(0x30, 0x80, 0x80, 0x80, 0x64, 0, 1));
  await closed;
});

test('a topic that is too deep, and one that belongs to the broker, end the connection', async () => {
  for (const topic of [
    Array(BROKER_LIMITS.topicLevels + 1)
      .fill('x')
      .join('/'),
    '$SYS/uptime',
  ]) {
    const client = await open(url);
    collect(client);
    const closed = closing(client);
    client.publish(topic, 'x', { qos: 1 });
    await closed;
  }
});

test('MQTT 5 is refused with the code for it', async () => {
  assert.match(await refusalOf(open(url, { protocolVersion: 5 })), /protocol version/i);
});

test("a stranger's web page may not connect", async () => {
  const attempt = async (headers: Record<string, string>): Promise<string> => {
    const socket = new WebSocket(webSocketUrl, 'mqtt', { headers });
    const outcome = await new Promise<string>((resolve) => {
      socket.on('open', () => resolve('open'));
      socket.on('error', (error) => resolve(error.message));
    });
    socket.terminate();
    return outcome;
  };
  assert.match(await attempt({ origin: 'https://evil.example' }), /401/);
  assert.match(await attempt({ origin: 'http://evil.example', host: 'evil.example' }), /401/);
  assert.is(await attempt({ origin: `http://127.0.0.1:${broker.webSocketPort}` }), 'open');
  assert.is(await attempt({}), 'open');
});

test('a port in use gives one sentence that names the flag, and leaves nothing listening', async () => {
  assert.match(await refusalOf(start(broker.tcpPort)), /^--mqtt-port \d+ on 127.0.0.1: the port is in use; stop what/);
  assert.match(await refusalOf(start(0, broker.tcpPort)), /^--ws-port \d+ on 127.0.0.1: the port is in use/);
});

test('packet lengths are followed through any cut of the byte stream', () => {
  // Two small packets, then one of 300 bytes: its length takes two bytes.
  const stream = Uint8Array.from([
    0xc0,
    0,
    0x30,
    5,
    0,
    1,
    97,
    1,
    2,
    0x30,
    0xac,
    0x02,
    ...Array(300).fill(0x7f),
    0xc0,
    0,
  ]);
  let cuts = 0;
  for (let size = 1; size <= stream.length; size++) {
    const [tight, wide] = [watchPacketLength(299), watchPacketLength(300)];
    let found: number | undefined;
    for (let at = 0; at < stream.length; at += size) {
      found ??= tight(stream.subarray(at, at + size));
      assert.is(wide(stream.subarray(at, at + size)), undefined);
    }
    assert.is(found, 300, `pieces of ${size}`);
    cuts++;
  }
  assert.is(cuts, stream.length);
});

test('what waits for a client that is away is bounded, and it gets the rest when it is back', async () => {
  const settings: IClientOptions = { clientId: 'traveller', clean: false };
  const traveller = await open(url, settings);
  await traveller.subscribeAsync('away/#', { qos: 1 });
  await traveller.endAsync();
  const sender = await open(url);
  const payload = Buffer.alloc(8 * 2 ** 20);
  const fit = BROKER_LIMITS.waitingBytes / payload.length;
  for (let count = 0; count < fit + 3; count++) await sender.publishAsync(`away/${count}`, payload, { qos: 1 });
  await eventually('the log', () => lines.find((line) => line.includes('"traveller"') && line.includes('lost to it')));
  const back = connect(url, { protocolVersion: 4, reconnectPeriod: 0, ...settings });
  const seen = collect(back);
  await eventually('what was kept', () => seen.size >= fit);
  await sender.publishAsync('away/last', 'x', { qos: 1 });
  await eventually('a new message', () => seen.get('away/last'));
  assert.is(seen.size, fit + 1);
  await back.endAsync();
  await sender.endAsync();
});

test.run();
