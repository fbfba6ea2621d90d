import { copyFileSync, mkdtempSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { placeOf } from '../../../runtime/engine/model-file-io.ts';
import { memorySource } from '../../../runtime/onnx/byte-source.ts';
import { fileSource } from '../../../runtime/onnx/file-io.ts';

const folder = mkdtempSync(join(tmpdir(), 'llmasos-place-'));
test.after(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'model.onnx');
const later = () => Date.now() + 60_000;
/** Longer than a tick of the file system's clock. */
const TICK_MS = 50;

test('a file has one place while it is not touched, another after each change, also of one that hides when it was made', async () => {
  writeFileSync(path, 'one');
  const first = placeOf(fileSource(path), later());
  assert.type(first, 'string');
  assert.is(placeOf(fileSource(path), later()), first);
  const { atime, mtime } = statSync(path);
  await sleep(TICK_MS);
  writeFileSync(path, 'two');
  utimesSync(path, atime, mtime);
  const second = placeOf(fileSource(path), later());
  assert.is.not(second, first);
  copyFileSync(path, `${path}.new`);
  renameSync(`${path}.new`, path);
  assert.is.not(placeOf(fileSource(path), later()), second);
});

test('a file that changed a moment ago, one of another length, one that is gone and bytes in memory have none', () => {
  writeFileSync(path, 'one');
  const file = fileSource(path);
  assert.is(placeOf(file, statSync(path).ctimeMs + 1), undefined);
  assert.type(placeOf(file, later()), 'string');
  writeFileSync(path, 'longer');
  assert.is(placeOf(file, later()), undefined);
  rmSync(path);
  assert.is(placeOf(file, later()), undefined);
  assert.is(placeOf(memorySource(Uint8Array.of(1)), later()), undefined);
});

test.run();
