/**
 * PNG reading over Node's zlib. Source: W3C PNG Specification, third edition (clause numbers below).
 *
 * Own code, because the WASM decoder at hand leaks its heap on every damaged file and cannot be started afresh.
 */
import { crc32, inflateSync } from 'node:zlib';

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const IHDR = 0x49484452;
const PLTE = 0x504c5445;
const IDAT = 0x49444154;
const IEND = 0x49454e44;

/** Channels of each colour type and the bit depths allowed for it (11.2.1). */
const colourTypes: Readonly<Record<number, { channels: number; depths: readonly number[] }>> = {
  0: { channels: 1, depths: [1, 2, 4, 8, 16] },
  2: { channels: 3, depths: [8, 16] },
  3: { channels: 1, depths: [1, 2, 4, 8] },
  4: { channels: 2, depths: [8, 16] },
  6: { channels: 4, depths: [8, 16] },
};
const RGB = 2;
const INDEXED = 3;

/** Adam7: first column, first row, column step and row step of each of the seven passes (8.1). */
const adam7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

export interface PngHeader {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly colourType: number;
  readonly interlaced: boolean;
}

export interface PngPixels {
  readonly width: number;
  readonly height: number;
  /** RGB, row by row. */
  readonly data: Uint8Array;
}

export function isPng(bytes: Uint8Array): boolean {
  return SIGNATURE.every((byte, index) => bytes[index] === byte);
}

/** Throws an Error when the first chunk is not a header that the specification allows. */
export function readPngHeader(bytes: Uint8Array): PngHeader {
  if (bytes.length < 33) throw cutShort(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(8) !== 13 || view.getUint32(12) !== IHDR) throw damaged('its first chunk is not IHDR');
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  const [depth, colourType, compression, filter, interlace] = bytes.subarray(24, 29) as unknown as number[];
  if (width === 0 || height === 0) throw damaged(`its size is ${width}x${height}`);
  if (!colourTypes[colourType as number]?.depths.includes(depth as number)) {
    throw damaged(`it declares colour type ${colourType} with ${depth} bits, which PNG does not have`);
  }
  if (compression !== 0 || filter !== 0 || (interlace as number) > 1) throw damaged('its methods are unknown');
  return { width, height, depth: depth as number, colourType: colourType as number, interlaced: interlace === 1 };
}

/** All colour types and depths as 8-bit RGB; alpha and transparent colours are dropped. Throws an Error when damaged. */
export function decodePng(bytes: Uint8Array): PngPixels {
  const header = readPngHeader(bytes);
  const { palette, compressed } = readChunks(bytes);
  if (header.colourType === INDEXED && palette.length === 0) throw damaged('its palette is missing');
  const passes = passesOf(header);
  const expected = passes.reduce((sum, pass) => sum + pass.height * (pass.rowBytes + 1), 0);
  const scanlines = inflate(compressed, expected);
  const data = new Uint8Array(header.width * header.height * 3);
  let at = 0;
  for (const pass of passes) {
    const size = pass.height * (pass.rowBytes + 1);
    const rows = scanlines.subarray(at, at + size);
    unfilter(rows, pass.rowBytes, Math.max(1, (pass.channels * header.depth) >> 3));
    paint(rows, pass, header, palette, data);
    at += size;
  }
  return { width: header.width, height: header.height, data };
}

function readChunks(bytes: Uint8Array): { palette: Uint8Array; compressed: Uint8Array[] } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const compressed: Uint8Array[] = [];
  let palette: Uint8Array = new Uint8Array();
  for (let at = 8; ; ) {
    if (at + 12 > bytes.length) throw cutShort(bytes);
    const length = view.getUint32(at);
    const type = view.getUint32(at + 4);
    if (at + 12 + length > bytes.length) throw cutShort(bytes);
    const body = bytes.subarray(at + 8, at + 8 + length);
    if (crc32(bytes.subarray(at + 4, at + 8 + length)) !== view.getUint32(at + 8 + length)) {
      throw damaged(`the checksum of the chunk at byte ${at} is wrong`);
    }
    if (type === IEND) return { palette, compressed };
    if (type === PLTE) palette = body.slice();
    if (type === IDAT) compressed.push(body);
    // Bit 5 of the first letter clear: a chunk without which the picture cannot be shown (5.4).
    else if ((type & 0x20000000) === 0 && type !== IHDR && type !== PLTE) {
      throw damaged(`it needs the unknown chunk "${Buffer.from(bytes.subarray(at + 4, at + 8)).toString('latin1')}"`);
    }
    at += 12 + length;
  }
}

