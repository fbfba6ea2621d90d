import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { randomValues } from '../../../../bench/cases/random-values.ts';
import { attribute, floats, writeModel } from '../../../../bench/write-model.ts';
import { createEngine } from '../../../../runtime/engine/engine.ts';
import type { Tensor } from '../../../../runtime/engine/tensor.ts';

/** Several groups of columns at a time, several times, and a last one that is not full; a last block of rows that is not full either. */
const [m, k, n, block] = [3, 1000, 200, 128];
const blocks = Math.ceil(k / block);
const float = (name: string, dims: number[]) => ({ name, type: 1, dims });

test('weights of 4 bits stay so in memory, and give the bits that their floats give', async () => {
  const packed = Uint8Array.from({ length: n * blocks * (block / 2) }, (_, i) => Math.imul(i, 2_654_435_761) >>> 24);
  const zeros = Uint8Array.from({ length: n * Math.ceil(blocks / 2) }, (_, i) => Math.imul(i, 40_503) & 255);
  const scales = randomValues(n * blocks);
  const bytes = (name: string, dims: number[], data: Uint8Array) => {
    return { name, type: 2, dims, write: floats(name, dims, new Float32Array(data.buffer)).write };
  };
  const half = (data: Uint8Array, at: number, index: number): number =>
    index & 1 ? (data[at + (index >> 1)] as number) >> 4 : (data[at + (index >> 1)] as number) & 15;
  const dense = new Float32Array(k * n);
  for (let j = 0; j < n; j++)
    for (let p = 0; p < k; p++) {
      const part = Math.floor(p / block);
      const level = half(packed, j * blocks * (block / 2), p) - half(zeros, j * Math.ceil(blocks / 2), part);
      dense[p * n + j] = level * (scales[j * blocks + part] as number);
    }
  const sizes = { K: k, N: n, bits: 4, block_size: block };
  const ends = { inputs: [float('x', [m, k])], outputs: [float('y', [m, n])] };
  const four = writeModel({
    opsets: { '': 13, 'com.microsoft': 1 },
    graph: {
      ...ends,
      initializers: [
        bytes('w', [n, blocks, block / 2], packed),
        floats('s', [n, blocks], scales),
        bytes('z', [n * Math.ceil(blocks / 2)], zeros),
      ],
      nodes: [
        {
          ...{ operator: 'MatMulNBits', domain: 'com.microsoft', inputs: ['x', 'w', 's', 'z'], outputs: ['y'] },
          attributes: Object.entries(sizes).map(([name, value]) => attribute.int(name, value)),
        },
      ],
    },
  });
  const whole = writeModel({
    opsets: { '': 13 },
    graph: {
      ...ends,
      initializers: [floats('w', [k, n], dense)],
      nodes: [{ operator: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] }],
    },
  });
  const inputs: Record<string, Tensor> = { x: { type: 'float32', dims: [m, k], data: randomValues(m * k, 2) } };
  const engine = await createEngine();
  const results: unknown[] = [];
  const used: number[] = [];
  for (const file of [four, whole]) {
    const before = engine.info.memoryUsedBytes;
    const model = await engine.load(file, { name: 'product' });
    used.push(engine.info.memoryUsedBytes - before);
    results.push((await model.run(inputs)).outputs);
  }
  await engine.close();
  assert.equal(results[0], results[1]);
  const [packedBytes = 0, floatBytes = 0] = used;
  assert.ok(packedBytes < floatBytes / 5, `${packedBytes} and ${floatBytes} bytes`);
});

test.run();
