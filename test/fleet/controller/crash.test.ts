/** kill -9 of a controller process right after an acknowledgement: what was acknowledged is there after the restart. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ControllerClient } from '../../../fleet/api/client.ts';
import { findProgram, testWhere } from '../../requirement.ts';
import {
  chunks,
  hashOf,
  killProcesses,
  modelBytes,
  ProtocolNode,
  refusalOf,
  startProcess,
  temporary,
  trigger,
  variant,
} from '../fleet-parts.ts';

const ROUNDS = 6;

test.after(killProcesses);

test('no acknowledged model, trigger or node is lost, and nodes hear their desired state again', async () => {
  const data = temporary();
  let killed = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    const controller = await startProcess(data);
    const service = new ControllerClient(controller.httpUrl);
    const models = await service.models();
    assert.is(models.length, killed, `round ${round}: models`);
    assert.is((await service.triggers()).length, killed, `round ${round}: triggers`);
    const node = await ProtocolNode.join(controller.mqttUrl, 'n1');
    if (killed > 0) await node.hears('all its triggers', ({ triggers }) => triggers.length === killed);
    const bytes = variant(modelBytes, `round ${round}`);
    await service.putBlob(hashOf(bytes), chunks(bytes));
    await service.addModel(`model-${round}`, hashOf(bytes), ['a', 'b']);
    // The process is killed in the same turn in which the acknowledgement is seen.
    await service
      .putTrigger(trigger(`trigger-${round}`, `model-${round}`), {})
      .then(() => controller.child.kill('SIGKILL'));
    await controller.kill('SIGKILL');
    killed++;
    await node.leave();
  }
  const controller = await startProcess(data);
  const service = new ControllerClient(controller.httpUrl);
  assert.equal(
    (await service.nodes()).map(({ name }) => name),
    ['n1'],
  );
  const model = (await service.modelVersions(`model-${ROUNDS}`))[0];
  const file = await fetch(`${controller.httpUrl}/v1/blobs/${model?.sha256}`);
  assert.is(hashOf(new Uint8Array(await file.arrayBuffer())), model?.sha256);
  assert.is(await controller.kill('SIGTERM'), 0);
  assert.is(killed, ROUNDS);
});

test('a kill during an upload leaves nothing that counts as a file', async () => {
  const data = temporary();
  const controller = await startProcess(data);
  const service = new ControllerClient(controller.httpUrl);
  let sent = 0;
  async function* slowly(): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks(modelBytes)) {
      yield chunk;
      if (++sent === 10) controller.child.kill('SIGKILL');
    }
  }
  assert.match(
    await refusalOf(service.putBlob(hashOf(modelBytes), slowly())),
    /^the connection to the controller|^no controller/,
  );
  const again = await startProcess(data);
  const response = await fetch(`${again.httpUrl}/v1/blobs/${hashOf(modelBytes)}`);
  assert.is(response.status, 404);
  assert.is(await again.kill('SIGINT'), 0);
});

test('what cannot work at the start is one line and exit code 2', async () => {
  const data = temporary();
  const running = await startProcess(data);
  const port = new URL(running.httpUrl).port;
  const failed = async (folder: string, flags: string[]) => refusalOf(startProcess(folder, flags));
  assert.match(
    await failed(temporary(), ['--http-port', port]),
    /^exit code 2: llmasos controller: --http-port \d+ on 127.0.0.1: the port is in use; .*\n$/,
  );
  assert.match(
    await failed(temporary(), ['--mqtt-port', port]),
    /^exit code 2: llmasos controller: --mqtt-port \d+ .*in use.*\n$/,
  );
  assert.match(await failed(data, []), /^exit code 2: llmasos controller: .*: another controller works with it.*\n$/);
  assert.match(
    await failed(temporary(), ['--broker', 'http://x']),
    /^exit code 2: llmasos controller: broker "http:\/\/x": expected an address such as mqtt/,
  );
  assert.match(
    await failed(temporary(), ['--http-port', 'many']),
    /^exit code 2: .*--http-port many: expected a port from 0 to 65535\n$/,
  );
  assert.match(await failed(temporary(), ['--nonsense']), /^exit code 2: .*--nonsense/);
  await running.kill('SIGTERM');
});

test('a damaged database is refused, and so is one that a later version wrote', async () => {
  const data = temporary();
  await writeFile(join(data, 'controller.sqlite'), 'this is no database, however long it may be'.repeat(100));
  assert.match(
    await refusalOf(startProcess(data)),
    /^exit code 2: .*controller.sqlite: cannot be opened as a database: file is not a database/,
  );
  assert.match(await readFile(join(data, 'controller.sqlite'), 'utf8'), /^this is no database/);
  const later = temporary();
  await (await startProcess(later)).kill('SIGTERM');
  const database = new DatabaseSync(join(later, 'controller.sqlite'));
  database.exec("INSERT INTO kysely_migration (name, timestamp) VALUES ('999-later', '2030-01-01')");
  database.close();
  assert.match(
    await refusalOf(startProcess(later)),
    /^exit code 2: .*if a later version of the program wrote it, install that one again\n$/,
  );
});

testWhere(
  test,
  findProgram('bash'),
  'bash',
)('a full disk refuses what it cannot keep and keeps what it acknowledged', async () => {
  const data = temporary();
  const controller = await startProcess(data, [], 3_000);
  const service = new ControllerClient(controller.httpUrl);
  await service.putBlob(hashOf(modelBytes), chunks(modelBytes));
  await service.addModel('vad', hashOf(modelBytes));
  const files = async () => (await readdir(join(data, 'blobs'))).sort();
  const before = await files();
  assert.ok(before.includes(hashOf(modelBytes)));
  const large = new Uint8Array(4_000_000);
  assert.match(await refusalOf(service.putBlob(hashOf(large), chunks(large))), /too large/);
  assert.equal(await files(), before);
  const filler = Object.fromEntries(Array.from({ length: 25 }, (_, index) => [`x${index}`, `"${'y'.repeat(1_900)}"`]));
  let acknowledged = 0;
  let refusal: string | undefined;
  while (refusal === undefined && acknowledged < 200)
    await service.putTrigger(trigger(`t${acknowledged}`, 'vad', { let: filler }), {}).then(
      () => acknowledged++,
      (error: Error) => {
        refusal = error.message;
      },
    );
  assert.match(refusal ?? 'nothing was refused', /disk|full/);
  assert.ok(acknowledged > 0);
  assert.is((await service.triggers()).length, acknowledged);
  await controller.kill('SIGKILL');
  const roomy = await startProcess(data);
  const again = new ControllerClient(roomy.httpUrl);
  assert.is((await again.triggers()).length, acknowledged);
  await again.putTrigger(trigger('one-more', 'vad'), {});
  await roomy.kill('SIGTERM');
});

test.run();
