import { readdir, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ControllerClient } from '../../../fleet/api/client.ts';
import { type Controller, startController } from '../../../fleet/controller/controller.ts';
import { decodeManifest, encodeManifest } from '../../../runtime/store/manifest.ts';
import {
  chunks,
  eventually,
  freshDatabase,
  hashOf,
  modelBytes,
  ProtocolNode,
  refusalOf,
  temporary,
  trigger,
  variant,
} from '../fleet-parts.ts';

const data = temporary();
const options = { data, ...(await freshDatabase()), mqttPort: 0, webSocketPort: 0, httpPort: 0 };
let controller: Controller = await startController(options);
// Everything goes over real HTTP: the client is the same interface as the service.
let service = new ControllerClient(controller.httpUrl);
const nodes: ProtocolNode[] = [];
const sha256 = hashOf(modelBytes);

test.after(async () => {
  for (const node of nodes) await node.leave();
  await controller.close();
});

async function announce(name: string, labels: Record<string, string> = {}): Promise<ProtocolNode> {
  const node = await ProtocolNode.join(controller.mqttUrl, name, labels);
  nodes.push(node);
  await eventually(`${name} is registered`, async () =>
    (await service.nodes()).find((view) => view.name === name && view.online && view.reported !== null),
  );
  return node;
}

const upload = async (bytes: Uint8Array): Promise<string> => {
  await service.putBlob(hashOf(bytes), chunks(bytes));
  return hashOf(bytes);
};

const storedFiles = () => readdir(join(data, 'blobs'));

test('a model gets its description from its file, and the same content again is the same version', async () => {
  const added = await service.addModel('vad', await upload(modelBytes), ['speech', 'noise']);
  assert.is(added.version, 1);
  assert.is(added.bytes, modelBytes.byteLength);
  assert.is(added.labelCount, 2);
  // Names and shapes as Silero documents them: 512 samples and 64 of context, a state of 2 × 1 × 128.
  assert.equal(
    added.inputs.map(({ name }) => name),
    ['input', 'state', 'sr'],
  );
  assert.equal(
    added.outputs.map(({ name }) => name),
    ['output', 'stateN'],
  );
  assert.is(added.opset, 15);
  assert.ok((added.operators.Conv ?? 0) > 0);
  assert.is((await service.addModel('vad', sha256)).version, 1);
  assert.is((await service.addModel('vad', sha256, ['speech', 'noise'])).version, 1);
  assert.equal(
    (await service.models()).map(({ name, version }) => [name, version]),
    [['vad', 1]],
  );
});

test('a blob that is too large for a model is refused before it is read', async () => {
  const hash = hashOf(new TextEncoder().encode('large'));
  // A sparse file: it takes no room on the disk.
  const path = join(data, 'blobs', hash);
  await writeFile(path, '');
  await truncate(path, 2 ** 30 + 1);
  assert.match(await refusalOf(service.addModel('large', hash)), /expected at most 1073741824 bytes, got 1073741825/);
  await rm(path);
});

test('other content or other labels are the next version, and the newest one counts', async () => {
  const other = variant(modelBytes, 'two');
  assert.is((await service.addModel('steps', await upload(modelBytes))).version, 1);
  assert.is((await service.addModel('steps', await upload(other))).version, 2);
  assert.is((await service.addModel('steps', hashOf(other), ['a'])).version, 3);
  assert.is((await service.addModel('steps', sha256)).version, 4, 'back to an earlier content');
  const versions = await service.modelVersions('steps');
  assert.equal(
    versions.map(({ version }) => version),
    [4, 3, 2, 1],
  );
  assert.equal(
    versions.map((view) => view.sha256 === sha256),
    [true, false, false, true],
  );
  await service.removeModel('steps');
  assert.match(await refusalOf(service.modelVersions('steps')), /^there is no model "steps"; there are vad$/);
});

test('what is no complete ONNX model is refused with the reason, and leaves no file behind', async () => {
  const before = await storedFiles();
  const cases: [string, Uint8Array, RegExp][] = [
    ['cut', modelBytes.subarray(0, 1_000_000), /^model "bad" was refused: model file: .*cannot be read/],
    ['empty', new Uint8Array(0), /^model "bad" was refused: .*got an empty file/],
    [
      'text',
      new TextEncoder().encode('{"not": "a model"}'),
      /^model "bad" was refused: model file: expected an ONNX model/,
    ],
    [
      'picture',
      Uint8Array.from([0xff, 0xd8, 0xff, 0xe0, 0, 16, 74, 70, 73, 70, 0]),
      /^model "bad" was refused: .*JPEG/,
    ],
  ];
  for (const [what, bytes, reason] of cases)
    assert.match(await refusalOf(service.addModel('bad', await upload(bytes), ['label'])), reason, what);
  assert.equal((await storedFiles()).toSorted(), before.toSorted());
  assert.equal(
    (await service.models()).map(({ name }) => name),
    ['vad'],
  );
});