/** Never inflates beyond what the header announced, so a small file cannot expand without bound. */
function inflate(compressed: Uint8Array[], expected: number): Uint8Array {
  let scanlines: Uint8Array;
  try {
    scanlines = inflateSync(Buffer.concat(compressed), { maxOutputLength: expected });
  } catch (error) {
    throw new Error('image: expected a sound PNG, its compressed data does not unpack to its size', { cause: error });
  }
  if (scanlines.length !== expected) throw damaged(`it holds ${scanlines.length} bytes of ${expected}`);
  return scanlines;
}

interface Pass {
  readonly x: number;
  readonly y: number;
  readonly stepX: number;
  readonly stepY: number;
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly rowBytes: number;
}

/** The reduced pictures in the file: one, or up to seven when it is interlaced. */
function passesOf({ width, height, depth, colourType, interlaced }: PngHeader): Pass[] {
  const channels = (colourTypes[colourType] as { channels: number }).channels;
  const passes: Pass[] = [];
  for (const [x, y, stepX, stepY] of interlaced ? adam7 : [[0, 0, 1, 1] as const]) {
    const columns = Math.ceil((width - x) / stepX);
    const rows = Math.ceil((height - y) / stepY);
    if (columns <= 0 || rows <= 0) continue;
    const rowBytes = Math.ceil((columns * channels * depth) / 8);
    passes.push({ x, y, stepX, stepY, width: columns, height: rows, channels, rowBytes });
  }
  return passes;
}

/** Undoes the filter of each row, in place (9.2). `step`: bytes from a pixel to its left neighbour. */
function unfilter(rows: Uint8Array, rowBytes: number, step: number): void {
  let above: Uint8Array = new Uint8Array(rowBytes);
  for (let at = 0; at < rows.length; at += rowBytes + 1) {
    const row = rows.subarray(at + 1, at + 1 + rowBytes);
    const filter = rows[at] as number;
    if (filter > 4) throw damaged(`row filter ${filter} does not exist`);
    for (let i = 0; filter !== 0 && i < rowBytes; i++) {
      const left = i >= step ? (row[i - step] as number) : 0;
      const up = above[i] as number;
      const upLeft = i >= step ? (above[i - step] as number) : 0;
      row[i] = (row[i] as number) + predict(filter, left, up, upLeft);
    }
    above = row;
  }
}

function predict(filter: number, left: number, up: number, upLeft: number): number {
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return (left + up) >> 1;
  const toLeft = Math.abs(up - upLeft);
  const toUp = Math.abs(left - upLeft);
  const toUpLeft = Math.abs(left + up - 2 * upLeft);
  if (toLeft <= toUp && toLeft <= toUpLeft) return left;
  return toUp <= toUpLeft ? up : upLeft;
}

function paint(rows: Uint8Array, pass: Pass, header: PngHeader, palette: Uint8Array, rgb: Uint8Array): void {
  const { depth, colourType } = header;
  const scale = depth < 8 && colourType !== INDEXED ? 255 / (2 ** depth - 1) : 1;
  for (let y = 0; y < pass.height; y++) {
    const row = rows.subarray(y * (pass.rowBytes + 1) + 1, (y + 1) * (pass.rowBytes + 1));
    let to = ((pass.y + y * pass.stepY) * header.width + pass.x) * 3;
    if (depth === 8 && colourType === RGB && pass.stepX === 1) {
      rgb.set(row, to);
      continue;
    }
    for (let x = 0; x < pass.width; x++, to += pass.stepX * 3) {
      const first = sample(row, x * pass.channels, depth) * scale;
      if (colourType === INDEXED) {
        if (first * 3 + 2 >= palette.length) throw damaged(`a pixel names colour ${first}, which its palette lacks`);
        for (let i = 0; i < 3; i++) rgb[to + i] = palette[first * 3 + i] as number;
      } else {
        const grey = pass.channels < 3;
        rgb[to] = first;
        rgb[to + 1] = grey ? first : sample(row, x * pass.channels + 1, depth);
        rgb[to + 2] = grey ? first : sample(row, x * pass.channels + 2, depth);
      }
    }
  }
}

/** The `index`-th sample of a row; of 16 bits the upper 8. Narrow samples are packed from the highest bit down (7.2). */
function sample(row: Uint8Array, index: number, depth: number): number {
  if (depth === 8) return row[index] as number;
  if (depth === 16) return row[index * 2] as number;
  const bit = index * depth;
  return ((row[bit >> 3] as number) >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
}

function cutShort(bytes: Uint8Array): Error {
  const size = bytes.length.toLocaleString('en');
  return new Error(`image: expected a whole PNG, got one that ends after ${size} bytes without an end chunk`);
}

function damaged(reason: string): Error {
  return new Error(`image: expected a sound PNG, ${reason}`);
}
