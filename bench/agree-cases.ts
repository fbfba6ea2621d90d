/** Models and the real inputs on which `npm run agree` compares engines. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { demoModels } from '../examples/fleet-in-a-box/models.ts';
import { elementCount, type Tensor } from '../runtime/engine/tensor.ts';
import { decodeImage, type Image } from '../runtime/media/image.ts';
import { letterbox, limitSide, stretch } from '../runtime/media/resize.ts';
import { type ToTensorOptions, toTensor } from '../runtime/media/to-tensor.ts';
import { decodeWav } from '../runtime/media/wav.ts';

export type Tensors = Readonly<Record<string, Tensor>>;

export interface Case {
  readonly name: string;
  /** Must run on our own kernels and agree; the others are listed. */
  readonly required: boolean;
  /** Bounded by decisions and cosine, against onnxruntime's unoptimised graph; see agree.ts. */
  readonly quantized?: boolean;
  /** Path of the ONNX file; it need not exist. */
  readonly model: string;
  /** Files that the inputs are made of; none where they are made up. */
  readonly sources: readonly string[];
  /** One run after the other. */
  inputs(source: string): Promise<readonly Tensors[]>;
  /** Inputs that take an output of the run before; zeros at first. */
  readonly carry?: Readonly<Record<string, { readonly from: string; readonly dims: readonly number[] }>>;
}

const materials = fileURLToPath(new URL('../examples/fleet-in-a-box/materials/', import.meta.url));

async function picture(path: string): Promise<Image> {
  return decodeImage(new Uint8Array(readFileSync(path)));
}

function samplesOf(path: string): Float32Array {
  return decodeWav(new Uint8Array(readFileSync(path))).samples;
}

/** A picture stretched to the model's size. */
export function stretched(input: string, width: number, height: number, options: ToTensorOptions) {
  return async (source: string): Promise<Tensors[]> => [
    { [input]: toTensor(stretch(await picture(source), width, height).image, options) },
  ];
}

const imagenet: ToTensorOptions = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], order: 'bgr' };
const half: ToTensorOptions = { mean: [0.5], std: [0.5], order: 'bgr' };
const raw: ToTensorOptions = { scale: 1, order: 'bgr' };
const nhwc: ToTensorOptions = { layout: 'nhwc' };

const FRAME = 512;
const CONTEXT = 64;
const FRAMES_MAX = 100;

/** Frames of 512 samples at 16 kHz, each behind the last 64 of the frame before, as Silero's own wrapper feeds them. */
async function speechFrames(source: string): Promise<Tensors[]> {
  const samples = samplesOf(source);
  const count = Math.min(Math.floor(samples.length / FRAME), FRAMES_MAX);
  return Array.from({ length: count }, (_, frame) => {
    const data = new Float32Array(CONTEXT + FRAME);
    const from = frame * FRAME - CONTEXT;
    data.set(samples.subarray(Math.max(from, 0), (frame + 1) * FRAME), Math.max(-from, 0));
    const rate: Tensor = { type: 'int64', dims: [], data: BigInt64Array.of(16_000n) };
    return { input: { type: 'float32', dims: [1, CONTEXT + FRAME], data }, sr: rate };
  });
}

const speechState = { state: { from: 'stateN', dims: [2, 1, 128] } };

/** Log-mel frames of 128 bands in a file of float32; the model looks at five at a time. */
export async function machineSound(source: string): Promise<Tensors[]> {
  const bytes = new Uint8Array(readFileSync(source));
  const values = new Float32Array(bytes.buffer.slice(0, bytes.length - (bytes.length % 4)));
  const [bands, frames] = [128, 5];
  return Array.from({ length: Math.min(values.length / bands - frames, FRAMES_MAX) }, (_, at) => ({
    input: { type: 'float32', dims: [1, bands * frames], data: values.slice(at * bands, (at + frames) * bands) },
  }));
}

function wave(input: string, length: number, scale: number) {
  return async (source: string): Promise<Tensors[]> => {
    const data = samplesOf(source).slice(0, length);
    return [{ [input]: { type: 'float32', dims: [1, data.length], data: data.map((sample) => sample * scale) } }];
  };
}

/** The alpha channel that the model wants beside the colours. */
async function lineSegments(source: string): Promise<Tensors[]> {
  const colours = toTensor(stretch(await picture(source), 320, 320).image, { ...nhwc, scale: 1 });
  const data = new Float32Array((elementCount(colours.dims) / 3) * 4).fill(1);
  for (let pixel = 0; pixel < data.length / 4; pixel++)
    data.set((colours.data as Float32Array).subarray(pixel * 3, pixel * 3 + 3), pixel * 4);
  return [{ 'input_image_with_alpha:0': { type: 'float32', dims: [1, 320, 320, 4], data } }];
}

