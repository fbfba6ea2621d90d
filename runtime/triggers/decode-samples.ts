/** Raw little-endian numbers and sound → a tensor. */
import { arrayOf, type DataType, elementBytes, type Tensor, type TypedArray } from '../engine/tensor.ts';
import { resample } from '../media/resample.ts';
import { decodeWav, isWav, SAMPLES_MAX } from '../media/wav.ts';
import { shaped } from './numbers.ts';
import type { Decode } from './schema.ts';

/** Dims `[n]`, or those of the trigger; a scale turns the elements into float32 (float64 stays). */
export function decodeRaw(payload: Uint8Array, decode: Extract<Decode, { format: 'raw' }>): Tensor {
  const data = elementsOf(payload, decode.type);
  const type = decode.scale === 1 || decode.type === 'float64' ? decode.type : 'float32';
  const elements = decode.scale === 1 ? data : scaledBy(data, decode.scale, type);
  const tensor: Tensor = { type, dims: [data.length], data: elements };
  return decode.dims ? shaped(tensor, decode.dims, 'raw') : tensor;
}

/** Where silence lies and how far full sound reaches from there: samples go from −1 to 1. */
const sampleRanges = {
  int8: { silence: 0, full: 2 ** 7 },
  uint8: { silence: 128, full: 2 ** 7 },
  int16: { silence: 0, full: 2 ** 15 },
  int32: { silence: 0, full: 2 ** 31 },
  float32: { silence: 0, full: 1 },
} as const;

/** From 250 Hz to 16 kHz: no sound is so slow, but a file of a few bytes could ask for minutes of work by saying so. */
const STRETCH_MAX = 64;

/** A WAV file of any rate, or raw samples of one channel at the model's. Dims `[n]`, float32, −1 to 1. */
export function decodeAudio(payload: Uint8Array, decode: Extract<Decode, { format: 'audio' }>): Tensor {
  if (isWav(payload)) {
    const { rate, samples } = decodeWav(payload);
    if (decode.rate > rate * STRETCH_MAX)
      throw new Error(`audio: expected a WAV file of at least ${decode.rate / STRETCH_MAX} Hz, got ${rate} Hz`);
    const length = (samples.length * decode.rate) / rate;
    if (length > SAMPLES_MAX) {
      throw new Error(`audio: expected at most ${SAMPLES_MAX} samples at ${decode.rate} Hz, got ${Math.round(length)}`);
    }
    const data = resample(samples, rate, decode.rate);
    return { type: 'float32', dims: [data.length], data };
  }
  if (decode.raw === undefined) throw new Error(`audio: expected a WAV file, got ${payload.byteLength} other bytes`);
  const data = elementsOf(payload, decode.raw);
  const { silence, full } = sampleRanges[decode.raw];
  const samples = new Float32Array(data.length);
  // Not by `from` with a function and `every`, which take ten times as long, for every chunk of every microphone.
  let finite = true;
  for (let i = 0; i < samples.length; i++) {
    const sample = ((data[i] as number) - silence) / full;
    finite &&= Number.isFinite(sample);
    samples[i] = sample;
  }
  if (!finite) throw new Error('audio: expected finite samples, got NaN or infinity');
  return { type: 'float32', dims: [samples.length], data: samples };
}

/** The elements of a payload of little-endian numbers, as every platform here stores them. */
function elementsOf(payload: Uint8Array, type: DataType): TypedArray {
  const size = elementBytes(type);
  if (looksLikeJson(payload)) {
    throw new Error(`message: expected raw ${type} numbers, got JSON; send bytes, or set decode.format to "json"`);
  }
  if (payload.byteLength % size !== 0) {
    throw new Error(`message: expected a multiple of ${size} bytes (${type}), got ${payload.byteLength}`);
  }
  // A copy, because a typed array must begin at a multiple of its element size and a message need not. Not by slice(),
  // which for a Buffer, as MQTT delivers, is a view of the whole pool it came from.
  return new (arrayOf(type))(new Uint8Array(payload).buffer);
}

/**
 * Any bytes are samples, so text on a sound topic would become noise instead of an error. A message that begins and
 * ends like a JSON document and parses as one is no recording.
 */
function looksLikeJson(payload: Uint8Array): boolean {
  const bounds = String.fromCharCode(payload[0] ?? 0, payload.at(-1) ?? 0);
  if (!/^(\{[}\n]|\[[\]\n]|"["\n])$/.test(bounds)) return false;
  try {
    JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
    return true;
  } catch {
    return false;
  }
}

function scaledBy(data: TypedArray, scale: number, type: DataType): TypedArray {
  const scaled = type === 'float64' ? new Float64Array(data.length) : new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) scaled[i] = Number(data[i]) * scale;
  return scaled;
}
