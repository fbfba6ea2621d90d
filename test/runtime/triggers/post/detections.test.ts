import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type Candidate,
  type Detection,
  intersectionOverUnion,
  suppress,
} from '../../../../runtime/triggers/post/nms.ts';
import { asIs, resultOf, tensor } from './inputs.ts';

function candidate([top, left, bottom, right]: number[], score: number, index = 0): Candidate {
  return { top, left, bottom, right, score, index } as Candidate;
}

// The ONNX specification's example test_nonmaxsuppression_suppress_by_IOU: corners are y1, x1, y2, x2.
const onnxBoxes = [
  [0, 0, 1, 1],
  [0, 0.1, 1, 1.1],
  [0, -0.1, 1, 0.9],
  [0, 10, 1, 11],
  [0, 10.1, 1, 11.1],
  [0, 100, 1, 101],
];
const onnxScores = [0.9, 0.75, 0.6, 0.95, 0.5, 0.3];

test('suppression selects what the ONNX specification selects', () => {
  const candidates = onnxBoxes.map((box, index) => candidate(box, onnxScores[index] as number));
  assert.equal(
    suppress(candidates, 0.5).map((kept) => candidates.indexOf(kept)),
    [3, 0, 5],
  );
});

test('boxes of different classes suppress each other only when asked to', () => {
  const candidates = onnxBoxes.map((box, index) => candidate(box, onnxScores[index] as number, index % 2));
  assert.equal(
    suppress(candidates, 0.5).map(({ score }) => score),
    [0.95, 0.9, 0.75, 0.5, 0.3],
  );
  assert.equal(
    suppress(candidates, 0.5, false).map(({ score }) => score),
    [0.95, 0.9, 0.3],
  );
});

test('intersection over union of known boxes', () => {
  const [a, b] = [candidate([0, 0, 2, 2], 1), candidate([1, 1, 3, 3], 1)];
  assert.is(intersectionOverUnion(a, b), 1 / 7);
  assert.is(intersectionOverUnion(a, a), 1);
  assert.is(intersectionOverUnion(a, candidate([2, 0, 3, 2], 1)), 0);
  assert.is(intersectionOverUnion(candidate([0, 0, 0, 0], 1), candidate([0, 0, 0, 0], 1)), 0);
});

test('a YOLOX row is decoded by its cell: offset and exponent times stride, objectness times class', () => {
  // Input 64x32: 32 cells of stride 8, 8 of 16, 2 of 32. Row 32 + 5 is the cell in column 1, row 1 of stride 16.
  const rows = Array.from({ length: 42 }, () => [0, 0, 0, 0, 0, 0, 0]);
  rows[37] = [0.5, 0.25, Math.log(2), 0, 0.9, 0.1, 0.8];
  const placement = { ...asIs(128, 64), width: 64, height: 32, scaleX: 0.5, scaleY: 0.5 };
  const detections = resultOf<Detection[]>(
    'yolox-boxes',
    { outputs: { output: tensor([1, 42, 7], rows.flat()) }, placement, labels: ['cat', 'dog'] },
    {},
  );
  // Centre (1.5, 1.25) · 16 = (24, 20), size (32, 16), in a picture twice as large.
  assert.equal(detections, [{ index: 1, label: 'dog', score: 0.72, box: [16, 24, 80, 56] }]);
  assert.throws(
    () => resultOf('yolox-boxes', { outputs: { output: tensor([1, 41, 7], rows.slice(1).flat()) }, placement }),
    /expected 42 rows of at least 6 values for an input of 64x32 pixels, got shape \[1, 41, 7\]/,
  );
});

test('boxes in shares of the model input come back in source pixels, background and weak ones left out', () => {
  const scores = tensor([1, 3, 3], [0.1, 0.9, 0, 0.9, 0, 0.1, 0, 0.2, 0.8]);
  const outputs = { scores, boxes: tensor([1, 3, 4], [0, 0, 0.5, 1, 0.1, 0.1, 0.2, 0.2, 0.5, 0.25, 2, 0.75]) };
  const placement = { ...asIs(400, 100), width: 200, height: 100, scaleX: 0.5, scaleY: 0.5, offsetY: 25 };
  const detections = resultOf<Detection[]>('ssd-boxes', { outputs, placement, labels: ['none', 'face', 'plate'] });
  assert.equal(detections, [
    { index: 1, label: 'face', score: 0.9, box: [0, 0, 200, 100] },
    { index: 2, label: 'plate', score: 0.8, box: [200, 0, 400, 100] },
  ]);
  const centre = { scores, boxes: tensor([1, 3, 4], [100, 50, 20, 10, 0, 0, 0, 0, 0, 0, 0, 0]) };
  const options = { format: 'centre', normalised: false, scoreMin: 0.85 };
  assert.equal(resultOf<Detection[]>('ssd-boxes', { outputs: centre, placement }, options), [
    { index: 1, label: 'class 1', score: 0.9, box: [180, 40, 220, 60] },
  ]);
});

test('an output full of NaN finds nothing', () => {
  const outputs = { output: tensor([1, 42, 7], new Float32Array(294).fill(Number.NaN)) };
  assert.equal(resultOf('yolox-boxes', { outputs, placement: asIs(64, 32) }), []);
});

test.run();
