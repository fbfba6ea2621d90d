/** Commands that ask a controller: typed in a process of their own, answered by a real one. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Controller, startController } from '../../../fleet/controller/controller.ts';
import { eventually, modelBytes, modelFile, ProtocolNode, temporary } from '../fleet-parts.ts';
import { type Ended, endAll, escapeCode, oneOperator, type } from './terminal.ts';

const folder = temporary();
let controller: Controller;
let node: ProtocolNode;

const write = (name: string, content: string | Uint8Array): string => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
const start = (words: readonly string[], more: Record<string, string> = {}) =>
  type(words, { LLMASOS_CONTROLLER: controller.httpUrl, ...more });
const llmasos = (...words: string[]): Promise<Ended> => start(words).ended;
async function succeed(...words: string[]): Promise<string> {
  const { code, out, err } = await llmasos(...words);
  assert.is(code, 0, `${words.join(' ')}: ${err}`);
  assert.is(err, '');
  assert.not.match(out, new RegExp(escapeCode));
  return out;
}

const trigger = (model: string): string => `name: speech
topic: city/{device}/audio
decode: { format: audio, raw: int16, rate: 16000 }
stages:
  - { name: speech, model: ${model} }
output:
  topic: city/{device}/speech
  fields: { device: topic.device }
`;

test.before(async () => {
  controller = await startController({ data: temporary(), mqttPort: 0, webSocketPort: 0, httpPort: 0 });
  node = await ProtocolNode.join(controller.mqttUrl, 'city-1', { site: 'north' });
  await eventually('the node is known', async () => (await controller.service.nodes())[0]?.reported);
});
test.after(async () => {
  endAll();
  await node.leave();
  await controller.close();
});

test('what is started in its place explains its flags, and names one that it does not know', async () => {
  for (const program of ['controller', 'node']) {
    const out = await succeed(program, '--help');
    assert.match(out, /^ {2}--data DIR /m);
    const { code, err } = await llmasos(program, '--no-such-flag');
    assert.is(code, 2);
    assert.match(err, /--no-such-flag/);
  }
});

test("nodes are a table for people and the service's own view for machines", async () => {
  const out = await succeed('nodes');
  assert.match(out, /^node +state +labels/m);
  assert.match(out, /^city-1 +online +site=north/m);
  const [view] = JSON.parse(await succeed('nodes', '--json'));
  const [own] = await controller.service.nodes();
  assert.is(view.name, 'city-1');
  assert.equal(view.reported.inventory, own?.reported?.inventory);
  assert.equal(JSON.parse(await succeed('--json', 'nodes'))[0].labels, { site: 'north' });
});

test('a model is added, listed, shown and removed; what is no model leaves no trace', async () => {
  assert.match(await succeed('models', 'list'), /no models yet/);
  const bad = await llmasos('models', 'add', write('notes.onnx', 'these are not tensors'));
  assert.is(bad.code, 1);
  assert.is(bad.out, '');
  assert.match(bad.err, /^llmasos: .*expected an ONNX model/);
  const cut = await llmasos('models', 'add', write('cut.onnx', modelBytes.subarray(0, 100_000)));
  assert.is(cut.code, 1);
  assert.match(cut.err, /truncated or corrupt/);
  const none = await llmasos('models', 'add', join(folder, 'none.onnx'));
  assert.is(none.code, 1);
  assert.match(none.err, /none\.onnx/);
  assert.equal(JSON.parse(await succeed('models', 'list', '--json')), []);

  const added = await succeed('models', 'add', modelFile, '--name', 'vad', '--labels', write('labels.txt', 'speech\n'));
  assert.match(added, /^added vad version 1, /);
  const [model] = JSON.parse(await succeed('models', 'list', '--json'));
  assert.equal([model.name, model.version, model.bytes, model.labelCount], ['vad', 1, modelBytes.length, 1]);
  assert.match(await succeed('models', 'list'), /^vad +v1 /m);
  assert.match(await succeed('models', 'show', 'vad'), /takes +state +float32/);
  const relu = write('spare.onnx', oneOperator('Relu', [1, 3], [1, 3]));
  await succeed('models', 'add', relu);
  assert.match(await succeed('models', 'remove', 'spare'), /removed spare/);
  const unknown = await llmasos('models', 'show', 'spare');
  assert.is(unknown.code, 1);
  assert.match(unknown.err, /spare/);
});

test('a trigger with a mistake is refused with the line; a right one goes to the nodes that match', async () => {
  const wrong = write('wrong.yaml', trigger('vad').replace('rate: 16000', 'rate: fast'));
  const refused = await llmasos('triggers', 'add', wrong);
  assert.is(refused.code, 1);
  assert.is(refused.err, `llmasos: ${wrong}, line 3: decode.rate: expected number, got "fast"\n`);
  const missing = await llmasos('triggers', 'add', write('missing.yaml', trigger('nothing')));
  assert.is(missing.code, 1);
  assert.match(missing.err, /"nothing"/);
  assert.match(await succeed('triggers', 'list'), /no triggers yet/);

  const right = write('right.yaml', trigger('vad'));
  assert.match(await succeed('triggers', 'add', right, '--label', 'site=north'), /added speech revision 1.*city-1/);
  await node.hears('the trigger', (desired) => desired.triggers.length === 1);
  assert.match(
    await succeed('triggers', 'list'),
    /^speech +city\/\{device\}\/audio +vad +city\/\{device\}\/speech +nodes with site=north/m,
  );
  const [view] = JSON.parse(await succeed('triggers', 'list', '--json'));
  assert.is(view.trigger.name, 'speech');
  assert.match(await succeed('triggers', 'show', 'speech'), /topic: city\/\{device\}\/audio/);
  const inUse = await llmasos('models', 'remove', 'vad');
  assert.is(inUse.code, 1);
  assert.match(inUse.err, /speech/);
});

test('watch prints results as they pass, for people and as JSON lines, until Ctrl-C, which is no failure', async () => {
  const [people, machines] = [start(['watch']), start(['watch', 'city/+/speech', '--json'])];
  const client = await connectAsync(controller.mqttUrl, { protocolVersion: 4 });
  // Again and again, because nobody sees from here when they have subscribed.
  const sending = setInterval(() => client.publish('city/mic-7/speech', '{"device":"mic-7"}'), 50);
  const printed = (): boolean => people.out().includes('mic-7') && machines.out().includes('mic-7');
  await eventually('both print the result', printed).finally(() => clearInterval(sending));
  await client.endAsync();
  assert.match(people.out(), /^\d\d:\d\d:\d\d\.\d{3} city\/mic-7\/speech \{"device":"mic-7"\}$/m);
  const event = JSON.parse(machines.out().split('\n')[0] as string);
  assert.equal([event.topic, event.json], ['city/mic-7/speech', { device: 'mic-7' }]);
  for (const { child, ended } of [people, machines]) {
    child.kill('SIGINT');
    const { code, err } = await ended;
    assert.is(code, 0, err);
    assert.is(err, '');
  }
});

test('infer with the name of a model asks the node and prints its answer or its refusal', async () => {
  node.answer = ({ id }) => ({ id, ok: true, result: { probability: 0.25 } });
  const numbers = write('numbers.json', '[0]');
  await eventually('the node has the model ready', async () =>
    (await controller.service.nodes())[0]?.reported?.models.some(({ state }) => state === 'ready'),
  );
  assert.match(await succeed('infer', 'vad', '--json', numbers), /vad on city-1:\n\{\n {2}"probability": 0\.25/);
  const answer = JSON.parse(await succeed('--json', 'infer', 'vad', '--node', 'city-1', '--json', numbers));
  assert.equal(answer.result, { probability: 0.25 });
  node.answer = ({ id }) => ({ id, ok: false, error: 'infer vad: expected 512 numbers, got 1' });
  const refused = await llmasos('infer', 'vad', '--json', numbers);
  assert.is(refused.code, 1);
  assert.match(refused.err, /expected 512 numbers, got 1/);
});

test.run();
