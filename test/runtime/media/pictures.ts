/** Pictures for the tests of this folder and of post-processing. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import createEncoder from '@jsquash/jpeg/codec/enc/mozjpeg_enc.js';
import { defaultOptions } from '@jsquash/jpeg/meta.js';
import type { Image } from '../../../runtime/media/image.ts';

/** Bytes of the linear congruential generator that C's standard gives as an example; the same in the OpenCV scripts. */
export function byteSource(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (state >> 16) & 255;
  };
}

export function noise(width: number, height: number, channels: 1 | 3, seed: number): Image {
  return { width, height, channels, data: Uint8Array.from({ length: width * height * channels }, byteSource(seed)) };
}

/** Smooth, so that JPEG changes it little; red grows to the right, green downwards. */
export function gradient(width: number, height: number): Image {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      data.set([(x * 255) / (width - 1), (y * 255) / (height - 1), 128], (y * width + x) * 3);
  return { width, height, channels: 3, data };
}

const encoder = createEncoder({
  noInitialRun: true,
  instantiateWasm(imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) {
    const file = createRequire(import.meta.url).resolve('@jsquash/jpeg/codec/enc/mozjpeg_enc.wasm');
    const instance = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(file)), imports);
    done(instance);
    return instance.exports;
  },
});

/** A JPEG by mozjpeg; baseline unless options say otherwise. */
export async function encodeJpeg(image: Image, options: Record<string, unknown> = {}): Promise<Uint8Array> {
  const rgba = new Uint8ClampedArray(image.width * image.height * 4).fill(255);
  for (let pixel = 0; pixel < image.width * image.height; pixel++)
    for (let c = 0; c < 3; c++)
      rgba[pixel * 4 + c] = image.data[pixel * image.channels + (image.channels === 3 ? c : 0)] as number;
  const all = { ...defaultOptions, quality: 95, progressive: false, ...options };
  const encoded = (await encoder).encode(rgba, image.width, image.height, all);
  return Uint8Array.from(encoded as Uint8Array);
}

/** The JPEG with an Exif segment that holds nothing but this orientation. */
export function withOrientation(jpeg: Uint8Array, orientation: number, littleEndian: boolean): Uint8Array {
  const segment = new DataView(new ArrayBuffer(36));
  segment.setUint16(0, 0xffe1);
  segment.setUint16(2, 34);
  segment.setUint32(4, 0x45786966); // "Exif"
  segment.setUint16(10, littleEndian ? 0x4949 : 0x4d4d);
  segment.setUint16(12, 42, littleEndian);
  segment.setUint32(14, 8, littleEndian);
  segment.setUint16(18, 1, littleEndian);
  segment.setUint16(20, 0x0112, littleEndian);
  segment.setUint16(22, 3, littleEndian);
  segment.setUint32(24, 1, littleEndian);
  segment.setUint16(28, orientation, littleEndian);
  return Buffer.concat([jpeg.subarray(0, 2), new Uint8Array(segment.buffer), jpeg.subarray(2)]);
}

export function pixel(image: Image, x: number, y: number): number[] {
  const start = (y * image.width + x) * image.channels;
  return [...image.data.subarray(start, start + image.channels)];
}

/** Largest difference between two rows of numbers of equal length. */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let largest = 0;
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs((a[i] as number) - (b[i] as number)));
  return largest;
}
