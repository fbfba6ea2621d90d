import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import pino from 'pino';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type NodeOptions, startNode } from '../../../devices/gateway/node.ts';
import { metricsSchema, reportedSchema } from '../../../runtime/protocol/messages.ts';
import {
  cleanUp,
  connectClient,
  type Heard,
  largestTrigger,
  localFiles,
  newFolder,
  scaleModel,
  spawnNode,
  startBroker,
  type TestClient,
} from './bench.ts';

const broker = await startBroker();
const log = pino({ level: 'silent' });
let names = 0;

/** An embedded node with a client that hears everything of it and of its answers. */
async function setUp(extra: Partial<NodeOptions> = {}) {
  const name = `node-${++names}`;
  const client = await connectClient(broker.url, [`llmasos/v1/nodes/${name}/#`, 'answers/#']);
  const options = { name, broker: broker.url, data: newFolder(), log, ...extra };
  const node = await startNode(options);
  const topic = (channel: string) => `llmasos/v1/nodes/${name}/${channel}`;
  const close = async () => {
    await node.close();
    await client.mqtt.endAsync();
  };
  leftovers.push(close);
  return { ...options, client, node, topic, close };
}

/** What a failed test leaves open. */
const leftovers: (() => Promise<void>)[] = [];

test.after.each(async () => {
  for (const close of leftovers.splice(0)) await close().catch(() => {});
});

const ready = (client: TestClient, version = 0) =>
  client.wait('the reported state with every trigger ready', ({ topic, json }) => {
    if (!topic.endsWith('/reported') || json.desiredVersion < version) return false;
    return json.triggers.length > 0 && json.triggers.every((trigger: { state: string }) => trigger.state === 'ready');
  });

