/** Clients that mean harm, or are broken: the controller stays, says what was wrong, counts it, and serves the others. */
import { connect as connectSocket } from 'node:net';
import { connect, connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { pino } from 'pino';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ControllerClient } from '../../../fleet/api/client.ts';
import { BROKER_LIMITS } from '../../../fleet/controller/broker-io.ts';
import { startController } from '../../../fleet/controller/controller.ts';
import { Chance } from '../../../fleet/simulator/random.ts';
import { nodeTopic } from '../../../runtime/protocol/topics.ts';
import { eventually, ProtocolNode, refusalOf, temporary } from '../fleet-parts.ts';

const SEED = 20_261_130;
const lines: string[] = [];
const log = pino({}, { write: (line) => void lines.push(line) });
const controller = await startController({ data: temporary(), mqttPort: 0, webSocketPort: 0, httpPort: 0, log });
const service = new ControllerClient(controller.httpUrl);
const good = await ProtocolNode.join(controller.mqttUrl, 'good', { site: 'a' });
const clients: MqttClient[] = [];

test.after(async () => {
  for (const client of clients) client.end(true);
  await good.leave();
  await controller.close();
});

async function enter(clientId: string, options: IClientOptions = {}): Promise<MqttClient> {
  const client = await connectAsync(controller.mqttUrl, {
    protocolVersion: 4,
    reconnectPeriod: 0,
    clientId,
    ...options,
  });
  client.on('error', () => {});
  clients.push(client);
  return client;
}

const closed = (client: MqttClient): Promise<void> => new Promise((resolve) => client.once('close', () => resolve()));
const viewOf = async (name: string) => (await service.nodes()).find((node) => node.name === name);
const counted = async (metric: string): Promise<number> => {
  const text = await (await fetch(`${controller.httpUrl}/metrics`)).text();
  return Number(new RegExp(`^${metric} (\\d+)$`, 'm').exec(text)?.[1]);
};

test("nobody can write another node's state, or the controller's", async () => {
  await eventually('the good node is known', async () => (await viewOf('good'))?.online);
  const before = await counted('llmasos_broker_refused_total');
  let tried = 0;
  for (const channel of [
    'presence',
    'reported',
    'metrics',
    'replies',
    'task-events',
    'desired',
    'requests',
    'tasks',
  ] as const) {
    const evil = await enter('evil');
    const end = closed(evil);
    evil.publish(nodeTopic('good', channel), JSON.stringify({ online: false, at: 1 }), { qos: 1, retain: true });
    await end;
    await eventually('the log', () =>
      lines.some((line) => line.includes('"evil"') && line.includes(`good/${channel}\\"`)),
    );
    tried++;
  }
  // A last will is a message too.
  const will = {
    topic: nodeTopic('good', 'presence'),
    payload: Buffer.from('{"online":false,"at":1}'),
    qos: 1,
    retain: true,
  } as const;
  (await enter('evil', { will })).stream.destroy();
  await good.send('metrics', { at: 1, uptimeMs: 1, residentBytes: 1, outboxItems: 0, triggers: [] });
  await eventually('a later message has come', async () => (await viewOf('good'))?.metrics);
  assert.is((await viewOf('good'))?.online, true);
  assert.is(await viewOf('evil'), undefined);
  assert.equal((await viewOf('good'))?.labels, { site: 'a' });
  assert.is(good.desired.length, 0);
  assert.ok((await counted('llmasos_broker_refused_total')) >= before + tried);
});

test("the controller's name is worth nothing without its secret", async () => {
  const login = { username: 'llmasos-controller', password: 'guess' };
  assert.match(await refusalOf(enter('llmasos-controller-1', login)), /Bad username or password|Not authorized/i);
});

