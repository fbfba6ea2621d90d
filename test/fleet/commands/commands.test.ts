/** Every command as a person runs it: typed arguments prepared from files, run over HTTP, and rendered as text. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ControllerClient } from '../../../fleet/api/client.ts';
import { type Command, parseArguments, type Style } from '../../../fleet/commands/command.ts';
import { nameFromFile } from '../../../fleet/commands/files-io.ts';
import { commands } from '../../../fleet/commands/index.ts';
import { startController } from '../../../fleet/controller/controller.ts';
import {
  eventually,
  freshDatabase,
  modelBytes,
  modelFile,
  ProtocolNode,
  refusalOf,
  temporary,
} from '../fleet-parts.ts';

const ports = { mqttPort: 0, webSocketPort: 0, httpPort: 0 };
const controller = await startController({ data: temporary(), ...(await freshDatabase()), ...ports });
const service = new ControllerClient(controller.httpUrl);
const node = await ProtocolNode.join(controller.mqttUrl, 'city-1', { site: 'north' });
await eventually('the node is registered', async () => (await service.nodes())[0]?.reported);

test.after(async () => {
  await node.leave();
  await controller.close();
});

const folder = temporary();
function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const plain: Style = {
  good: (text) => text,
  bad: (text) => text,
  dim: (text) => text,
  bold: (text) => text,
  table: (header, rows) => [header, ...rows].map((row) => row.join(' | ')).join('\n'),
};

/** What a command line does with every command, without knowing any of them. */
async function run(words: string, typed: object = {}): Promise<{ result: unknown; text: string }> {
  const command = commands.find(({ name }) => name.join(' ') === words) as Command;
  const context = { controller: service, signal: new AbortController().signal, emit: () => {} };
  const given = command.local
    ? await command.local.prepare(parseArguments(command, command.local.arguments, typed), context)
    : typed;
  const result = await command.run(parseArguments(command, command.arguments, given), context);
  return { result, text: command.render(result, plain) };
}

const triggerText = `
name: speech
topic: city/{device}/audio
decode: { format: audio, raw: int16, rate: 16000 }
stages:
  - name: speech
    model: vad
output:
  topic: city/{device}/speech
  fields: { device: topic.device }
`;

test('the table names each command once, and every positional is one of its arguments', () => {
  const names = commands.map(({ name }) => name.join(' '));
  assert.is(new Set(names).size, names.length);
  for (const command of commands)
    for (const form of [command, ...(command.local ? [command.local] : [])])
      for (const key of form.positionals ?? []) assert.ok(key in form.arguments.shape, `${command.name}: ${key}`);
  assert.ok(commands.length >= 11, `saw only ${commands.length} commands`);
});

test('lists say what to do when there is nothing yet', async () => {
  assert.match((await run('models list')).text, /no models yet; add one with "llmasos models add FILE"/);
  assert.match((await run('triggers list')).text, /no triggers yet/);
});

test('models add reads the file, its labels and its name', async () => {
  const labels = file('labels.txt', 'speech\r\n \nnoise\n');
  const added = await run('models add', { file: modelFile, name: 'vad', labels });
  assert.is(added.text, `added vad version 1, ${(modelBytes.length / 1e6).toFixed(1)} MB`);
  assert.is((await service.models())[0]?.labelCount, 3, 'a line that is one space is a label too');
  const named = await run('models add', { file: modelFile });
  assert.match(named.text, /^added silero_vad_16k_op15 version 1/);
  assert.is(nameFromFile('/x/Größe v1.2.onnx'), 'Gr-e-v1-2');
  assert.is(nameFromFile('…'), 'model');
});

test('what a task or a rollout is to be is refused in the words of the command line', async () => {
  const refused = (words: string, typed: object) => refusalOf(run(words, typed));
  const kinds = /expected one of --model with --inputs, --command, and --update$/;
  assert.match(await refused('tasks add', {}), kinds);
  assert.match(await refused('tasks add', { command: 'logs', update: '1.0.0' }), kinds);
  assert.match(
    await refused('tasks add', { update: '1.0.0', inputs: ['a.jpg'] }),
    /expected no --inputs with --update$/,
  );
  assert.match(
    await refused('tasks add', { command: 'logs', node: ['nobody'] }),
    /no node matches \{"nodes":\["nobody"\]\}; "llmasos nodes" shows those that there are$/,
  );
  assert.match(await refused('tasks add', { command: 'logs', timeout: '0' }), /timeout: .*>=1/);
  assert.match(
    await refused('rollouts start', { software: '1.0.0', phases: '1,0' }),
    /^--phases "0": expected a number/,
  );
  assert.match(await refused('rollouts start', { software: '1.0.0', failures: '101' }), /failures: .*<=100/);
});

test('a file that is not there, is a folder or is no model is refused by its name', async () => {
  mkdirSync(join(folder, 'sub'));
  assert.match(
    await refusalOf(run('models add', { file: join(folder, 'none.onnx') })),
    /none\.onnx: there is no such file$/,
  );
  assert.match(await refusalOf(run('models add', { file: join(folder, 'sub') })), /sub: expected a file$/);
  assert.match(
    await refusalOf(run('models add', { file: file('notes.onnx', 'hello') })),
    /^model "notes" was refused: model file: /,
  );
  assert.match(await refusalOf(run('models add', {})), /^models add: file: /);
  assert.match(await refusalOf(run('models add', { file: 'x', lables: 'y' })), /^models add: .*"lables"/);
});

