/** TIFF pictures: the first page of a file, as the `tiff` package reads it (strips; no, LZW or Deflate compression). */
import { decode } from 'tiff';
import type { Image } from './image.ts';

export function isTiff(bytes: Uint8Array): boolean {
  const start = String.fromCharCode(...bytes.subarray(0, 4));
  return start === 'II*\0' || start === 'MM\0*';
}

function firstPage(bytes: Uint8Array, ignoreImageData: boolean): ReturnType<typeof decode>[number] {
  try {
    const [page] = decode(bytes, { ignoreImageData, pages: [0] });
    if (page) return page;
  } catch (cause) {
    throw new Error(`image: expected a sound TIFF: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  throw new Error('image: expected a TIFF with a picture, found none');
}

export function readTiffHeader(bytes: Uint8Array): { width: number; height: number } {
  const { width, height } = firstPage(bytes, true);
  return { width, height };
}

/** PhotometricInterpretation (TIFF 6.0, section 8). */
const WHITE_IS_ZERO = 0;
const PALETTE = 3;

/** Grey or RGB of 8 or 16 bits, or a palette; transparency is dropped. The caller has checked the header's size. */
export function decodeTiff(bytes: Uint8Array): Image {
  const page = firstPage(bytes, false);
  const { width, height, samplesPerPixel, data, bitsPerSample, type, palette } = page;
  if (!(data instanceof Uint8Array || data instanceof Uint16Array) || (bitsPerSample !== 8 && bitsPerSample !== 16))
    throw new Error(`image: expected a TIFF of 8 or 16 bits a sample, got ${bitsPerSample}`);
  if (data.length !== width * height * samplesPerPixel)
    throw new Error(`image: expected ${width * height * samplesPerPixel} samples in a TIFF, got ${data.length}`);
  const channels = samplesPerPixel >= 3 || type === PALETTE ? 3 : 1;
  const pixels = new Uint8Array(width * height * channels);
  const shift = bitsPerSample - 8;
  for (let pixel = 0, to = 0; pixel < width * height; pixel++) {
    const from = pixel * samplesPerPixel;
    const colour = type === PALETTE ? palette?.[data[from] as number] : undefined;
    for (let channel = 0; channel < channels; channel++, to++) {
      const sample = (data[from + channel] as number) >> shift;
      if (type === PALETTE) pixels[to] = (colour?.[channel] ?? 0) >> 8;
      else pixels[to] = type === WHITE_IS_ZERO ? 255 - sample : sample;
    }
  }
  return { width, height, channels, data: pixels };
}
