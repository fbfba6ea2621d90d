/** Pictures as the rest of the runtime sees them, and how JPEG and PNG files become such. */
import { readJpegHeader } from './jpeg-header.ts';
import { decodeJpeg } from './jpeg-io.ts';
import { decodePng, isPng, readPngHeader } from './png.ts';

/** Row-major pixels, 8 bits a channel: RGB (3) or grey (1). */
export interface Image {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly data: Uint8Array;
}

/** One 8K UHD frame. Checked before anything is decoded, so that a small file cannot claim gigabytes. */
export const PIXELS_MAX = 7680 * 4320;

export interface ImageLimits {
  readonly pixelsMax?: number;
}

/**
 * A JPEG or PNG file as an RGB picture, turned upright by its Exif orientation. Grey files become RGB with equal
 * channels; transparency is dropped, 16-bit PNG keeps the upper 8 bits (as OpenCV's IMREAD_COLOR does).
 * Throws an Error when the file is neither, is damaged or cut short, or has more pixels than allowed.
 */
export async function decodeImage(bytes: Uint8Array, limits: ImageLimits = {}): Promise<Image> {
  const pixelsMax = limits.pixelsMax ?? PIXELS_MAX;
  if (isPng(bytes)) {
    checkPixels(readPngHeader(bytes), pixelsMax);
    return { ...decodePng(bytes), channels: 3 };
  }
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) {
    const start = Buffer.from(bytes.subarray(0, 4)).toString('hex');
    throw new Error(`image: expected a JPEG or PNG file, got ${bytes.length} bytes that begin with "${start}"`);
  }
  const header = readJpegHeader(bytes);
  checkPixels(header, pixelsMax);
  const { width, height, rgba } = decodeJpeg(bytes);
  return turnUpright({ width, height, channels: 3, data: dropAlpha(rgba) }, header.orientation);
}

export function checkPixels({ width, height }: { width: number; height: number }, pixelsMax: number): void {
  if (width * height <= pixelsMax) return;
  const [most, got] = [pixelsMax, width * height].map((pixels) => pixels.toLocaleString('en'));
  throw new Error(`image: expected at most ${most} pixels, got ${width}x${height} (${got}); send a smaller picture`);
}

export function dropAlpha(rgba: Uint8ClampedArray): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    rgb[to] = rgba[from] as number;
    rgb[to + 1] = rgba[from + 1] as number;
    rgb[to + 2] = rgba[from + 2] as number;
  }
  return rgb;
}

/**
 * Where the upright picture's pixel (x, y) is found in the stored one, per Exif orientation (CIPA DC-008, 4.6.4):
 * `index = origin + x · stepX + y · stepY`, in pixels. From 5 on, width and height change places.
 */
function uprightSteps(orientation: number, width: number, height: number): [origin: number, x: number, y: number] {
  const last = width * height - 1;
  switch (orientation) {
    case 2:
      return [width - 1, -1, width];
    case 3:
      return [last, -1, -width];
    case 4:
      return [last - width + 1, 1, -width];
    case 5:
      return [0, width, 1];
    case 6:
      return [last - width + 1, -width, 1];
    case 7:
      return [last, -width, -1];
    case 8:
      return [width - 1, width, -1];
    default:
      return [0, 1, width];
  }
}

/** The picture as it should be seen, given the Exif orientation (1–8) of the stored one. */
export function turnUpright(image: Image, orientation: number): Image {
  if (orientation === 1) return image;
  const { channels, data } = image;
  const [origin, stepX, stepY] = uprightSteps(orientation, image.width, image.height);
  const [width, height] = orientation >= 5 ? [image.height, image.width] : [image.width, image.height];
  const upright = new Uint8Array(data.length);
  let to = 0;
  for (let y = 0; y < height; y++) {
    let from = (origin + y * stepY) * channels;
    for (let x = 0; x < width; x++, from += stepX * channels) {
      for (let channel = 0; channel < channels; channel++) upright[to++] = data[from + channel] as number;
    }
  }
  return { width, height, channels, data: upright };
}
