/** The fleet on a cluster of brokers: three of Debian's NATS servers, of which one is killed while messages flow. */
import { connectAsync } from 'mqtt';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ControllerClient } from '../../../fleet/api/client.ts';
import { chunks, eventually, hashOf, killProcesses, startProcess, temporary } from '../fleet-parts.ts';
import { type NatsServer, startNats, whereNats } from '../nats.ts';
import { largest, scaling, startNodeProcess } from '../scaling-parts.ts';

test.after(killProcesses);

const identified = {
  ...largest,
  output: { ...largest.output, fields: { ...largest.output.fields, id: 'message.id' } },
};

const addressOf = (servers: readonly NatsServer[]): string => servers.map(({ url }) => url).join();

whereNats(test)('a fleet goes on when a server of its cluster dies, whoever was connected to it', async () => {
  const [first, second, third] = (await startNats(3)) as [NatsServer, NatsServer, NatsServer];
  const controller = await startProcess(temporary(), ['--broker', addressOf([second, third, first])]);
  const service = new ControllerClient(controller.httpUrl);
  const add = async (factor: number) => {
    const bytes = scaling(factor);
    await service.putBlob(hashOf(bytes), chunks(bytes));
    await service.addModel('scale', hashOf(bytes));
  };
  await add(2);
  await service.putTrigger(identified, {});
  // One on the server that will die, with the controller; one on another.
  startNodeProcess(addressOf([second, first, third]), 'city-1', temporary());
  startNodeProcess(addressOf([third, first, second]), 'city-2', temporary());
  const state = async () => (await service.triggers())[0]?.nodes ?? [];
  const ready = () =>
    eventually('both nodes are ready', async () => {
      const nodes = await state();
      return nodes.length === 2 && nodes.every(({ state }) => state === 'ready');
    });
  await ready();

  // A sensor and a listener that are not ours.
  const client = await connectAsync(first.url, { protocolVersion: 4 });
  const answered = new Map<string, number[]>();
  client.on('message', (topic, payload) => {
    const { score, id } = JSON.parse(payload.toString());
    answered.set(id, [...(answered.get(id) ?? []), score]);
    assert.is(topic, 'answers/m1');
  });
  await client.subscribeAsync('answers/m1', { qos: 1 });
  const ask = (id: string) =>
    client.publishAsync('sensors/m1/values', JSON.stringify({ id, v: [1, 5, 3] }), { qos: 1 });
  /** As a sensor that has to be sure does: again, until somebody has answered. NATS may lose what it keeps for a client of a server that dies. */
  const insist = (id: string) =>
    eventually(`an answer to ${id}`, async () => {
      await ask(id);
      await new Promise((resolve) => setTimeout(resolve, 50));
      return answered.get(id);
    });
  for (let at = 0; at < 20; at++) assert.is((await insist(`before ${at}`))[0], 10);
  const online = async () => (await service.nodes()).filter((node) => node.online).map(({ name }) => name);
  const killing = second.kill();
  for (let at = 0; at < 20; at++) assert.is((await insist(`meanwhile ${at}`))[0], 10);
  await killing;
  await eventually('both nodes are online for the controller', async () => (await online()).length === 2);
  // Changes reach them through the other servers, and it is both who answer.
  await add(3);
  await ready();
  await eventually('two answers of the new model', async () => {
    const id = `after ${Math.random()}`;
    await insist(id);
    await new Promise((resolve) => setTimeout(resolve, 100));
    return answered.get(id)?.filter((score) => score === 15).length === 2;
  });
  second.start();
  await eventually('the server is back', () =>
    connectAsync(second.url, { protocolVersion: 4, reconnectPeriod: 0, connectTimeout: 2_000 }).then(
      (back) => back.endAsync(true).then(() => true),
      () => undefined,
    ),
  );
  await client.endAsync();
});

test.run();
