import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { floats, type GraphSpec, writeModel } from '../../../bench/write-model.ts';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import type { ByteSource } from '../../../runtime/onnx/byte-source.ts';
import { fileSource } from '../../../runtime/onnx/file-io.ts';
import { readModel } from '../../../runtime/onnx/read.ts';
import { randomFrom } from '../../random.ts';

const folder = mkdtempSync(join(tmpdir(), 'llmasos-parts-'));
test.after(() => rmSync(folder, { recursive: true }));

/** Large tensors between small ones, which are what the window over the file goes past. */
function manyTensors(): GraphSpec {
  const sizes = [3, 40_000, 7, 20_000, 16_384, 16_385, 1, 70_000];
  return {
    inputs: [{ name: 'x', type: 1, dims: [1] }],
    outputs: [{ name: 'y', type: 1, dims: [1] }],
    initializers: sizes.map((size, i) =>
      floats(
        `w${i}`,
        [size],
        Float32Array.from({ length: size }, (_, j) => i + j / 7),
      ),
    ),
    nodes: [{ operator: 'Relu', inputs: ['x'], outputs: ['y'] }],
  };
}

/** A source that counts what is read of it. */
function counted(bytes: Uint8Array): ByteSource & { readonly most: () => number; readonly total: () => number } {
  let [most, total] = [0, 0];
  return {
    byteLength: bytes.length,
    inMemory: false,
    read(start, end) {
      most = Math.max(most, end - start);
      total += end - start;
      return bytes.slice(start, end);
    },
    most: () => most,
    total: () => total,
  };
}

test('a file on the disk gives the graph that its bytes give, and every tensor its data', () => {
  const bytes = writeModel({ graph: manyTensors() });
  const path = join(folder, 'many.onnx');
  writeFileSync(path, bytes);
  const [whole, parts] = [readModel(bytes), readModel(fileSource(path))];
  assert.equal(parts.graph.nodes, whole.graph.nodes);
  assert.equal(parts.graph.inputs, whole.graph.inputs);
  let seen = 0;
  for (const [name, tensor] of whole.graph.initializers) {
    const other = parts.graph.initializers.get(name) as Tensor;
    assert.equal([other.type, other.dims], [tensor.type, tensor.dims]);
    assert.equal([...(other.data as Float32Array)], [...(tensor.data as Float32Array)], name);
    assert.is(other.data, other.data, 'the data that was read last is kept');
    seen++;
  }
  assert.is(seen, 8);
});

test('large tensors are not read with the graph', () => {
  const graph: GraphSpec = { ...manyTensors(), initializers: [floats('w', [2 ** 22], new Float32Array(2 ** 22))] };
  const source = counted(writeModel({ graph }));
  const model = readModel(source);
  assert.ok(source.total() < 2e6, `${source.total()} of ${source.byteLength} bytes were read`);
  assert.is(model.graph.initializers.get('w')?.data.length, 2 ** 22);
  assert.is(source.most(), 2 ** 24);
});

test('a damaged file is refused in the same cases as its bytes', () => {
  const seed = Number(process.env.SEED ?? 1);
  console.log(`seed ${seed}`);
  const next = randomFrom(seed);
  const sound = writeModel({ graph: manyTensors() });
  const verdict = (file: Uint8Array | ByteSource): string => {
    try {
      const { graph } = readModel(file);
      return [...graph.initializers].map(([name, { data }]) => `${name} ${data.length}`).join();
    } catch (error) {
      assert.not.match(String(error), /TypeError|RangeError|assertion/);
      return 'refused';
    }
  };
  // Where the headers are: damage to weights shows in neither.
  const headers = [0, 60, 170_000, 250_000, 300_000, 380_000].map((at) => Math.min(at, sound.length - 200));
  let refused = 0;
  for (let i = 0; i < 600; i++) {
    let bytes = new Uint8Array(sound);
    if (i % 4 === 0) bytes = bytes.slice(0, next(bytes.length));
    else bytes[(headers[next(headers.length)] as number) + next(200)] = next(256);
    const expected = verdict(bytes);
    assert.is(verdict(counted(bytes)), expected, `seed ${seed}, attempt ${i}`);
    if (expected === 'refused') refused++;
  }
  assert.ok(refused > 150, `refused only ${refused}`);
});

test('a file that becomes shorter is noticed, and one that is absent', () => {
  const path = join(folder, 'short.onnx');
  writeFileSync(path, writeModel({ graph: manyTensors() }));
  const model = readModel(fileSource(path));
  truncateSync(path, 1000);
  assert.throws(
    () => model.graph.initializers.get('w7')?.data,
    /model file: the file became shorter while it was read/,
  );
  assert.throws(() => fileSource(join(folder, 'absent.onnx')), /absent\.onnx: there is no such file/);
});

test.run();
