/** What operators that draw lots give: the moments of their distributions, and when they draw alike. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { attribute, writeModel } from '../../../bench/write-model.ts';
import { tensorOf } from '../../../runtime/compile/evaluate.ts';
import { createEngine } from '../../../runtime/engine/engine.ts';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import { tensorsOf } from '../../../runtime/engine/value.ts';
import { philox } from '../../assembly/philox.ts';
import { type NodeText, onnxModel } from '../compile/graphs.ts';
import { type Tensors, TestModel } from '../compile/run-program.ts';

test('Philox gives the numbers that its authors publish', () => {
  // Source: Random123, kat_vectors, philox4x32 with 10 rounds.
  const ones = 0xffffffff;
  assert.equal(philox([0, 0, 0, 0], [0, 0]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
  assert.equal(philox([ones, ones, ones, ones], [ones, ones]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
  assert.equal(
    philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  );
});

/** One operator's first output. */
function draw(operator: string, attributes: NodeText['attributes'], inputs: Tensors = {}): Tensor {
  const names = Object.keys(inputs);
  const nodes = [{ operator, inputs: names, outputs: ['y'], attributes }];
  return new TestModel(onnxModel({ nodes, inputs: names, outputs: ['y'], opset: 22 })).run(inputs).y as Tensor;
}

const COUNT = 40_001;

function moments({ data }: Tensor): { mean: number; variance: number } {
  const values = Array.from(data as ArrayLike<number | bigint>, Number);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean, variance: values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length };
}

/** Within five standard errors of the mean, and near the variance. */
function assertMoments(tensor: Tensor, mean: number, variance: number): void {
  const got = moments(tensor);
  const near = Math.abs(got.mean - mean) < 5 * Math.sqrt(variance / tensor.data.length);
  assert.ok(near && Math.abs(got.variance / variance - 1) < 0.05, JSON.stringify(got));
}

test('RandomUniform is even between its bounds', () => {
  const y = draw('RandomUniform', { shape: [COUNT], low: -2, high: 4 });
  assertMoments(y, 1, 36 / 12);
  assert.ok((y.data as Float32Array).every((value) => value >= -2 && value < 4));
});

test('RandomNormal has its mean and deviation', () => {
  const y = draw('RandomNormal', { shape: [COUNT], mean: 3, scale: 2 });
  assertMoments(y, 3, 4);
  // The fourth moment of a normal distribution is three times the squared variance.
  const fourth = (y.data as Float32Array).reduce((sum, value) => sum + (value - 3) ** 4, 0) / COUNT;
  assert.ok(Math.abs(fourth / 48 - 1) < 0.1, `${fourth}`);
});

test('the Like forms take shape and type from their input', () => {
  const x = tensorOf('float64', [3, 5], new Array(15).fill(0));
  for (const operator of ['RandomNormalLike', 'RandomUniformLike']) {
    const { type, dims } = draw(operator, {}, { x });
    assert.equal([type, dims], ['float64', [3, 5]]);
  }
});

test('Bernoulli is 1 as often as it is told', () => {
  const x = tensorOf('float32', [COUNT], new Array(COUNT).fill(0.3));
  assertMoments(draw('Bernoulli', { dtype: 6 }, { x }), 0.3, 0.21);
});

test('Multinomial draws every class by its share', () => {
  const x = tensorOf('float32', [1, 3], [0.2, 0.5, 0.3].map(Math.log));
  const y = draw('Multinomial', { sample_size: COUNT }, { x });
  assert.equal([y.type, y.dims], ['int32', [1, COUNT]]);
  const counts = [0, 1, 2].map((each) => (y.data as Int32Array).filter((value) => value === each).length / COUNT);
  assert.ok(
    counts.every((share, i) => Math.abs(share - ([0.2, 0.5, 0.3][i] as number)) < 0.015),
    `${counts}`,
  );
});

test('Dropout in training drops a share and keeps the expected sum', () => {
  const x = tensorOf('float32', [COUNT], new Array(COUNT).fill(1));
  const initializers = { ratio: tensorOf('float32', [], [0.25]), training: tensorOf('bool', [], [1]) };
  const nodes = [{ operator: 'Dropout', inputs: ['x', 'ratio', 'training'], outputs: ['y', 'mask'] }];
  const model = onnxModel({ nodes, inputs: ['x'], outputs: ['y', 'mask'], initializers, opset: 22 });
  const { y, mask } = new TestModel(model).run({ x }) as { y: Tensor; mask: Tensor };
  assertMoments(mask, 0.75, 0.1875);
  assert.ok((y.data as Float32Array).every((value, i) => Math.abs(value - (mask.data[i] ? 4 / 3 : 0)) < 1e-6));
});

test('runs differ, a model loaded anew begins again, and nodes of one seed draw alike', async () => {
  const shape = attribute.ints('shape', [64]);
  const seed = attribute.float('seed', 7);
  const lots = ['a', 'b', 'c', 'd'].map((name, i) => {
    const attributes = i < 2 ? [shape] : [shape, seed];
    return { operator: 'RandomNormal', inputs: [], outputs: [name], attributes };
  });
  const outputs = ['a', 'b', 'c', 'd'].map((name) => ({ name, type: 1, dims: [64] }));
  const file = writeModel({ graph: { inputs: [], outputs, nodes: lots } });
  const engine = await createEngine();
  const runs: Record<string, string>[] = [];
  for (const name of ['first', 'second']) {
    const model = await engine.load(file, { name });
    for (let run = 0; run < 2; run++) {
      const { outputs: drawn } = await model.run({});
      runs.push(Object.fromEntries(Object.entries(tensorsOf(drawn)).map(([each, { data }]) => [each, `${data}`])));
    }
    await model.close();
  }
  await engine.close();
  const [one, two, again, againTwo] = runs as [Record<string, string>, ...Record<string, string>[]];
  assert.equal([again, againTwo], [one, two]);
  for (const name of ['a', 'b', 'c', 'd']) assert.is.not(one[name], two?.[name], `output ${name} of the next run`);
  assert.is.not(one.a, one.b);
  assert.is(one.c, one.d);
});

test.run();
