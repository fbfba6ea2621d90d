/**
 * What people and sensors do wrong, through a real controller and node: each mistake gets one clear sentence where its
 * sender or operator looks, and the next good message its answer.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { writeModel } from '../../bench/write-model.ts';
import { demoModels } from '../../examples/fleet-in-a-box/models.ts';
import { materialsFolder } from '../../examples/fleet-in-a-box/truth.ts';
import {
  cleanUp,
  connectClient,
  type Heard,
  largestTrigger,
  newFolder,
  scaleModel,
  spawnNode,
} from '../devices/gateway/bench.ts';
import { eventually, killProcesses, modelBytes, startProcess, temporary } from '../fleet/fleet-parts.ts';
import { llmasos, llmasosDone } from './processes.ts';

const SENTENCE_MAX = 400;
const folder = newFolder();
const write = (name: string, content: string | Uint8Array): string => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
const json = (value: unknown) => JSON.stringify(value);
const material = (name: string) => readFileSync(join(materialsFolder, name));

const controller = await startProcess(temporary());
const { httpUrl, mqttUrl } = controller;
const node = spawnNode({ name: 'edge', broker: mqttUrl, data: newFolder() });
const client = await connectClient(mqttUrl, ['answers/#', 'llmasos/v1/nodes/edge/errors/#']);

/** A trigger for each kind of message: numbers, sound, a picture. */
const triggers = {
  numbers: largestTrigger('numbers', 'scale'),
  sound: {
    ...{ name: 'sound', topic: 'sound/{device}', decode: { format: 'audio', raw: 'int16', rate: 16_000 } },
    window: { length: 512, context: 64 },
    stages: [
      {
        ...{ name: 'speech', model: 'vad', post: { step: 'speech-segments' } },
        inputs: { state: { recurrent: 'stateN', dims: [2, 1, 128] }, sr: { constant: 16_000 } },
      },
    ],
    when: 'speech.segment != null',
    output: { topic: 'answers/{device}', fields: { start: 'speech.segment.start' } },
  },
  picture: {
    ...{ name: 'picture', topic: 'picture/{device}', decode: { format: 'image' } },
    stages: [
      {
        ...{ name: 'lines', model: 'text', post: { step: 'text-regions' } },
        inputs: { x: { image: { fit: 'limit-side', limit: 320, multiple: 32 } } },
      },
    ],
    output: { topic: 'answers/{device}', fields: { lines: 'size(lines)' } },
  },
};

test.before(async () => {
  const text = demoModels().find(({ name }) => name === 'ppocr-det')?.file as string;
  const models = { scale: write('scale.onnx', scaleModel(1)), vad: write('vad.onnx', modelBytes), text };
  for (const [name, file] of Object.entries(models)) await llmasosDone(httpUrl, 'models', 'add', file, '--name', name);
  for (const [name, trigger] of Object.entries(triggers))
    await llmasosDone(httpUrl, 'triggers', 'add', write(`${name}.json`, json(trigger)));
  for (const filter of ['sensors/+/values', 'sound/+', 'picture/+']) await node.said(`"${filter}"`);
});

interface State {
  readonly trigger: string;
  readonly state: string;
  readonly error?: string;
}

async function states(): Promise<State[]> {
  const views = JSON.parse(await llmasosDone(httpUrl, 'triggers', 'list', '--json'));
  return views.flatMap(({ trigger, nodes }: { trigger: { name: string }; nodes: State[] }) =>
    nodes.map(({ state, error }) => ({ trigger: trigger.name, state, error })),
  );
}

/** A good message for a trigger, answered. */
async function works(trigger: string): Promise<void> {
  const [topic, payload, lines] = good[trigger] as [string, Buffer | string, number];
  const before = client.heard.length;
  await client.send(topic, payload);
  await eventually(`an answer to a good message for ${trigger}`, () => {
    const answers = client.heard
      .slice(before)
      .filter((message) => message.topic === 'answers/good' || message.topic === 'answers/d');
    return answers.length >= lines;
  });
}

const good: Readonly<Record<string, [topic: string, payload: Buffer | string, answers: number]>> = {
  numbers: ['sensors/d/values', json({ id: 1, v: [1, 5, 3] }), 1],
  sound: ['sound/d', material('city-microphone/bus-stop.wav'), 1],
  picture: ['picture/d', material('factory-camera/filter.jpg'), 1],
};

const photograph = material('factory-camera/filter.jpg');
const recording = material('city-microphone/bus-stop.wav');
const png = Buffer.concat([Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]), Buffer.alloc(500, 7)]);

