/** Segmentation: each pixel's class, and what share of the picture each class covers. */
import * as z from 'zod';
import { type Placement, toSource } from '../../media/resize.ts';
import {
  floatsOf,
  itemDims,
  labelOf,
  outputOf,
  type PostInput,
  type PostResult,
  type PostStep,
  placementOf,
  rounded,
} from './step.ts';

const options = z.strictObject({
  output: z.string().optional(),
  layout: z.enum(['nchw', 'nhwc']).default('nchw'),
  threshold: z
    .number()
    .default(0.5)
    .describe('for an output of one channel: the class is 1 from this value on; several channels: the largest wins'),
  runs: z.boolean().default(false).describe('give the mask itself, run-length coded'),
  labels: z.array(z.string()).optional(),
});

/**
 * Result: `{ width, height, classes: [{ index, label, share, box }] }`, size being the mask's. The share is of the
 * source picture's area, padding left out; the box, [left, top, right, bottom] in source pixels, encloses all pixels of
 * the class. With option `runs` also `runs: [class, length, class, length, …]`, row by row over the whole mask.
 */
function apply(input: PostInput, given: z.output<typeof options>): PostResult {
  const tensor = outputOf('mask', input, given.output);
  const placement = placementOf('mask', input);
  const dims = itemDims('mask', tensor, 3) as [number, number, number];
  const [channels, height, width] = given.layout === 'nchw' ? dims : [dims[2], dims[0], dims[1]];
  const count = channels === 1 ? 2 : channels;
  if (count > CLASSES_MAX) throw new Error(`mask: expected at most ${CLASSES_MAX} classes, got ${count}`);
  const classes = classify(floatsOf(tensor), channels, width * height, given.layout, given.threshold);
  const extents = measure(classes, width, height, count, placement);
  const labels = given.labels ?? input.labels;
  const total = extents.reduce((sum, extent) => sum + extent.pixels, 0);
  const listed = extents.flatMap((extent, index) => {
    if (extent.pixels === 0) return [];
    const box = [
      ...fromMask(placement, width, height, extent.left, extent.top),
      ...fromMask(placement, width, height, extent.right + 1, extent.bottom + 1),
    ].map((value) => rounded(value, 1));
    return [{ index, label: labelOf(labels, index), share: rounded(extent.pixels / total), box }];
  });
  const result = { width, height, classes: listed };
  return { result: given.runs ? { ...result, runs: runLengths(classes) } : result };
}

/** A class is a byte here. */
const CLASSES_MAX = 256;

function classify(
  values: Float32Array,
  channels: number,
  pixels: number,
  layout: 'nchw' | 'nhwc',
  threshold: number,
): Uint8Array {
  const classes = new Uint8Array(pixels);
  const [stepPixel, stepChannel] = layout === 'nchw' ? [1, pixels] : [channels, 1];
  for (let pixel = 0; pixel < pixels; pixel++) {
    const first = pixel * stepPixel;
    if (channels === 1) {
      classes[pixel] = (values[first] as number) >= threshold ? 1 : 0;
      continue;
    }
    let best = 0;
    for (let channel = 1; channel < channels; channel++) {
      if ((values[first + channel * stepChannel] as number) > (values[first + best * stepChannel] as number)) {
        best = channel;
      }
    }
    classes[pixel] = best;
  }
  return classes;
}

interface Extent {
  pixels: number;
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** Counts and encloses each class, over those mask pixels whose centre shows the source picture. */
function measure(classes: Uint8Array, width: number, height: number, count: number, placement: Placement): Extent[] {
  const extents = Array.from({ length: count }, () => ({ pixels: 0, left: width, top: height, right: -1, bottom: -1 }));
  const innerRight = placement.offsetX + placement.sourceWidth * placement.scaleX;
  const innerBottom = placement.offsetY + placement.sourceHeight * placement.scaleY;
  for (let y = 0; y < height; y++) {
    const inputY = ((y + 0.5) * placement.height) / height;
    if (inputY < placement.offsetY || inputY > innerBottom) continue;
    for (let x = 0; x < width; x++) {
      const inputX = ((x + 0.5) * placement.width) / width;
      if (inputX < placement.offsetX || inputX > innerRight) continue;
      const extent = extents[classes[y * width + x] as number] as Extent;
      extent.pixels++;
      if (x < extent.left) extent.left = x;
      if (x > extent.right) extent.right = x;
      if (y < extent.top) extent.top = y;
      extent.bottom = y;
    }
  }
  return extents;
}

/** A position in the mask, which may be coarser than the model's input, in source pixels. */
function fromMask(placement: Placement, width: number, height: number, x: number, y: number): [number, number] {
  return toSource(placement, (x * placement.width) / width, (y * placement.height) / height);
}

function runLengths(classes: Uint8Array): number[] {
  const runs: number[] = [];
  for (let start = 0; start < classes.length; ) {
    let end = start + 1;
    while (end < classes.length && classes[end] === classes[start]) end++;
    runs.push(classes[start] as number, end - start);
    start = end;
  }
  return runs;
}

export const mask: PostStep<typeof options> = {
  summary: 'what share of the picture each class covers',
  options,
  apply,
};