/** The models of the demonstration, on its own recordings and photographs: these need no data folder. */
function packaged(): Case[] {
  const file = (name: string): string => demoModels().find((model) => model.name === name)?.file ?? '';
  const labels = ['pump', 'valve', 'motor'].map((name) => join(materials, 'factory-camera', `${name}.jpg`));
  const street = ['crossing', 'market'].map((name) => join(materials, 'city-microphone', `${name}.wav`));
  const detection = async (source: string): Promise<Tensors[]> => [
    { x: toTensor(limitSide(await picture(source), 640).image, imagenet) },
  ];
  const of = (name: string, sources: readonly string[], inputs: Case['inputs']): Case => ({
    name,
    required: true,
    model: file(name),
    sources,
    inputs,
  });
  return [
    { ...of('silero-vad', street, speechFrames), carry: speechState },
    of('ppocr-cls', labels, stretched('x', 192, 48, half)),
    of('ppocr-det', labels, detection),
    of('ppocr-rec', labels, stretched('x', 320, 48, half)),
  ];
}

/** Models and recordings of the data folder. */
function collected(folder: string): Case[] {
  const of = (name: string, source: string, inputs: Case['inputs'], required = false): Case => ({
    name,
    required,
    model: join(folder, 'models', `${name}.onnx`),
    sources: [join(folder, 'datasets', source)],
    inputs,
  });
  const boxed = (size: number) => async (source: string) => [
    { images: toTensor(letterbox(await picture(source), size, size, { anchor: 'corner' }).image, raw) },
  ];
  const [speech, road] = ['audio/cards_001.wav', 'images/bdd_road1.jpg'];
  const face: ToTensorOptions = { scale: 1, mean: [127], std: [128] };
  const grey: ToTensorOptions = { order: 'gray' };
  return [
    of('yolox_nano/yolox_nano', 'images/det0.jpg', boxed(416), true),
    of('twinlitenet_lane/twinlitenet', road, stretched('input', 320, 320, {}), true),
    of('ultraface/version-RFB-320', 'images/faces_1.jpg', stretched('input', 320, 240, face), true),
    of('mlperf_tiny/ad_fp32', 'mlperf/ad_normal_id_01_00000000_hist_librosa.bin', machineSound, true),
    { ...of('silero_vad/silero_vad_v6', speech, speechFrames), carry: speechState },
    { ...of('silero_vad/silero_vad_op18_ifless', speech, speechFrames), carry: speechState },
    of('openwakeword/melspectrogram', speech, wave('input', 12_800, 32_768)),
    of('ultraface/version-slim-320_simplified', 'images/faces_1.jpg', stretched('input', 320, 240, face)),
    of('person_detector/model', 'images/det0.jpg', boxed(192)),
    of('yunet_face/face_detection_yunet_120x160', 'images/grace_hopper.jpg', stretched('input', 160, 120, raw)),
    of('mlperf_tiny/vww_fp32', 'images/det0.jpg', stretched('input', 96, 96, nhwc)),
    of('human_tfjs/emotion', 'images/grace_hopper.jpg', stretched('input_1', 64, 64, { ...nhwc, ...grey })),
    // Out of bounds by nature: onnxruntime's own results with and without its optimiser differ as much in the mask.
    of('human_tfjs/blazepose-lite', 'images/det0.jpg', stretched('input_1', 256, 256, nhwc)),
    of('human_tfjs/selfie', 'images/det0.jpg', stretched('input_1', 256, 256, nhwc)),
    of('super_resolution/super_resolution', 'images/kitten_224.png', stretched('input', 224, 224, grey)),
    of('mnist/mnist-cntk', 'images/kitten_224.png', stretched('Input3', 28, 28, { ...grey, scale: 1 })),
    of('road_segmentation_adas_0001/model_float32', road, stretched('data', 896, 512, { ...raw, ...nhwc, scale: 1 })),
    of('tbefn_lowlight/tbefn_180x320', 'images/bdd_road2.jpg', stretched('Placeholder', 320, 180, {})),
    of('mlsd/mlsd_320x320_tiny', 'images/det1.jpg', lineSegments),
  ];
}

/** `folder` holds models and datasets; it may be missing. */
export function agreeCases(folder: string): Case[] {
  return [...packaged(), ...collected(folder)];
}

/** What a case lacks on this machine, or nothing. */
export function missingFile({ model, sources }: Case): string | undefined {
  return [model, ...sources].find((path) => !existsSync(path));
}
