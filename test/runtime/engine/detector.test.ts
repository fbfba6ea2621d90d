/** A detector as exporters write it, with non-maximum suppression inside: how much it gives is known only during the run. */
import { setTimeout } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type NodeSpec, writeModel } from '../../../bench/write-model.ts';
import { createEngine } from '../../../runtime/engine/engine.ts';
import type { RunResult } from '../../../runtime/engine/model.ts';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import { tensorsOf } from '../../../runtime/engine/value.ts';
import { loadOnnxruntime } from '../../../runtime/offload/onnxruntime.ts';
import { Random } from '../../random.ts';
import { int, ints, rawTensor } from '../onnx/attributes.ts';

/** Programs that the engine keeps of one part of a model (runtime/engine/program-store.ts). */
const PROGRAMS_MAX = 32;
const SEED = 20_261_124;
const [SIDE, CELLS, CLASSES] = [64, 256, 3];
const FLOAT = 1;
const INT64 = 7;
const random = new Random(SEED);
console.log(`seed ${SEED}`);

const weights = (...dims: number[]): Tensor => {
  const { data } = random.tensor(dims);
  return { type: 'float32', dims, data: Float32Array.from(data as Float32Array, (value) => value * 0.5) };
};
const integers = (...values: number[]): Tensor => {
  return { type: 'int64', dims: [values.length], data: BigInt64Array.from(values, BigInt) };
};
const number = (value: number): Tensor => ({ type: 'float32', dims: [1], data: Float32Array.of(value) });

const constants: Readonly<Record<string, Tensor>> = {
  w1: weights(8, 3, 4, 4),
  wBoxes: weights(4, 8, 1, 1),
  wScores: weights(CLASSES, 8, 1, 1),
  boxShape: integers(1, 4, CELLS),
  scoreShape: integers(1, CLASSES, CELLS),
  most: integers(40),
  overlap: number(0.4),
  boxColumn: integers(2),
  first: integers(0),
  four: integers(4),
  axisOne: integers(1),
};

const node = (operator: string, inputs: string[], output: string, attributes?: NodeSpec['attributes']): NodeSpec => {
  return { operator, inputs, outputs: [output], attributes };
};

/** Convolutions, boxes and scores of each cell, suppression, the boxes that are kept in a shape that is computed. */
const detector = writeModel({
  opsets: { '': 14 },
  graph: {
    inputs: [
      { name: 'image', type: FLOAT, dims: [1, 3, SIDE, SIDE] },
      { name: 'least', type: FLOAT, dims: [1] },
    ],
    outputs: [
      { name: 'kept', type: INT64 },
      { name: 'boxes', type: FLOAT },
    ],
    initializers: Object.entries(constants).map(([name, tensor]) => rawTensor(name, tensor)),
    nodes: [
      node('Conv', ['image', 'w1'], 'c', [ints('strides', [4, 4])]),
      node('Relu', ['c'], 'r'),
      node('Conv', ['r', 'wBoxes'], 'b0'),
      node('Reshape', ['b0', 'boxShape'], 'b1'),
      node('Sigmoid', ['b1'], 'b2'),
      node('Transpose', ['b2'], 'b', [ints('perm', [0, 2, 1])]),
      node('Conv', ['r', 'wScores'], 's0'),
      node('Reshape', ['s0', 'scoreShape'], 's1'),
      node('Sigmoid', ['s1'], 's'),
      node('NonMaxSuppression', ['b', 's', 'most', 'overlap', 'least'], 'kept', [int('center_point_box', 1)]),
      node('Gather', ['kept', 'boxColumn'], 'i1', [int('axis', 1)]),
      node('Squeeze', ['i1', 'axisOne'], 'i'),
      node('Gather', ['b', 'i'], 'g', [int('axis', 1)]),
      node('Shape', ['kept'], 'n2'),
      node('Gather', ['n2', 'first'], 'n'),
      node('Concat', ['n', 'four'], 'shape', [int('axis', 0)]),
      node('Reshape', ['g', 'shape'], 'boxes', [int('allowzero', 1)]),
    ],
  },
});

