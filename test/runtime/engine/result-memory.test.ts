import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { recycle, resultBuffer } from '../../../runtime/engine/result-memory.ts';
import type { Tensor } from '../../../runtime/engine/tensor.ts';

const MEGABYTE = 2 ** 20;
const RESULTS = 200;

function result(value: number): Uint8Array {
  return new Uint8Array(resultBuffer(MEGABYTE)).fill(value);
}

/** The loop of a service: each result is dropped when the next one is there. */
async function mostHeldBytes(): Promise<number> {
  let most = 0;
  for (let i = 0; i < RESULTS; i++) {
    result(i);
    most = Math.max(most, process.memoryUsage().arrayBuffers);
    await new Promise(setImmediate);
  }
  return most;
}

test('results that nobody holds any more do not pile up', async () => {
  const before = process.memoryUsage().arrayBuffers;
  const most = (await mostHeldBytes()) - before;
  // V8 by itself waits for 32 MB.
  assert.ok(most < 16 * MEGABYTE, `${(most / MEGABYTE).toFixed(0)} MB were held`);
});

test('results that are held keep what is in them', async () => {
  const held = Array.from({ length: 60 }, (_, i) => result(i));
  await mostHeldBytes();
  held.forEach((bytes, i) => {
    assert.ok(
      bytes.every((byte) => byte === i),
      `result ${i}`,
    );
  });
});

const tensorIn = (buffer: ArrayBuffer): Tensor => ({
  type: 'uint8',
  dims: [buffer.byteLength],
  data: new Uint8Array(buffer),
});

test('memory that comes back is handed out again, to one at a time', () => {
  const buffer = resultBuffer(MEGABYTE + 1);
  const tensor = tensorIn(buffer);
  recycle([tensor, { type: 'string', dims: [1], data: ['no memory'] }, tensor]);
  recycle([tensor]);
  assert.is(resultBuffer(MEGABYTE + 1), buffer);
  assert.is.not(resultBuffer(MEGABYTE + 1), buffer);
});

test("somebody else's memory is left alone, and so is what was given to another thread", () => {
  const own = new Uint8Array(MEGABYTE + 2);
  recycle([tensorIn(own.buffer)]);
  assert.is.not(resultBuffer(MEGABYTE + 2), own.buffer);
  const sent = tensorIn(resultBuffer(MEGABYTE + 3));
  structuredClone(sent, { transfer: [sent.data.buffer as ArrayBuffer] });
  recycle([sent]);
  assert.is(resultBuffer(MEGABYTE + 3).byteLength, MEGABYTE + 3);
});

test('of memory that comes back only so much is kept', () => {
  const buffers = Array.from({ length: 100 }, () => resultBuffer(MEGABYTE + 4));
  recycle(buffers.map(tensorIn));
  const again = Array.from({ length: 100 }, () => resultBuffer(MEGABYTE + 4));
  const kept = again.filter((buffer) => buffers.includes(buffer)).length;
  assert.ok(kept > 0 && kept <= 32, `${kept} MB were kept`);
});

test.run();