test('triggers add reads the file and the labels that are typed', async () => {
  const added = await run('triggers add', { file: file('speech.yaml', triggerText), label: ['site=north'] });
  assert.is(added.text, 'added speech revision 1, goes to nodes with site=north: city-1');
  assert.match(
    await refusalOf(run('triggers add', { file: file('bad.yaml', 'name: x\ntopc: y\n') })),
    /bad\.yaml, line 2: topc: no such field/,
  );
  assert.match(
    await refusalOf(run('triggers add', { file: file('speech.yaml', triggerText), label: ['site'] })),
    /^--label "site": expected key=value/,
  );
  await eventually('the node has it', async () => (await service.triggers())[0]?.nodes[0]?.state === 'ready');
});

test('what is there is shown in words', async () => {
  assert.match((await run('nodes')).text, /city-1 \| online \| site=north \| vad \| up to date/);
  assert.match((await run('models list')).text, /vad \| v1 \| \d\.\d MB \| opset 15 \| 3 \| speech/);
  const shown = (await run('models show', { name: 'vad' })).text;
  assert.match(shown, /takes \| input \| float32 \| \[/);
  assert.match(shown, /used by: speech/);
  assert.match(
    (await run('triggers list')).text,
    /speech \| city\/\{device\}\/audio \| vad \| city\/\{device\}\/speech \| nodes with site=north \| city-1 ready/,
  );
  assert.match(
    (await run('triggers show', { name: 'speech' })).text,
    /rate: 16000[\s\S]*city-1 \| city-1 ready[\s\S]*revision 1/,
  );
  assert.match(await refusalOf(run('triggers show', { name: 'x' })), /^there is no trigger "x"; there are speech$/);
});

test('infer sends a small file with the request and a large one as a blob, to a node that has the model', async () => {
  node.answer = ({ input, format }) => ({ ok: true, result: { kind: Object.keys(input)[0], format } });
  const small = await run('infer', { model: 'vad', audio: file('a.wav', new Uint8Array(100)) });
  assert.equal(small.result, { node: 'city-1', model: 'vad', result: { kind: 'base64', format: 'audio' } });
  const large = await run('infer', { model: 'vad', node: 'city-1', image: file('b.jpg', new Uint8Array(400_000)) });
  assert.equal((large.result as { result: unknown }).result, { kind: 'sha256', format: 'image' });
  assert.match(large.text, /^vad on city-1:\n\{/);
  assert.match(
    await refusalOf(run('infer', { model: 'vad' })),
    /^infer: expected one of --image, --audio, --json and --tensors, got 0$/,
  );
  assert.match(
    await refusalOf(run('infer', { model: 'other', json: file('c.json', '[]') })),
    /^no node that is online has model "other" ready/,
  );
});

test('watch gives what the triggers publish, parsed where it is JSON', async () => {
  const command = commands.find(({ name }) => name[0] === 'watch') as Command;
  const ended = new AbortController();
  const events: { topic: string; json?: unknown; base64?: string }[] = [];
  const context = {
    controller: service,
    signal: ended.signal,
    emit: (event: unknown) => void events.push(event as never),
  };
  const watching = command.run({}, context);
  await eventually('three kinds of messages', async () => {
    await node.client.publishAsync('city/m1/speech', '{"a":1}');
    await node.client.publishAsync('city/m1/speech', Buffer.from([255, 0]));
    await node.client.publishAsync('llmasos/v1/nodes/city-1/errors/speech', '{"error":"x"}');
    await node.client.publishAsync('city/m1/audio', 'input, not asked for');
    return new Set(events.map(({ topic, base64 }) => topic + base64)).size === 3;
  });
  ended.abort();
  await watching;
  assert.not.ok(events.some(({ topic }) => topic.endsWith('audio')));
  const line = command.renderEvent?.({ topic: 'city/m1/speech', at: 0, json: { a: 1 } }, plain);
  assert.is(line, '00:00:00.000 city/m1/speech {"a":1}');
  assert.match(
    command.renderEvent?.(
      events.find(({ base64 }) => base64),
      plain,
    ) ?? '',
    /2 bytes$/,
  );
});

test('remove takes away, in the order that makes sense', async () => {
  assert.match(await refusalOf(run('models remove', { name: 'vad' })), /is used by "speech"/);
  assert.is((await run('triggers remove', { name: 'speech' })).text, 'removed speech');
  assert.is((await run('models remove', { name: 'vad' })).text, 'removed vad');
});

test('a selector whose labels are none is refused, instead of choosing every node', async () => {
  const stages = [{ name: 's', model: 'm', post: { step: 'raw' } }];
  const trigger = { name: 't', topic: 'a', decode: { format: 'tensors' }, stages, output: { topic: 'b' } };
  // The last one is what a key that JavaScript keeps to itself becomes on its way through the check.
  for (const labels of [{}, JSON.parse('{"__proto__":"x"}')])
    assert.match(
      await refusalOf(service.command('triggers.add', { trigger, selector: { labels } })),
      /selector.labels: expected at least one label/,
    );
});

test.run();