const messages: [what: string, trigger: keyof typeof triggers, payload: Buffer | string, error: RegExp][] = [
  ['JSON cut in half', 'numbers', '{"id":1,"v":[1,2', /JSON/],
  ['bytes in place of JSON', 'numbers', Buffer.from([0xff, 0xfe, 0, 1]), /JSON|UTF-8/],
  ['JSON without the numbers', 'numbers', json({ id: 1 }), /\$\.v/],
  ['words for numbers', 'numbers', json({ id: 1, v: ['a', 'b', 'c'] }), /number/],
  ['a wrong shape', 'numbers', json({ id: 1, v: [1, 2] }), /\[1, ?3\]|1×3|3 elements/],
  ['an empty message', 'numbers', '', /empty message/],
  ['ten million numbers', 'numbers', `{"id":1,"v":[${'0,'.repeat(5_000_000)}0]}`, /at most/],
  ['a JPEG cut in half', 'picture', photograph.subarray(0, photograph.length / 2), /JPEG/],
  ['the first bytes of a JPEG', 'picture', photograph.subarray(0, 20), /JPEG/],
  ['a PNG that is none inside', 'picture', png, /PNG/],
  ['text in place of a picture', 'picture', 'this is no picture', /JPEG or PNG/],
  ['JSON in place of PCM', 'sound', json({ samples: [1, 2, 3] }), /JSON/],
  ['half a sample', 'sound', Buffer.alloc(999), /multiple of 2 bytes/],
  ['a WAV file cut in its header', 'sound', recording.subarray(0, 30), /WAV|wav/],
];

for (const [what, trigger, payload, error] of messages)
  test(`message: ${what}`, async () => {
    const topic = good[trigger]?.[0] as string;
    const before = client.heard.length;
    await client.send(topic, payload);
    await works(trigger);
    const errors = client.heard.slice(before).filter((message: Heard) => message.topic.includes('/errors/'));
    assert.is(errors.length, 1, json(errors));
    assert.is(errors[0]?.topic, `llmasos/v1/nodes/edge/errors/${trigger}`);
    assert.is(errors[0]?.json.topic, topic);
    isOneSentence(errors[0]?.json.error, error);
  });

function isOneSentence(text: string, expected: RegExp): void {
  assert.match(text, expected);
  assert.ok(text.length <= SENTENCE_MAX && !/\n|\bat .*:\d+:\d+/.test(text), `expected one sentence, got: ${text}`);
}

const trigger = (changes: object) => json({ ...triggers.numbers, name: 'bad', ...changes });
const corrupt = (): Uint8Array => {
  const bytes = Uint8Array.from(modelBytes);
  for (let at = 1_000; at < bytes.length; at += 997) bytes[at] = (bytes[at] as number) ^ 0xff;
  return bytes;
};
mkdirSync(join(folder, 'folder.onnx'));

