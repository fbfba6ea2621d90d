/**
 * WAV files as samples. Source: Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0"
 * (RIFF/WAVE), and Microsoft's WAVE_FORMAT_EXTENSIBLE.
 */

export interface Sound {
  /** Samples a second. */
  readonly rate: number;
  /** One channel, −1 … 1. */
  readonly samples: Float32Array;
}

/** 10 minutes at 48 kHz. */
export const SAMPLES_MAX = 10 * 60 * 48_000;
const CHANNELS_MAX = 64;
const RATE_MAX = 768_000;

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;
const codecNames: Readonly<Record<number, string>> = {
  2: 'MS ADPCM',
  6: 'A-law',
  7: 'µ-law',
  17: 'IMA ADPCM',
  85: 'MP3',
};

interface Format {
  readonly codec: number;
  readonly channels: number;
  readonly rate: number;
  readonly bits: number;
}

export function isWav(bytes: Uint8Array): boolean {
  return bytes.length >= 12 && tag(bytes, 0) === 'RIFF' && tag(bytes, 8) === 'WAVE';
}

/**
 * PCM of 8, 16, 24 or 32 bits or 32-bit float, channels averaged into one. Throws an Error for anything else, for a
 * file that ends before its data does, and for more than SAMPLES_MAX samples a channel.
 */
export function decodeWav(bytes: Uint8Array): Sound {
  if (!isWav(bytes)) {
    const start = Buffer.from(bytes.subarray(0, 4)).toString('hex');
    throw new Error(`wav: expected a RIFF/WAVE file, got ${bytes.length} bytes that begin with "${start}"`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let format: Format | undefined;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const name = tag(bytes, at);
    const size = view.getUint32(at + 4, true);
    const body = at + 8;
    if (name === 'fmt ') format = readFormat(view, body, size);
    if (name === 'data') {
      if (!format) throw new Error('wav: expected a "fmt " chunk before the data, got none');
      // A recorder that streams to a pipe cannot know the size and writes the largest: the data runs to the end.
      const present = bytes.length - body;
      if (size > present && size !== 0xffffffff) {
        const [expected, got] = [size, present].map((count) => count.toLocaleString('en'));
        throw new Error(`wav: expected ${expected} bytes of sound, the file ends after ${got}`);
      }
      return { rate: format.rate, samples: readSamples(view, body, Math.min(size, present), format) };
    }
    // Chunks begin at even offsets.
    at = body + size + (size & 1);
  }
  throw new Error(`wav: expected a "data" chunk, the file ends without one after ${bytes.length} bytes`);
}

function tag(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + 4));
}

function readFormat(view: DataView, at: number, size: number): Format {
  if (size < 16 || at + size > view.byteLength) throw new Error('wav: expected a "fmt " chunk of at least 16 bytes');
  let codec = view.getUint16(at, true);
  // The real codec opens the sub-format's identifier.
  if (codec === EXTENSIBLE && size >= 26) codec = view.getUint16(at + 24, true);
  const format = {
    codec,
    channels: view.getUint16(at + 2, true),
    rate: view.getUint32(at + 4, true),
    bits: view.getUint16(at + 14, true),
  };
  if (codec !== PCM && codec !== FLOAT) {
    throw new Error(`wav: expected PCM or float samples, got codec ${codec} (${codecNames[codec] ?? 'unknown'})`);
  }
  const depths = codec === PCM ? [8, 16, 24, 32] : [32];
  if (!depths.includes(format.bits)) {
    throw new Error(`wav: expected ${depths.join(', ')} bits a sample for codec ${codec}, got ${format.bits}`);
  }
  if (format.channels < 1 || format.channels > CHANNELS_MAX) {
    throw new Error(`wav: expected 1 to ${CHANNELS_MAX} channels, got ${format.channels}`);
  }
  if (format.rate < 1 || format.rate > RATE_MAX) {
    throw new Error(`wav: expected a sample rate of 1 to ${RATE_MAX} Hz, got ${format.rate}`);
  }
  return format;
}

function readSamples(view: DataView, start: number, size: number, format: Format): Float32Array {
  const { channels, bits } = format;
  const frameBytes = (channels * bits) / 8;
  const frames = Math.floor(size / frameBytes);
  if (frames > SAMPLES_MAX) {
    const [most, got] = [SAMPLES_MAX, frames].map((count) => count.toLocaleString('en'));
    throw new Error(`wav: expected at most ${most} samples, got ${got}; send shorter recordings`);
  }
  const read = reader(view, format);
  const samples = new Float32Array(frames);
  for (let frame = 0; frame < frames; frame++) {
    let sum = 0;
    for (let channel = 0; channel < channels; channel++) sum += read(start + frame * frameBytes + (channel * bits) / 8);
    if (!Number.isFinite(sum)) throw new Error(`wav: expected numbers as samples, got ${sum} at ${frame}`);
    samples[frame] = sum / channels;
  }
  return samples;
}

/** PCM of 8 bits is unsigned, of more bits signed. */
function reader(view: DataView, { codec, bits }: Format): (at: number) => number {
  if (codec === FLOAT) return (at) => view.getFloat32(at, true);
  switch (bits) {
    case 8:
      return (at) => (view.getUint8(at) - 128) / 128;
    case 16:
      return (at) => view.getInt16(at, true) / 32_768;
    case 24:
      return (at) => (view.getUint16(at, true) + view.getInt8(at + 2) * 65_536) / 8_388_608;
    default:
      return (at) => view.getInt32(at, true) / 2_147_483_648;
  }
}
