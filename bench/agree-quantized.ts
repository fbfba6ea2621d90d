/** Models of 8-bit integers, and their real inputs. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Tensor } from '../runtime/engine/tensor.ts';
import { type Case, machineSound, stretched, type Tensors } from './agree-cases.ts';

/** A file of float32. */
function features(input: string, dims: readonly number[]) {
  return async (source: string): Promise<Tensors[]> => {
    const bytes = new Uint8Array(readFileSync(source));
    return [{ [input]: { type: 'float32', dims, data: new Float32Array(bytes.buffer.slice(0)) } }];
  };
}

/** Bytes before the pixels of an uncompressed BMP; offset 10 of its header says it (Windows BITMAPFILEHEADER, bfOffBits). */
const PIXELS_AT = 10;

/** A grey BMP of 96 x 96, its last row first, whose bytes are the model's int8 values, times their scale. */
async function greyBitmap(source: string): Promise<Tensors[]> {
  const bytes = readFileSync(source);
  const pixels = bytes.subarray(bytes.readUInt32LE(PIXELS_AT));
  const data = Float32Array.from({ length: 96 * 96 }, (_, i) => {
    const row = 95 - Math.floor(i / 96);
    return pixels.readInt8(row * 96 + (i % 96)) * 0.007843;
  });
  return [{ input: { type: 'float32', dims: [1, 96, 96, 1], data } }];
}

/** Acceleration while walking, made up: two steps a second at 20 Hz, each axis with a phase of its own. */
async function walking(): Promise<Tensors[]> {
  const data = Float32Array.from({ length: 90 * 3 }, (_, i) => {
    const [time, axis] = [Math.floor(i / 3) / 20, i % 3];
    return (axis === 1 ? 9.8 : 0) + 3 * Math.sin(4 * Math.PI * time + axis);
  });
  const x: Tensor = { type: 'float32', dims: [1, 90, 3, 1], data };
  return [{ input: x }];
}

/** One row of features of made-up audio: a single frame sequence in which every band moves. */
async function streaming(): Promise<Tensors[]> {
  const data = Float32Array.from({ length: 30 * 40 }, (_, i) => Math.sin(i / 7) * 0.5 + 0.5);
  return [{ input: { type: 'float32', dims: [1, 30, 1, 40], data } }];
}

export function quantizedCases(folder: string): Case[] {
  const of = (name: string, sources: readonly string[], inputs: Case['inputs']): Case => ({
    name,
    required: false,
    quantized: true,
    model: join(folder, 'models', `${name}.onnx`),
    sources: sources.map((source) => join(folder, 'datasets', source)),
    inputs,
  });
  const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
  const photos = ['images/kitten_224.png', 'images/dog.jpg', 'images/hummingbird.jpg'];
  const persons = ['images/det0.jpg', 'images/faces_3.jpg', 'images/elephants.jpg'];
  const words = ['mlperf/micro_speech_yes_features_1960_f32.bin', 'mlperf/micro_speech_no_features_1960_f32.bin'];
  const bitmaps = ['images/tflm_person.bmp', 'images/tflm_no_person.bmp'];
  const keyword = features('input', [1, 49, 10, 1]);
  const spoken = ['mlperf/kws_sample_49x10_f32.bin'];
  const [sound, road] = ['mlperf/ad_normal_id_01_00000000_hist_librosa.bin', 'images/bdd_road1.jpg'];
  return [
    of('mobilenetv2_int8/mobilenetv2_int8_qdq', photos, stretched('input', 224, 224, imagenet)),
    of('mlperf_tiny/vww_int8_qdq', persons, stretched('input', 96, 96, { layout: 'nhwc' })),
    of('mlperf_tiny/kws_int8_qdq', spoken, keyword),
    of('mlperf_tiny/kws_dynrange_weights_int8', spoken, keyword),
    of('mlperf_tiny/ad_int8_qdq', [sound], machineSound),
    of('mlperf_tiny/sww_int8_qdq', [], streaming),
    of('tflm/person_detect_int8_qdq', bitmaps, greyBitmap),
    of('tflm/micro_speech_int8_qdq', words, features('input', [1, 1960])),
    of('armzoo/har_cnn_int8_qdq', [], walking),
    of('twinlitenet_lane/twinlitenet_preprocessed_quantized', [road], stretched('input', 320, 320, {})),
    of('twinlitenet_lane/twinlitenet_quantized_dynamic', [road], stretched('input', 320, 160, {})),
  ];
}
