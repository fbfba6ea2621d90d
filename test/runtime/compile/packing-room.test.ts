import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PackingRoom } from '../../../runtime/compile/packing-room.ts';

const LARGE = 100_000;

test('memory that was given back is taken again, and is zeros', () => {
  const room = new PackingRoom();
  const first = room.take(LARGE).fill(7);
  room.giveBack(first.buffer);
  const second = room.take(LARGE - 5);
  assert.is(second.buffer, first.buffer);
  assert.is(second.length, LARGE - 5);
  assert.ok(second.every((value) => value === 0));
});

test('what is still in use is never taken, and the largest of what is given back stays', () => {
  const room = new PackingRoom();
  const [one, other] = [room.take(LARGE), room.take(2 * LARGE)];
  assert.is.not(one.buffer, other.buffer);
  room.giveBack(one.buffer);
  room.giveBack(other.buffer);
  assert.is(one.length, 0);
  const again = room.take(LARGE);
  assert.is(again.buffer, other.buffer);
  assert.is.not(room.take(LARGE).buffer, other.buffer);
});

test('small arrays and shared memory are left alone; a room that is closed keeps nothing', () => {
  const room = new PackingRoom();
  const small = room.take(10);
  room.giveBack(small.buffer);
  room.giveBack(new SharedArrayBuffer(4 * LARGE));
  assert.is(small.length, 10);
  const large = room.take(LARGE);
  room.giveBack(large.buffer);
  room.close();
  assert.is(large.length, 0);
  assert.is(room.take(LARGE).length, LARGE);
});

test.run();