test('nothing that a node may say of itself stops the controller', async () => {
  console.log(`seed ${SEED}`);
  const chance = new Chance(SEED);
  const draw = (max: number): number => chance.between(0, max - 1);
  const broken = await enter('broken');
  const deep = (open: string, close: string, levels: number) => open.repeat(levels) + close.repeat(levels);
  const event = (data: string, type = 'ended') =>
    `{"specversion":"1.0","id":"a","source":"/nodes/broken","time":"2026-11-30T00:00:00.000Z","type":"llmasos.tasks.${type}","data":${data}}`;
  const payloads: [Parameters<typeof nodeTopic>[1], string | Buffer][] = [
    ['reported', deep('[', ']', 400_000)],
    ['replies', `{"id":"x","ok":true,"result":${deep('{"a":', '}', 150_000).replace('}', '1}')}}`],
    [
      'task-events',
      event(
        `{"floor":0,"units":[{"unit":"t.0","fence":1,"outcome":{"state":"succeeded","results":[${deep('[', ']', 100_000)}]}}]}`,
      ),
    ],
    ['task-events', event(`{"floor":${Number.MAX_SAFE_INTEGER},"units":[]}`, 'held')],
    ['task-events', event('{"floor":1e400,"units":[]}', 'held')],
    ['presence', '{"online":"yes","at":1}'],
    ['metrics', '{"__proto__":{"online":true},"constructor":1}'],
    ['metrics', Buffer.alloc(900_000, 0x5b)],
  ];
  const whole = event('{"floor":0,"units":[{"unit":"t.0","fence":1}]}', 'held');
  const channels = ['presence', 'reported', 'metrics', 'replies', 'task-events'] as const;
  for (let count = 0; count < 400; count++) {
    const bytes = Buffer.from(Array.from({ length: draw(200) + 1 }, () => draw(256)));
    const cut = Buffer.from(whole.slice(0, 1 + draw(whole.length - 1)));
    payloads.push([channels[draw(channels.length)] as 'presence', draw(2) === 0 ? bytes : cut]);
  }
  const refusedBefore = await counted('llmasos_node_messages_refused_total');
  for (const [channel, payload] of payloads)
    await broken.publishAsync(nodeTopic('broken', channel), payload, { qos: 1 });
  await eventually(
    'all of them are counted',
    async () => (await counted('llmasos_node_messages_refused_total')) >= refusedBefore + payloads.length,
  );
  assert.match((await viewOf('good'))?.labels.site ?? '', /^a$/);
  await good.report({ site: 'b' }, 0);
  await eventually('the good node is heard', async () => (await viewOf('good'))?.labels.site === 'b');
});

test('bytes that are no MQTT end their connection and nothing else', async () => {
  const chance = new Chance(SEED);
  let ended = 0;
  for (let count = 0; count < 50; count++) {
    const socket = connectSocket(Number(new URL(controller.mqttUrl).port), '127.0.0.1');
    socket.on('error', () => {});
    const end = new Promise((resolve) => socket.once('close', resolve));
    // A packet type that is not CONNECT: anything else may wait for the rest of a packet [MQTT-3.1.0-1].
    socket.write(Buffer.from([0xf0, 0, ...Array.from({ length: 40 }, () => chance.between(0, 255))]));
    await end;
    ended++;
  }
  assert.is(ended, 50);
  assert.is((await viewOf('good'))?.online, true);
});

test('a client has only so many subscriptions, also in one packet', async () => {
  const greedy = connect(controller.mqttUrl, {
    protocolVersion: 4,
    reconnectPeriod: 0,
    clientId: 'greedy',
    clean: false,
  });
  clients.push(greedy);
  greedy.on('error', () => {});
  await new Promise((resolve) => greedy.once('connect', resolve));
  const end = closed(greedy);
  greedy.subscribe(
    Array.from({ length: BROKER_LIMITS.subscriptions + 1 }, (_, index) => `a/${index}`),
    { qos: 1 },
    () => {},
  );
  await end;
  await eventually('the log', () =>
    lines.some((line) => line.includes('"greedy"') && line.includes('more than 1000 subscriptions')),
  );
});

test('a client that floods is slowed down, loses nothing, and others are served meanwhile', async () => {
  const flood = await enter('flood');
  // More than three times the burst: they come faster than the rate on any machine that takes 6 MB a second.
  // They are no JSON from the first byte on, so that reading them costs nothing.
  const payload = Buffer.alloc(900_000, ']');
  const refusedBefore = await counted('llmasos_node_messages_refused_total');
  const sent = Array.from({ length: 60 }, () => flood.publishAsync(nodeTopic('flood', 'metrics'), payload, { qos: 1 }));
  await eventually('it is slowed down', async () => (await counted('llmasos_broker_throttled_total')) > 0);
  await good.report({ site: 'c' }, 0);
  await eventually('the good node is heard', async () => (await viewOf('good'))?.labels.site === 'c');
  await Promise.all(sent);
  await eventually(
    'all of them were read',
    async () => (await counted('llmasos_node_messages_refused_total')) === refusedBefore + sent.length,
  );
});

test.run();
