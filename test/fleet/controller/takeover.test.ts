/** Several controllers on Debian's PostgreSQL: one leads, another one takes over. */
import { once } from 'node:events';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ControllerClient } from '../../../fleet/api/client.ts';
import { taskSpecSchema } from '../../../fleet/tasks/task.ts';
import { freePort, hasMosquitto, startMosquitto } from '../../end-to-end/processes.ts';
import { testWhere } from '../../requirement.ts';
import {
  chunks,
  eventually,
  freshDatabase,
  hashOf,
  killProcesses,
  modelBytes,
  ProtocolNode,
  refusalOf,
  startProcess,
  temporary,
  trigger,
} from '../fleet-parts.ts';
import { hasPostgres, startPostgres, wherePostgres } from '../postgres.ts';

const onPostgres = wherePostgres(test);
const onBoth = testWhere(
  test,
  hasPostgres && hasMosquitto,
  "Debian's packages postgresql, mosquitto and mosquitto-clients",
);

if (hasPostgres) process.env.LLMASOS_TEST_POSTGRES = await startPostgres();

test.after(killProcesses);

onBoth(
  'a controller that is killed is followed by another one by itself, and nothing acknowledged is lost',
  async () => {
    const broker = await startMosquitto(await freePort());
    const { database = '' } = await freshDatabase();
    const blobs = temporary();
    const flags = ['--database', database, '--blobs', blobs, '--broker', broker.url];
    const [firstPort, secondPort] = [await freePort(), await freePort()];
    const first = await startProcess(temporary(), [...flags, '--http-port', String(firstPort)]);
    const starting = startProcess(temporary(), [...flags, '--http-port', String(secondPort)]);
    const secondUrl = `http://127.0.0.1:${secondPort}`;
    await eventually('the second waits', async () => {
      const response = await fetch(`${secondUrl}/healthz`).catch(() => undefined);
      const { error } = ((await response?.json()) ?? {}) as { error?: string };
      return response?.status === 503 && error?.includes(`leads, at http://127.0.0.1:${firstPort}`);
    });
    const service = new ControllerClient(first.httpUrl);
    const node = await ProtocolNode.join(broker.url, 'n1');
    await eventually('the node is known', async () => (await service.nodes()).length === 1);
    await service.putBlob(hashOf(modelBytes), chunks(modelBytes));
    await service.addModel('vad', hashOf(modelBytes));
    await service.putTrigger(trigger('speech', 'vad'), {});
    const work = { kind: 'inference', model: 'vad', format: 'audio', inputs: [{ base64: 'AAAA' }] };
    await service.tasks.add(taskSpecSchema.parse({ id: 'kept', work }));
    const before = await node.hears('its trigger', ({ triggers }) => triggers.length === 1);

    const killedMs = performance.now();
    await first.kill('SIGKILL');
    const second = await starting;
    // At most the lease's six seconds, a try and the start; on a loaded machine longer: shown, not held to.
    console.log(`taken over after ${Math.round(performance.now() - killedMs)} ms`);
    assert.is(second.httpUrl, secondUrl);
    const again = new ControllerClient(secondUrl);
    assert.equal(
      (await again.triggers()).map(({ trigger }) => trigger.name),
      ['speech'],
    );
    assert.is((await again.tasks.show('kept', false)).state, 'active');
    await eventually('the node is online there', async () => (await again.nodes())[0]?.online);
    const after = await node.hears('where files are now', ({ files }) => files.startsWith(secondUrl));
    assert.ok(after.version > before.version);
    assert.is((await fetch(`${secondUrl}/v1/blobs/${hashOf(modelBytes)}`)).status, 200);
    await node.leave();
    await second.kill('SIGTERM');
    await broker.stop();
  },
);

onBoth('a leader that was only asleep writes nothing any more and ends', async () => {
  const broker = await startMosquitto(await freePort());
  const { database = '' } = await freshDatabase();
  const flags = ['--database', database, '--blobs', temporary(), '--broker', broker.url];
  const first = await startProcess(temporary(), flags);
  const starting = startProcess(temporary(), flags);
  first.child.kill('SIGSTOP');
  const second = await starting;
  // 'exit' may come before the last of its output.
  const ended = once(first.child, 'close');
  first.child.kill('SIGCONT');
  const refusal = refusalOf(new ControllerClient(first.httpUrl).removeTrigger('nothing'));
  assert.is((await ended)[0], 1);
  assert.match(await refusal, /another controller leads this fleet now|connection|no controller/);
  assert.match(first.output(), /another controller leads this fleet now; ending/);
  assert.equal(await new ControllerClient(second.httpUrl).triggers(), []);
  await second.kill('SIGTERM');
  await broker.stop();
});

onPostgres('a controller that waits ends when it is asked to', async () => {
  const { database = '' } = await freshDatabase();
  const flags = ['--database', database];
  const first = await startProcess(temporary(), flags);
  const port = await freePort();
  const waiting = startProcess(temporary(), [...flags, '--http-port', String(port)]).catch(
    (error: Error) => error.message,
  );
  await eventually(
    'it waits',
    async () => (await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined))?.status === 503,
  );
  // The next leader need not wait for the end of a lease that was given back.
  await first.kill('SIGTERM');
  const second = await waiting;
  if (typeof second === 'string') throw new Error(second);
  assert.is(await second.kill('SIGTERM'), 0);
});

onPostgres('what PostgreSQL cannot keep, and a server that is not there, are no harm', async () => {
  const { database = '' } = await freshDatabase();
  const controller = await startProcess(temporary(), ['--database', database]);
  const service = new ControllerClient(controller.httpUrl);
  const node = await ProtocolNode.join(controller.mqttUrl, 'n1', { note: 'a\u0000b' });
  const view = await eventually('the node is known', async () =>
    (await service.nodes()).find(({ reported }) => reported),
  );
  assert.is(view.labels.note, 'a\u0000b');
  await node.leave();
  await controller.kill('SIGTERM');
  assert.match(
    await refusalOf(startProcess(temporary(), ['--database', 'postgres://user:secret@127.0.0.1:1/none'])),
    /^exit code 2: llmasos controller: --database postgres:\/\/127.0.0.1:1\/none: .*; is PostgreSQL there, and may this user create tables\?\n$/,
  );
  assert.match(
    await refusalOf(startProcess(temporary(), ['--database', 'mysql://x'])),
    /--database: expected an address such as postgres/,
  );
});

test.run();
