/** The smallest rectangle, at any angle, around a set of points. */
import type { Point, Quad } from '../../media/crop.ts';

export interface Rectangle {
  readonly centreX: number;
  readonly centreY: number;
  /** Direction of the side called `length`, as a unit vector; `breadth` is across it, a quarter turn further. */
  readonly directionX: number;
  readonly directionY: number;
  readonly length: number;
  readonly breadth: number;
}

/** Corners of the convex hull in order: Andrew's monotone chain (1979). Points on its edges are left out. */
export function convexHull(points: readonly Point[]): Point[] {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  if (sorted.length < 3) return sorted;
  return [...halfHull(sorted), ...halfHull(sorted.reverse())];
}

/** One side of the hull, from the first point to the one before the last. */
function halfHull(points: readonly Point[]): Point[] {
  const hull: Point[] = [];
  for (const point of points) {
    while (hull.length >= 2 && turn(hull.at(-2) as Point, hull.at(-1) as Point, point) <= 0) hull.pop();
    hull.push(point);
  }
  return hull.slice(0, -1);
}

function turn(a: Point, b: Point, c: Point): number {
  return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
}

/**
 * The rectangle of least area around at least one point. One of its sides lies on an edge of the convex hull
 * (Freeman and Shapira, 1975), so every edge is tried.
 */
export function smallestRectangle(points: readonly Point[]): Rectangle {
  const hull = convexHull(points);
  let best: Rectangle | undefined;
  hull.forEach((from, index) => {
    const to = hull[(index + 1) % hull.length] as Point;
    const span = Math.hypot(to[0] - from[0], to[1] - from[1]);
    const [x, y] = span > 0 ? [(to[0] - from[0]) / span, (to[1] - from[1]) / span] : [1, 0];
    const rectangle = rectangleAlong(hull, x, y);
    if (!best || rectangle.length * rectangle.breadth < best.length * best.breadth) best = rectangle;
  });
  if (!best) throw new Error('rectangle: expected at least one point');
  return best;
}

function rectangleAlong(points: readonly Point[], x: number, y: number): Rectangle {
  let [alongMin, alongMax, acrossMin, acrossMax] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const [px, py] of points) {
    const along = px * x + py * y;
    const across = py * x - px * y;
    alongMin = Math.min(alongMin, along);
    alongMax = Math.max(alongMax, along);
    acrossMin = Math.min(acrossMin, across);
    acrossMax = Math.max(acrossMax, across);
  }
  const along = (alongMin + alongMax) / 2;
  const across = (acrossMin + acrossMax) / 2;
  return {
    centreX: along * x - across * y,
    centreY: along * y + across * x,
    directionX: x,
    directionY: y,
    length: alongMax - alongMin,
    breadth: acrossMax - acrossMin,
  };
}

/** Every side moved outwards by `distance`. */
export function grow(rectangle: Rectangle, distance: number): Rectangle {
  const length = rectangle.length + 2 * distance;
  return { ...rectangle, length, breadth: rectangle.breadth + 2 * distance };
}

/**
 * Upper left, upper right, lower right, lower left: of the two leftmost corners the upper one is the upper left one, of
 * the two rightmost the lower one is the lower right one (PaddleOCR's get_mini_boxes).
 */
export function cornersOf({ centreX, centreY, directionX, directionY, length, breadth }: Rectangle): Quad {
  const corner = (along: number, across: number): Point => [
    centreX + (along * length * directionX - across * breadth * directionY) / 2,
    centreY + (along * length * directionY + across * breadth * directionX) / 2,
  ];
  const byX = [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)].sort((a, b) => a[0] - b[0]);
  const [left1, left2, right1, right2] = byX as [Point, Point, Point, Point];
  const [upperLeft, lowerLeft] = left2[1] > left1[1] ? [left1, left2] : [left2, left1];
  const [upperRight, lowerRight] = right2[1] > right1[1] ? [right1, right2] : [right2, right1];
  return [upperLeft, upperRight, lowerRight, lowerLeft];
}