test('a wrong hash, a missing upload and a bad name are refused', async () => {
  const before = await storedFiles();
  const wrong = 'a'.repeat(64);
  assert.match(
    await refusalOf(service.putBlob(wrong, chunks(modelBytes))),
    /^blob: expected SHA-256 a{64}, the content has [0-9a-f]{64}/,
  );
  assert.match(await refusalOf(service.addModel('x', wrong)), /^model "x": blob a{64} is not here; upload it first/);
  assert.match(await refusalOf(service.addModel('no name', sha256)), /^models add: name: letters, digits/);
  assert.match(await refusalOf(service.addModel('x', sha256, [])), /at least one label/);
  assert.equal(await storedFiles(), before);
});

test('a trigger that names no model, or an input that the model lacks, is refused', async () => {
  const missing = trigger('t', 'nothing');
  assert.match(
    await refusalOf(service.putTrigger(missing, {})),
    /^trigger "t": there is no model "nothing" \(there are vad\); add it/,
  );
  const wrong = trigger('t', 'vad', { stages: [{ name: 's', model: 'vad', inputs: { rate: { constant: 1 } } }] });
  assert.match(
    await refusalOf(service.putTrigger(wrong, {})),
    /stage "s": model "vad" has no input "rate"; it has input, state, sr/,
  );
  assert.equal(await service.triggers(), []);
});

test('an unknown node that announces itself is registered, and goes offline with its last will', async () => {
  const node = await announce('city-1', { site: 'north', kind: 'city' });
  const view = (await service.nodes())[0];
  assert.equal([view?.name, view?.labels, view?.desiredVersion], ['city-1', { site: 'north', kind: 'city' }, 0]);
  const metrics = { at: 1, uptimeMs: 5, residentBytes: 7, outboxItems: 0, triggers: [] };
  await node.send('metrics', metrics);
  await eventually('metrics', async () => (await service.nodes())[0]?.metrics?.residentBytes === 7);
  node.client.stream.destroy();
  await eventually('offline', async () => (await service.nodes())[0]?.online === false);
});

test('labels decide which nodes get a trigger, and a change of labels moves it', async () => {
  await nodes.splice(0)[0]?.leave();
  const north = await announce('city-1', { site: 'north', kind: 'city' });
  const south = await announce('city-2', { site: 'south', kind: 'city' });
  const view = await service.putTrigger(trigger('speech', 'vad'), { labels: { kind: 'city', site: 'north' } });
  assert.is(view.revision, 1);
  assert.equal(
    view.nodes.map(({ node }) => node),
    ['city-1'],
  );
  const desired = await north.hears('speech', ({ triggers }) => triggers[0]?.name === 'speech');
  assert.is(desired.models[0]?.sha256, sha256);
  const labels = await fetch(`${desired.files}/${desired.models[0]?.labels}`);
  assert.equal(await labels.json(), ['speech', 'noise']);
  assert.is(south.newest, undefined);
  await eventually('ready', async () => (await service.triggers())[0]?.nodes.every(({ state }) => state === 'ready'));

  await south.report({ site: 'north', kind: 'city' }, 0);
  await south.hears('speech', ({ triggers }) => triggers.length === 1);
  await north.report({ kind: 'city' }, desired.version);
  const emptied = await north.hears('that it is gone', ({ triggers }) => triggers.length === 0);
  assert.is(emptied.version, desired.version + 1);
  assert.equal(
    (await service.triggers())[0]?.nodes.map(({ node }) => node),
    ['city-2'],
  );
});

test('the same trigger again changes nothing; another one replaces it by name', async () => {
  const south = nodes[1] as ProtocolNode;
  const heard = south.desired.length;
  const again = await service.putTrigger(trigger('speech', 'vad'), { labels: { kind: 'city', site: 'north' } });
  assert.is(again.revision, 1);
  const changed = await service.putTrigger(trigger('speech', 'vad', { priority: 'safety' }), { nodes: ['city-2'] });
  assert.is(changed.revision, 2);
  await south.hears('the change', ({ triggers }) => triggers[0]?.priority === 'safety');
  assert.is(south.desired.length, heard + 1);
});

