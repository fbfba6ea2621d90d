/** The WebP decoder: libwebp compiled to WASM. */
import createDecoder from '@jsquash/webp/codec/dec/webp_dec.js';
import { createCodec, type Pixels } from './codec-io.ts';

const codec = createCodec(createDecoder, '@jsquash/webp/codec/dec/webp_dec.wasm');

export function isWebp(bytes: Uint8Array): boolean {
  return ascii(bytes, 0) === 'RIFF' && ascii(bytes, 8) === 'WEBP';
}

function ascii(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + 4));
}

/** Width and height as the first chunk states them. Source: RFC 9649, sections 2.5 to 2.7. */
export function readWebpHeader(bytes: Uint8Array): { width: number; height: number } {
  if (bytes.length < 30) throw new Error(`image: expected a WebP file, got only ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const kind = ascii(bytes, 12);
  if (kind === 'VP8X')
    return {
      width: (view.getUint32(24, true) & 0xffffff) + 1,
      height: (view.getUint32(26, true) >>> 8) + 1,
    };
  if (kind === 'VP8L') {
    const bits = view.getUint32(21, true);
    return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
  }
  if (kind !== 'VP8 ') throw new Error(`image: expected a WebP picture, got a chunk "${kind}"`);
  return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
}

/** Throws an Error when the data is damaged, or an animation. */
export function decodeWebp(bytes: Uint8Array): Pixels {
  try {
    return codec.decode([bytes], () => {});
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : cause;
    throw new Error(`image: expected a sound WebP, but ${reason}`, { cause });
  }
}
