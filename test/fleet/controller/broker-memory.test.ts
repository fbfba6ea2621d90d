import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Backlog, Retained } from '../../../fleet/controller/broker-memory.ts';

const limits = { retainedTopics: 3, retainedBytes: 100, waitingMessages: 3, waitingBytes: 50, allWaitingBytes: 80 };

test('retained messages are bounded in number and bytes; a topic may shrink, clear and change', () => {
  const retained = new Retained(limits);
  assert.ok(retained.admit('a', 60));
  assert.not.ok(retained.admit('b', 41), 'too many bytes');
  assert.ok(retained.admit('b', 40));
  assert.ok(retained.admit('a', 50), 'in place of the one before');
  assert.ok(retained.admit('c', 10));
  assert.not.ok(retained.admit('d', 1), 'too many topics');
  assert.ok(retained.admit('a', 0));
  assert.ok(retained.admit('d', 50));
});

test('what waits for a client is bounded, told once, and starts anew when it is confirmed', () => {
  const told: string[] = [];
  const away = new Set<string>();
  const backlog = new Backlog(
    limits,
    (client) => away.has(client),
    (client) => told.push(client),
  );
  assert.equal(
    [1, 2, 3, 4, 5].map(() => backlog.admit('a', 1)),
    [true, true, true, false, false],
  );
  assert.equal(told, ['a']);
  backlog.confirmed('a', 1);
  assert.ok(backlog.admit('a', 1));
  assert.not.ok(backlog.admit('b', 51), 'more bytes than may wait for one');
  away.add('b').add('c');
  assert.ok(backlog.admit('b', 50));
  assert.not.ok(backlog.admit('c', 40), 'more bytes than may wait for all');
  assert.ok(backlog.admit('d', 40), 'who is here has its own limit only');
  backlog.confirmed('b', 50);
  assert.ok(backlog.admit('c', 30));
});

test.run();