test('a new version of a model reaches the nodes that use it', async () => {
  const south = nodes[1] as ProtocolNode;
  const newer = variant(modelBytes, 'v-two');
  await service.addModel('vad', await upload(newer));
  const desired = await south.hears('version 2', ({ models }) => models[0]?.version === 2);
  const file = await fetch(`${desired.files}/${desired.models[0]?.sha256}`);
  assert.is(hashOf(new Uint8Array(await file.arrayBuffer())), hashOf(newer));
  // It is longer than 1 MiB: the list of its chunks lies beside it.
  const list = await fetch(`${desired.files}/${desired.models[0]?.chunks}`);
  const manifest = decodeManifest(new Uint8Array(await list.arrayBuffer()), newer.length);
  assert.equal(manifest.chunks, [hashOf(newer.subarray(0, 2 ** 20)), hashOf(newer.subarray(2 ** 20))]);
});

test('a model that a trigger uses is not removed', async () => {
  assert.is(
    await refusalOf(service.removeModel('vad')),
    'model "vad" is used by "speech"; remove or change this trigger first',
  );
  assert.match(await refusalOf(service.removeModel('none')), /^there is no model "none"; there are vad$/);
  assert.match(await refusalOf(service.removeTrigger('none')), /^there is no trigger "none"; there are speech$/);
});

test('bad payloads from a node are passed over and the next one is taken', async () => {
  const node = nodes[0] as ProtocolNode;
  await node.send('metrics', 'no JSON');
  await node.send('metrics', { at: 'soon' });
  await node.send('metrics', { at: 1, uptimeMs: 4711, residentBytes: 1, outboxItems: 0, triggers: [] });
  const view = await eventually('the good one', async () =>
    (await service.nodes()).find(({ metrics }) => metrics?.uptimeMs === 4711),
  );
  assert.is(view.refused?.count, 2);
  assert.match(view.refused?.last ?? '', /metrics: at: /);
});

test('inference on a named node: its answer, its refusal, its silence', async () => {
  const node = nodes[1] as ProtocolNode;
  const ask = (base64: string, timeoutMs = 5_000) =>
    service.infer('city-2', { model: 'vad', format: 'audio', input: { base64 } }, timeoutMs);
  node.answer = ({ model, input }) => ({ ok: true, result: { model, input } });
  assert.equal(await ask('AAAA'), { model: 'vad', input: { base64: 'AAAA' } });
  // A large input travels as a blob that the node can fetch.
  const large = Buffer.alloc(600_000, 7);
  const placed = (await ask(large.toString('base64'))) as { input: { sha256: string } };
  assert.is(placed.input.sha256, hashOf(large));
  const fetched = await fetch(`${controller.httpUrl}/v1/blobs/${placed.input.sha256}`);
  assert.is((await fetched.arrayBuffer()).byteLength, large.byteLength);
  node.answer = () => ({ ok: false, error: 'input "input": expected 512 samples, got 2' });
  assert.is(await refusalOf(ask('AAAA')), 'node "city-2": input "input": expected 512 samples, got 2');
  node.answer = () => undefined;
  assert.match(await refusalOf(ask('AAAA', 50)), /^node "city-2": no answer within 50 ms/);
});

test('inference is refused at once where it cannot work', async () => {
  const request = { format: 'audio', input: { base64: 'AAAA' } } as const;
  const refusal = (node: string, model: string) => refusalOf(service.infer(node, { ...request, model }, 5_000));
  assert.is(await refusal('nobody', 'vad'), 'there is no node "nobody"; there are city-1, city-2');
  assert.match(await refusal('city-2', 'ocr'), /^node "city-2" does not have model "ocr" \(ready: vad\); a trigger/);
  assert.match(
    await refusalOf(
      service.infer('city-2', { model: 'vad', format: 'audio', input: { sha256: 'b'.repeat(64) } }, 5_000),
    ),
    /^input: blob b{64} is not here/,
  );
  assert.match(await refusalOf(service.infer('city-2', { ...request, model: 'vad' }, -1)), /^infer: timeoutMs: /);
});

