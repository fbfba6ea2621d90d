import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';
import { modelsOf, triggerSchema } from '../../../runtime/triggers/schema.ts';
import { parseTrigger } from '../../../runtime/triggers/trigger-file.ts';
import { randomFrom } from '../../random.ts';

const good = `name: street
topic: city/{device}/audio
decode: { format: raw, type: int16 }
window: { length: 512 }
stages:
  - name: speech
    model: vad
    inputs:
      sr: { constant: 16000 }
    post: { step: top-k, k: 1 }
when: speech[0].score > 0.5
output:
  topic: city/{device}/speech
  fields:
    score: speech[0].score
`;

const picture = good.replace('raw, type: int16', 'image').replace('window: { length: 512 }\n', '');

/** Each: what is put into a good trigger in place of what, and the sentence that answers it. */
const mistakes: [from: string, to: string, sentence: string][] = [
  ['street', 'my street', 'line 1: name: expected letters, digits, _ and - only, 1 to 64 of them'],
  ['name: street\n', '', 'line 1: name: expected string, got nothing'],
  [
    'audio',
    'audio#',
    'line 2: topic: topic filter "city/{device}/audio#": level "audio#": a wildcard must fill its whole level: "+", "#" or "{name}"',
  ],
  ['topic: city/{device}/audio', 'topic: city/{device}/audio\nqos: 2', 'line 3: qos: expected 0 or 1, got 2'],
  ['when:', 'late: skip\nwhen:', 'line 11: late: nothing is too late without a deadline: give "deadlineMs"'],
  [
    'model: vad',
    'model: vad\n    smaller: tiny',
    'line 8: stages[0].smaller: nothing is too late without a deadline: give "deadlineMs"',
  ],
  [
    'model: vad\n    inputs:\n      sr: { constant: 16000 }',
    'model: vad\n    smaller: tiny\n    inputs: { sr: { recurrent: next } }',
    'line 8: stages[0].smaller: what one model remembers of a stream means nothing to another one',
  ],
  ['raw', 'mp3', 'line 3: decode.format: expected json, raw, audio, image, csv or tensors, got "mp3"'],
  [
    'type: int16',
    'type: int17',
    'line 3: decode.type: expected "int8" or "uint8" or "int16" or "uint16" or "int32" or "uint32" or "int64" or "uint64" or "float32" or "float64", got "int17"',
  ],
  [
    '{ format: raw, type: int16 }',
    '{ format: json, values: x }',
    'line 3: decode.values: expected a JSONPath (RFC 9535), which begins with "$"',
  ],
  [
    '{ format: raw, type: int16 }',
    '{ format: json, values: "$.a b" }',
    'line 3: decode.values: expected a JSONPath (RFC 9535), got "$.a b": Expected ".", "..", "[", or [\\t-\\n\\r ] but "b" found.',
  ],
  ['model: vad', 'model: ""', 'line 7: stages[0].model: expected the name of a model'],
  ['stages:', 'rest:', 'line 5: rest: no such field; docs/triggers.md lists them'],
  [
    '{ format: raw, type: int16 }',
    '{ format: image }',
    'line 4: window: image messages are no stream of numbers: leave "window" out',
  ],
  [
    'length: 512',
    'length: 512, hop: 600',
    `line 4: window.hop: expected at most the window's length: a longer hop would skip samples`,
  ],
  ['length: 512', 'length: 0', 'line 4: window.length: expected more than 0, got 0'],
  ['length: 512', 'length: 0.5', 'line 4: window.length: expected int, got 0.5'],
  ['model: vad', 'modl: vad', 'line 7: stages[0].modl: no such field; docs/triggers.md lists them'],
  ['model: vad', 'model: a b', 'line 7: stages[0].model: expected the name of a model'],
  [
    'constant: 16000',
    'constant: loud',
    'line 9: stages[0].inputs.sr.constant: expected a number or a list of numbers, got "loud"',
  ],
  [
    'constant: 16000',
    'constant: 1, from: x',
    'line 9: stages[0].inputs.sr: expected only one of image, constant, recurrent and from',
  ],
  ['k: 1', 'k: none', 'line 10: stages[0].post.k: expected number, got "none"'],
  ['k: 1', 'kk: 1', 'line 10: stages[0].post.kk: no such field; docs/triggers.md lists them'],
  ['name: speech', 'name: list', 'line 6: stages[0].name: "list" has a meaning in expressions; choose another name'],
  [
    'name: speech',
    'name: __proto__',
    'line 6: stages[0].name: expected a name of letters, digits and _, not beginning with a digit or __',
  ],
  [
    'name: speech',
    'name: speech\n    each: boxes',
    'line 7: stages[0].each: expected an earlier stage whose "post" gives regions, got "boxes"',
  ],
  ['name: speech', 'name: speech\n    turn: "180"', 'line 7: stages[0].turn: only a stage with "each" turns'],
  ['when: speech', 'when: speach', 'line 11: when: expression "speach[0].score > 0.5": Unknown variable: speach'],
  ['> 0.5', '>', 'line 11: when: expression "speech[0].score >": Unexpected token: EOF'],
  [
    'when:',
    'let: { topic: "1" }\nwhen:',
    'line 11: let.topic: "topic" has a meaning in expressions; choose another name',
  ],
  ['when:', 'rate: { max: 0, perMs: 1 }\nwhen:', 'line 11: rate.max: expected more than 0, got 0'],
  [
    '{device}/speech',
    '{room}/speech',
    'line 13: output.topic: topic "city/{room}/speech": {room} is not a level of the topic filter, which has {device}',
  ],
  [
    '{device}/speech',
    '{device}/audio',
    `line 13: output.topic: "city/device/audio" matches the trigger's own filter: it would answer itself`,
  ],
  [
    'city/{device}/speech',
    'llmasos/v1/nodes/{device}/desired',
    'line 13: output.topic: "llmasos/v1/nodes/device/desired" belongs to the broker or the fleet itself',
  ],
  ['output:\n', 'output:\n  keep: {}\n', 'line 13: output.keep: expected bytesMax, ageMsMax or newestOnly'],
  ['output:\n', 'output:\n  keep: { ageMsMax: 0 }\n', 'line 13: output.keep.ageMsMax: expected more than 0, got 0'],
  ['score: speech[0].score', 'meta: "1"', 'line 14: output.fields: "meta" is added by the node'],
  [
    '  fields:\n    score: speech[0].score',
    '  tensors: text',
    'line 14: output.tensors: expected the name of a stage, got "text"',
  ],
  ['name: street', 'name: street\nname: avenue', 'line 2: Map keys must be unique'],
  [
    '{ length: 512 }',
    '{ length: 512',
    'line 5: Flow map in block collection must be sufficiently indented and end with a }',
  ],
];

