import { setTimeout } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type NodeSpec, writeModel } from '../../../bench/write-model.ts';
import { UnsupportedError } from '../../../runtime/compile/program.ts';
import { createEngine, type Engine } from '../../../runtime/engine/engine.ts';
import type { Model } from '../../../runtime/engine/model.ts';
import { tensorsOf } from '../../../runtime/engine/value.ts';
import { loadModel } from '../../../runtime/offload/load.ts';

const matrix = { type: 1, dims: [2, 2] };
const x = { type: 'float32', dims: [2, 2], data: Float32Array.of(2, 0, 0, 4) } as const;

const opened: { close(): Promise<void> }[] = [];

/** Closed when its test ends, however that ends: an engine left open would keep the process alive. */
async function openEngine(): Promise<Engine> {
  const engine = await createEngine();
  opened.push(engine);
  return engine;
}

async function openModel(...given: Parameters<typeof loadModel>): Promise<Model> {
  const model = await loadModel(...given);
  opened.push(model);
  return model;
}

test.after.each(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

function modelOf(operator: string, domain = ''): Uint8Array {
  const node: NodeSpec = { operator, domain, inputs: ['x'], outputs: ['y'] };
  return writeModel({
    opsets: { '': 17, 'com.microsoft': 1 },
    graph: {
      inputs: [{ ...matrix, name: 'x' }],
      outputs: [{ name: 'y', type: 1, dims: [2, 2] }],
      nodes: [node],
    },
  });
}

test('a model with an operator that our kernels lack runs in onnxruntime, and says why', async () => {
  const engine = await openEngine();
  const model = await openModel(engine, modelOf('Inverse', 'com.microsoft'), { name: 'inverse' });
  assert.is(model.engine, 'onnxruntime');
  assert.match(model.fallbackReason ?? '', /Inverse/);
  const { outputs, accounts } = await model.run({ x }, { priority: 'interactive' });
  assert.equal(tensorsOf(outputs).y?.data, Float32Array.of(0.5, 0, 0, 0.25));
  const [latest] = engine.recentRuns;
  assert.is(latest?.request.model, 'inverse (onnxruntime)');
  assert.is(latest?.request.priority, 'interactive');
  assert.equal(accounts, [latest?.account]);
});

test('onnxruntime writes its outputs to the arrays that the caller gives, and refuses what does not fit', async () => {
  const engine = await openEngine();
  const model = await openModel(engine, modelOf('Inverse', 'com.microsoft'), { name: 'inverse' });
  const y = new Float32Array(4);
  const { outputs } = await model.run({ x }, { outputs: { y } });
  assert.is(tensorsOf(outputs).y?.data, y);
  assert.equal(y, Float32Array.of(0.5, 0, 0, 0.25));
  const refusals = [
    [{ z: y }, /has no output "z" to write to an array: expected "y"/],
    [{ y: new Float32Array(3) }, /output "y": expected Float32Array of 4 elements to write to, got Float32Array of 3/],
  ] as const;
  for (const [given, message] of refusals) {
    const refusal = await model.run({ x }, { outputs: given as Record<string, Float32Array> }).catch(String);
    assert.match(String(refusal), message);
  }
});

test('a model that our kernels run has no reason to give', async () => {
  const engine = await openEngine();
  const model = await openModel(engine, modelOf('Neg'), { name: 'negative' });
  assert.is(model.engine, 'llmasos');
  assert.is(model.fallbackReason, undefined);
  assert.equal(tensorsOf((await model.run({ x })).outputs).y?.data, Float32Array.of(-2, -0, -0, -4));
});

test('a lack that shows only at a run changes the engine once, for all runs that wait', async () => {
  const own = await openEngine();
  let closed = 0;
  // An engine whose compiler finds out late; everything else is real.
  const late: Engine = {
    ...own,
    load: async (bytes, options) => ({
      ...(await loadModel(own, bytes, options)),
      engine: 'llmasos',
      name: options.name,
      run: () => Promise.reject(new UnsupportedError('node "n": rank 9 is not supported')),
      close: async () => void closed++,
    }),
  };
  const model = await openModel(late, modelOf('Neg'), { name: 'late' });
  assert.is(model.engine, 'llmasos');
  const results = await Promise.all([model.run({ x }), model.run({ x }), model.run({ x })]);
  for (const { outputs } of results) assert.equal(tensorsOf(outputs).y?.data, Float32Array.of(-2, -0, -0, -4));
  assert.is(model.engine, 'onnxruntime');
  assert.is(model.fallbackReason, 'node "n": rank 9 is not supported');
  assert.is(closed, 1);
});

/** A model of ours that finds out at a run that it lacks something, for inputs that begin with a negative number. */
async function loadLate(own: Engine, file: Uint8Array, pause = async () => {}): Promise<Model> {
  const engine: Engine = {
    ...own,
    load: async (bytes, options) => {
      const real = await own.load(modelOf('Neg'), options);
      return {
        ...{ name: real.name, engine: real.engine, inputs: real.inputs, outputs: real.outputs },
        async run(inputs, given) {
          if ((tensorsOf(inputs).x?.data[0] as number) < 0)
            throw new UnsupportedError(`rank 9 of ${bytes.byteLength} bytes`);
          await pause();
          return real.run(inputs, given);
        },
        close: () => real.close(),
      };
    },
  };
  return openModel(engine, file, { name: 'late' });
}

const lacking = { x: { ...x, data: Float32Array.of(-1, 0, 0, 4) } };

test('a run that our engine can do is answered though another one changes the engine meanwhile', async () => {
  const own = await openEngine();
  const model: Model = await loadLate(own, modelOf('Neg'), async () => {
    while (model.engine === 'llmasos') await setTimeout(5);
  });
  const [slow, other] = await Promise.all([model.run({ x }), model.run(lacking)]);
  assert.is(tensorsOf(slow.outputs).y?.data[0], -2);
  assert.is(tensorsOf(other.outputs).y?.data[0], 1);
  assert.is(model.engine, 'onnxruntime');
});

test('where onnxruntime refuses a model as well, the shapes that our engine can do go on', async () => {
  const own = await openEngine();
  // Both engines read this file; onnxruntime does not know the operator.
  const model = await loadLate(own, modelOf('NoSuchOperator'));
  for (let round = 0; round < 2; round++) {
    const [refused, answered] = await Promise.allSettled([model.run(lacking), model.run({ x })]);
    assert.match(String(refused.status === 'rejected' && refused.reason), /which refuses it/);
    assert.is(answered.status === 'fulfilled' && tensorsOf(answered.value.outputs).y?.data[0], -2);
  }
  assert.is(model.engine, 'llmasos');
});

test('a model that is closed while it changes engines leaves none behind', async () => {
  const own = await openEngine();
  const model = await loadLate(own, modelOf('Neg'));
  const outcome = model.run(lacking).catch((error) => error);
  await model.close();
  await outcome;
  const again = await model.run(lacking).catch((error) => error);
  assert.match(String(again), /closed|UnsupportedError/);
});

test('a file that is no model is refused, by whichever engine', async () => {
  const engine = await openEngine();
  const error = await loadModel(engine, new Uint8Array([0xff, 0xd8, 0xff, 0xe0]), { name: 'photo' }).catch(
    (reason) => reason,
  );
  assert.match(String(error), /expected an ONNX model, got a JPEG picture/);
});

test.run();
