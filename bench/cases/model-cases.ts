/** The whole models of `npm run bench -- models`, each with one real input. */
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { agreeCases, type Case, missingFile } from '../agree-cases.ts';
import { quantizedCases } from '../agree-quantized.ts';
import type { Job, Tensors } from '../contenders/contender.ts';
import { peersInstalled } from '../peers.ts';
import { layersModel } from './layers-model.ts';
import { layersToOnnx } from './layers-to-onnx.ts';
import { randomValues } from './random-values.ts';

export interface BenchCase {
  readonly name: string;
  /** Computes with 8-bit integers: contenders round elsewhere, so only the direction of the answers is compared. */
  readonly quantized: boolean;
  /** Another case that answers the same question in float32. */
  readonly floatCase?: string;
  /** Files are read and pictures decoded when a case's turn comes. Throws an Error that says which file is missing. */
  job(): Promise<Job>;
}

/** git ignores it, and so may we: it is made again when it is not there. */
const cache = fileURLToPath(new URL('../../build/bench/', import.meta.url));

const networks = [
  { name: 'MobileNetV2', model: 'mobilenet_v2', size: 224 },
  { name: 'InceptionV3', model: 'inception_v3', size: 299 },
];

const floatCases: Readonly<Record<string, string>> = {
  'mobilenetv2_int8/mobilenetv2_int8_qdq': 'MobileNetV2',
  'mlperf_tiny/vww_int8_qdq': 'mlperf_tiny/vww_fp32',
  'mlperf_tiny/ad_int8_qdq': 'mlperf_tiny/ad_fp32',
};

function converted(model: string): string {
  const file = join(cache, `${model}.onnx`);
  if (!existsSync(file)) {
    mkdirSync(cache, { recursive: true });
    writeFileSync(`${file}.part`, layersToOnnx(layersModel(model)));
    renameSync(`${file}.part`, file);
  }
  return file;
}

function network({ name, model, size }: (typeof networks)[number]): BenchCase {
  return {
    name,
    quantized: false,
    async job() {
      if (!peersInstalled()) throw new Error('needs the weights of nsfwjs, which the peers bring');
      const dims = [1, 3, size, size];
      const data = randomValues(3 * size * size).map((value) => value + 0.5);
      return {
        name,
        model: converted(model),
        inputs: { x: { type: 'float32', dims, data } },
        tensorflow: { kind: 'layers', model },
      };
    },
  };
}

/** Frames before the one that is timed: recordings begin with silence. */
const FRAME = 10;

/** The first source's input, and zeros for what a run takes over from the one before. */
function ofAgreement(each: Case): BenchCase {
  const { name, model, sources, quantized = false, carry = {} } = each;
  return {
    name,
    quantized,
    floatCase: floatCases[name],
    async job() {
      const missing = missingFile(each);
      if (missing) throw new Error('its file or its picture is not there');
      const runs = await each.inputs(sources[0] ?? '');
      const given = (runs[FRAME] ?? runs[0]) as Tensors;
      const state = Object.entries(carry).map(([input, { dims }]) => {
        const data = new Float32Array(dims.reduce((product, size) => product * size, 1));
        return [input, { type: 'float32', dims, data }] as const;
      });
      return { name, model, inputs: { ...given, ...Object.fromEntries(state) } };
    },
  };
}

/** `folder` holds models and datasets; it may be missing. */
export function modelCases(folder: string): BenchCase[] {
  return [...networks.map(network), ...[...agreeCases(folder), ...quantizedCases(folder)].map(ofAgreement)];
}
