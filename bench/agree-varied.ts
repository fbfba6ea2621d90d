/** Models of other kinds of input than pictures: spectra, bytes of files, text, measurements; and a float16 model. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as ort from 'onnxruntime-web';
import { tensorOf } from '../runtime/compile/evaluate.ts';
import type { Tensor } from '../runtime/engine/tensor.ts';
import { decodeImage } from '../runtime/media/image.ts';
import { stretch } from '../runtime/media/resize.ts';
import { toTensor } from '../runtime/media/to-tensor.ts';
import { decodeWav } from '../runtime/media/wav.ts';
import { type Case, stretched, type Tensors } from './agree-cases.ts';

/** A frame of DTLN, and the step to the next; its models take 257 magnitudes, or the 512 samples. */
const [WINDOW, HOP, FRAMES_MAX] = [512, 128, 60];

function samplesOf(source: string): Float32Array {
  return decodeWav(new Uint8Array(readFileSync(source))).samples;
}

function framesOf(source: string): Float32Array[] {
  const samples = samplesOf(source);
  const count = Math.min(Math.floor((samples.length - WINDOW) / HOP), FRAMES_MAX);
  return Array.from({ length: count }, (_, frame) => samples.slice(frame * HOP, frame * HOP + WINDOW));
}

/** Sizes of the Fourier coefficients from 0 to half the window, straight from the definition. */
function magnitudes(frame: Float32Array): Float32Array {
  const angle = (-2 * Math.PI) / WINDOW;
  return Float32Array.from({ length: WINDOW / 2 + 1 }, (_, bin) => {
    let [real, imaginary] = [0, 0];
    for (const [at, sample] of frame.entries()) {
      real += sample * Math.cos(angle * ((bin * at) % WINDOW));
      imaginary += sample * Math.sin(angle * ((bin * at) % WINDOW));
    }
    return Math.hypot(real, imaginary);
  });
}

async function spectra(source: string): Promise<Tensors[]> {
  return framesOf(source).map((frame) => ({
    input_2: { type: 'float32', dims: [1, 1, WINDOW / 2 + 1], data: magnitudes(frame) },
  }));
}

async function frames(source: string): Promise<Tensors[]> {
  return framesOf(source).map((data) => ({ input_4: { type: 'float32', dims: [1, 1, WINDOW], data } }));
}

/** 76 frames of speech as mel bands, as the model before this one gives them, scaled as openWakeWord does. */
function melFrames(melModel: string) {
  return async (source: string): Promise<Tensors[]> => {
    const samples = samplesOf(source).slice(0, 12_800);
    const session = await ort.InferenceSession.create(readFileSync(melModel), { executionProviders: ['wasm'] });
    const sound = samples.map((sample) => sample * 32_768);
    const results = await session.run({ input: new ort.Tensor('float32', sound, [1, sound.length]) });
    const mel = results[session.outputNames[0] as string]?.data as Float32Array;
    await session.release();
    const data = mel.slice(0, 76 * 32).map((value) => value / 10 + 2);
    return [{ input_1: { type: 'float32', dims: [1, 76, 32, 1], data } }];
  };
}

/** The first, middle and last 512 bytes of a file, which must have as many. */
async function fileParts(source: string): Promise<Tensors[]> {
  const bytes = readFileSync(source);
  const middle = Math.floor((bytes.length - 512) / 2);
  const parts = [bytes.subarray(0, 512), bytes.subarray(middle, middle + 512), bytes.subarray(-512)];
  return [{ bytes: { type: 'float32', dims: [1, 1536], data: Float32Array.from(Buffer.concat(parts)) } }];
}

/** 400 characters of prose. */
async function text(source: string): Promise<Tensors[]> {
  return [{ input: { type: 'uint8', dims: [1, 400], data: Uint8Array.from(readFileSync(source).subarray(0, 400)) } }];
}

/** Three flowers of R. A. Fisher's data, one of each kind. */
async function flowers(): Promise<Tensors[]> {
  const data = Float32Array.of(5.1, 3.5, 1.4, 0.2, 6.4, 3.2, 4.5, 1.5, 6.3, 3.3, 6, 2.5);
  return [{ input: { type: 'float32', dims: [3, 4], data } }];
}

/** Blue, green and red less their means, as float16. */
async function halfPicture(source: string): Promise<Tensors[]> {
  const { image } = stretch(await decodeImage(new Uint8Array(readFileSync(source))), 224, 224);
  const { dims, data } = toTensor(image, { order: 'bgr', scale: 1, mean: [104, 117, 123] });
  const x: Tensor = tensorOf('float16', dims, data as Float32Array);
  return [{ data_0: x }];
}

export function variedCases(folder: string): Case[] {
  const of = (name: string, sources: readonly string[], inputs: Case['inputs'], carry?: Case['carry']): Case => ({
    name,
    required: true,
    model: join(folder, 'models', `${name}.onnx`),
    sources: sources.map((source) => join(folder, 'datasets', source)),
    inputs,
    carry,
  });
  const speech = ['audio/cards_001.wav'];
  const state = [1, 2, 128, 2];
  const melModel = join(folder, 'models/openwakeword/melspectrogram.onnx');
  const photos = ['images/goldfish.jpg', 'images/kitten_224.png', 'images/dog.jpg'];
  return [
    of('dtln_denoise/model_1', speech, spectra, { input_3: { from: 'tf_op_layer_stack_2', dims: state } }),
    of('dtln_denoise/model_2', speech, frames, { input_5: { from: 'tf_op_layer_stack_5', dims: state } }),
    of('openwakeword/embedding_model', ['audio/ww_hey_jarvis.wav', ...speech], melFrames(melModel)),
    of('magika_v1/model', ['images/imagenet_synset.txt', 'images/kitten_224.png', 'audio/yes_1000ms.wav'], fileParts),
    of('tract_byte_lstm/model', ['../README.md'], text),
    of('winml_iris/Regression', [], flowers),
    of('human_tfjs/handlandmark-lite', ['images/faces_1.jpg'], stretched('input_1', 224, 224, { layout: 'nhwc' })),
    of('squeezenet_fp16/SqueezeNet_fp16', photos, halfPicture),
  ];
}
