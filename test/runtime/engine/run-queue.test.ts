import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { RunQueue, WAITING_RUNS_MAX } from '../../../runtime/engine/run-queue.ts';

test('runs are served in the order in which they came; one set aside goes behind those that wait', () => {
  const queue = new RunQueue<string>();
  for (const run of ['a', 'b', 'c']) queue.add(run);
  assert.is(queue.take(), 'a');
  queue.putBack('a');
  assert.ok(queue.remove('b'));
  assert.not.ok(queue.remove('b'));
  assert.equal([queue.take(), queue.take(), queue.take()], ['c', 'a', undefined]);
});

test('more runs than may wait are refused, except those that were admitted before', () => {
  const queue = new RunQueue<number>();
  for (let i = 0; i < WAITING_RUNS_MAX; i++) queue.add(i);
  assert.throws(() => queue.add(-1), /overloaded: expected at most 4096 waiting runs/);
  queue.putBack(-2);
  assert.is(queue.length, WAITING_RUNS_MAX + 1);
});

test.run();