test('each mistake gets one sentence with its line, what was expected and what came', () => {
  parseTrigger(good, 'good.yaml');
  for (const [from, to, sentence] of mistakes) {
    const text = good.replace(from, to);
    assert.is.not(text, good, `nothing replaced for ${from}`);
    let message = 'accepted';
    try {
      parseTrigger(text, 'street.yaml');
    } catch (error) {
      message = (error as Error).message;
    }
    assert.is(message, `street.yaml, ${sentence}`, to);
  }
});

test('regions are for pictures, and a stage that nobody can read from is refused', () => {
  const twice = '    post: { step: top-k, k: 1 }\n  - { name: read, model: b, each: speech }';
  parseTrigger(picture.replace('    post: { step: top-k, k: 1 }', twice), 'x');
  assert.throws(
    () => parseTrigger(good.replace('    post: { step: top-k, k: 1 }', twice), 'x'),
    /line 11: stages\[1\]\.each: regions are cut out of a picture: expected decode\.format "image"/,
  );
  const silent = '    post: { step: top-k, k: 1 }\n  - { name: speech, model: b }';
  assert.throws(
    () => parseTrigger(good.replace('    post: { step: top-k, k: 1 }', silent), 'x'),
    /another stage is called "speech"/,
  );
  const bare = 'name: a\ntopic: b\ndecode: { format: image }\nstages: [{ name: c, model: d }]\noutput: { topic: e }';
  assert.throws(() => parseTrigger(bare, 'x'), /line 5: output: nothing to publish: give "fields" or "tensors"/);
});

test('JSON is read as well, and defaults are filled in', () => {
  const trigger = parseTrigger(JSON.stringify(parse(good)), 'street.json');
  assert.equal(trigger, parseTrigger(good, 'street.yaml'));
  assert.is(trigger.priority, 'normal');
  assert.is(trigger.qos, 0);
  assert.equal(trigger.window, { length: 512, context: 0 });
});

test('a trigger that was read survives being sent: parsing it again changes nothing', () => {
  const trigger = parseTrigger(good, 'street.yaml');
  assert.equal(triggerSchema.parse(JSON.parse(JSON.stringify(trigger))), trigger);
});

test("the documentation's examples are triggers", () => {
  const examples = ['README.md', 'docs/triggers.md'].flatMap((file) => {
    const text = readFileSync(new URL(`../../../${file}`, import.meta.url), 'utf8');
    return [...text.matchAll(/```yaml\n(name: .*?)```/gs)].map((match) => parseTrigger(match[1] as string, file));
  });
  assert.equal(examples.map(modelsOf), [
    ['yolox-nano'],
    ['silero-vad'],
    ['ppocr-detection', 'ppocr-angle', 'ppocr-recognition'],
    ['ppocr-detection', 'ppocr-recognition'],
  ]);
});

test('files that are too large, or expand to something too large, are refused', () => {
  assert.throws(
    () => parseTrigger(' '.repeat(70_000), 'x.yaml'),
    /^x\.yaml: expected at most 65536 characters, got 70000$/,
  );
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c]`;
  assert.throws(() => parseTrigger(bomb, 'x.yaml'), /^x\.yaml: Excessive alias count/);
});

test('damaged files are read or refused with their name, never worse', () => {
  const seed = 31;
  const random = randomFrom(seed);
  let refused = 0;
  for (let round = 0; round < 400; round++) {
    let text = good;
    for (let i = random(3); i >= 0; i--) {
      const at = random(text.length);
      text = text.slice(0, at) + ' \n:{}[]"\'#&*!|>%-01az'[random(22)] + text.slice(at + random(3));
    }
    try {
      parseTrigger(text, 'file.yaml');
    } catch (error) {
      assert.match((error as Error).message, /^file\.yaml(, line \d+)?: /, `seed ${seed}, round ${round}`);
      refused++;
    }
  }
  assert.ok(refused > 200, `refused only ${refused}`);
});

test.run();
