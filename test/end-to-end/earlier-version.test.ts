/**
 * Versions beside each other: what a node and a controller of the first protocol with tasks said to one another (recorded over
 * mosquitto with both at commit c2367f1, test/runtime/protocol/earlier/messages.json), and the schemas that they checked it by.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as z from 'zod';
import { ControllerClient } from '../../fleet/api/client.ts';
import { taskSpecSchema } from '../../fleet/tasks/task.ts';
import { nodeTopic, parseNodeTopic } from '../../runtime/protocol/topics.ts';
import { triggerSchema } from '../../runtime/triggers/schema.ts';
import {
  cleanUp,
  connectClient,
  largestTrigger,
  newFolder,
  scaleModel,
  spawnNode,
  startBroker,
} from '../devices/gateway/bench.ts';
import { chunks, eventually, hashOf, killProcesses, startProcess, temporary } from '../fleet/fleet-parts.ts';

test.after(() => {
  cleanUp();
  killProcesses();
});

const earlier = (name: string) =>
  JSON.parse(readFileSync(new URL(`../runtime/protocol/earlier/${name}.json`, import.meta.url), 'utf8'));
// biome-ignore lint/suspicious/noExplicitAny: recorded JSON, looked into and changed in one place
type Payload = any;
const recorded: { channel: string; payload: Payload }[] = earlier('messages');
const schemas: Record<string, z.core.JSONSchema.BaseSchema> = earlier('schema').$defs;
const find = (channel: string, fits: (payload: Payload) => boolean = () => true): Payload => {
  const found = recorded.find((message) => message.channel === channel && fits(message.payload))?.payload;
  assert.ok(found, `no ${channel} was recorded that fits`);
  return structuredClone(found);
};

const bytes = scaleModel(1);
const model = { name: 'double', version: 1, sha256: hashOf(bytes), bytes: bytes.length };
const input = { base64: Buffer.from('{"id":"x","v":[1,5,2]}').toString('base64') };

test('a node of the earlier version serves, answers and does tasks under this controller', async () => {
  const controller = await startProcess(temporary());
  const service = new ControllerClient(controller.httpUrl);
  const heard: { channel: string; payload: Payload }[] = [];
  const edge = await connectClient(controller.mqttUrl, [], { clientId: 'edge-1' });
  const say = (channel: 'presence' | 'reported' | 'replies' | 'task-events', payload: Payload) =>
    edge.mqtt.publishAsync(nodeTopic('edge-1', channel), JSON.stringify(payload), {
      qos: 1,
      retain: channel === 'presence' || channel === 'reported',
    });
  const answers: Record<string, (payload: Payload) => Promise<unknown>> = {
    async desired({ version }) {
      const reached = find('reported', ({ models }) => models[0]?.state === 'ready');
      await say('reported', { ...reached, desiredVersion: version });
    },
    requests: ({ id }) => say('replies', { ...find('replies'), id }),
    async tasks({ type, data }) {
      if (type !== 'llmasos.tasks.assigned') return;
      for (const { unit, fence, work } of data.units) {
        const outcomes = recorded.flatMap(({ payload }) =>
          payload.type === 'llmasos.tasks.ended' ? payload.data.units : [],
        );
        const outcome = outcomes[work.kind === 'command' ? 0 : 1].outcome;
        for (const [kind, more] of [
          ['held', {}],
          ['ended', { outcome }],
        ] as const) {
          const event = find('task-events', ({ type }) => type === `llmasos.tasks.${kind}`);
          await say('task-events', { ...event, data: { floor: data.floor, units: [{ unit, fence, ...more }] } });
        }
      }
    },
  };
  edge.mqtt.on('message', (topic, payload) => {
    const channel = parseNodeTopic(topic)?.channel as string;
    const json = JSON.parse(payload.toString());
    heard.push({ channel, payload: json });
    void answers[channel]?.(json);
  });
  await edge.mqtt.subscribeAsync(
    ['desired', 'requests', 'tasks'].map((channel) => nodeTopic('edge-1', channel as 'desired')),
    { qos: 1 },
  );
  await say('presence', find('presence'));
  await say('reported', find('reported'));
  await eventually('the node is known', async () => (await service.nodes()).length === 1);

  await service.putBlob(model.sha256, chunks(bytes));
  await service.addModel('double', model.sha256);
  await service.putTrigger(triggerSchema.parse(largestTrigger()), { labels: { place: 'hall' } });
  await eventually('its trigger is ready', async () => (await service.triggers())[0]?.nodes[0]?.state === 'ready');
  const result = (await service.infer('edge-1', { model: 'double', input, format: 'json' }, 30_000)) as {
    score: number;
  };
  assert.is(result.score, 10);
  const works = [
    { kind: 'command', command: 'logs' },
    { kind: 'inference', model: 'double', format: 'json', inputs: [input, input] },
  ];
  for (const work of works) {
    const { id } = await service.tasks.add(taskSpecSchema.parse({ work }));
    const task = await eventually(`the task ${work.kind} has ended`, async () => {
      const now = await service.tasks.show(id, true);
      return now.state === 'active' ? undefined : now;
    });
    assert.is(task.state, 'succeeded');
  }

  // The earlier node checked what it heard by these schemas, and refused keys of triggers that it did not know.
  assert.equal([...new Set(heard.map(({ channel }) => channel))].sort(), ['desired', 'requests', 'tasks']);
  for (const { channel, payload } of heard) {
    const checked = z.fromJSONSchema(schemas[channel] as z.core.JSONSchema.JSONSchema).safeParse(payload);
    assert.ok(
      checked.success,
      `${channel}: ${checked.error && z.prettifyError(checked.error)}: ${JSON.stringify(payload)}`,
    );
  }
});

test('a node of this version obeys a controller of the earlier one', async () => {
  const broker = await startBroker();
  const files = createServer((request, response) => {
    response.writeHead(request.url === `/v1/blobs/${model.sha256}` ? 200 : 404).end(bytes);
  }).listen(0, '127.0.0.1');
  await eventually('the files are served', () => files.listening);
  const url = `http://127.0.0.1:${(files.address() as AddressInfo).port}/v1/blobs`;
  const controller = await connectClient(broker.url, ['llmasos/v1/nodes/edge-1/#', 'answers/#']);
  const tell = (channel: 'desired' | 'requests' | 'tasks', payload: Payload) =>
    controller.mqtt.publishAsync(nodeTopic('edge-1', channel), JSON.stringify(payload), {
      qos: 1,
      retain: channel === 'desired',
    });
  const node = spawnNode({ name: 'edge-1', broker: broker.url, data: newFolder(), labels: 'place=hall' });
  try {
    await tell('desired', { ...find('desired'), files: url, models: [model] });
    await controller.wait('the trigger is ready', ({ json }) => json?.triggers?.[0]?.state === 'ready');
    await controller.send('sensors/a/values', { id: 'm', v: [1, 5, 2] });
    assert.is((await controller.wait('the answer', ({ topic }) => topic === 'answers/a')).json.score, 10);
    await tell('requests', { ...find('requests'), expiresAt: Date.now() + 30_000 });
    const reply = await controller.wait('the reply', ({ topic }) => topic.endsWith('/replies'));
    assert.is(reply.json.result?.score, 10, reply.text);

    for (const kind of ['command', 'inference']) {
      const assigned = find('tasks', ({ data }) => data.units[0].work?.kind === kind);
      for (const unit of assigned.data.units) unit.deadlineAt = Date.now() + 60_000;
      await tell('tasks', assigned);
      for (const { unit } of assigned.data.units) {
        const ended = await controller.wait(
          `${kind} has ended`,
          ({ json }) =>
            json?.type === 'llmasos.tasks.ended' && json.data.units.some((one: Payload) => one.unit === unit),
        );
        assert.is(ended.json.data.units[0].outcome.state, 'succeeded', ended.text);
      }
    }
    // The earlier controller checked what it heard by these schemas.
    for (const { topic, json } of controller.heard) {
      const channel = parseNodeTopic(topic)?.channel as string;
      if (!['presence', 'reported', 'metrics', 'replies', 'task-events'].includes(channel)) continue;
      const checked = z.fromJSONSchema(schemas[channel] as z.core.JSONSchema.JSONSchema).safeParse(json);
      assert.ok(
        checked.success,
        `${channel}: ${checked.error && z.prettifyError(checked.error)}: ${JSON.stringify(json)}`,
      );
    }
  } finally {
    files.close();
    await node.stop('SIGTERM');
    await broker.close();
  }
});

test.run();
