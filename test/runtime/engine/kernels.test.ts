import { Worker } from 'node:worker_threads';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Assembler } from '../../../runtime/compile/assembler.ts';
import { chooseBuild } from '../../../runtime/engine/choose-build.ts';
import { checkKernels } from '../../../runtime/engine/kernel-check.ts';
import { loadKernels, MEMORY_PAGES_MIN, prepareV8 } from '../../../runtime/engine/kernels.ts';

const DONE = -1;
const kernelsUrl = new URL('../../../runtime/engine/kernels.ts', import.meta.url).href;

prepareV8();

const newMemory = (pages = 32) => new WebAssembly.Memory({ initial: pages, maximum: 1024, shared: true });

/** Lays out a program that doubles `count` floats in place, and its bases and flag; everything lies at `at`. */
function doubling(
  memory: WebAssembly.Memory,
  at: number,
  count: number,
): { words: number; bases: number; flag: number } {
  const assembler = new Assembler({ panel: 8 });
  assembler.unary('scale', 0, 0, count, 2, 0);
  new Uint32Array(memory.buffer, at, 3).fill(at + 4096);
  const { words } = assembler.finish();
  new Uint32Array(memory.buffer, at + 128, words.length).set(words);
  return { words: at + 128, bases: at, flag: at + 64 };
}

test('the fastest build that agrees with plain loops is chosen, and what was passed over is explained', () => {
  const { build, notes } = chooseBuild();
  assert.is(loadKernels(newMemory(), { build }).traits.panel, build === 'revectorized' ? 16 : 8);
  assert.is(notes.length > 0, build === 'plain' || (build === 'relaxed' && process.arch === 'x64'));
});

test('kernels leave the memory as it was, but for what lies below heapBase', () => {
  const memory = newMemory();
  const bytes = new Uint8Array(memory.buffer).fill(7);
  const { heapBase } = loadKernels(memory, { build: 'plain' });
  assert.ok(heapBase <= MEMORY_PAGES_MIN * 65_536, `heapBase ${heapBase}`);
  assert.ok(bytes.subarray(heapBase).every((byte) => byte === 7));
});

test('a build whose results are wrong is noticed', () => {
  const memory = newMemory();
  const kernels = loadKernels(memory, { build: 'plain' });
  assert.is(checkKernels(memory, kernels), undefined);
  const idle = { ...kernels, execute: () => DONE };
  assert.match(
    checkKernels(memory, idle) ?? '',
    /gemm, conv 3x3, depthwise 3x3, conv 3x3 by Winograd, exp, softmax disagreed/,
  );
});

test('a product of bytes that is not exact, or not what it was taken for, is found out', () => {
  const memory = newMemory();
  const kernels = loadKernels(memory, { build: 'plain' });
  const withByteDot = (byteDot: 'unsigned' | 'signed') => ({ ...kernels, traits: { panel: 8, byteDot } as const });
  assert.is(checkKernels(memory, withByteDot('unsigned')), undefined);
  assert.match(checkKernels(memory, withByteDot('signed')) ?? '', /^products of bytes disagreed/);
});

test('a memory that is not shared, or too small, is refused', () => {
  assert.throws(
    () => loadKernels(new WebAssembly.Memory({ initial: 64 }), { build: 'plain' }),
    /expected a shared one/,
  );
  assert.throws(() => loadKernels(newMemory(1), { build: 'plain' }), /at least 4 pages/);
});

test('a worker takes the module over and works on the same memory beside the main thread', async () => {
  const memory = newMemory();
  const { build, module, execute, heapBase } = loadKernels(memory, { build: 'plain' });
  const count = 10_000;
  const places = [heapBase, heapBase + 512 * 1024].map((at) => Math.ceil(at / 64) * 64) as [number, number];
  const runs = places.map((at) => doubling(memory, at, count)) as [
    ReturnType<typeof doubling>,
    ReturnType<typeof doubling>,
  ];
  for (const at of places) new Float32Array(memory.buffer, at + 4096, count).fill(1);
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData.kernelsUrl).then(({ loadKernels }) => {
      const { memory, build, module, run } = workerData;
      const kernels = loadKernels(memory, { build, module });
      for (let i = 0; i < 20; i++) kernels.execute(run.words, 0, run.bases, run.flag);
      parentPort.postMessage(kernels.build);
    });`;
  const worker = new Worker(code, { eval: true, workerData: { kernelsUrl, memory, build, module, run: runs[1] } });
  const answer = new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  for (let i = 0; i < 20; i++) assert.is(execute(runs[0].words, 0, runs[0].bases, runs[0].flag), DONE);
  assert.is(await answer, build);
  await worker.terminate();
  for (const at of places)
    assert.ok(new Float32Array(memory.buffer, at + 4096, count).every((value) => value === 2 ** 20));
});

test.run();
