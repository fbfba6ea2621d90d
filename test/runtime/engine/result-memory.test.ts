import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { resultBuffer } from '../../../runtime/engine/result-memory.ts';

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

test.run();
