/** Cutting regions out of a picture. */
import { type Image, turnUpright } from './image.ts';
import { SIDE_MAX } from './resize.ts';

/** Pixels from the picture's upper left corner. */
export type Point = readonly [x: number, y: number];

/** Upper left, upper right, lower right, lower left, as the region is read. */
export type Quad = readonly [Point, Point, Point, Point];

/** The rectangle [left, top, right, bottom), rounded outwards and cut to the picture. Throws when nothing is left. */
export function cropBox(image: Image, box: readonly [number, number, number, number]): Image {
  const left = Math.max(0, Math.floor(box[0]));
  const top = Math.max(0, Math.floor(box[1]));
  const width = Math.min(image.width, Math.ceil(box[2])) - left;
  const height = Math.min(image.height, Math.ceil(box[3])) - top;
  if (!(width > 0 && height > 0)) {
    throw new Error(`crop: expected a box inside ${image.width}x${image.height} pixels, got [${box.join(', ')}]`);
  }
  const { channels } = image;
  const data = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * image.width + left) * channels;
    data.set(image.data.subarray(from, from + width * channels), y * width * channels);
  }
  return { width, height, channels, data };
}

/** From this ratio of height to width on, a text line is taken to be standing and is laid down. */
const STANDING_RATIO = 1.5;

/**
 * A quadrilateral as an upright picture, by perspective transform with bilinear sampling; borders are replicated.
 * A region at least 1.5 times as high as wide is turned a quarter counterclockwise. After PaddleOCR's
 * get_rotate_crop_image (tools/infer/utility.py), which samples bicubically.
 */
export function cropQuad(image: Image, quad: Quad): Image {
  const [a, b, c, d] = quad;
  const width = Math.floor(Math.max(distance(a, b), distance(c, d)));
  const height = Math.floor(Math.max(distance(a, d), distance(b, c)));
  if (!(width >= 1 && height >= 1 && width <= SIDE_MAX && height <= SIDE_MAX)) {
    throw new Error(`crop: expected four corners of a region of 1 to ${SIDE_MAX} pixels, got ${JSON.stringify(quad)}`);
  }
  const upright = warp(image, squareToQuad(quad), width, height);
  // 8 is the Exif orientation of a picture that a quarter turn counterclockwise sets upright.
  return height / width >= STANDING_RATIO ? turnUpright(upright, 8) : upright;
}

function distance([x1, y1]: Point, [x2, y2]: Point): number {
  return Math.hypot(x2 - x1, y2 - y1);
}

interface Projection {
  /** x = (a·u + b·v + c) / (g·u + h·v + 1), y = (d·u + e·v + f) / (g·u + h·v + 1). */
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
  readonly e: number;
  readonly f: number;
  readonly g: number;
  readonly h: number;
}

/** The projection of the unit square onto a quadrilateral: Heckbert, "Fundamentals of Texture Mapping" (1989), 2.2.3. */
function squareToQuad([[x0, y0], [x1, y1], [x2, y2], [x3, y3]]: Quad): Projection {
  const [sx, sy] = [x0 - x1 + x2 - x3, y0 - y1 + y2 - y3];
  const [dx1, dy1, dx2, dy2] = [x1 - x2, y1 - y2, x3 - x2, y3 - y2];
  const determinant = dx1 * dy2 - dx2 * dy1;
  if (determinant === 0) throw new Error('crop: expected four corners that are not on one line');
  const g = (sx * dy2 - dx2 * sy) / determinant;
  const h = (dx1 * sy - sx * dy1) / determinant;
  return {
    a: x1 - x0 + g * x1,
    b: x3 - x0 + h * x3,
    c: x0,
    d: y1 - y0 + g * y1,
    e: y3 - y0 + h * y3,
    f: y0,
    g,
    h,
  };
}

function warp(image: Image, p: Projection, width: number, height: number): Image {
  const { channels, data } = image;
  const out = new Uint8Array(width * height * channels);
  const rowStep = image.width * channels;
  let to = 0;
  for (let row = 0; row < height; row++) {
    const v = (row + 0.5) / height;
    for (let column = 0; column < width; column++) {
      const u = (column + 0.5) / width;
      const w = p.g * u + p.h * v + 1;
      const x = clamp((p.a * u + p.b * v + p.c) / w - 0.5, image.width - 1);
      const y = clamp((p.d * u + p.e * v + p.f) / w - 0.5, image.height - 1);
      const [left, top] = [Math.floor(x), Math.floor(y)];
      const [fx, fy] = [x - left, y - top];
      const from = top * rowStep + left * channels;
      const right = left + 1 < image.width ? channels : 0;
      const down = top + 1 < image.height ? rowStep : 0;
      for (let channel = from; channel < from + channels; channel++) {
        const upper = (data[channel] as number) * (1 - fx) + (data[channel + right] as number) * fx;
        const lower = (data[channel + down] as number) * (1 - fx) + (data[channel + down + right] as number) * fx;
        out[to++] = upper * (1 - fy) + lower * fy + 0.5;
      }
    }
  }
  return { width, height, channels, data: out };
}

/** Into 0 … most; what is not a number becomes 0. */
function clamp(value: number, most: number): number {
  return value > 0 ? Math.min(value, most) : 0;
}