test('results are watched as they pass, until the watcher leaves', async () => {
  const node = nodes[0] as ProtocolNode;
  const ended = new AbortController();
  const seen: string[] = [];
  const watching = service.watch(
    'city/{device}/speech',
    ({ topic, payload }) => seen.push(`${topic} ${Buffer.from(payload)}`),
    ended.signal,
  );
  await eventually('a result', async () => {
    await node.client.publishAsync('city/m1/speech', 'hello');
    await node.client.publishAsync('city/m1/other', 'not asked for');
    return seen.length > 0;
  });
  assert.is(seen[0], 'city/m1/speech hello');
  ended.abort();
  await watching;
  assert.match(
    await refusalOf(service.watch('a/#/b', () => {}, AbortSignal.timeout(5_000))),
    /"#" is allowed only as the last level/,
  );
});

test('a second controller on the same folder is refused, and the first goes on', async () => {
  assert.match(
    await refusalOf(startController(options)),
    /another controller works with it; stop that one, or choose another/,
  );
  assert.is((await service.models()).length, 1);
});

test('after a restart everything is there, and desired states are published again to a broker that forgot them', async () => {
  const version = nodes[1]?.newest?.version as number;
  for (const node of nodes.splice(0)) await node.leave();
  await controller.close();
  controller = await startController(options);
  service = new ControllerClient(controller.httpUrl);
  assert.equal(
    (await service.nodes()).map(({ name, online }) => [name, online]),
    [
      ['city-1', false],
      ['city-2', false],
    ],
  );
  assert.equal(
    (await service.models()).map(({ name, version: newest }) => [name, newest]),
    [['vad', 2]],
  );
  const [speech] = await service.triggers();
  assert.equal([speech?.trigger.name, speech?.revision, speech?.selector], ['speech', 2, { nodes: ['city-2'] }]);
  const south = await announce('city-2', { site: 'north' });
  const desired = await south.hears('its desired state', ({ triggers }) => triggers.length === 1);
  // The address of the files is another one, so this is a newer version.
  assert.is(desired.version, version + 1);
  assert.is(desired.files, `${controller.httpUrl}/v1/blobs`);
});

test('files that nothing names are swept away after an hour, and the others stay', async () => {
  const folder = temporary();
  const here = { ...options, ...(await freshDatabase()), data: folder };
  const first = await startController(here);
  const [kept, old, fresh] = [modelBytes, Buffer.from('old'), Buffer.from('fresh')];
  for (const bytes of [kept, old, fresh]) await first.service.putBlob(hashOf(bytes), chunks(bytes));
  await first.service.addModel('vad', hashOf(kept));
  await first.close();
  // The list of the model's chunks is named too.
  const list = encodeManifest(kept) as Uint8Array;
  for (const bytes of [kept, list, old]) await utimes(join(folder, 'blobs', hashOf(bytes)), 1_000, 1_000);
  const second = await startController(here);
  await eventually('the sweep', async () => !(await readdir(join(folder, 'blobs'))).includes(hashOf(old)));
  assert.equal((await readdir(join(folder, 'blobs'))).toSorted(), [kept, list, fresh].map(hashOf).toSorted());
  await second.close();
});

test('changes that arrive at once all count, each version once', async () => {
  const contents = Array.from({ length: 8 }, (_, index) => variant(modelBytes, `at once ${index}`));
  const hashes = await Promise.all(contents.map(upload));
  const added = await Promise.all(hashes.map((hash) => service.addModel('many', hash)));
  assert.equal(added.map(({ version }) => version).toSorted(), [1, 2, 3, 4, 5, 6, 7, 8]);
  const names = contents.map((_, index) => `many-${index}`);
  await Promise.all(names.map((name) => service.putTrigger(trigger(name, 'many'), { nodes: ['city-2'] })));
  const node = nodes.at(-1) as ProtocolNode;
  const desired = await node.hears('all of them', ({ triggers }) => triggers.length === names.length + 1);
  const versions = node.desired.map(({ version }) => version);
  assert.equal(
    versions,
    versions.toSorted((a, b) => a - b),
    'and never an older state after a newer one',
  );
  assert.is(desired.models.find(({ name }) => name === 'many')?.version, 8);
});

test('a controller that nobody answers for is named with what to do', async () => {
  const gone = await startController({ ...options, ...(await freshDatabase()), data: temporary() });
  await gone.close();
  assert.is(
    await refusalOf(new ControllerClient(gone.httpUrl).nodes()),
    `no controller at ${gone.httpUrl}: start one with "llmasos up" or give --controller URL`,
  );
  assert.throws(() => new ControllerClient('ftp://x'), /expected an address such as http/);
});

test.run();
