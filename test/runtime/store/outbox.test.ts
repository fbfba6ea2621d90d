import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inboxSchema, openInbox } from '../../../runtime/store/inbox.ts';
import {
  type OutboxLimits,
  openOutbox,
  outboxSchema,
  outboxStreams,
  type Stream,
} from '../../../runtime/store/outbox.ts';
import { openDatabase, transaction } from '../../../runtime/store/state.ts';

const folder = mkdtempSync(join(tmpdir(), 'outbox-'));
let files = 0;
const open = (bytesMax?: number, file = join(folder, `${files++}.db`)) =>
  openDatabase(file, [outboxSchema, inboxSchema, outboxStreams], bytesMax ? { bytesMax } : {});
const text = (words: string) => new TextEncoder().encode(words);
const item = (topic: string, words: string, stream: Partial<Stream> = {}) => ({
  ...{ topic, payload: text(words), retain: false },
  stream: { name: topic, urgency: 2, ...stream },
});
const read = (items: { payload: Uint8Array }[]) => items.map(({ payload }) => new TextDecoder().decode(payload));

test('items come out in the order they went in and stay until they are removed', () => {
  const file = join(folder, 'order.db');
  const database = open(undefined, file);
  const outbox = openOutbox(database, { itemsMax: 100, bytesMax: 1e6 }, () => 0);
  transaction(database, () => ['1', '2', '3'].forEach((words) => void outbox.add(item('a', words))));
  const [first] = outbox.next(0, 1);
  assert.ok(first);
  outbox.remove(first.id);
  database.close();
  const again = open(undefined, file);
  const reopened = openOutbox(again, { itemsMax: 100, bytesMax: 1e6 }, () => 0);
  assert.equal(read(reopened.next(0, 10)), ['2', '3']);
  assert.is(reopened.items, 2);
  assert.ok(reopened.has('a'));
  assert.not.ok(reopened.has('b'));
  again.close();
});

test('when it is full the oldest item of the same stream makes room, others only when there is none', () => {
  const database = open();
  const outbox = openOutbox(database, { itemsMax: 4, bytesMax: 1e6 }, () => 0);
  outbox.add(item('quiet', 'q1'));
  for (const words of ['c1', 'c2', 'c3', 'c4', 'c5']) outbox.add(item('chatty', words));
  assert.equal(read(outbox.next(0, 10)), ['q1', 'c3', 'c4', 'c5']);
  outbox.add(item('new', 'n1'));
  assert.equal(read(outbox.next(0, 10)), ['c3', 'c4', 'c5', 'n1']);
  assert.is(outbox.dropped, 3);
  database.close();
});

test('the byte cap counts topics and payloads and is never exceeded', () => {
  const database = open();
  const outbox = openOutbox(database, { itemsMax: 1000, bytesMax: 100 }, () => 0);
  for (let count = 0; count < 50; count++) {
    outbox.add(item('abcde', 'x'.repeat(count)));
    assert.ok(outbox.bytes <= 100);
  }
  const bytes = outbox.bytes;
  outbox.recount();
  assert.is(outbox.bytes, bytes);
  assert.throws(() => outbox.add(item('abcde', 'x'.repeat(96))), /at most 100 fit/);
  for (const { id } of outbox.next(0, 100)) outbox.remove(id);
  assert.is(outbox.bytes, 0);
  assert.is(outbox.items, 0);
  database.close();
});

test('the least urgent make room, oldest first, and who is less urgent than all that waits does not get in', () => {
  const database = open();
  const outbox = openOutbox(database, { itemsMax: 3, bytesMax: 1e6 }, () => 0);
  outbox.add(item('alarm', 'a1', { urgency: 0 }));
  outbox.add(item('report', 'r1', { urgency: 3 }));
  outbox.add(item('state', 's1'));
  outbox.add(item('state', 's2'));
  assert.equal(read(outbox.next(0, 10)), ['a1', 's1', 's2']);
  outbox.add(item('report', 'r2', { urgency: 3 }));
  assert.equal(read(outbox.next(0, 10)), ['a1', 's1', 's2']);
  outbox.add(item('alarm', 'a2', { urgency: 0 }));
  outbox.add(item('alarm', 'a3', { urgency: 0 }));
  outbox.add(item('alarm', 'a4', { urgency: 0 }));
  assert.equal(read(outbox.next(0, 10)), ['a2', 'a3', 'a4']);
  assert.is(outbox.dropped, 5);
  database.close();
});

