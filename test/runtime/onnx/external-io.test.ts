/** Weights in files beside a model: a stranger's file names only what lies in its own folder. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { externalReader, readExternalFile } from '../../../runtime/onnx/external-io.ts';

const base = mkdtempSync(join(tmpdir(), 'llmasos-external-'));
test.after(() => rmSync(base, { recursive: true }));
const folder = join(base, 'model');
mkdirSync(join(folder, 'weights'), { recursive: true });
writeFileSync(
  join(folder, 'weights', 'a.bin'),
  Uint8Array.from({ length: 100 }, (_, i) => i),
);
writeFileSync(join(base, 'secret.bin'), new Uint8Array(100));

const read = externalReader(folder);

/** Both readers refuse the location, with this sentence. */
function assertRefused(location: string, sentence: RegExp): void {
  assert.throws(() => read(location, 0, 1), sentence);
  assert.throws(() => readExternalFile(folder, location), sentence);
}

test('a part of a file in the folder is read, also through a link that stays inside', () => {
  symlinkSync(join('weights', 'a.bin'), join(folder, 'inside.bin'));
  assert.equal([...read('weights/a.bin', 10, 3)], [10, 11, 12]);
  assert.equal([...read('inside.bin', 97, 3)], [97, 98, 99]);
  assert.throws(() => read('weights/a.bin', 98, 3), /expected 3 bytes from 98, but the file has 100/);
});

test('a path out of the folder is refused', () => {
  for (const location of ['../secret.bin', 'weights/../../secret.bin', join(base, 'secret.bin'), '', 'a\u0000b'])
    assertRefused(location, /expected a file inside the model's folder/);
});

test('a link that leaves the folder is refused, whether the file or a folder on the way is the link', () => {
  symlinkSync('../secret.bin', join(folder, 'link.bin'));
  symlinkSync(base, join(folder, 'up'));
  assertRefused('link.bin', /expected a file inside the model's folder, got a link that leaves it/);
  assertRefused('up/secret.bin', /expected a file inside the model's folder, got a link that leaves it/);
});

test('a pipe, a device and a folder are refused at once instead of being waited for', () => {
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  symlinkSync('/dev/zero', join(folder, 'zero'));
  assertRefused('pipe', /expected a file, got something else/);
  assertRefused('zero', /expected a file inside the model's folder, got a link that leaves it/);
  assertRefused('weights', /expected a file, got something else/);
  assertRefused('absent.bin', /expected a file in the model's folder; copy it there/);
});

test.run();
