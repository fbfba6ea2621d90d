import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Point } from '../../../../runtime/media/crop.ts';
import { convexHull, cornersOf, smallestRectangle } from '../../../../runtime/triggers/post/rectangle.ts';
import { inReadingOrder, type TextRegion } from '../../../../runtime/triggers/post/text-regions.ts';
import { byteSource } from '../../media/pictures.ts';
import { asIs, resultOf, tensor } from './inputs.ts';

/** Bars with soft edges: centre x and y, length, breadth, angle in degrees, peak. */
const bars = [
  [30, 20, 40, 8, 0, 0.9],
  [110, 22, 60, 9, 8, 0.95],
  [50, 60, 70, 10, -20, 0.8],
  [125, 65, 12, 50, 5, 0.85],
  [20, 85, 20, 6, 0, 0.5],
  [80, 88, 2, 2, 0, 0.9],
] as const;

function probabilityMap(width: number, height: number): Float32Array {
  const map = new Float32Array(width * height).fill(0.02);
  for (const [centreX, centreY, length, breadth, degrees, peak] of bars) {
    const [cos, sin] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const along = Math.abs((x - centreX) * cos + (y - centreY) * sin) - length / 2;
        const across = Math.abs((y - centreY) * cos - (x - centreX) * sin) - breadth / 2;
        const value = peak * Math.min(1, Math.max(0, 1 - Math.max(along, across, 0) / 4));
        map[y * width + x] = Math.max(map[y * width + x] as number, value);
      }
  }
  return map;
}

test("regions are PaddleOCR's: same number, score within 0.01, corners within 3 source pixels", () => {
  // DBPostProcess with OpenCV 5.0.0 and GEOS for the polygon offset, map 160x96, source 320x192, by upper left corner.
  const expected: [score: number, points: number[][]][] = [
    [
      0.7696,
      [
        [142, 0],
        [307, 24],
        [298, 88],
        [133, 64],
      ],
    ],
    [
      0.7738,
      [
        [2, 14],
        [118, 14],
        [118, 66],
        [2, 66],
      ],
    ],
    [
      0.7084,
      [
        [220, 52],
        [293, 59],
        [280, 192],
        [207, 192],
      ],
    ],
    [
      0.6744,
      [
        [1, 120],
        [176, 57],
        [199, 120],
        [24, 183],
      ],
    ],
    [
      0.6061,
      [
        [150, 166],
        [170, 166],
        [170, 186],
        [150, 186],
      ],
    ],
  ];
  const outputs = { y: tensor([1, 1, 96, 160], probabilityMap(160, 96)) };
  const placement = { ...asIs(320, 192), width: 160, height: 96, scaleX: 0.5, scaleY: 0.5 };
  const regions = resultOf<TextRegion[]>('text-regions', { outputs, placement }, { unclip: 1.5 });
  assert.is(regions.length, expected.length);
  for (const [score, points] of expected) {
    const distance = (region: TextRegion) =>
      Math.max(
        ...region.points.map(([x, y], i) => Math.hypot(x - (points[i]?.[0] as number), y - (points[i]?.[1] as number))),
      );
    const nearest = regions.reduce((best, region) => (distance(region) < distance(best) ? region : best));
    assert.ok(distance(nearest) <= 3, `${JSON.stringify(points)} against ${JSON.stringify(nearest)}`);
    assert.ok(Math.abs(nearest.score - score) < 0.01, `score ${nearest.score} against ${score}`);
  }
});

test('an upright block is grown by area times ratio over perimeter', () => {
  // 41 by 11 pixels with 40 x 10 between their centres: 400 · 2 / 100 = 8 on every side.
  const map = new Float32Array(100 * 60);
  for (let y = 20; y <= 30; y++) map.fill(0.9, y * 100 + 30, y * 100 + 71);
  const outputs = { y: tensor([1, 1, 60, 100], map) };
  const regions = resultOf<TextRegion[]>('text-regions', { outputs, placement: asIs(100, 60) });
  assert.equal(regions, [
    {
      score: 0.9,
      points: [
        [22, 12],
        [78, 12],
        [78, 38],
        [22, 38],
      ],
    },
  ]);
  assert.equal(resultOf('text-regions', { outputs, placement: asIs(100, 60) }, { scoreMin: 0.95 }), []);
  assert.equal(resultOf('text-regions', { outputs, placement: asIs(100, 60) }, { threshold: 0.9 }), []);
});

test('reading order goes line by line, and a slightly lower start does not begin a new line', () => {
  const at = (x: number, y: number): TextRegion => ({
    score: 1,
    points: [
      [x, y],
      [x + 9, y],
      [x + 9, y + 9],
      [x, y + 9],
    ],
  });
  const order = inReadingOrder([at(50, 40), at(200, 8), at(10, 12), at(100, 5), at(5, 43)]);
  assert.equal(
    order.map(({ points }) => points[0]),
    [
      [10, 12],
      [100, 5],
      [200, 8],
      [5, 43],
      [50, 40],
    ],
  );
});

test('the smallest rectangle is never larger than any of 180 others around the same points', () => {
  const next = byteSource(11);
  let seen = 0;
  for (let round = 0; round < 60; round++) {
    const points = Array.from({ length: 1 + (next() % 40) }, (): Point => [next() % 50, next() % 30]);
    const rectangle = smallestRectangle(points);
    const corners = cornersOf(rectangle);
    for (const [x, y] of points) {
      const along = (x - rectangle.centreX) * rectangle.directionX + (y - rectangle.centreY) * rectangle.directionY;
      const across = (y - rectangle.centreY) * rectangle.directionX - (x - rectangle.centreX) * rectangle.directionY;
      assert.ok(Math.abs(along) <= rectangle.length / 2 + 1e-9 && Math.abs(across) <= rectangle.breadth / 2 + 1e-9);
    }
    for (let degrees = 0; degrees < 180; degrees++) {
      const [cos, sin] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
      const spread = (values: number[]) => Math.max(...values) - Math.min(...values);
      const area =
        spread(points.map(([x, y]) => x * cos + y * sin)) * spread(points.map(([x, y]) => y * cos - x * sin));
      assert.ok(rectangle.length * rectangle.breadth <= area + 1e-9);
      seen++;
    }
    const [upperLeft, upperRight, lowerRight, lowerLeft] = corners;
    assert.ok(upperLeft[1] <= lowerLeft[1] && upperRight[1] <= lowerRight[1] && upperLeft[0] <= lowerRight[0]);
  }
  assert.is(seen, 60 * 180);
});

test('a hull leaves out points inside and on its edges', () => {
  const points: Point[] = [
    [0, 0],
    [2, 0],
    [4, 0],
    [4, 4],
    [2, 2],
    [0, 4],
    [0, 2],
    [4, 4],
  ];
  assert.equal(convexHull(points).length, 4);
  assert.equal(
    convexHull([
      [1, 1],
      [1, 1],
      [1, 1],
    ]).length >= 1,
    true,
  );
});

test.run();
