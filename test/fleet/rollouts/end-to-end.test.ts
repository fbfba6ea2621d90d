/** A rollout over real nodes: phase by phase, through kill -9 of the controller, without a lost message; and back again. */
import { connectAsync } from 'mqtt';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ControllerClient } from '../../../fleet/api/client.ts';
import { rolloutSpecSchema } from '../../../fleet/rollouts/spec.ts';
import {
  chunks,
  eventually,
  freshDatabase,
  hashOf,
  killProcesses,
  modelBytes,
  refusalOf,
  startProcess,
  temporary,
} from '../fleet-parts.ts';
import { largest, scaling, startNodeProcess } from '../scaling-parts.ts';

test.after(killProcesses);

const port = (url: string): string => new URL(url).port;

test('a new version goes phase by phase, the controller is killed meanwhile, and every message is answered', async () => {
  const data = temporary();
  const { database } = await freshDatabase();
  const flags = database === undefined ? [] : ['--database', database];
  let controller = await startProcess(data, flags);
  const { mqttUrl, httpUrl } = controller;
  const service = new ControllerClient(httpUrl);
  const nodes = ['n1', 'n2', 'n3'].map((name) => startNodeProcess(mqttUrl, name, temporary()));
  const add = async (bytes: Uint8Array, registerOnly: boolean) => {
    await service.putBlob(hashOf(bytes), chunks(bytes));
    return service.addModel('scale', hashOf(bytes), undefined, registerOnly);
  };
  const start = (changes: object) =>
    service.rollouts.start(
      rolloutSpecSchema.parse({
        target: { kind: 'model', model: 'scale', version: 2 },
        phases: [{ nodes: 1 }],
        soakMs: 0,
        ...changes,
      }),
    );
  const versions = async () => {
    const found = (await service.nodes()).map(({ reported }) => reported?.models[0]);
    return found.map((model) => (model?.state === 'ready' ? model.version : model?.state));
  };
  const allReady = () =>
    eventually('the trigger is ready on three nodes', async () => {
      const on = (await service.triggers())[0]?.nodes ?? [];
      return on.length === 3 && on.every(({ state }) => state === 'ready');
    });
  const ended = (id: string) =>
    eventually(`the end of rollout ${id}`, async () => {
      const found = await service.rollouts.show(id).catch(() => undefined);
      return found?.endedAt ? found : undefined;
    });

  const ends: (() => void)[] = [];
  try {
    await eventually('three nodes', async () => (await service.nodes()).length === 3);
    await add(scaling(2), false);
    await service.putTrigger(largest, {});
    await allReady();
    const second = await add(scaling(3), true);
    assert.equal([second.version, second.released], [2, 1]);
    assert.equal(await versions(), [1, 1, 1]);
    assert.match(
      await refusalOf(start({ id: 'same', target: { kind: 'model', model: 'scale', version: 1 } })),
      /version 1 is what every/,
    );

    const begun = await start({ id: 'r1' });
    assert.equal([begun.state, begun.nodeList.length], ['running', 3]);
    assert.equal((await start({ id: 'r1' })).id, 'r1', 'the same again is the same rollout');
    assert.match(await refusalOf(start({ id: 'r2' })), /is being rolled out by "r1"/);
    assert.match(await refusalOf(add(scaling(9), false)), /is being rolled out by "r1"/);
    await controller.kill('SIGKILL');
    controller = await startProcess(data, [...flags, '--mqtt-port', port(mqttUrl), '--http-port', port(httpUrl)]);

    // From here on somebody counts the answers.
    const client = await connectAsync(mqttUrl, { protocolVersion: 4 });
    ends.push(() => client.end(true));
    const answers = new Map<string, number[]>();
    const probes = new Map<string, number>();
    client.on('message', (topic, payload) => {
      const { score, meta } = JSON.parse(payload.toString());
      if (topic === 'answers/m0') probes.set(meta.id, (probes.get(meta.id) ?? 0) + 1);
      else answers.set(meta.id, [...(answers.get(meta.id) ?? []), score]);
    });
    await client.subscribeAsync(['answers/m0', 'answers/m1'], { qos: 1 });
    await allReady();
    // What the database says of nodes does not tell that they are back, and subscribed.
    let probe = 0;
    await eventually('all three answer again', async () => {
      await client.publishAsync('sensors/m0/values', `{"id":"${probe++}","v":[1,5,3]}`, { qos: 1 });
      return [...probes.values()].some((count) => count >= 3);
    });
    let sent = 0;
    const sending = setInterval(() => {
      void client.publishAsync('sensors/m1/values', `{"id":"${sent++}","v":[1,5,3]}`, { qos: 1 });
    }, 25);
    ends.push(() => clearInterval(sending));
    const done = await ended('r1');
    clearInterval(sending);
    assert.equal([done.state, done.reason], ['finished', '3 of 3 nodes have it']);
    assert.equal(await versions(), [2, 2, 2]);
    await eventually(
      'all answers',
      () => answers.size === sent && [...answers.values()].every((list) => list.length >= 3),
    );
    const scores = new Set([...answers.values()].flat());
    assert.equal([...scores].sort(), [10, 15], 'answers of both versions, and no others');
    assert.ok(sent > 50);

    // A version whose trigger cannot even start: the canary says so, goes on with what it had, and it is taken back.
    assert.is((await add(modelBytes, true)).version, 3);
    await start({ id: 'r3', target: { kind: 'model', model: 'scale', version: 3 } });
    const halted = await ended('r3');
    assert.is(halted.state, 'stopped');
    assert.match(halted.reason ?? '', /^1 of 1 nodes failed, none may: n\d: trigger "largest"/);
    assert.ok(halted.nodeList.every(({ execution }) => execution === 'canceled'));
    await allReady();
    assert.equal(await versions(), [2, 2, 2]);
    assert.is((await service.models())[0]?.released, 2);
  } catch (error) {
    throw new Error(
      `${(error as Error).message}\n${controller.output().slice(-3_000)}\n${nodes[0]?.output().slice(-3_000)}`,
      { cause: error },
    );
  } finally {
    // A client that is left tries for ever to reach its broker: a test that failed would never end.
    for (const end of ends) end();
  }
});

test.run();
