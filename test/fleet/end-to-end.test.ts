/** A controller and a node as processes of their own: from `models add` to right answers, through kill -9 of the controller. */
import { once } from 'node:events';
import { cp } from 'node:fs/promises';
import { connectAsync } from 'mqtt';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ControllerClient } from '../../fleet/api/client.ts';
import { chunks, eventually, hashOf, killProcesses, startProcess, temporary } from './fleet-parts.ts';
import { largest, scaling, startNodeProcess } from './scaling-parts.ts';

test.after(killProcesses);

test('models, triggers, answers and one-off inference, through kill -9 of the controller and the loss of its data', async () => {
  const data = temporary();
  let controller = await startProcess(data);
  const { mqttUrl, httpUrl } = controller;
  const service = new ControllerClient(httpUrl);
  const node = startNodeProcess(mqttUrl, 'city-1', temporary(), ['--labels', 'site=north']);
  const left = once(node.child, 'close');

  const add = async (factor: number) => {
    const bytes = scaling(factor);
    await service.putBlob(hashOf(bytes), chunks(bytes));
    return service.addModel('scale', hashOf(bytes));
  };
  const ready = () =>
    eventually('the trigger is ready on the node', async () => {
      const nodes = (await service.triggers())[0]?.nodes ?? [];
      return nodes.length === 1 && nodes[0]?.state === 'ready';
    });
  const ask = async (): Promise<number> => {
    const client = await connectAsync(mqttUrl, { protocolVersion: 4 });
    const answers: number[] = [];
    client.on('message', (_, payload) => answers.push(JSON.parse(payload.toString()).score));
    await client.subscribeAsync('answers/m1', { qos: 1 });
    // Again and again: after its restart the broker knows of nobody's subscription, until they are back.
    const answer = await eventually('an answer', async () => {
      await client.publishAsync('sensors/m1/values', '{"id":"1","v":[1,5,3]}', { qos: 1 });
      await new Promise((resolve) => setTimeout(resolve, 50));
      return answers[0];
    });
    await client.endAsync();
    return answer;
  };

  const port = (url: string) => new URL(url).port;
  const restart = async (data: string) => {
    await controller.kill('SIGKILL');
    controller = await startProcess(data, ['--mqtt-port', port(mqttUrl), '--http-port', port(httpUrl)]);
  };

  try {
    await add(2);
    await service.putTrigger(largest, { labels: { site: 'north' } });
    await ready();
    assert.is(await ask(), 10);
    await restart(data);
    const backup = temporary();
    await cp(data, backup, { recursive: true });
    await ready();
    await add(3);
    await eventually('version 2 is in use', async () => (await ask()) === 15);

    await restart(data);
    await ready();
    assert.is(await ask(), 15);
    // The node reads the input as its trigger for this model would.
    const input = { base64: Buffer.from('{"id": "1", "v": [1, 5, 3]}').toString('base64') };
    const result = await service.infer('city-1', { model: 'scale', format: 'json', input }, 10_000);
    assert.match(JSON.stringify(result), /"score":15/);

    // Restored from older data, while the node was away: what it should be now has the version that it already has.
    node.child.kill('SIGSTOP');
    await restart(backup);
    await add(4);
    node.child.kill('SIGCONT');
    await eventually('the restored controller is obeyed', async () => (await ask()) === 20);

    // All data lost: until somebody says what the node should be, it goes on.
    await restart(temporary());
    await eventually('the node is known again', async () => (await service.nodes())[0]?.online);
    assert.is(await ask(), 20);
    await add(5);
    await service.putTrigger(largest, {});
    await eventually('the new controller is obeyed', async () => (await ask()) === 25);
    await service.removeTrigger('largest');
    await eventually(
      'the node has nothing left to do',
      async () => (await service.nodes())[0]?.reported?.triggers.length === 0,
    );
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${node.output().slice(-3_000)}`, { cause: error });
  } finally {
    node.child.kill('SIGTERM');
    await left;
    await controller.kill('SIGTERM');
  }
});

test.run();
