/** Tasks that bring nodes a version of their program: the version and the task are given together, or neither is. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ControllerClient } from '../../../fleet/api/client.ts';
import { startController } from '../../../fleet/controller/controller.ts';
import { rolloutSpecSchema } from '../../../fleet/rollouts/spec.ts';
import { taskSpecSchema } from '../../../fleet/tasks/task.ts';
import { softwareManifestSchema } from '../../../runtime/protocol/software.ts';
import { chunks, eventually, freshDatabase, hashOf, ProtocolNode, refusalOf, temporary } from '../fleet-parts.ts';

const options = { data: temporary(), ...(await freshDatabase()), mqttPort: 0, webSocketPort: 0, httpPort: 0 };
const controller = await startController(options);
const service = new ControllerClient(controller.httpUrl);
const node = await ProtocolNode.join(controller.mqttUrl, 'n1', {}, ['tasks', 'software']);

test.after(async () => {
  await node.leave();
  await controller.close();
});

async function register(version: string): Promise<void> {
  const content = new TextEncoder().encode(`// ${version}`);
  await service.putBlob(hashOf(content), chunks(content));
  const files = [{ path: 'main.js', sha256: hashOf(content), bytes: content.byteLength }];
  await service.software.add(softwareManifestSchema.parse({ version, node: '20.0.0', main: 'main.js', files }));
}

const update = (id: string, version: string) =>
  service.tasks.add(taskSpecSchema.parse({ id, work: { kind: 'update', version } }));
const given = () => node.newest?.software?.version;

test('a task that is refused gives no node the version', async () => {
  await eventually('the node is known', async () => (await service.nodes()).length === 1);
  await register('1.0.0');
  await register('2.0.0');
  const first = await update('first', '1.0.0');
  assert.equal([first.what, first.units], ['update 1.0.0', 1]);
  await node.hears('version 1.0.0', (desired) => desired.software?.version === '1.0.0');
  assert.match(await refusalOf(service.software.remove('1.0.0')), /is what n1 get/);
  assert.match(await refusalOf(update('first', '2.0.0')), /^task "first": another task has this id/);
  await service.software.remove('2.0.0');
  assert.is(given(), '1.0.0');
  assert.is((await update('first', '1.0.0')).addedAt, first.addedAt, 'the same again is the task that is there');
});

test('where the version is refused there is no task, and tasks go on', async () => {
  await register('3.0.0');
  const target = { kind: 'software', version: '3.0.0' };
  const { id } = await service.rollouts.start(rolloutSpecSchema.parse({ target, phases: [{ nodes: 1 }] }));
  assert.match(
    await refusalOf(update('second', '1.0.0')),
    /^software 1\.0\.0: ".+" brings nodes another; wait for its end/,
  );
  assert.match(await refusalOf(service.tasks.show('second', false)), /^there is no task "second"/);
  assert.is((await service.tasks.show('first', false)).state, 'active', 'the others are as they were');
  await service.rollouts.abort(id);
  await eventually('the rollout ends', async () => (await service.rollouts.show(id)).endedAt !== null || undefined);
  await update('second', '3.0.0');
  await node.hears('version 3.0.0', (desired) => desired.software?.version === '3.0.0');
});

test.run();
