import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { crc32, deflateSync } from 'node:zlib';
import { decode as decodeElsewhere, initSync } from '@jsquash/png/codec/pkg/squoosh_png.js';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decodePng } from '../../../runtime/media/png.ts';
import { randomFrom } from '../../random.ts';
import { byteSource, largestDifference, noise } from './pictures.ts';
import { encodePng } from './write-png.ts';

// The independent decoder: Rust's png crate, compiled to WASM by @jsquash/png.
initSync(readFileSync(createRequire(import.meta.url).resolve('@jsquash/png/codec/pkg/squoosh_png_bg.wasm')));

function independently(bytes: Uint8Array): Uint8Array {
  const { data } = decodeElsewhere(bytes) as { data: Uint8ClampedArray };
  return Uint8Array.from(data).filter((_, index) => index % 4 !== 3);
}

function chunk(name: string, body: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(12 + body.length);
  bytes.writeUInt32BE(body.length);
  bytes.write(name, 4, 'latin1');
  bytes.set(body, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + body.length)), 8 + body.length);
  return bytes;
}

interface Kind {
  colourType: number;
  depth: number;
  interlaced?: boolean;
}

/** Rows of one reduced picture of noise, each behind a filter chosen at random: any bytes are valid rows. */
function noisyRows(rows: number, rowBytes: number, next: (limit: number) => number): Uint8Array {
  const bytes = new Uint8Array(rows * (rowBytes + 1)).map(() => next(256));
  for (let row = 0; row < rows; row++) bytes[row * (rowBytes + 1)] = next(5);
  return bytes;
}

const chunkSplit = 37;

function noisyPng(width: number, height: number, kind: Kind, seed: number): Uint8Array {
  const next = randomFrom(seed);
  const channels = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }[kind.colourType] as number;
  const passes = kind.interlaced
    ? [
        [0, 0, 8, 8],
        [4, 0, 8, 8],
        [0, 4, 4, 8],
        [2, 0, 4, 4],
        [0, 2, 2, 4],
        [1, 0, 2, 2],
        [0, 1, 1, 2],
      ]
    : [[0, 0, 1, 1]];
  const rows = passes.map(([x, y, stepX, stepY]) => {
    const columns = Math.max(0, Math.ceil((width - (x as number)) / (stepX as number)));
    const lines = columns === 0 ? 0 : Math.max(0, Math.ceil((height - (y as number)) / (stepY as number)));
    return noisyRows(lines, Math.ceil((columns * channels * kind.depth) / 8), next);
  });
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width);
  header.writeUInt32BE(height, 4);
  header.set([kind.depth, kind.colourType, 0, 0, kind.interlaced ? 1 : 0], 8);
  const compressed = deflateSync(Buffer.concat(rows));
  const data = [];
  for (let at = 0; at < compressed.length; at += chunkSplit)
    data.push(chunk('IDAT', compressed.subarray(at, at + chunkSplit)));
  const palette =
    kind.colourType === 3 ? [chunk('PLTE', Uint8Array.from({ length: 3 << kind.depth }, byteSource(9)))] : [];
  const signature = Buffer.from('89504e470d0a1a0a', 'hex');
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('tEXt', Buffer.from('a\0b')),
    ...palette,
    ...data,
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

test('every colour type, depth, filter and interlacing reads as an independent decoder reads it', () => {
  const kinds = [0, 2, 3, 4, 6].flatMap((colourType) =>
    [1, 2, 4, 8, 16].flatMap((depth) => [false, true].map((interlaced) => ({ colourType, depth, interlaced }))),
  );
  const allowed = kinds.filter(({ colourType, depth }) => {
    if (colourType === 0) return true;
    return colourType === 3 ? depth <= 8 : depth >= 8;
  });
  let seen = 0;
  for (const kind of allowed) {
    for (const [width, height] of [
      [1, 1],
      [3, 2],
      [13, 11],
      [64, 9],
    ] as const) {
      const png = noisyPng(width, height, kind, seen + 1);
      assert.is(
        largestDifference(decodePng(png).data, independently(png)),
        0,
        `${JSON.stringify(kind)} ${width}x${height}`,
      );
      seen++;
    }
  }
  assert.is(seen, 120);
});

test('what is written is read back, by this decoder and by an independent one', () => {
  for (const channels of [1, 3] as const) {
    const image = noise(31, 17, channels, 4);
    const png = encodePng(image);
    const expected =
      channels === 3
        ? image.data
        : Uint8Array.from({ length: 31 * 17 * 3 }, (_, i) => image.data[Math.floor(i / 3)] as number);
    assert.equal(decodePng(png).data, expected);
    assert.equal(independently(png), expected);
  }
});

test('data that unpacks to more than the picture is refused, however far it would expand', () => {
  const bomb = Buffer.from(noisyPng(4, 4, { colourType: 0, depth: 8 }, 1));
  const start = bomb.indexOf('IDAT') - 4;
  const huge = Buffer.concat([
    bomb.subarray(0, start),
    chunk('IDAT', deflateSync(new Uint8Array(50_000_000))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
  assert.throws(() => decodePng(huge), /its compressed data does not unpack to its size/);
});

test('a wrong checksum, a missing palette and an unknown critical chunk are named', () => {
  const png = Buffer.from(noisyPng(4, 4, { colourType: 3, depth: 2 }, 1));
  const flipped = Buffer.from(png);
  flipped[png.indexOf('IDAT') + 6] = (flipped[png.indexOf('IDAT') + 6] as number) ^ 1;
  assert.throws(() => decodePng(flipped), /the checksum of the chunk at byte \d+ is wrong/);
  const palette = png.indexOf('PLTE') - 4;
  const without = Buffer.concat([png.subarray(0, palette), png.subarray(palette + 24)]);
  assert.throws(() => decodePng(without), /its palette is missing/);
  const unknown = Buffer.concat([png.subarray(0, palette), chunk('ABCD', Buffer.alloc(2)), png.subarray(palette)]);
  assert.throws(() => decodePng(unknown), /it needs the unknown chunk "ABCD"/);
});

test.run();
