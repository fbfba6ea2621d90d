import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { foldMessages, readNodeMessage, type StateMessage } from '../../../fleet/controller/registry.ts';
import type { ReportedState } from '../../../runtime/protocol/messages.ts';

const bytes = (value: unknown) => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
const topic = (channel: string) => `llmasos/v1/nodes/n1/${channel}`;

const reported = (labels: Record<string, string>, desiredVersion = 0): ReportedState => ({
  at: 1,
  labels,
  inventory: {
    version: '0',
    node: 'v24',
    platform: 'linux',
    architecture: 'x64',
    cores: 2,
    memoryBytes: 1,
    simd: 'plain',
    gpu: { usable: false, detail: 'none' },
  },
  desiredVersion,
  models: [],
  triggers: [],
});

test('a payload that is not what its topic promises is refused with topic and place', () => {
  assert.throws(() => readNodeMessage(topic('presence'), bytes('no JSON')), /n1\/presence: expected JSON/);
  assert.throws(() => readNodeMessage(topic('presence'), bytes({ online: 'yes', at: 1 })), /n1\/presence: online: /);
  assert.throws(() => readNodeMessage(topic('reported'), new Uint8Array(1_000_001)), /at most 1000000 bytes/);
  assert.is(readNodeMessage('other/topic', bytes({})), undefined);
  assert.is(readNodeMessage(topic('presence'), bytes('')), undefined, 'a cleared retained message');
  assert.is(readNodeMessage('llmasos/v1/nodes/n 1/presence', bytes({})), undefined);
});

test('the first message of a node registers it, whichever it is', () => {
  for (const message of [
    { kind: 'presence', node: 'n1', presence: { online: true, at: 1 } },
    { kind: 'reported', node: 'n1', reported: reported({}) },
    { kind: 'metrics', node: 'n1', metrics: { at: 1, uptimeMs: 1, residentBytes: 1, outboxItems: 0, triggers: [] } },
  ] as StateMessage[]) {
    const changes = foldMessages(new Map(), new Map(), [message], 9);
    assert.equal(
      changes.save.map(({ name, lastSeenAt }) => [name, lastSeenAt]),
      [['n1', 9]],
      message.kind,
    );
    assert.equal(changes.reconsider, ['n1'], message.kind);
  }
});

test('the last of several messages in a batch counts, and presence does not wipe out a report', () => {
  const changes = foldMessages(
    new Map(),
    new Map(),
    [
      { kind: 'reported', node: 'n1', reported: reported({ site: 'a' }) },
      { kind: 'presence', node: 'n1', presence: { online: true, at: 1 } },
      { kind: 'reported', node: 'n1', reported: reported({ site: 'b' }) },
      { kind: 'presence', node: 'n1', presence: { online: false, at: 2 } },
    ],
    5,
  );
  assert.is(changes.save.length, 1);
  assert.is(changes.save[0]?.reported?.labels.site, 'b');
  assert.is(changes.live.get('n1')?.online, false);
});

test('a node that counts is online, even when the last will of an earlier connection came late', () => {
  const metrics = { at: 1, uptimeMs: 1, residentBytes: 1, outboxItems: 0, triggers: [] };
  const messages: StateMessage[] = [
    { kind: 'presence', node: 'n1', presence: { online: false, at: 1 } },
    { kind: 'metrics', node: 'n1', metrics },
  ];
  const online = (batch: StateMessage[]) => foldMessages(new Map(), new Map(), batch, 5).live.get('n1')?.online;
  assert.is(online(messages), true);
  assert.is(online(messages.toReversed()), false);
});

test('only other labels or another version reached make a known node worth another look', () => {
  const known = new Map([['n1', { name: 'n1', reported: reported({ site: 'a' }, 3), lastSeenAt: 1 }]]);
  const look = (next: ReportedState) =>
    foldMessages(known, new Map(), [{ kind: 'reported', node: 'n1', reported: next }], 2).reconsider;
  assert.equal(look({ ...reported({ site: 'a' }, 3), at: 99 }), []);
  assert.equal(look(reported({ site: 'b' }, 3)), ['n1']);
  assert.equal(look(reported({ site: 'a', more: 'x' }, 3)), ['n1']);
  assert.equal(look(reported({}, 3)), ['n1']);
  assert.equal(look(reported({ site: 'a' }, 4)), ['n1']);
});

test.run();