const commands: [what: string, words: string[], error: RegExp][] = [
  [
    'an ONNX file cut short',
    ['models', 'add', write('cut.onnx', modelBytes.subarray(0, 1_000_000))],
    /"cut" was refused: .*cannot be read/,
  ],
  ['an ONNX file with flipped bytes', ['models', 'add', write('flipped.onnx', corrupt())], /"flipped" was refused/],
  ['an empty ONNX file', ['models', 'add', write('empty.onnx', '')], /empty/],
  ['a picture in place of a model', ['models', 'add', write('photo.onnx', photograph)], /"photo" was refused: .*JPEG/],
  ['a model that is not there', ['models', 'add', join(folder, 'nowhere.onnx')], /nowhere\.onnx/],
  ['a folder in place of a model', ['models', 'add', join(folder, 'folder.onnx')], /folder\.onnx/],
  ['a name that is none', ['models', 'add', join(folder, 'scale.onnx'), '--name', 'a b'], /name: letters, digits/],
  ['a model in use to be removed', ['models', 'remove', 'scale'], /"scale" is used by "numbers"/],
  [
    '"#" in the middle of a filter',
    ['triggers', 'add', write('t1.json', trigger({ topic: 'a/#/b' }))],
    /"#" is allowed only as the last level/,
  ],
  [
    '"+" within a level',
    ['triggers', 'add', write('t2.json', trigger({ topic: 'a+/b' }))],
    /a wildcard must fill its whole level/,
  ],
  [
    'a trigger that names no model',
    ['triggers', 'add', write('t3.json', json(largestTrigger('bad', 'nobody')))],
    /there is no model "nobody" \(there are .*scale/,
  ],
  [
    'an input that the model lacks',
    [
      'triggers',
      'add',
      write('t4.json', trigger({ stages: [{ ...triggers.numbers.stages[0], inputs: { y: { constant: 1 } } }] })),
    ],
    /has no input "y"; it has x/,
  ],
  ['YAML that is none', ['triggers', 'add', write('t5.yaml', 'name: bad\ntopic: [')], /t5\.yaml.*line 2/],
  [
    'a format that does not exist',
    ['triggers', 'add', write('t6.json', trigger({ decode: { format: 'holograms' } }))],
    /decode/,
  ],
  [
    'an expression that does not parse',
    ['triggers', 'add', write('t7.json', trigger({ when: 'answer[0].score >' }))],
    /when/,
  ],
  ['a trigger that is not there', ['triggers', 'remove', 'nobody'], /"nobody"/],
  [
    'inference on a picture cut in half',
    ['infer', 'text', '--node', 'edge', '--image', write('cut.jpg', photograph.subarray(0, photograph.length / 2))],
    /JPEG/,
  ],
  [
    'inference by a model that nobody has',
    ['infer', 'nobody', '--node', 'edge', '--image', write('photo.jpg', photograph)],
    /"nobody"/,
  ],
  [
    'inference on a node that nobody knows',
    ['infer', 'text', '--node', 'moon', '--image', join(folder, 'photo.jpg')],
    /there is no node "moon"; there are edge/,
  ],
];

for (const [what, words, error] of commands)
  test(`command: ${what}`, async () => {
    const { code, stdout, stderr } = await llmasos(httpUrl, ...words);
    assert.is(code, 1, stderr);
    assert.is(stdout, '');
    assert.match(stderr, /^llmasos: /);
    isOneSentence(stderr.trimEnd(), error);
    await works('numbers');
  });

test('a model with an operator that nobody knows fails on the node with the reason, and the others go on', async () => {
  const value = (name: string) => ({ name, type: 1, dims: [1, 3] });
  const strange = writeModel({
    graph: {
      ...{ inputs: [value('x')], outputs: [value('y')] },
      nodes: [{ operator: 'Frobnicate', inputs: ['x'], outputs: ['y'] }],
    },
  });
  const added = await llmasos(httpUrl, 'models', 'add', write('strange.onnx', strange));
  assert.is(added.code, 0, added.stderr);
  await llmasosDone(httpUrl, 'triggers', 'add', write('strange.json', json(largestTrigger('strange', 'strange'))));
  const failed = await eventually('the trigger fails', async () =>
    (await states()).find(({ trigger, state }) => trigger === 'strange' && state === 'failed'),
  );
  isOneSentence(failed.error as string, /"strange".*Frobnicate/);
  await works('numbers');
  await llmasosDone(httpUrl, 'triggers', 'remove', 'strange');
  await llmasosDone(httpUrl, 'models', 'remove', 'strange');
});

test('200 MB end the connection of their sender only, and the log says whose', async () => {
  const sender = await connectAsync(mqttUrl, { protocolVersion: 4, clientId: 'sender-of-films', reconnectPeriod: 0 });
  sender.on('error', () => {});
  const closed = new Promise<void>((resolve) => sender.once('close', () => resolve()));
  sender.publish('sensors/d/values', Buffer.alloc(200 * 2 ** 20), { qos: 1 });
  await closed;
  await eventually('a word in the log', () => /sender-of-films.*at most 16777216 bytes/.test(controller.output()));
  await works('numbers');
  sender.end(true);
});

test('every failure was counted for its trigger', async () => {
  const expected = Object.keys(triggers).map((name) => messages.filter(([, trigger]) => trigger === name).length);
  assert.is(messages.length, 14);
  assert.is(commands.length, 19);
  await eventually('the counts', async () => {
    const [{ metrics }] = JSON.parse(await llmasosDone(httpUrl, 'nodes', '--json'));
    const failures = Object.keys(triggers).map(
      (name) => metrics.triggers.find((counts: { name: string }) => counts.name === name)?.failures,
    );
    return json(failures) === json(expected);
  });
  console.log(`${messages.length} bad messages, ${commands.length} bad commands`);
});

test.after(async () => {
  await client.mqtt.endAsync();
  assert.is(await node.stop('SIGTERM'), 0);
  assert.is(await controller.kill('SIGTERM'), 0);
  killProcesses();
  cleanUp();
});
test.run();
