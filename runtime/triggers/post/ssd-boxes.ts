/**
 * Boxes of a single-shot detector that gives class scores and decoded boxes as two outputs.
 * Source: Liu et al., "SSD: Single Shot MultiBox Detector"; defaults of Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB.
 */
import * as z from 'zod';
import { type Candidate, suppress, toDetections } from './nms.ts';
import { floatsOf, itemDims, outputOf, type PostInput, type PostResult, type PostStep, placementOf } from './step.ts';

const options = z.strictObject({
  scores: z.string().default('scores').describe('output of shape [1, boxes, classes]'),
  boxes: z.string().default('boxes').describe('output of shape [1, boxes, 4]'),
  format: z.enum(['corners', 'centre']).default('corners').describe('left, top, right, bottom or centre and size'),
  normalised: z.boolean().default(true).describe('positions run from 0 to 1 over the model input, not in pixels'),
  background: z.int().min(-1).default(0).describe('class that means "nothing here"; -1 when there is none'),
  scoreMin: z.number().min(0).max(1).default(0.7),
  iouMax: z.number().min(0).max(1).default(0.5),
  labels: z.array(z.string()).optional(),
});

/** Result: `[{ index, label, score, box: [left, top, right, bottom] }]`, best first. */
function apply(input: PostInput, given: z.output<typeof options>): PostResult {
  const placement = placementOf('ssd-boxes', input);
  const scores = outputOf('ssd-boxes', input, given.scores);
  const boxes = outputOf('ssd-boxes', input, given.boxes);
  const [rows, classes] = itemDims('ssd-boxes', scores, 2) as [number, number];
  const [boxRows, sides] = itemDims('ssd-boxes', boxes, 2) as [number, number];
  if (boxRows !== rows || sides !== 4) {
    throw new Error(`ssd-boxes: expected ${rows} boxes of 4 numbers, got shape [${boxes.dims.join(', ')}]`);
  }
  const scaleX = given.normalised ? placement.width : 1;
  const scaleY = given.normalised ? placement.height : 1;
  const scoreData = floatsOf(scores);
  const boxData = floatsOf(boxes);
  const candidates: Candidate[] = [];
  for (let row = 0; row < rows; row++) {
    const [a, b, c, d] = boxData.subarray(row * 4, row * 4 + 4) as unknown as [number, number, number, number];
    const corners = given.format === 'corners' ? [a, b, c, d] : [a - c / 2, b - d / 2, a + c / 2, b + d / 2];
    const [left, top, right, bottom] = corners as [number, number, number, number];
    for (let index = 0; index < classes; index++) {
      const score = scoreData[row * classes + index] as number;
      if (index === given.background || !(score >= given.scoreMin)) continue;
      const sides = { left: left * scaleX, top: top * scaleY, right: right * scaleX, bottom: bottom * scaleY };
      candidates.push({ ...sides, score, index });
    }
  }
  return { result: toDetections(suppress(candidates, given.iouMax), placement, given.labels ?? input.labels) };
}

export const ssdBoxes: PostStep<typeof options> = {
  summary: 'objects found by a detector with separate scores and boxes',
  options,
  apply,
};
