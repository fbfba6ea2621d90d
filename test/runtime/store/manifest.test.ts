import { createHash, randomBytes } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decodeManifest, encodeManifest, placeOf } from '../../../runtime/store/manifest.ts';

const MIB = 2 ** 20;
const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

test('chunks are 1 MiB each but the last, one after the other, by their hashes', () => {
  const content = randomBytes(2 * MIB + 1);
  const manifest = decodeManifest(encodeManifest(content) as Uint8Array, content.length);
  assert.equal(
    manifest.chunks.map((_, index) => placeOf(manifest, index)),
    [
      { start: 0, end: MIB },
      { start: MIB, end: 2 * MIB },
      { start: 2 * MIB, end: 2 * MIB + 1 },
    ],
  );
  const { start, end } = placeOf(manifest, 1);
  assert.is(manifest.chunks[1], createHash('sha256').update(content.subarray(start, end)).digest('hex'));
  assert.is(decodeManifest(encodeManifest(content.subarray(1)) as Uint8Array, 2 * MIB).chunks.length, 2);
});

test('a file of one chunk has no list', () => {
  assert.is(encodeManifest(new Uint8Array(MIB)), undefined);
  assert.is(encodeManifest(new Uint8Array()), undefined);
});

test('a list that cannot be that of the file is refused with the reason', () => {
  const chunks = ['0'.repeat(64), '1'.repeat(64)];
  const good = { bytes: MIB + 1, chunkBytes: MIB, chunks };
  const refused = (value: unknown, pattern: RegExp) =>
    assert.throws(() => decodeManifest(text(value), MIB + 1), pattern);
  assert.equal(decodeManifest(text(good), MIB + 1), good);
  assert.throws(() => decodeManifest(Uint8Array.of(0xff), 1), /expected a list of chunks as JSON/);
  refused(null, /list of chunks: /);
  refused({ ...good, chunkBytes: 1 }, /chunkBytes: /);
  refused({ ...good, chunks: ['x'] }, /chunks.0: expected a SHA-256/);
  refused({ ...good, chunks: chunks.slice(1) }, /chunks: expected 2, got 1/);
  refused({ ...good, bytes: MIB }, /bytes: expected those of the file, 1048577, got 1048576/);
});

test.run();
