import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Bucket, publishProblem } from '../../../fleet/controller/broker-access.ts';
import { channels } from '../../../runtime/protocol/channels.ts';

const node = { id: 'n1', isController: false };
const topic = (name: string, channel: string) => `llmasos/v1/nodes/${name}/${channel.replace('{trigger}', 'speech')}`;

test('a node may write its own channels, the controller the others, and nobody a stranger', () => {
  let seen = 0;
  for (const [channel, { from }] of Object.entries(channels)) {
    assert.is(publishProblem(node, topic('n1', channel), 10) === undefined, from !== 'controller', channel);
    const beside = publishProblem({ id: 'n1.ignition', isController: false }, topic('n1', channel), 10);
    assert.is(beside === undefined, from === 'beside the node', channel);
    assert.match(publishProblem(node, topic('n2', channel), 10) ?? '', /to write/);
    assert.is(publishProblem({ id: 'c', isController: true }, topic('n1', channel), 10), undefined);
    seen++;
  }
  assert.ok(seen >= 9);
});

test('topics of sensors are free, what is none of the protocol and what belongs to the broker is not', () => {
  assert.is(publishProblem(node, 'sensors/n2/values', 2e6), undefined);
  for (const bad of ['llmasos/v1/nodes/n1/else', 'llmasos/v2/nodes/n1/presence', 'llmasos/', '$SYS/uptime', '$share/x'])
    assert.ok(publishProblem(node, bad, 1), bad);
  assert.ok(publishProblem(node, 'llmasos/v1/nodes/n1/constructor', 1));
  assert.match(publishProblem(node, topic('n1', 'reported'), 1_000_001) ?? '', /at most 1000000 bytes/);
});

test('a bucket lets the burst through at once and the rest at its rate', () => {
  const bucket = new Bucket({ perSecond: 10, burst: 20 }, 0);
  for (let count = 0; count < 20; count++) assert.is(bucket.take(1, 0), 0);
  assert.is(bucket.take(1, 0), 100);
  assert.is(bucket.take(1, 0), 200);
  // After two seconds the debt is paid and 18 have come in.
  assert.is(bucket.take(18, 2_000), 0);
  assert.is(bucket.take(1, 2_000), 100);
});

test.run();
