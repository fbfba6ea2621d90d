/**
 * Bilinear resizing and the ways of fitting a picture into a model's input.
 *
 * Sampling is OpenCV's INTER_LINEAR: pixel centres at half coordinates, borders replicated, no anti-aliasing when
 * shrinking (Pillow's BILINEAR widens its filter there). The models served here were trained on OpenCV's pictures.
 */
import type { Image } from './image.ts';

/**
 * Where the source picture lies in the resized one, with positions in pixels from the upper left corner:
 * `x' = x · scaleX + offsetX`, `y' = y · scaleY + offsetY`.
 */
export interface Placement {
  readonly sourceWidth: number;
  readonly sourceHeight: number;
  /** Size of the resized picture, padding included. */
  readonly width: number;
  readonly height: number;
  readonly scaleX: number;
  readonly scaleY: number;
  readonly offsetX: number;
  readonly offsetY: number;
}

export interface Resized {
  readonly image: Image;
  readonly placement: Placement;
}

/** OpenCV's fixed point for 8-bit pictures: weights in 1/2048 (INTER_RESIZE_COEF_BITS = 11). */
const WEIGHT_BITS = 11;
const ONE = 1 << WEIGHT_BITS;

/** The widest or highest picture made here; a wrong option must not ask for gigabytes. */
export const SIDE_MAX = 16_384;

interface Axis {
  /** Index of the left or upper neighbour of every target pixel, and of the other one. */
  readonly first: Int32Array;
  readonly second: Int32Array;
  /** Weight of the second neighbour, in 1/2048. */
  readonly weight: Int32Array;
}

function axisOf(source: number, target: number): Axis {
  const first = new Int32Array(target);
  const second = new Int32Array(target);
  const weight = new Int32Array(target);
  for (let i = 0; i < target; i++) {
    const centre = ((i + 0.5) * source) / target - 0.5;
    const position = Math.min(Math.max(centre, 0), source - 1);
    first[i] = Math.floor(position);
    second[i] = Math.min(Math.floor(position) + 1, source - 1);
    weight[i] = Math.round((position - Math.floor(position)) * ONE);
  }
  return { first, second, weight };
}

/** Bilinear resize into a canvas of another picture: `image` becomes `width` × `height` pixels at (left, top). */
function resizeInto(canvas: Image, image: Image, width: number, height: number, left: number, top: number): void {
  const columns = axisOf(image.width, width);
  const rows = axisOf(image.height, height);
  const { channels } = image;
  // The two source rows in use, resized horizontally; neighbouring target rows mostly share them.
  let upper = new Int32Array(width * channels);
  let lower = new Int32Array(width * channels);
  let upperRow = -1;
  let lowerRow = -1;
  for (let y = 0; y < height; y++) {
    const first = rows.first[y] as number;
    const second = rows.second[y] as number;
    if (first === lowerRow) {
      [upper, lower] = [lower, upper];
      [upperRow, lowerRow] = [lowerRow, upperRow];
    }
    if (first !== upperRow) resizeRow(upper, image, first, columns);
    if (second !== lowerRow) resizeRow(lower, image, second, columns);
    upperRow = first;
    lowerRow = second;
    blendRows(canvas, ((top + y) * canvas.width + left) * channels, upper, lower, rows.weight[y] as number);
  }
}

function resizeRow(row: Int32Array, image: Image, y: number, { first, second, weight }: Axis): void {
  const { data, channels } = image;
  const start = y * image.width * channels;
  for (let x = 0, to = 0; x < first.length; x++) {
    const a = start + (first[x] as number) * channels;
    const b = start + (second[x] as number) * channels;
    const w = weight[x] as number;
    for (let channel = 0; channel < channels; channel++) {
      row[to++] = (data[a + channel] as number) * (ONE - w) + (data[b + channel] as number) * w;
    }
  }
}

function blendRows(canvas: Image, start: number, upper: Int32Array, lower: Int32Array, weight: number): void {
  const { data } = canvas;
  const half = 1 << (2 * WEIGHT_BITS - 1);
  for (let i = 0; i < upper.length; i++) {
    const sum = (upper[i] as number) * (ONE - weight) + (lower[i] as number) * weight;
    data[start + i] = (sum + half) >> (2 * WEIGHT_BITS);
  }
}

function blank(width: number, height: number, channels: 1 | 3, colour?: readonly number[]): Image {
  for (const side of [width, height]) {
    if (!Number.isInteger(side) || side < 1 || side > SIDE_MAX) {
      throw new Error(`resize: expected sides of 1 to ${SIDE_MAX} pixels, got ${width}x${height}`);
    }
  }
  const data = new Uint8Array(width * height * channels);
  if (colour) for (let i = 0; i < data.length; i++) data[i] = colour[i % channels] as number;
  return { width, height, channels, data };
}

function placed(
  source: Image,
  canvas: Image,
  inner: { width: number; height: number; left: number; top: number },
): Resized {
  return {
    image: canvas,
    placement: {
      sourceWidth: source.width,
      sourceHeight: source.height,
      width: canvas.width,
      height: canvas.height,
      scaleX: inner.width / source.width,
      scaleY: inner.height / source.height,
      offsetX: inner.left,
      offsetY: inner.top,
    },
  };
}

