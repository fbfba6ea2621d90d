import pino from 'pino';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startNode } from '../../../devices/gateway/node.ts';
import { cleanUp, connectClient, localFiles, newFolder, startBroker, type TestClient } from './bench.ts';

const broker = await startBroker();

const ready = (client: TestClient) =>
  client.wait('the reported state with every trigger ready', ({ topic, json }) => {
    if (!topic.endsWith('/reported')) return false;
    return json.triggers.length > 0 && json.triggers.every((trigger: { state: string }) => trigger.state === 'ready');
  });

test('settings are applied while the node runs, survive a restart, and a flag of its own wins', async () => {
  const levels = pino({ level: 'silent' });
  const options = {
    ...{ name: 'set', broker: broker.url, data: newFolder(), log: levels },
    ...{ ...localFiles(), settings: { pinned: ['double'] } },
  };
  const client = await connectClient(broker.url, [`llmasos/v1/nodes/${options.name}/#`]);
  const node = await startNode(options);
  await ready(client);
  const desire = (version: number, settings: object) =>
    client.mqtt.publishAsync(
      `llmasos/v1/nodes/${options.name}/desired`,
      JSON.stringify({ version, at: version, files: 'http://127.0.0.1:9/blobs', models: [], triggers: [], settings }),
      { qos: 1, retain: true },
    );
  const told = async (what: string, version: number) =>
    (await client.wait(what, ({ topic, json }) => topic.endsWith('/reported') && json.desiredVersion === version)).json
      .settings;
  await desire(1, { logLevel: 'fatal', metricsIntervalMs: 600, memoryBudgetMb: 64, pinned: [], ofTomorrow: 1 });
  const states = (await told('the first settings', 1)).map(({ name, state }: Record<string, string>) => [name, state]);
  assert.equal(states, [
    ['logLevel', 'failed'],
    ['memoryBudgetMb', 'waiting'],
    ['metricsIntervalMs', 'applied'],
    ['ofTomorrow', 'unknown'],
    ['pinned', 'overridden'],
  ]);
  assert.is(levels.level, 'silent');
  await desire(2, { logLevel: 'error', memoryBudgetMb: 64 });
  await told('the second settings', 2);
  assert.is(levels.level, 'error');
  await node.close();
  levels.level = 'silent';
  client.heard.length = 0;
  const again = await startNode(options);
  assert.is(levels.level, 'error', 'in force before there is a connection');
  const { json } = await ready(client);
  const budget = json.settings.find(({ name }: { name: string }) => name === 'memoryBudgetMb');
  assert.equal(budget, { name: 'memoryBudgetMb', state: 'applied', value: 64 });
  await again.close();
  await client.mqtt.endAsync();
});

test.after(async () => {
  await broker.close();
  cleanUp();
});
test.run();