test('a stream keeps to its bytes, whatever room there is, and takes none from others', () => {
  const database = open();
  const outbox = openOutbox(database, { itemsMax: 100, bytesMax: 1e6 }, () => 0);
  const own = { name: 'bounded', bytesMax: 6 };
  outbox.add(item('other', 'o1'));
  for (const words of ['b1', 'b2', 'b3']) outbox.add(item('b', words, own));
  assert.equal(read(outbox.next(0, 10)), ['o1', 'b2', 'b3']);
  outbox.add(item('b', 'too long', own));
  assert.equal(read(outbox.next(0, 10)), ['o1', 'b2', 'b3']);
  assert.is(outbox.dropped, 2);
  database.close();
});

test('what has waited too long is not given out, and goes with the next look', () => {
  const file = join(folder, 'age.db');
  let [database, nowMs] = [open(undefined, file), 1000];
  const limits: OutboxLimits = { itemsMax: 100, bytesMax: 1e6 };
  const first = openOutbox(database, limits, () => nowMs);
  first.add(item('t', 'hour', { ageMsMax: 3_600_000 }));
  first.add(item('t', 'for ever'));
  database.close();
  database = open(undefined, file);
  const outbox = openOutbox(database, limits, () => nowMs);
  nowMs += 3_599_999;
  assert.equal(read(outbox.next(0, 10)), ['hour', 'for ever']);
  nowMs += 1;
  assert.equal(read(outbox.next(0, 10)), ['for ever']);
  assert.is(outbox.items, 2);
  outbox.expire();
  assert.is(outbox.items, 1);
  assert.is(outbox.dropped, 1);
  database.close();
});

test('where only the newest matters it takes the place of its predecessors on the topic, of its own stream alone', () => {
  const database = open();
  const outbox = openOutbox(database, { itemsMax: 100, bytesMax: 1e6 }, () => 0);
  const newest = { name: 'state', newestOnly: true };
  outbox.add(item('a', 'log', { name: 'log' }));
  for (const [topic, words] of [
    ['a', '1'],
    ['b', '2'],
    ['a', '3'],
    ['a', '4'],
  ] as const)
    outbox.add(item(topic, words, newest));
  assert.equal(read(outbox.next(0, 10)), ['log', '2', '4']);
  assert.is(outbox.dropped, 0);
  const { bytes, items } = outbox;
  outbox.recount();
  assert.equal([outbox.bytes, outbox.items], [bytes, items]);
  database.close();
});

test('an outbox of an earlier version is taken over', () => {
  const file = join(folder, 'earlier.db');
  const earlier = openDatabase(file, [outboxSchema, inboxSchema]);
  earlier.exec("INSERT INTO outbox (topic, payload, retain) VALUES ('t', x'6f6c64', 0)");
  earlier.close();
  const database = open(undefined, file);
  const outbox = openOutbox(database, { itemsMax: 2, bytesMax: 1e6 }, () => 0);
  outbox.add(item('t', 'new'));
  assert.is(outbox.items, 2);
  outbox.add(item('s', 'urgent', { urgency: 0 }));
  assert.equal(read(outbox.next(0, 10).slice(-2)), ['new', 'urgent']);
  database.close();
});

test('a transaction that meets a full database changes nothing, and deleting still works', () => {
  const database = open(200_000);
  const outbox = openOutbox(database, { itemsMax: 1e6, bytesMax: 1e9 }, () => 0);
  const fill = () =>
    transaction(database, () => {
      for (let count = 0; count < 1000; count++) outbox.add(item('t', 'x'.repeat(1000)));
    });
  assert.throws(fill, /full/);
  outbox.recount();
  assert.is(outbox.items, 0);
  for (let count = 0; count < 20; count++) outbox.add(item('t', 'x'.repeat(1000)));
  for (const { id } of outbox.next(0, 100)) outbox.remove(id);
  assert.is(outbox.items, 0);
  database.close();
});

test('the inbox says no when it is full and gives everything back in order', () => {
  const database = open();
  const inbox = openInbox(database, { itemsMax: 3, bytesMax: 10 });
  const message = (words: string) => ({ topic: 't', payload: text(words), receivedAt: 1.5 });
  const first = inbox.add(message('1234'));
  assert.ok(first);
  assert.ok(inbox.add(message('5678')));
  assert.is(inbox.add(message('90a')), undefined);
  inbox.remove(first);
  assert.ok(inbox.add(message('90a')));
  assert.equal(read(inbox.all()), ['5678', '90a']);
  assert.is(inbox.all()[0]?.receivedAt, 1.5);
  database.close();
});

test.after(() => rmSync(folder, { recursive: true, force: true }));
test.run();
