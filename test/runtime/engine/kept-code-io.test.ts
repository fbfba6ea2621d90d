import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { writeModel } from '../../../bench/write-model.ts';
import { createEngine } from '../../../runtime/engine/engine.ts';
import { KeptCode } from '../../../runtime/engine/kept-code-io.ts';
import { type KernelBuild, loadKernels, MEMORY_PAGES_MIN, prepareV8 } from '../../../runtime/engine/kernels.ts';
import { tensorsOf } from '../../../runtime/engine/value.ts';

const root = mkdtempSync(join(tmpdir(), 'llmasos-code-'));
test.after(() => rmSync(root, { recursive: true }));
const newFolder = () => mkdtempSync(join(root, 'case-'));
const newMemory = () => new WebAssembly.Memory({ initial: MEMORY_PAGES_MIN, maximum: 64, shared: true });

const isKnown = process.versions.v8.startsWith('13.6.');

/** A folder with code of the plain build, of which one function was called. */
function keptFolder(): { folder: string; file: string } {
  prepareV8('plain');
  const folder = newFolder();
  const { module, heapBase } = loadKernels(newMemory(), { build: 'plain' });
  assert.ok(heapBase > 0);
  new KeptCode(folder, 'plain').keep(module);
  return { folder, file: join(folder, 'kernels-plain.code') };
}

const isKept = (folder: string, build: KernelBuild = 'plain'): boolean =>
  new KeptCode(folder, build).module !== undefined;

test('code that was kept comes back as a module, in a file that only its owner may write', () => {
  const { folder, file } = keptFolder();
  assert.is(isKept(folder), isKnown);
  if (!isKnown) return;
  assert.is(statSync(file).mode & 0o777, 0o600);
  assert.not(isKept(folder, 'relaxed'));
  assert.not(isKept(newFolder()));
  const { module } = new KeptCode(folder, 'plain');
  const { build, heapBase } = loadKernels(newMemory(), { build: 'plain', module });
  assert.is(build, 'plain');
  assert.is(heapBase, loadKernels(newMemory(), { build: 'plain' }).heapBase);
});

test('a file that is damaged, made for something else, or writable by others counts as absent', () => {
  if (!isKnown) return;
  const { folder, file } = keptFolder();
  const good = readFileSync(file);
  const flipped = (at: number): Buffer => {
    const bytes = Buffer.from(good);
    bytes[at] = (bytes[at] as number) ^ 1;
    return bytes;
  };
  const bad = [Buffer.alloc(0), good.subarray(0, 8), good.subarray(0, -1), Buffer.concat([good, Buffer.alloc(1)])];
  for (const bytes of [...bad, ...[0, 4, 8, good.length >> 1, good.length - 1].map(flipped)]) {
    writeFileSync(file, bytes);
    assert.not(isKept(folder), `${bytes.length} bytes`);
  }
  writeFileSync(file, good);
  assert.ok(isKept(folder));
  for (const mode of [0o620, 0o602]) {
    chmodSync(file, mode);
    assert.not(isKept(folder), mode.toString(8));
  }
});

test('where nothing can be written nothing is kept, and nothing is said', () => {
  const { module } = loadKernels(newMemory(), { build: 'plain' });
  const taken = join(newFolder(), 'file');
  writeFileSync(taken, '');
  new KeptCode(taken, 'plain').keep(module);
  const folder = newFolder();
  mkdirSync(join(folder, 'kernels-plain.code'));
  new KeptCode(folder, 'plain').keep(module);
  assert.not(isKept(folder));
});

test('an engine that closes keeps its code; the next one gives the same bits with it, without a thread of its own', async () => {
  const folder = newFolder();
  const file = writeModel({
    graph: {
      inputs: [{ name: 'x', type: 1, dims: [4, 32] }],
      nodes: [{ operator: 'Softmax', inputs: ['x'], outputs: ['y'] }],
      outputs: [{ name: 'y', type: 1, dims: [4, 32] }],
    },
    opsets: { '': 13 },
  });
  const inputs = {
    x: { type: 'float32' as const, dims: [4, 32], data: Float32Array.from({ length: 128 }, (_, i) => Math.sin(i)) },
  };
  const answers: unknown[] = [];
  for (let start = 0; start < 3; start++) {
    const engine = await createEngine({ cacheFolder: folder });
    const model = await engine.load(file, { name: 'softmax' });
    answers.push(tensorsOf((await model.run(inputs)).outputs));
    await engine.close();
    assert.is(existsSync(join(folder, `kernels-${engine.info.build}.code`)), isKnown);
  }
  assert.equal(answers[1], answers[0]);
  assert.equal(answers[2], answers[0]);
});

test.run();