/** A controller's file side: blobs by hash, with the number of requests. */
async function serveBlobs(...files: Uint8Array[]) {
  const byHash = new Map(files.map((file) => [createHash('sha256').update(file).digest('hex'), file]));
  const counts = { requests: 0, away: false };
  const server = createServer((request, response) => {
    counts.requests++;
    const file = counts.away ? undefined : byHash.get(request.url?.split('/').at(-1) ?? '');
    response.writeHead(file ? 200 : 404).end(file);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    files: `http://127.0.0.1:${port}/blobs`,
    counts,
    hashes: [...byHash.keys()],
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}

test('a node says who it is, answers messages and takes its leave', async () => {
  const { client, topic, close } = await setUp({ ...localFiles(), labels: { site: 'north' } });
  const { json } = await ready(client);
  const reported = reportedSchema.parse(json);
  const first = client.heard.find((message) => message.topic === topic('reported'))?.json.inventory;
  // Before the kernels are loaded by what the host can, then by what was chosen; the GPU by an attempt to use it.
  assert.ok(['relaxed', 'plain'].includes(first.simd), first.simd);
  assert.ok(['revectorized', 'relaxed', 'plain'].includes(reported.inventory.simd), reported.inventory.simd);
  await client.wait('the GPU', ({ json }) => json?.inventory && json.inventory.gpu.detail !== 'not tried yet');
  assert.equal(reported.labels, { site: 'north' });
  assert.ok(reported.inventory.cores > 0);
  assert.is(reported.models[0]?.name, 'double');
  await client.send('sensors/a/values', { id: 7, v: [1, 5, 3] });
  const answer = await client.wait('the answer', (message) => message.topic === 'answers/a');
  assert.is(answer.json.id, 7);
  assert.is(answer.json.score, 10);
  const counted = await client.wait(
    'metrics',
    (message) => message.topic === topic('metrics') && message.json.triggers[0]?.results > 0,
  );
  const [counts] = metricsSchema.parse(counted.json).triggers;
  assert.is(counts?.messages, 1);
  assert.ok((counts?.latencyMsP50 ?? 0) > 0);
  await close();
  const retained = await connectClient(broker.url, [topic('presence')]);
  const { json: presence } = await retained.wait('presence', (message) => message.topic === topic('presence'));
  assert.is(presence.online, false);
  await retained.mqtt.endAsync();
});

test('a message that cannot be answered gets one clear error and the next one an answer', async () => {
  const { client, topic, close } = await setUp(localFiles());
  await ready(client);
  const bad: [payload: Buffer | string, error: RegExp][] = [
    ['{"id":1,"v":[1,2', /JSON/],
    [Buffer.from([0xff, 0xfe, 0x00]), /./],
    [JSON.stringify({ id: 2 }), /\$\.v/],
    [JSON.stringify({ id: 9, v: [1, 2] }), /3/],
    [JSON.stringify({ v: [1, 2, 3] }), /\$\.id/],
    [JSON.stringify({ v: ['a', 'b', 'c'] }), /number/],
    [Buffer.alloc(17 * 2 ** 20), /at most 16777216 bytes, got 17825792/],
    ['', /./],
  ];
  for (const [payload] of bad) await client.send('sensors/bad/values', payload);
  await client.send('sensors/good/values', { id: 3, v: [1, 2, 3] });
  const answer = await client.wait('the answer', (message) => message.topic === 'answers/good');
  assert.is(answer.json.score, 6);
  const errors = client.heard.filter((message: Heard) => message.topic === topic('errors/largest'));
  assert.is(errors.length, bad.length);
  for (const [index, [, expected]] of bad.entries()) {
    assert.match(errors[index]?.json.error, expected);
    assert.is(errors[index]?.json.topic, 'sensors/bad/values');
  }
  await client.wait('metrics that count all of them', ({ topic: of, json }) => {
    const [counts] = of === topic('metrics') ? json.triggers : [];
    return counts?.failures === bad.length && counts.messages === bad.length + 1;
  });
  await close();
});

test('a desired state is fetched, run and survives a restart without the controller', async () => {
  const [first, labels] = [scaleModel(1), new TextEncoder().encode('["a","b","c"]')];
  const input = new TextEncoder().encode('{"id":9,"v":[7,2,3]}');
  const controller = await serveBlobs(first, labels, input);
  const [sha256, labelHash, inputHash] = controller.hashes as [string, string, string];
  const { client, topic, node, ...options } = await setUp();
  const model = { name: 'double', version: 1, sha256, bytes: first.length, labels: labelHash };
  const trigger = largestTrigger();
  trigger.output.fields = { id: 'message.id', score: 'answer[0].label' };
  const desired = { version: 4, at: 0, files: controller.files, models: [model], triggers: [trigger] };
  client.mqtt.publish(topic('desired'), JSON.stringify(desired), { qos: 1, retain: true });
  assert.is((await ready(client, 4)).json.desiredVersion, 4);
  await client.send('sensors/a/values', { id: 1, v: [1, 5, 3] });
  assert.is((await client.wait('the answer', (message) => message.json?.id === 1)).json.score, 'b');
  assert.is(controller.counts.requests, 2);

  // A large input of a one-off request comes the same way, and is not kept.
  const request = { id: 'r', kind: 'infer', model: 'double', format: 'json', expiresAt: Date.now() + 60_000 };
  await client.send(topic('requests'), { ...request, input: { sha256: inputHash } });
  const reply = await client.wait('the reply', (message) => message.topic === topic('replies'));
  assert.is(reply.json.result.score, 'a');
  assert.equal(readdirSync(join(options.data, 'blobs')).sort(), [sha256, labelHash].sort());

  // The same again, an older one, a deleted one and nonsense change nothing.
  for (const payload of [desired, { ...desired, version: 3, models: [], triggers: [] }, '', 'nonsense'])
    await client.send(topic('desired'), payload);
  await client.send('sensors/a/values', { id: 2, v: [1, 5, 3] });
  assert.is((await client.wait('the answer', (message) => message.json?.id === 2)).json.score, 'b');
  await controller.close();
  await node.close();
  client.heard.length = 0;
  const again = await startNode({ ...options, log });
  await ready(client, 4);
  await client.send('sensors/a/values', { id: 3, v: [1, 2, 9] });
  assert.is((await client.wait('the answer', (message) => message.json?.id === 3)).json.score, 'c');
  assert.is(controller.counts.requests, 3);
  await again.close();
  await client.mqtt.endAsync();
});

test('a message that was acknowledged before a crash waits for a model that must be fetched again', async () => {
  const file = scaleModel(1);
  const controller = await serveBlobs(file);
  const sha256 = controller.hashes[0] as string;
  const { client, topic, node, ...options } = await setUp();
  const models = [{ name: 'double', version: 1, sha256, bytes: file.length }];
  const desired = { version: 1, at: 0, files: controller.files, models, triggers: [largestTrigger()] };
  client.mqtt.publish(topic('desired'), JSON.stringify(desired), { qos: 1, retain: true });
  await ready(client, 1);
  await node.close();

  // As a crash leaves it: a message in the journal, and a file that the disk has lost.
  writeFileSync(join(options.data, 'blobs', sha256), 'damaged');
  const queue = new DatabaseSync(join(options.data, 'queue.db'));
  const add = queue.prepare('INSERT INTO inbox (topic, payload, receivedAt) VALUES (?, ?, 1)');
  add.run('sensors/a/values', new TextEncoder().encode('{"id":41,"v":[1,5,3]}'));
  queue.close();
  controller.counts.away = true;
  client.heard.length = 0;
  const again = await startNode({ ...options, log });
  leftovers.push(again.close);
  await client.wait('the failed download', ({ json }) => json?.models?.[0]?.state === 'failed');
  await client.send('sensors/a/values', { id: 42, v: [1, 5, 3] });
  controller.counts.away = false;
  for (const id of [41, 42])
    assert.is((await client.wait(`the answer to ${id}`, (message) => message.json?.id === id)).json.score, 10);
  await again.close();
  await controller.close();
  await client.mqtt.endAsync();
});

test('a new model version replaces the old one; a broken one is reported and the old one goes on', async () => {
  const [double, triple, broken] = [scaleModel(1), scaleModel(2), new Uint8Array(100)];
  const controller = await serveBlobs(double, triple, broken);
  const { client, topic, close } = await setUp();
  const assign = (version: number, file: Uint8Array) => {
    const sha256 = createHash('sha256').update(file).digest('hex');
    const model = { name: 'double', version, sha256, bytes: file.length };
    const unreadable = { name: 'newer', topic: 'x', decode: { format: 'holograms' } };
    const triggers = [largestTrigger(), ...(version > 1 ? [unreadable] : [])];
    const desired = { version, at: 0, files: controller.files, models: [model], triggers };
    client.mqtt.publish(topic('desired'), JSON.stringify(desired), { qos: 1, retain: true });
  };
  const ask = async (id: number) => {
    await client.send('sensors/a/values', { id, v: [1, 2, 3] });
    return (await client.wait('the answer', (message) => message.json?.id === id)).json.score;
  };
  const reached = (version: number) =>
    client.wait(
      `version ${version}`,
      (message) => message.topic === topic('reported') && message.json.desiredVersion === version,
    );
  assign(1, double);
  await reached(1);
  assert.is(await ask(101), 6);
  assign(2, triple);
  const second = (await reached(2)).json;
  assert.is(await ask(102), 9);
  assert.match(second.triggers.find((trigger: { name: string }) => trigger.name === 'newer').error, /decode/);
  assign(3, broken);
  const third = (await reached(3)).json;
  assert.is(third.models[0].state, 'failed');
  assert.match(third.triggers[0].error, /its previous form goes on/);
  assert.is(await ask(103), 9);
  await close();
  await controller.close();
});

test('one-off requests are answered by the trigger of the model, or with its tensors, or with the reason', async () => {
  const files = localFiles();
  writeFileSync(join(files.models, 'triple.onnx'), scaleModel(2));
  const { client, topic, close } = await setUp(files);
  await ready(client);
  const input = { base64: Buffer.from(JSON.stringify({ id: 5, v: [1, 2, 3] })).toString('base64') };
  const later = Date.now() + 60_000;
  const requests = {
    known: { kind: 'infer', model: 'double', input, format: 'json', expiresAt: later },
    plain: { kind: 'infer', model: 'triple', input: { base64: btoa('[1, 2, 3]') }, format: 'json', expiresAt: later },
    expired: { kind: 'infer', model: 'double', input, format: 'json', expiresAt: 1 },
    unknown: { kind: 'infer', model: 'nobody', input, format: 'json', expiresAt: later },
    wrong: { kind: 'infer', model: 'double', input: { base64: 'e30=' }, format: 'json', expiresAt: later },
    malformed: { kind: 'dance' },
  };
  for (const [id, request] of Object.entries(requests)) await client.send(topic('requests'), { id, ...request });
  const reply = async (id: string) =>
    (await client.wait(`reply ${id}`, (message) => message.topic === topic('replies') && message.json.id === id)).json;
  assert.is((await reply('known')).result.score, 6);
  assert.equal((await reply('plain')).result, { y: { type: 'float32', dims: [1, 3], data: [3, 6, 9] } });
  assert.match((await reply('expired')).error, /expired/);
  assert.match((await reply('unknown')).error, /no such model is ready.*double, triple/);
  assert.match((await reply('wrong')).error, /\$\.v/);
  assert.match((await reply('malformed')).error, /kind/);
  await close();
});

test('while the broker is away a node stays up; results of before and after arrive in order', async () => {
  const { client, close } = await setUp(localFiles());
  await ready(client);
  const ids = Array.from({ length: 300 }, (_, index) => index + 1000);
  // At the broker itself: a client may be back later than the node, and miss what it sends meanwhile.
  const answered = new Set<number>();
  const hear = ({ payload }: { payload: string | Buffer }, done: () => void): void => {
    answered.add(JSON.parse(payload.toString()).id);
    done();
  };
  await new Promise<void>((resolve) => broker.aedes.subscribe('answers/order', hear, resolve));
  const send = (id: number) => client.send('sensors/order/values', { id, v: [1, 2, 3] });
  const answers = async (last: number): Promise<void> => {
    for (let waited = 0; !answered.has(last) && waited < 60_000; waited += 20)
      await new Promise((resolve) => setTimeout(resolve, 20));
  };
  // The broker has all of these, and the node some: from a sender that is still at it, aedes would put new ones between them.
  await Promise.all(ids.slice(0, 100).map(send));
  await broker.cut();
  setTimeout(() => void broker.mend(), 700);
  await answers(1099);
  await Promise.all(ids.slice(100).map(send));
  await answers(1299);
  assert.equal([...answered], ids);
  await close();
});

test('when a node dies the broker says so', async () => {
  const client = await connectClient(broker.url, ['llmasos/v1/nodes/mortal/#']);
  const node = spawnNode({ name: 'mortal', broker: broker.url, data: newFolder(), labels: '' });
  const presence = (online: boolean) =>
    client.wait(`online ${online}`, ({ topic, json }) => topic.endsWith('/presence') && json.online === online);
  await presence(true);
  await node.stop('SIGKILL');
  await presence(false);
  await client.mqtt.endAsync();
});

test('a data folder serves one node at a time', async () => {
  const { node, data, client } = await setUp();
  const second = startNode({ name: 'second', broker: broker.url, data, log });
  assert.match(
    await second.then(
      () => '',
      (error: Error) => error.message,
    ),
    /another node works with it/,
  );
  const process = spawnNode({ name: 'third', broker: broker.url, data });
  assert.is(await new Promise((resolve) => process.child.on('close', resolve)), 2);
  assert.match(process.log(), /another node works with it/);
  await node.close();
  await (await startNode({ name: 'fourth', broker: broker.url, data, log })).close();
  await client.mqtt.endAsync();
});

test('flags that cannot work end with code 2 and say what was expected', async () => {
  const data = newFolder();
  const cases: [flags: Record<string, string>, words: RegExp][] = [
    [{ name: 'n', data, broker: 'http://127.0.0.1' }, /expected an address such as mqtt:\/\/host:1883/],
    [{ name: 'n', data, broker: 'nonsense' }, /expected an address/],
    [{ name: 'a b', data, broker: broker.url }, /node name "a b"/],
    [{ data, broker: broker.url }, /--name is missing/],
    [{ name: 'n', data, broker: broker.url, colour: 'red' }, /colour/],
    [{ name: 'n', data, broker: broker.url, labels: 'x' }, /--labels/],
    [{ name: 'n', data, broker: broker.url, models: join(data, 'nowhere') }, /nowhere: cannot be read/],
  ];
  const results = await Promise.all(
    cases.map(async ([flags, words]) => {
      const process = spawnNode(flags);
      const code = await new Promise((resolve) => process.child.on('close', resolve));
      return { code, log: process.log(), words };
    }),
  );
  for (const { code, log: said, words } of results) {
    assert.match(said, words);
    assert.is(code, 2, said);
  }
  assert.is(results.length, 7);
});

test('a broker that is not there is tried again, with a word in the log, until SIGTERM ends the node cleanly', async () => {
  const away = await startBroker();
  await away.cut();
  const node = spawnNode({ name: 'patient', broker: away.url, data: newFolder(), ...localFiles() });
  await node.said('ECONNREFUSED');
  await away.mend();
  await node.said('connected to the broker');
  assert.is(await node.stop('SIGTERM'), 0);
  await away.close();
});

test('local files that cannot be read are named and the others run', async () => {
  const files = localFiles();
  writeFileSync(join(files.triggers, 'broken.yaml'), 'name: broken\ntopic: [');
  writeFileSync(join(files.models, 'bad name.onnx'), scaleModel(1));
  mkdirSync(join(files.models, 'folder.onnx'));
  const node = spawnNode({ name: 'picky', broker: broker.url, data: newFolder(), ...files });
  await node.said('connected to the broker');
  for (const words of ['broken.yaml', 'bad name.onnx', 'folder.onnx']) assert.ok(node.log().includes(words), words);
  await node.said('"trigger":"largest"');
  assert.is(await node.stop('SIGINT'), 0);
});

test.after(async () => {
  await broker.close();
  cleanUp();
});
test.run();
