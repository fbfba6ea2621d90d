/**
 * Text lines from the probability map of a detector trained with differentiable binarization.
 * Source: Liao et al., "Real-time Scene Text Detection with Differentiable Binarization" (2020), section 3.5;
 * PaddleOCR's DBPostProcess (ppocr/postprocess/db_postprocess.py), score mode "fast", quadrilaterals.
 *
 * PaddleOCR grows each rectangle with a polygon clipper, rounds its corners and encloses it again. The smallest
 * rectangle around a rectangle grown that way is the rectangle with every side moved out, so no clipper is needed.
 */
import * as z from 'zod';
import type { Point, Quad } from '../../media/crop.ts';
import { type Placement, toSource } from '../../media/resize.ts';
import { cornersOf, grow, type Rectangle, smallestRectangle } from './rectangle.ts';
import {
  floatsOf,
  itemDims,
  outputOf,
  type PostInput,
  type PostResult,
  type PostStep,
  placementOf,
  rounded,
} from './step.ts';

const options = z.strictObject({
  output: z.string().optional(),
  threshold: z.number().min(0).max(1).default(0.3).describe('a pixel of the map is text from above this'),
  scoreMin: z.number().min(0).max(1).default(0.6).describe("a region's mean over the map"),
  // DBPostProcess itself has 2, PaddleOCR's tools 1.5: the wider margin keeps the spaces between words readable.
  unclip: z.number().min(0).max(10).default(2).describe('how far shrunk regions are grown: area · unclip / perimeter'),
  regionsMax: z.int().positive().max(1000).default(1000),
});

export interface TextRegion {
  readonly score: number;
  /** Corners in source pixels: upper left, upper right, lower right, lower left. */
  readonly points: Quad;
}

/** Pixels of the map: a region with a shorter side before growing, and two more after it, is noise. */
const SIDE_MIN = 3;
/** Pixels of the source picture: a region must be larger than this in both directions to be read. */
const SOURCE_SIDE_MIN = 3;
/** Regions whose upper left corners differ by less than this in height are on the same line. */
const LINE_HEIGHT = 10;

/** Result: `[{ score, points }]` in reading order: from top to bottom, within a line from left to right. */
function apply(input: PostInput, given: z.output<typeof options>): PostResult {
  const placement = placementOf('text-regions', input);
  const tensor = outputOf('text-regions', input, given.output);
  const [height, width] = itemDims('text-regions', tensor, 2) as [number, number];
  const map = { width, height, values: floatsOf(tensor) };
  const regions: TextRegion[] = [];
  let candidates = 0;
  for (const outline of outlines(map, given.threshold)) {
    if (++candidates > given.regionsMax) break;
    const rectangle = smallestRectangle(outline);
    if (Math.min(rectangle.length, rectangle.breadth) < SIDE_MIN) continue;
    const score = meanInside(map, rectangle);
    if (!(score >= given.scoreMin && Number.isFinite(score))) continue;
    const { length, breadth } = rectangle;
    const grown = grow(rectangle, (length * breadth * given.unclip) / (2 * (length + breadth)));
    if (Math.min(grown.length, grown.breadth) < SIDE_MIN + 2) continue;
    const points = cornersOf(grown).map((corner) => fromMap(placement, map, corner)) as unknown as Quad;
    if (isReadable(points)) regions.push({ score: rounded(score), points });
  }
  return { result: inReadingOrder(regions) };
}

interface ProbabilityMap {
  readonly width: number;
  readonly height: number;
  readonly values: Float32Array;
}

