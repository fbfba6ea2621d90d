/** The same controller on a broker that is not ours: Debian's mosquitto, which may refuse, disappear and forget. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startController } from '../../../fleet/controller/controller.ts';
import { findProgram, testWhere } from '../../requirement.ts';
import { chunks, eventually, hashOf, modelBytes, ProtocolNode, refusalOf, temporary, trigger } from '../fleet-parts.ts';

const mosquitto = findProgram('mosquitto');
const onMosquitto = testWhere(test, mosquitto, "Debian's mosquitto");

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Without persistence: whatever ends it makes it forget everything. */
async function startMosquitto(port: number, anonymous = true): Promise<ChildProcess> {
  const file = join(temporary(), 'mosquitto.conf');
  await writeFile(file, `listener ${port} 127.0.0.1\nallow_anonymous ${anonymous}\npersistence false\n`);
  const child = spawn(mosquitto as string, ['-c', file], { stdio: 'ignore' });
  await eventually('mosquitto listens', () => probe(port));
  return child;
}

const probe = (port: number): Promise<true | undefined> =>
  import('node:net').then(
    ({ connect }) =>
      new Promise((resolve) => {
        const socket = connect(port, '127.0.0.1', () => {
          socket.destroy();
          resolve(true);
        });
        socket.on('error', () => resolve(undefined));
      }),
  );

const kill = async (child: ChildProcess): Promise<void> => {
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
};

const start = (broker: string) => startController({ data: temporary(), broker, httpPort: 0 });

onMosquitto('a broker that is killed and forgets everything is told everything again', async () => {
  const port = await freePort();
  const broker = `mqtt://127.0.0.1:${port}`;
  let child = await startMosquitto(port);
  const controller = await start(broker);
  const { service } = controller;
  assert.is(controller.webSocketUrl, null);
  assert.is(controller.mqttUrl, broker);
  await service.putBlob(hashOf(modelBytes), chunks(modelBytes));
  await service.addModel('vad', hashOf(modelBytes));
  const before = await ProtocolNode.join(broker, 'n1');
  await service.putTrigger(trigger('speech', 'vad'), { nodes: ['n1'] });
  const heard = await before.hears('speech', ({ triggers }) => triggers.length === 1);
  await eventually('online', async () => (await service.nodes())[0]?.online);
  await before.leave();

  await kill(child);
  await eventually('nobody is online without a broker', async () => (await service.nodes())[0]?.online === false);
  assert.match(
    await refusalOf(service.infer('n1', { model: 'vad', format: 'audio', input: { base64: 'AA==' } }, 1_000)),
    /^node "n1" is not online/,
  );
  // Meanwhile the registry works on.
  await service.putTrigger(trigger('second', 'vad'), {});
  child = await startMosquitto(port);
  const after = await ProtocolNode.join(broker, 'n1');
  const desired = await after.hears('both triggers', ({ triggers }) => triggers.length === 2);
  assert.is(desired.version, heard.version + 1);
  await after.leave();
  await controller.close();
  await kill(child);
});

onMosquitto('a controller starts while its broker is away, and takes up when it comes', async () => {
  const port = await freePort();
  const controller = await start(`mqtt://127.0.0.1:${port}`);
  const health = await fetch(`${controller.httpUrl}/healthz`);
  assert.is(health.status, 503);
  assert.equal(await health.json(), { ok: false, broker: 'not connected' });
  const child = await startMosquitto(port);
  await eventually('healthy', async () => (await fetch(`${controller.httpUrl}/healthz`)).ok);
  await controller.close();
  await kill(child);
});

onMosquitto('a broker that refuses the controller is named in the log, and watching says why it cannot', async () => {
  const port = await freePort();
  const child = await startMosquitto(port, false);
  const controller = await start(`mqtt://someone:secret@127.0.0.1:${port}`);
  assert.match(
    await refusalOf(controller.service.watch('#', () => {}, AbortSignal.timeout(5_000))),
    /^watching "#": Connection refused: Not authorized/,
  );
  await controller.close();
  await kill(child);
});

test.run();
