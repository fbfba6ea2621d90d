/** The JPEG decoder: mozjpeg compiled to WASM. */
import createDecoder from '@jsquash/jpeg/codec/dec/mozjpeg_dec.js';
import { createCodec, type Pixels } from './codec-io.ts';

/**
 * Common webcams leave a few bytes between the last scan and the end marker. More than these mean that the decoder
 * lost its way in damaged data.
 */
const EXTRANEOUS_BYTES_MAX = 16;

const codec = createCodec(createDecoder, '@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm');

/** Decodes a grey or colour JPEG, orientation ignored. Throws an Error when the data is damaged. */
export function decodeJpeg(bytes: Uint8Array): Pixels {
  try {
    return codec.decode([bytes, false], (message) => {
      if (!isHarmless(message)) throw new Error(`damaged data: ${message}`);
    });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : cause;
    throw new Error(`image: expected a sound JPEG, got ${reason}`, { cause });
  }
}

function isHarmless(message: string): boolean {
  const extraneous = /(\d+) extraneous bytes before marker/.exec(message);
  return extraneous !== null && Number(extraneous[1]) <= EXTRANEOUS_BYTES_MAX;
}
