/**
 * Boxes of a YOLOX detector whose head is not decoded in the graph.
 * Source: Ge et al., "YOLOX: Exceeding YOLO Series in 2021"; Megvii-BaseDetection/YOLOX, demo_postprocess in
 * yolox/utils/demo_utils.py.
 */
import * as z from 'zod';
import { type Candidate, suppress, toDetections } from './nms.ts';
import { floatsOf, itemDims, outputOf, type PostInput, type PostResult, type PostStep, placementOf } from './step.ts';

const options = z.strictObject({
  output: z.string().optional(),
  strides: z.array(z.int().positive()).min(1).default([8, 16, 32]),
  scoreMin: z.number().min(0).max(1).default(0.3),
  iouMax: z.number().min(0).max(1).default(0.45),
  perClass: z.boolean().default(true).describe('boxes of different classes may overlap'),
  labels: z.array(z.string()).optional(),
});

/** Centre x and y, width, height, objectness; the classes follow. */
const BOX_VALUES = 5;

/** Result: `[{ index, label, score, box: [left, top, right, bottom] }]`, best first. */
function apply(input: PostInput, given: z.output<typeof options>): PostResult {
  const tensor = outputOf('yolox-boxes', input, given.output);
  const placement = placementOf('yolox-boxes', input);
  const [rows, values] = itemDims('yolox-boxes', tensor, 2) as [number, number];
  const cells = given.strides.map(
    (stride) => Math.floor(placement.width / stride) * Math.floor(placement.height / stride),
  );
  const expected = cells.reduce((sum, count) => sum + count, 0);
  if (rows !== expected || values <= BOX_VALUES) {
    throw new Error(
      `yolox-boxes: expected ${expected} rows of at least ${BOX_VALUES + 1} values for an input of ` +
        `${placement.width}x${placement.height} pixels, got shape [${tensor.dims.join(', ')}]`,
    );
  }
  const data = floatsOf(tensor);
  const candidates: Candidate[] = [];
  let row = 0;
  for (const stride of given.strides) {
    const columns = Math.floor(placement.width / stride);
    const lines = Math.floor(placement.height / stride);
    for (let y = 0; y < lines; y++) {
      for (let x = 0; x < columns; x++, row++) {
        const candidate = decodeCell(data.subarray(row * values, (row + 1) * values), x, y, stride, given.scoreMin);
        if (candidate) candidates.push(candidate);
      }
    }
  }
  const kept = suppress(candidates, given.iouMax, given.perClass);
  return { result: toDetections(kept, placement, given.labels ?? input.labels) };
}

/** The cell's box if its best class reaches the score: centre as an offset from the cell, size as a logarithm. */
function decodeCell(
  values: Float32Array,
  x: number,
  y: number,
  stride: number,
  scoreMin: number,
): Candidate | undefined {
  const objectness = values[4] as number;
  if (!(objectness >= scoreMin)) return undefined;
  let best = BOX_VALUES;
  for (let i = best + 1; i < values.length; i++) if ((values[i] as number) > (values[best] as number)) best = i;
  const score = objectness * (values[best] as number);
  if (!(score >= scoreMin)) return undefined;
  const centreX = ((values[0] as number) + x) * stride;
  const centreY = ((values[1] as number) + y) * stride;
  const halfWidth = (Math.exp(values[2] as number) * stride) / 2;
  const halfHeight = (Math.exp(values[3] as number) * stride) / 2;
  return {
    left: centreX - halfWidth,
    top: centreY - halfHeight,
    right: centreX + halfWidth,
    bottom: centreY + halfHeight,
    score,
    index: best - BOX_VALUES,
  };
}

export const yoloxBoxes: PostStep<typeof options> = { summary: 'objects found by a YOLOX detector', options, apply };
