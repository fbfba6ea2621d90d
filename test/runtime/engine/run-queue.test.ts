import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { RunQueue, WAITING_RUNS_MAX } from '../../../runtime/engine/run-queue.ts';

const [SAFETY, NORMAL, BACKGROUND] = [0, 2, 3];

test('runs of a class are served in the order in which they came; one set aside goes behind or before those that wait', () => {
  const queue = new RunQueue<string>();
  for (const run of ['a', 'b', 'c']) queue.add(run, NORMAL);
  assert.is(queue.take(), 'a');
  queue.putBack('a', NORMAL, 'last');
  assert.ok(queue.remove('b'));
  assert.not.ok(queue.remove('b'));
  queue.putBack('d', NORMAL, 'first');
  assert.is(queue.length, 3);
  assert.equal([queue.take(), queue.take(), queue.take(), queue.take()], ['d', 'c', 'a', undefined]);
});

test('the most urgent class goes first', () => {
  const queue = new RunQueue<string>();
  queue.add('report', BACKGROUND);
  queue.add('label', NORMAL);
  queue.add('brake', SAFETY);
  assert.equal([queue.take(), queue.take(), queue.take()], ['brake', 'label', 'report']);
});

test('a class that is always passed gets one run in sixteen', () => {
  const queue = new RunQueue<string>();
  queue.add('report', BACKGROUND);
  const served: (string | undefined)[] = [];
  for (let i = 0; i < 16; i++) {
    queue.add('label', NORMAL);
    served.push(queue.take());
  }
  assert.equal(served, [...Array(15).fill('label'), 'report']);
});

test('more runs than may wait are refused, except those that were admitted before', () => {
  const queue = new RunQueue<number>();
  for (let i = 0; i < WAITING_RUNS_MAX; i++) queue.add(i, i % 4);
  assert.throws(() => queue.add(-1, SAFETY), /overloaded: expected at most 4096 waiting runs/);
  queue.putBack(-2, NORMAL, 'last');
  assert.is(queue.length, WAITING_RUNS_MAX + 1);
});

test.run();
