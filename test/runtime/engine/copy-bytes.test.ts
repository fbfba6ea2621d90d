import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { copyBytes } from '../../../runtime/engine/copy-bytes.ts';

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

test.run();
