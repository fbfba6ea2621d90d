import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HOLD_DOWN_MS, HoldDown } from '../../../fleet/placement/hold-down.ts';

test('a node counts as lost only after it has been offline for the whole hold-down', () => {
  const watch = new HoldDown(0);
  watch.note('a', true, 0);
  watch.note('a', false, 1_000);
  watch.note('a', false, 30_000);
  assert.not.ok(watch.isLost('a', 1_000 + HOLD_DOWN_MS - 1));
  assert.ok(watch.isLost('a', 1_000 + HOLD_DOWN_MS));
  watch.note('a', true, 90_000);
  assert.not.ok(watch.isLost('a', 500_000));
});

test('after a start every node has the whole hold-down to announce itself', () => {
  const watch = new HoldDown(5_000);
  assert.not.ok(watch.isLost('never-heard-of', 5_000 + HOLD_DOWN_MS - 1));
  assert.ok(watch.isLost('never-heard-of', 5_000 + HOLD_DOWN_MS));
});

test('a broker that is away makes no node lost, and neither does its return', () => {
  const watch = new HoldDown(0);
  watch.note('a', true, 0);
  watch.blind();
  assert.not.ok(watch.isLost('a', 10 * HOLD_DOWN_MS));
  watch.see(10 * HOLD_DOWN_MS);
  assert.not.ok(watch.isLost('a', 11 * HOLD_DOWN_MS - 1));
  assert.ok(watch.isLost('a', 11 * HOLD_DOWN_MS));
});

test('a node that flaps loses nothing and gets nothing new, until it has been steady for a while', () => {
  const watch = new HoldDown(0);
  assert.is(watch.refusal('a', 0), 'it is offline');
  for (let time = 0; time < 120_000; time += 20_000) {
    watch.note('a', true, time);
    assert.not.ok(watch.isLost('a', time));
    watch.note('a', false, time + 10_000);
    assert.not.ok(watch.isLost('a', time + 19_999));
  }
  watch.note('a', true, 120_000);
  assert.match(watch.refusal('a', 120_000) ?? '', /^it went offline 6 times in the last 10 minutes$/);
  assert.is(watch.refusal('a', 720_000), undefined);
});

test.run();
