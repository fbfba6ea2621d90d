import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { MapValue } from '../../../../runtime/engine/value.ts';
import { softmax } from '../../../../runtime/triggers/post/top-k.ts';
import { largestDifference } from '../../media/pictures.ts';
import { asIs, resultOf, tensor } from './inputs.ts';

test('the k best classes come best first, ties in index order, with labels', () => {
  const outputs = { scores: tensor([1, 5], [0.1, 0.4, Number.NaN, 0.4, 0.05]) };
  const labels = ['a', 'b', 'c', 'd', 'e'];
  assert.equal(resultOf('top-k', { outputs, labels }, { k: 3 }), [
    { index: 1, label: 'b', score: 0.4 },
    { index: 3, label: 'd', score: 0.4 },
    { index: 0, label: 'a', score: 0.1 },
  ]);
  assert.equal(resultOf('top-k', { outputs, labels }, { k: 1, labels: ['p', 'q'] }), [
    { index: 1, label: 'q', score: 0.4 },
  ]);
  assert.equal(resultOf('top-k', { outputs }, { scoreMin: 0.4 }), [
    { index: 1, label: 'class 1', score: 0.4 },
    { index: 3, label: 'class 3', score: 0.4 },
  ]);
});

test('softmax agrees with the ONNX specification, large logits included', () => {
  // Examples test_softmax_example and test_softmax_large_number.
  const cases = [
    [-1, 0, 1],
    [10000, 10001, 10002, 10003],
  ];
  const expected = [
    [0.09003058, 0.24472848, 0.66524094],
    [0.032058604, 0.08714432, 0.23688284, 0.6439143],
  ];
  cases.forEach((logits, index) => {
    assert.ok(largestDifference(softmax(Float32Array.from(logits)), expected[index] as number[]) < 1e-6);
  });
  const best = resultOf<{ score: number }[]>(
    'top-k',
    { outputs: { y: tensor([3], [-1, 0, 1]) } },
    { softmax: true, k: 1 },
  );
  assert.is(best[0]?.score, 0.6652);
});

test('a line is turned only by a sure classifier', () => {
  const angle = (scores: number[]) => resultOf('angle', { outputs: { y: tensor([1, 2], scores) } });
  assert.equal(angle([0.02, 0.98]), { angle: 180, score: 0.98 });
  assert.equal(angle([0.15, 0.85]), { angle: 0, score: 0.85 });
  assert.equal(angle([0.99, 0.01]), { angle: 0, score: 0.99 });
});

test('a reconstruction is scored by its mean squared error, or by how unusual that is', () => {
  const input = { outputs: { y: tensor([1, 4], [1, 2, 3, 4]) }, inputs: { x: tensor([1, 4], [1, 2, 3, 8]) } };
  assert.equal(resultOf('anomaly', input, { threshold: 3.9 }), { score: 4, z: null, anomaly: true });
  assert.equal(resultOf('anomaly', input, { threshold: 4 }), { score: 4, z: null, anomaly: false });
  const baseline = { mean: 1, std: 1.5 };
  assert.equal(resultOf('anomaly', input, { threshold: 3, baseline }), { score: 4, z: 2, anomaly: false });
  assert.throws(
    () => resultOf('anomaly', { ...input, inputs: { x: tensor([2], [1, 2]) } }, { threshold: 1 }),
    "anomaly: expected an output of the input's size, got [2] and [1, 4]",
  );
  assert.throws(() => resultOf('anomaly', { outputs: input.outputs }, { threshold: 1 }), /to name one of no inputs/);
  const broken = { ...input, outputs: { y: tensor([1, 4], [Number.NaN, 0, 0, 0]) } };
  assert.throws(() => resultOf('anomaly', broken, { threshold: 1 }), /a finite error, got NaN/);
});

test('a mask gives each class its share of the source picture and the box around it', () => {
  // 4x4 mask over an input of 8x8 pixels; the picture of 16x8 fills rows 2 to 5 of the input, mask rows 1 and 2.
  const placement = { ...asIs(16, 8), width: 8, height: 8, scaleX: 0.5, scaleY: 0.5, offsetY: 2 };
  const values = [9, 9, 9, 9, 0, 0, 0.6, 0.7, 0, 0, 0, 0.5, 9, 9, 9, 9];
  const expected = {
    width: 4,
    height: 4,
    classes: [
      { index: 0, label: 'road', share: 0.625, box: [0, 0, 12, 8] },
      { index: 1, label: 'car', share: 0.375, box: [8, 0, 16, 8] },
    ],
  };
  const labels = ['road', 'car'];
  assert.equal(resultOf('mask', { outputs: { y: tensor([1, 1, 4, 4], values) }, placement, labels }), expected);
  const two = [...values.map((value) => 0.5 - value), ...values.map((value) => value - 0.49)];
  assert.equal(resultOf('mask', { outputs: { y: tensor([1, 2, 4, 4], two) }, placement, labels }), expected);
  const last = values.flatMap((value) => [0.5 - value, value - 0.49]);
  const nhwc = { outputs: { y: tensor([1, 4, 4, 2], last) }, placement, labels };
  assert.equal(resultOf('mask', nhwc, { layout: 'nhwc' }), expected);
  const runs = [1, 4, 0, 2, 1, 2, 0, 3, 1, 5];
  assert.equal(resultOf('mask', nhwc, { layout: 'nhwc', runs: true }), { ...expected, runs });
});

test('raw outputs that are texts, sequences, maps and optionals are what JSON has for them', () => {
  const label = { type: 'string', dims: [1], data: ['cat'] } as const;
  const scores: MapValue = {
    type: 'map',
    valueType: 'float32',
    entries: new Map([
      ['cat', 0.75],
      ['dog', Number.NaN],
    ]),
  };
  const outputs = {
    label,
    scores: { type: 'sequence', items: [scores] } as const,
    none: { type: 'optional', value: undefined } as const,
  };
  assert.equal(resultOf('raw', { outputs }), { label, scores: [{ cat: 0.75, dog: null }], none: null });
  assert.throws(() => resultOf('raw', { outputs }, { maxElements: 2 }), /output "scores" has 3/);
  assert.throws(() => resultOf('top-k', { outputs: { label } }, { k: 1 }), /expected a tensor of numbers/);
});

test('raw outputs are numbers, small, and free of what JSON lacks', () => {
  const outputs = {
    a: tensor([1, 3], [1, Number.NaN, Infinity]),
    b: { type: 'int64' as const, dims: [1], data: BigInt64Array.of(5n) },
  };
  assert.equal(resultOf('raw', { outputs }), {
    a: { type: 'float32', dims: [1, 3], data: [1, null, null] },
    b: { type: 'int64', dims: [1], data: [5] },
  });
  assert.equal(Object.keys(resultOf<object>('raw', { outputs }, { outputs: ['b'] })), ['b']);
  assert.throws(
    () => resultOf('raw', { outputs }, { maxElements: 2 }),
    /at most 2 elements, output "a" has 3; raise "maxElements"/,
  );
});

test.run();
