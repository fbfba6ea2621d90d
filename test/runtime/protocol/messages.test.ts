import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkDesired } from '../../../runtime/node/desired.ts';
import { PAYLOAD_BYTES_MAX, parsePayload, presenceSchema } from '../../../runtime/protocol/messages.ts';
import { allNodes, errorTopic, nodeTopic, parseNodeTopic } from '../../../runtime/protocol/topics.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

test('a payload is refused with its topic, the field and what was expected', () => {
  const cases: [payload: Uint8Array, words: RegExp][] = [
    [bytes('nonsense'), /^t: expected JSON in UTF-8/],
    [Uint8Array.of(0x22, 0xff, 0x22), /^t: expected JSON in UTF-8/],
    [bytes('{"online":"yes","at":1}'), /^t: online: /],
    [bytes('[]'), /^t: payload: /],
    [new Uint8Array(PAYLOAD_BYTES_MAX + 1), /at most 1000000 bytes, got 1000001/],
  ];
  for (const [payload, words] of cases) assert.throws(() => parsePayload(presenceSchema, 't', payload), words);
  assert.is(cases.length, 5);
});

test('unknown keys are ignored, so that a newer sender is understood', () => {
  assert.equal(parsePayload(presenceSchema, 't', bytes('{"online":true,"at":1,"mood":"good"}')), {
    online: true,
    at: 1,
  });
});

test('a trigger that cannot be read is named and does not stop the others', () => {
  const good = {
    name: 'good',
    topic: 'a/{device}',
    decode: { format: 'tensors' },
    stages: [{ name: 'one', model: 'm' }],
    output: { topic: 'b/{device}', tensors: 'one' },
  };
  const desired = {
    version: 1,
    at: 0,
    files: 'http://h',
    models: [],
    triggers: [{ name: 'odd', topic: 'a/#/b' }, good],
  };
  const { triggers, refused } = checkDesired('t', bytes(JSON.stringify(desired)));
  assert.equal(
    triggers.map(({ name }) => name),
    ['good'],
  );
  assert.is(refused[0]?.name, 'odd');
  assert.match(refused[0]?.error ?? '', /^trigger "odd": /);
  assert.throws(() => checkDesired('t', bytes('{"version":-1}')), /^t: version: /);
});

test('topics and their parts agree', () => {
  assert.equal(parseNodeTopic(nodeTopic('n-1', 'reported')), { node: 'n-1', channel: 'reported', rest: [] });
  assert.equal(parseNodeTopic(errorTopic('n-1', 'speech')), { node: 'n-1', channel: 'errors', rest: ['speech'] });
  for (const topic of ['sensors/a', 'llmasos/v1/nodes', 'llmasos/v1/nodes/a b/reported', allNodes('presence')])
    assert.is(parseNodeTopic(topic), undefined);
});

test.run();
