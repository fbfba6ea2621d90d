import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { floats, type NodeSpec, writeModel } from '../../../bench/write-model.ts';
import { createEngine } from '../../../runtime/engine/engine.ts';
import type { Model } from '../../../runtime/engine/model.ts';
import type { Tensor, TypedArray } from '../../../runtime/engine/tensor.ts';

const FLOAT = 1;
const INT64 = 7;

function file(
  nodes: readonly NodeSpec[],
  outputs: readonly { name: string; type: number }[],
  size?: number,
): Uint8Array {
  return writeModel({
    graph: {
      inputs: [{ name: 'x', type: FLOAT, dims: [size ?? 'n'] }],
      outputs: [...outputs],
      initializers: [floats('two', [], Float32Array.of(2))],
      nodes: [...nodes],
    },
  });
}

const doubled: NodeSpec = { operator: 'Mul', inputs: ['x', 'two'], outputs: ['y'] };
/** How many there are shows only during the run. */
const places: NodeSpec = { operator: 'NonZero', inputs: ['x'], outputs: ['z'] };

async function withModel(bytes: Uint8Array, use: (model: Model) => Promise<void>): Promise<void> {
  const engine = await createEngine({ cores: 1 });
  await use(await engine.load(bytes, { name: 'm' }));
  await engine.close();
}

const input = (values: ArrayLike<number>): { x: Tensor } => ({
  x: { type: 'float32', dims: [values.length], data: Float32Array.from(values) },
});

async function rejects(promise: Promise<unknown>, message: string): Promise<void> {
  const error = await promise.then(
    () => assert.unreachable('it was accepted'),
    (reason) => reason,
  );
  assert.is(error.message, message);
}

test('an output is written into the array that is given for it, by runs on either thread', async () => {
  // More than one piece, and the last one not whole.
  const size = 40_001;
  await withModel(file([doubled], [{ name: 'y', type: FLOAT }]), async (model) => {
    for (const count of [5, size])
      for (let run = 0; run < 30; run++) {
        const around = new Float32Array(count + 2).fill(-1);
        const y = around.subarray(1, count + 1);
        const values = Float32Array.from({ length: count }, (_, i) => i + run);
        const { outputs } = await model.run(input(values), { outputs: { y } });
        assert.is((outputs.y as Tensor).data, y);
        assert.equal(
          y,
          values.map((value) => value * 2),
        );
        assert.equal([around[0], around.at(-1)], [-1, -1]);
      }
  });
});

test('the array of an input may take the output, and memory may be shared', async () => {
  await withModel(file([doubled], [{ name: 'y', type: FLOAT }]), async (model) => {
    const x = new Float32Array(new SharedArrayBuffer(12));
    x.set([1, 2, 3]);
    for (const factor of [2, 4, 8]) {
      await model.run({ x: { type: 'float32', dims: [3], data: x } }, { outputs: { y: x } });
      assert.equal([...x], [factor, 2 * factor, 3 * factor]);
    }
  });
});

test('a model that runs in stages writes its outputs too, those without an array are new', async () => {
  const outputs = [
    { name: 'y', type: FLOAT },
    { name: 'z', type: INT64 },
  ];
  await withModel(file([doubled, places], outputs), async (model) => {
    const z = new BigInt64Array(2);
    const result = await model.run(input([0, 7, 0, 9]), { outputs: { z } });
    assert.is((result.outputs.z as Tensor).data, z);
    assert.equal([...z], [1n, 3n]);
    assert.equal([...((result.outputs.y as Tensor).data as Float32Array)], [0, 14, 0, 18]);
    await rejects(
      model.run(input([5, 7, 0, 9]), { outputs: { z } }),
      'model "m", output "z": expected BigInt64Array of 3 elements to write to, got BigInt64Array of 2',
    );
  });
});

test('an array that does not fit is refused by name before anything is computed', async () => {
  await withModel(file([doubled], [{ name: 'y', type: FLOAT }]), async (model) => {
    const run = (outputs: Record<string, TypedArray>): Promise<unknown> => model.run(input([1, 2, 3]), { outputs });
    for (let again = 0; again < 3; again++) {
      await rejects(
        run({ y: new Float32Array(4) }),
        'model "m", output "y": expected Float32Array of 3 elements to write to, got Float32Array of 4',
      );
      await rejects(
        run({ y: new Int32Array(3) }),
        'model "m", output "y": expected Float32Array of 3 elements to write to, got Int32Array of 3',
      );
      await rejects(
        run({ toString: new Float32Array(3) }),
        'model "m" has no output "toString" to write to an array: expected "y"',
      );
      await rejects(
        run({ y: 'here' as unknown as Float32Array }),
        'model "m", output "y": expected Float32Array of 3 elements to write to, got string',
      );
      await model.run(input([1, 2, 3]));
    }
  });
});

test('an array that is handed to another thread during the run is refused, and the model goes on', async () => {
  await withModel(file([doubled], [{ name: 'y', type: FLOAT }]), async (model) => {
    const y = new Float32Array(40_000);
    const values = new Float32Array(40_000).fill(3);
    const running = model.run(input(values), { outputs: { y } });
    structuredClone(y, { transfer: [y.buffer] });
    await rejects(
      running,
      'model "m", output "y": expected Float32Array of 40000 elements to write to, got Float32Array of 0',
    );
    const { outputs } = await model.run(input(values));
    assert.is((outputs.y as Tensor).data[39_999], 6);
  });
});

test.run();
