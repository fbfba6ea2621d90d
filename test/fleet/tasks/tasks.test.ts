/** Tasks over real processes: over many inputs, through kill -9 of nodes and of the controller, and commands. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ControllerClient } from '../../../fleet/api/client.ts';
import { taskSpecSchema } from '../../../fleet/tasks/task.ts';
import {
  type ControllerProcess,
  chunks,
  eventually,
  freshDatabase,
  hashOf,
  killProcesses,
  ProtocolNode,
  refusalOf,
  startProcess,
  temporary,
} from '../fleet-parts.ts';
import { largest, scaling, startNodeProcess } from '../scaling-parts.ts';

const data = temporary();
const { database } = await freshDatabase();
const flags = database === undefined ? [] : ['--database', database];
let controller: ControllerProcess = await startProcess(data, flags);
const { mqttUrl, httpUrl } = controller;
const service = new ControllerClient(httpUrl);
const folders = { north: temporary(), south: temporary() };
const nodes = {
  north: startNodeProcess(mqttUrl, 'north', folders.north),
  south: startNodeProcess(mqttUrl, 'south', folders.south),
};
test.after(killProcesses);

const port = (url: string) => new URL(url).port;
const inference = (values: readonly number[], changes: object = {}) =>
  taskSpecSchema.parse({
    work: {
      ...{ kind: 'inference', model: 'scale', format: 'json', inputsPerUnit: 3 },
      inputs: values.map((value) => ({ base64: Buffer.from(`{"id":"1","v":[0,${value},0]}`).toString('base64') })),
    },
    ...changes,
  });
const ended = (id: string) =>
  eventually(`task ${id} has ended`, async () => {
    const task = await service.tasks.show(id, true).catch(() => undefined);
    return task && task.state !== 'active' ? task : undefined;
  });
const scoresOf = (results: readonly unknown[] | null) => results?.map((result) => (result as { score: number }).score);

async function readyOnBoth(): Promise<void> {
  await eventually('the model is ready on both', async () => {
    const view = (await service.triggers())[0];
    return view?.nodes.length === 2 && view.nodes.every(({ state }) => state === 'ready');
  });
}

test('a data set is split over the nodes, and the results come back in the order of the inputs', async () => {
  const bytes = scaling(2);
  await service.putBlob(hashOf(bytes), chunks(bytes));
  await service.addModel('scale', hashOf(bytes));
  await service.putTrigger(largest, {});
  await readyOnBoth();
  const values = Array.from({ length: 100 }, (_, index) => index + 1);
  const spec = inference(values);
  const reduce = 'size(results.filter(r, r.score > 100.0))';
  const accepted = await service.tasks.add({ ...spec, work: { ...spec.work, reduce } } as typeof spec);
  assert.equal([accepted.units, accepted.state, accepted.what], [34, 'active', 'inference scale']);
  const task = await ended(accepted.id);
  assert.is(task.state, 'succeeded');
  assert.equal(
    scoresOf(task.results),
    values.map((value) => value * 2),
  );
  assert.equal(task.answer, { from: 100, value: 50 });
  assert.equal(new Set(task.unitList.map(({ node }) => node)), new Set(['north', 'south']));
});

test('the same id again is the same task; with another content it is refused', async () => {
  const spec = inference([1, 2], { id: 'nightly' });
  const first = await service.tasks.add(spec);
  assert.equal((await service.tasks.add(spec)).addedAt, first.addedAt);
  await ended('nightly');
  assert.equal((await service.tasks.add(spec)).addedAt, first.addedAt, 'also when it has ended');
  assert.match(
    await refusalOf(service.tasks.add(inference([3], { id: 'nightly' }))),
    /^task "nightly": another task has/,
  );
});

test('kill -9 of a node and of the controller loses nothing and doubles nothing', async () => {
  const values = Array.from({ length: 300 }, (_, index) => index + 1);
  const { id } = await service.tasks.add(inference(values, { priority: 'background' }));
  nodes.north.child.kill('SIGKILL');
  await controller.kill('SIGKILL');
  controller = await startProcess(data, [...flags, '--mqtt-port', port(mqttUrl), '--http-port', port(httpUrl)]);
  nodes.north = startNodeProcess(mqttUrl, 'north', folders.north);
  const task = await ended(id);
  assert.is(task.state, 'succeeded', JSON.stringify(task.unitList.find(({ error }) => error !== null)));
  assert.equal(
    scoresOf(task.results),
    values.map((value) => value * 2),
  );
});

test('a command is one unit for every node that is selected, and its answer is a result', async () => {
  await readyOnBoth();
  const command = (name: string, given: object, selector = {}) =>
    service.tasks.add(
      taskSpecSchema.parse({ work: { kind: 'command', command: name, arguments: given }, selector, timeoutMs: 60_000 }),
    );
  const logs = await ended((await command('logs', { lines: 50 })).id);
  assert.is(logs.state, 'succeeded');
  assert.equal(
    logs.unitList.map(({ node }) => node),
    ['north', 'south'],
  );
  assert.ok((logs.results as string[][]).every((lines) => lines.some((line) => line.includes('node started'))));
  const one = await ended((await command('log-level', { level: 'debug' }, { nodes: ['south'] })).id);
  assert.equal(one.results, ['debug']);
  const wrong = await ended((await command('logs', { lines: 0 }, { nodes: ['south'] })).id);
  assert.is(wrong.state, 'failed');
  assert.match(wrong.unitList[0]?.error ?? '', /^command "logs": lines: /);
  const unknown = await ended((await command('format-disk', {}, { nodes: ['south'] })).id);
  assert.match(unknown.unitList[0]?.error ?? '', /^command "format-disk": this node knows logs, log-level/);
  assert.match(await refusalOf(command('logs', {}, { nodes: ['nobody'] })), /no node matches/);
});

test('what cannot be done is refused, or says what it waits for, and can be cancelled', async () => {
  const bad = (work: object) => refusalOf(service.tasks.add({ ...inference([1]), work } as never));
  assert.match(
    await bad({ kind: 'inference', model: 'none', format: 'json', inputs: [{ base64: 'AA==' }] }),
    /^there is no model "none"; add it first/,
  );
  assert.match(
    await bad({ kind: 'inference', model: 'scale', format: 'json', inputs: [{ sha256: 'b'.repeat(64) }] }),
    /^input: blob b{64} is not here/,
  );
  assert.match(await bad({ kind: 'inference', model: 'scale', format: 'json', inputs: [] }), /^tasks add: work.inputs/);
  assert.match(
    await bad({ kind: 'inference', model: 'scale', format: 'json', inputs: [{ base64: 'AA==' }], reduce: 'size(' }),
    /^expression "size\(": /,
  );
  const { id } = await service.tasks.add(inference([1], { selector: { nodes: ['elsewhere'] } }));
  const waiting = await service.tasks.show(id, false);
  assert.match(waiting.waitsFor ?? '', /^a node that matches its selector to come online/);
  await service.tasks.cancel(id);
  assert.is((await ended(id)).state, 'cancelled');
  assert.match(await refusalOf(service.tasks.cancel('nothing')), /^there is no task "nothing"/);
  const [newest] = await service.tasks.list('cancelled');
  assert.is(newest?.id, id);
});

test('an input that a model cannot take fails after the attempts, and says why', async () => {
  const spec = inference([1], { attemptsMax: 2 });
  const work = { ...spec.work, inputs: [{ base64: Buffer.from('no json').toString('base64') }] };
  const task = await ended((await service.tasks.add({ ...spec, work } as typeof spec)).id);
  assert.equal([task.state, task.unitList[0]?.attempts], ['failed', 2]);
  assert.match(task.unitList[0]?.error ?? '', /^input 1 of 1: infer scale: /);
  assert.equal(task.results, [null]);
});

test('a node of an older version gets no tasks, and everything else', async () => {
  const old = await ProtocolNode.join(mqttUrl, 'old');
  await old.hears('its desired state', ({ triggers }) => triggers.length === 1);
  const heard: string[] = [];
  old.client.on('message', (topic) => heard.push(topic));
  await old.client.subscribeAsync('llmasos/v1/nodes/old/tasks');
  const { id } = await service.tasks.add(inference(Array.from({ length: 30 }, () => 1)));
  assert.is((await ended(id)).state, 'succeeded');
  assert.equal(heard, []);
  await old.leave();
});

test.run();