const picture = (): Tensor => random.tensor([1, 3, SIDE, SIDE]);
const countOf = (result: RunResult): number => tensorsOf(result.outputs).kept?.dims[0] as number;

test('a detector gives what onnxruntime gives, however much it finds, in memory that does not grow', async () => {
  const engine = await createEngine();
  const ours = await engine.load(detector, { name: 'detector' });
  const oracle = await loadOnnxruntime(detector, { name: 'oracle', reason: 'it is the oracle' });
  const image = picture();
  const counts = new Set<number>();
  const memory: number[] = [];
  let full = 0;
  for (let least = 0; least <= 1.001; least += 1 / 64) {
    const inputs = { image, least: number(least) };
    const [got, wanted] = [await ours.run(inputs), await oracle.run(inputs)];
    const [mine, theirs] = [tensorsOf(got.outputs), tensorsOf(wanted.outputs)];
    assert.equal(mine.kept?.dims, [...(theirs.kept?.dims ?? [])]);
    assert.equal([...(mine.kept?.data ?? [])], [...(theirs.kept?.data ?? [])]);
    assert.equal(mine.boxes?.dims, [...(theirs.boxes?.dims ?? [])]);
    for (const [i, value] of (mine.boxes?.data ?? []).entries())
      assert.ok(Math.abs(Number(value) - Number(theirs.boxes?.data[i])) < 1e-5, `box element ${i}`);
    counts.add(countOf(got));
    memory.push(engine.info.memoryUsedBytes);
    if (counts.size === PROGRAMS_MAX) full = memory.at(-1) as number;
  }
  assert.ok(counts.size > PROGRAMS_MAX + 4, `only ${counts.size} numbers of boxes`);
  const end = Math.max(...memory.slice(-5));
  assert.ok(end <= 1.1 * full, `${end} bytes after ${counts.size} numbers of boxes, ${full} after ${PROGRAMS_MAX}`);
  await oracle.close();
  await engine.close();
});

test('a detector lets other models run between its parts, and ends there with its signal', async () => {
  const engine = await createEngine();
  const ours = await engine.load(detector, { name: 'detector' });
  const vector = { type: FLOAT, dims: [1] };
  const negative = writeModel({
    graph: {
      inputs: [{ ...vector, name: 'x' }],
      outputs: [{ ...vector, name: 'y' }],
      nodes: [node('Neg', ['x'], 'y')],
    },
  });
  const short = await engine.load(negative, { name: 'short' });
  const inputs = { image: picture(), least: number(0.5) };
  const expected = countOf(await ours.run(inputs));
  let [between, stopped] = [0, 0];
  // Short parts are computed at once, so that only a few steps of promises lie between them.
  for (let attempt = 0; attempt < 200 && (stopped === 0 || between === 0); attempt++) {
    await setTimeout(20);
    const abort = new AbortController();
    const running = ours.run(inputs, { signal: abort.signal });
    const outcome = running.catch(String);
    const other = short.run({ x: number(1) });
    for (let step = 0; step < attempt % 40; step++) await undefined;
    abort.abort(new Error('enough'));
    const [{ accounts: [meanwhile] = [] }, end] = [await other, await outcome];
    if (typeof end === 'string') {
      assert.match(end, /enough/);
      stopped++;
      continue;
    }
    assert.is(countOf(end), expected);
    const parts = end.accounts ?? [];
    const isAfter = parts.some((part) => part.endedUs <= (meanwhile?.submittedUs as number));
    if (isAfter && parts.some((part) => part.submittedUs >= (meanwhile?.endedUs as number))) between++;
  }
  assert.ok(between > 0 && stopped > 0, `${between} tries met it between its parts, ${stopped} ended it`);
  assert.is(countOf(await ours.run(inputs)), expected);
  await engine.close();
});

test.run();
