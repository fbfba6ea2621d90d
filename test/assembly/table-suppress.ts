import * as op from '../../assembly/opcodes.ts';
import { suppressRoomBytes } from '../../runtime/compile/suppress.ts';
import type { Row } from './kernel-table.ts';
import type { Trial } from './machine.ts';

type Corners = readonly [left: number, top: number, right: number, bottom: number];
const round = Math.fround;

function corners(box: ArrayLike<number>, centred: boolean): Corners {
  const [a = 0, b = 0, c = 0, d = 0] = Array.from(box);
  if (!centred) return [Math.min(a, c), Math.min(b, d), Math.max(a, c), Math.max(b, d)];
  return [round(a - c / 2), round(b - d / 2), round(a + c / 2), round(b + d / 2)];
}

const areaOf = ([left, top, right, bottom]: Corners): number => round(round(right - left) * round(bottom - top));

/** In float32, so that what lies at a threshold falls on the same side. */
function shared(a: Corners, b: Corners): number {
  const width = round(Math.min(a[2], b[2]) - Math.max(a[0], b[0]));
  const height = round(Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  if (width <= 0 || height <= 0) return 0;
  const common = round(width * height);
  return round(common / round(round(areaOf(a) + areaOf(b)) - common));
}

interface Sizes {
  readonly images?: number;
  readonly classes?: number;
  readonly count: number;
  readonly most: number;
  readonly overlap?: number;
  readonly least?: number;
  readonly centred?: boolean;
  /** Different scores that boxes can have. */
  readonly steps?: number;
  /** How much of the plane a box covers, at most. */
  readonly size?: number;
}

function suppressed(trial: Trial, sizes: Sizes): void {
  const { images = 1, classes = 1, count, most, overlap = 0.5, least = Number.NaN, centred = false } = sizes;
  const { steps = 1e6, size = 0.3 } = sizes;
  const boxes = trial.floats(images * count * 4, 0, 1);
  for (let i = 2; i < boxes.length; i += 4)
    for (const at of [i, i + 1])
      boxes[at] = centred ? (boxes[at] as number) * size : (boxes[at - 2] as number) + trial.random(-size, size);
  const scores = trial.floats(images * classes * count).map((score) => Math.floor(score * steps) / steps);
  const [thresholds, threshold] = [Float32Array.of(overlap), Float32Array.of(least)];
  const expected: number[] = [];
  for (let pair = 0; pair < images * classes; pair++) {
    const image = Math.floor(pair / classes);
    const outline = (box: number): Corners => corners(boxes.subarray((image * count + box) * 4).slice(0, 4), centred);
    const score = (box: number): number => scores[pair * count + box] as number;
    const candidates = Array.from({ length: count }, (_, box) => box).filter((box) => !(score(box) <= least));
    candidates.sort((a, b) => score(b) - score(a) || a - b);
    const kept: Corners[] = [];
    for (const box of candidates) {
      const mine = outline(box);
      if (kept.length === most) break;
      if (kept.some((other) => shared(other, mine) > (thresholds[0] as number))) continue;
      kept.push(mine);
      expected.push(pair * count + box);
    }
  }
  trial.assembler.suppress({
    ...{ boxes: trial.input(boxes), scores: trial.input(scores) },
    ...{ overlap: trial.input(thresholds), least: trial.input(threshold) },
    room: trial.scratch(suppressRoomBytes(count, most)),
    places: trial.output(expected, 'int32'),
    count: trial.output([expected.length], 'int32'),
    ...{ images, classes, boxCount: count, most, centred },
  });
}

/** Three of them take more than one call: by their scores, by their heap, and by what is compared. */
const cases: readonly Sizes[] = [
  { count: 1, most: 1 },
  { count: 7, most: 3, overlap: 0.1 },
  { images: 3, classes: 2, count: 50, most: 50, overlap: 0.2 },
  { count: 300, most: 300, steps: 4 },
  { classes: 5, count: 100, most: 9, least: 0.25, centred: true },
  { count: 100, most: 100, overlap: 0 },
  { count: 64, most: 64, least: 2 },
  { count: 2000, most: 2000, overlap: 0.9, size: 0.02 },
  { count: 25_200, most: 300, overlap: 0.45, centred: true },
  { count: 140_000, most: 20, least: 0.99 },
];

export const suppressRow: Row = {
  name: 'suppress',
  opcodes: [op.SUPPRESS, op.FILL],
  tolerance: 0,
  cases: cases.map((sizes) => (trial: Trial) => suppressed(trial, sizes)),
};