/** To `width` × `height`, whatever that does to the aspect ratio. */
export function stretch(image: Image, width: number, height: number): Resized {
  const canvas = blank(width, height, image.channels);
  if (width === image.width && height === image.height) canvas.data.set(image.data);
  else resizeInto(canvas, image, width, height, 0, 0);
  return placed(image, canvas, { width, height, left: 0, top: 0 });
}

export interface LetterboxOptions {
  /** Colour of the padding, one number a channel; YOLOX's grey when absent. */
  readonly colour?: readonly number[];
  /** Where the picture goes: YOLOX puts it in the upper left corner, YOLOv5 and later into the middle. */
  readonly anchor?: 'corner' | 'centre';
}

const PADDING_GREY = [114, 114, 114];

/** The whole picture, as large as fits into `width` × `height`, with padding around it. */
export function letterbox(image: Image, width: number, height: number, options: LetterboxOptions = {}): Resized {
  const canvas = blank(width, height, image.channels, options.colour ?? PADDING_GREY);
  const scale = Math.min(width / image.width, height / image.height);
  const innerWidth = Math.max(1, Math.floor(image.width * scale + 1e-9));
  const innerHeight = Math.max(1, Math.floor(image.height * scale + 1e-9));
  const centre = options.anchor === 'centre';
  const left = centre ? (width - innerWidth) >> 1 : 0;
  const top = centre ? (height - innerHeight) >> 1 : 0;
  resizeInto(canvas, image, innerWidth, innerHeight, left, top);
  return placed(image, canvas, { width: innerWidth, height: innerHeight, left, top });
}

/**
 * The middle of the picture. `fraction` is the crop's share of the resized picture: ImageNet's usual 224 of 256 is
 * 0.875, and 1 cuts off only what the aspect ratio demands.
 */
export function centreCrop(image: Image, width: number, height: number, fraction = 1): Resized {
  if (!(fraction > 0 && fraction <= 1)) throw new Error(`resize: expected a crop fraction in (0, 1], got ${fraction}`);
  const scale = Math.max(width / image.width, height / image.height) / fraction;
  const innerWidth = Math.max(width, Math.round(image.width * scale));
  const innerHeight = Math.max(height, Math.round(image.height * scale));
  const whole = stretch(image, innerWidth, innerHeight).image;
  const left = (innerWidth - width) >> 1;
  const top = (innerHeight - height) >> 1;
  const canvas = blank(width, height, image.channels);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * innerWidth + left) * image.channels;
    canvas.data.set(whole.data.subarray(from, from + width * image.channels), y * width * image.channels);
  }
  return placed(image, canvas, { width: innerWidth, height: innerHeight, left: -left, top: -top });
}

export interface FitHeightOptions {
  /** Pad on the right to at least this width … */
  readonly widthMin?: number;
  /** … and to a multiple of this. */
  readonly multiple?: number;
  /** Squeeze what would become wider. */
  readonly widthMax?: number;
  readonly colour?: readonly number[];
}

const MIDDLE_GREY = [127, 127, 127];

/**
 * To `height`, width by aspect ratio: for text lines. As PaddleOCR's recogniser prepares them (resize_norm_img in
 * predict_rec.py), which pads with zeros after normalising to −1 … 1; middle grey is that before normalising.
 */
export function fitHeight(image: Image, height: number, options: FitHeightOptions = {}): Resized {
  const { widthMin = 1, multiple = 1, widthMax = SIDE_MAX, colour = MIDDLE_GREY } = options;
  const natural = Math.max(1, Math.ceil((height * image.width) / image.height));
  const inner = Math.min(natural, widthMax);
  const width = Math.ceil(Math.max(inner, widthMin) / multiple) * multiple;
  const canvas = blank(width, height, image.channels, colour);
  resizeInto(canvas, image, inner, height, 0, 0);
  return placed(image, canvas, { width: inner, height, left: 0, top: 0 });
}

/**
 * Shrunk so that the longest side is at most `limit`, both sides rounded to a multiple: for text detection, as
 * PaddleOCR's DetResizeForTest with limit_type "max" does (ppocr/data/imaug/operators.py).
 */
export function limitSide(image: Image, limit: number, multiple = 32): Resized {
  const scale = Math.min(1, limit / Math.max(image.width, image.height));
  const [width, height] = [image.width, image.height].map((side) =>
    Math.max(multiple, Math.round(Math.floor(side * scale) / multiple) * multiple),
  ) as [number, number];
  return stretch(image, width, height);
}

/** A point of the resized picture, in the source picture's pixels, kept inside it. */
export function toSource(placement: Placement, x: number, y: number): [x: number, y: number] {
  const sourceX = (x - placement.offsetX) / placement.scaleX;
  const sourceY = (y - placement.offsetY) / placement.scaleY;
  return [
    Math.min(Math.max(sourceX, 0), placement.sourceWidth),
    Math.min(Math.max(sourceY, 0), placement.sourceHeight),
  ];
}
