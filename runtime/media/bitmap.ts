/** Windows bitmaps. Source: Microsoft, "Bitmap Storage" (BITMAPFILEHEADER, BITMAPINFOHEADER). */
import type { Image } from './image.ts';

const HEADER_BYTES = 54;

export function isBitmap(bytes: Uint8Array): boolean {
  return bytes[0] === 0x42 && bytes[1] === 0x4d;
}

interface BitmapHeader {
  readonly width: number;
  readonly height: number;
  readonly bottomUp: boolean;
  readonly bits: number;
  readonly pixelsAt: number;
  readonly paletteAt: number;
}

/** Throws an Error for what is no uncompressed bitmap of 1, 4, 8, 24 or 32 bits a pixel. */
export function readBitmapHeader(bytes: Uint8Array): BitmapHeader {
  if (bytes.length < HEADER_BYTES) throw new Error(`image: expected a BMP file, got only ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [infoBytes, bits, compression] = [view.getUint32(14, true), view.getUint16(28, true), view.getUint32(30, true)];
  const [width, height] = [view.getInt32(18, true), view.getInt32(22, true)];
  // 3 (bit fields) is what programs write for 32 bits with the usual masks.
  if (infoBytes < 40 || ![1, 4, 8, 24, 32].includes(bits) || (compression !== 0 && !(compression === 3 && bits === 32)))
    throw new Error(`image: expected an uncompressed BMP, got ${bits} bits a pixel in compression ${compression}`);
  if (width <= 0 || height === 0) throw new Error(`image: expected a BMP with pixels, got ${width}x${height}`);
  const pixelsAt = view.getUint32(10, true);
  return { width, height: Math.abs(height), bottomUp: height > 0, bits, pixelsAt, paletteAt: 14 + infoBytes };
}

/** RGB; transparency is dropped. The caller has checked the header's size. */
export function decodeBitmap(bytes: Uint8Array): Image {
  const { width, height, bottomUp, bits, pixelsAt, paletteAt } = readBitmapHeader(bytes);
  const rowBytes = Math.ceil((width * bits) / 32) * 4;
  if (pixelsAt + rowBytes * height > bytes.length)
    throw new Error(`image: expected a BMP of ${pixelsAt + rowBytes * height} bytes, got ${bytes.length}`);
  const data = new Uint8Array(width * height * 3);
  for (let y = 0, to = 0; y < height; y++) {
    const row = pixelsAt + (bottomUp ? height - 1 - y : y) * rowBytes;
    for (let x = 0; x < width; x++, to += 3) {
      const bit = x * bits;
      // Below 8 bits, the first pixel is in the highest bits of its byte.
      const index = ((bytes[row + (bit >> 3)] as number) >> (8 - bits - (bit & 7))) & ((1 << bits) - 1);
      const from = bits > 8 ? row + (bit >> 3) : paletteAt + index * 4;
      for (let channel = 0; channel < 3; channel++) data[to + channel] = bytes[from + 2 - channel] ?? 0;
    }
  }
  return { width, height, channels: 3, data };
}
