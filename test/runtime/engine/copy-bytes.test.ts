import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { copyBytes, copyInto } from '../../../runtime/engine/copy-bytes.ts';
import { recycle } from '../../../runtime/engine/result-memory.ts';

const sizes = [0, 1, 7, 4095, 4096, 4097, 100_001];

test('bytes are copied into shared memory and out of it, and nothing beside them is touched', () => {
  for (const size of sizes) {
    const from = Uint8Array.from({ length: size }, (_, i) => (i * 31 + 7) % 251);
    const shared = new Uint8Array(new SharedArrayBuffer(size + 32)).fill(255);
    copyBytes(shared.subarray(16, 16 + size), from);
    const to = new Uint8Array(size + 2).fill(254);
    copyBytes(to.subarray(1, 1 + size), shared.subarray(16, 16 + size));
    assert.equal(to.slice(1, 1 + size), from);
    assert.equal([to[0], to.at(-1)], [254, 254]);
    assert.ok([...shared.slice(0, 16), ...shared.slice(16 + size)].every((byte) => byte === 255));
  }
});

test('equal bytes, of which a pattern could be made, are copied as often as they are there', () => {
  const to = new Uint8Array(5000);
  copyBytes(to, new Uint8Array(4500).fill(9));
  assert.is(to.lastIndexOf(9), 4499);
});

test('arrays of all sizes and types get the values that lie in shared memory, from any of their bytes on', () => {
  const types = [Int8Array, Uint16Array, Float32Array, Float64Array, BigInt64Array] as const;
  for (const type of types)
    for (const count of [1, 2, 8, 9, 3000]) {
      const shared = new Uint8Array(new SharedArrayBuffer(count * type.BYTES_PER_ELEMENT)).map(
        (_, i) => (i * 31 + 7) % 120,
      );
      const to = new type(count + 3);
      copyInto(to, shared as unknown as Uint8Array<ArrayBuffer>, 2 * type.BYTES_PER_ELEMENT);
      assert.equal([...to].slice(0, 2).map(Number), [0, 0]);
      assert.is(Number(to.at(-1)), 0);
      assert.equal(
        new Uint8Array(to.buffer).slice(2 * type.BYTES_PER_ELEMENT, -type.BYTES_PER_ELEMENT),
        shared.slice(),
      );
    }
});

test('small results have no memory outside of the heap, as long as nobody asks for it', () => {
  const from = new Uint8Array(new SharedArrayBuffer(8));
  const results = Array.from({ length: 20_000 }, () => new Float32Array(2));
  const before = process.memoryUsage().arrayBuffers;
  for (const data of results) copyInto(data, from);
  recycle(results.map((data) => ({ type: 'float32', dims: [2], data })));
  const bytes = (): number => process.memoryUsage().arrayBuffers - before;
  assert.ok(bytes() < 20_000, `${bytes()} bytes`);
  assert.is(
    results.reduce((sum, { buffer }) => sum + buffer.byteLength, 0),
    160_000,
  );
  assert.ok(bytes() > 100_000, `${bytes()} bytes when it was asked for`);
});

test.run();