/** For each connected set of text pixels (8 neighbours) its leftmost and rightmost pixel of every row. */
function* outlines({ width, height, values }: ProbabilityMap, threshold: number): Generator<Point[]> {
  const seen = new Uint8Array(values.length);
  const stack = new Int32Array(values.length);
  const left = new Int32Array(height);
  const right = new Int32Array(height);
  for (let start = 0; start < values.length; start++) {
    if (seen[start] || !((values[start] as number) > threshold)) continue;
    const top = Math.floor(start / width);
    let bottom = top;
    left.fill(width, top);
    right.fill(-1, top);
    let depth = 0;
    stack[depth++] = start;
    seen[start] = 1;
    while (depth > 0) {
      const pixel = stack[--depth] as number;
      const y = Math.floor(pixel / width);
      const x = pixel - y * width;
      if (x < (left[y] as number)) left[y] = x;
      if (x > (right[y] as number)) right[y] = x;
      if (y > bottom) bottom = y;
      for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
        for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++) {
          const neighbour = row * width + column;
          if (seen[neighbour] || !((values[neighbour] as number) > threshold)) continue;
          seen[neighbour] = 1;
          stack[depth++] = neighbour;
        }
      }
    }
    const outline: Point[] = [];
    for (let y = top; y <= bottom; y++) outline.push([left[y] as number, y], [right[y] as number, y]);
    yield outline;
  }
}

/**
 * Mean of the map over the rectangle and half a pixel around it: the thresholds in use were tuned with OpenCV's
 * fillPoly, which paints the pixels of the outline too.
 */
function meanInside({ width, height, values }: ProbabilityMap, rectangle: Rectangle): number {
  const corners = cornersOf(rectangle);
  const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
  const { centreX, centreY, directionX, directionY } = rectangle;
  const halfLength = rectangle.length / 2 + 0.5;
  const halfBreadth = rectangle.breadth / 2 + 0.5;
  let sum = 0;
  let count = 0;
  const bottom = Math.min(height - 1, Math.ceil(Math.max(...ys)));
  const right = Math.min(width - 1, Math.ceil(Math.max(...xs)));
  for (let y = Math.max(0, Math.floor(Math.min(...ys))); y <= bottom; y++) {
    for (let x = Math.max(0, Math.floor(Math.min(...xs))); x <= right; x++) {
      const along = (x - centreX) * directionX + (y - centreY) * directionY;
      const across = (y - centreY) * directionX - (x - centreX) * directionY;
      if (Math.abs(along) > halfLength || Math.abs(across) > halfBreadth) continue;
      sum += values[y * width + x] as number;
      count++;
    }
  }
  return count > 0 ? sum / count : 0;
}

/** The map may be coarser than the model's input. */
function fromMap(placement: Placement, map: ProbabilityMap, [x, y]: Point): Point {
  const corner = toSource(placement, (x * placement.width) / map.width, (y * placement.height) / map.height);
  return [rounded(corner[0], 1), rounded(corner[1], 1)];
}

function isReadable([upperLeft, upperRight, , lowerLeft]: Quad): boolean {
  const width = Math.hypot(upperRight[0] - upperLeft[0], upperRight[1] - upperLeft[1]);
  const height = Math.hypot(lowerLeft[0] - upperLeft[0], lowerLeft[1] - upperLeft[1]);
  return width > SOURCE_SIDE_MIN && height > SOURCE_SIDE_MIN;
}

/** Sorted by height, then each region moved left past its neighbours on the same line (PaddleOCR's sorted_boxes). */
export function inReadingOrder(regions: readonly TextRegion[]): TextRegion[] {
  const start = (region: TextRegion) => region.points[0];
  const ordered: TextRegion[] = [];
  for (const region of [...regions].sort((a, b) => start(a)[1] - start(b)[1] || start(a)[0] - start(b)[0])) {
    let at = ordered.length;
    while (at > 0) {
      const before = start(ordered[at - 1] as TextRegion);
      if (Math.abs(start(region)[1] - before[1]) >= LINE_HEIGHT || start(region)[0] >= before[0]) break;
      at--;
    }
    ordered.splice(at, 0, region);
  }
  return ordered;
}

export const textRegions: PostStep<typeof options> = { summary: 'where text lines are', options, apply };
