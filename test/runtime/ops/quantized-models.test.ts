/** Real models of 8-bit integers on our kernels, on real input: the answers that their pictures and sounds have. */
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { missingFile } from '../../../bench/agree-cases.ts';
import { quantizedCases } from '../../../bench/agree-quantized.ts';
import { readModel } from '../../../runtime/onnx/read.ts';
import { needsSharedData, sharedData, testWhere } from '../../requirement.ts';
import { TestModel } from '../compile/run-program.ts';

type Answer = (outputs: readonly Float32Array[], input: Float32Array) => number;

const largest: Answer = ([scores]) => (scores as Float32Array).indexOf(Math.max(...(scores as Float32Array)));
const scoreOf =
  (label: number): Answer =>
  ([scores]) =>
    scores?.[label] as number;

/** Share of pixels where the second of two maps leads. */
const covered =
  (output: number): Answer =>
  (outputs) => {
    const map = outputs[output] as Float32Array;
    const half = map.length / 2;
    return map.subarray(half).reduce((sum, value, i) => sum + (value > (map[i] as number) ? 1 : 0), 0) / half;
  };

const meanSquare: Answer = ([output], input) =>
  input.reduce((sum, value, i) => sum + (value - (output?.[i] as number)) ** 2, 0) / input.length;

interface Expectation {
  readonly model: string;
  readonly answer: Answer;
  /** One a source. */
  readonly expected: readonly number[];
  readonly tolerance: number;
}

/** ImageNet's classes 281, 207 and 94 are tabby, golden retriever and hummingbird. */
const expectations: readonly Expectation[] = [
  { model: 'mobilenetv2_int8_qdq', answer: largest, expected: [281, 207, 94], tolerance: 0 },
  { model: 'vww_int8_qdq', answer: scoreOf(1), expected: [0.98, 0.91, 0.02], tolerance: 0.02 },
  { model: 'kws_int8_qdq', answer: scoreOf(5), expected: [0.996], tolerance: 0.005 },
  { model: 'kws_dynrange_weights_int8', answer: scoreOf(5), expected: [1], tolerance: 0.005 },
  { model: 'ad_int8_qdq', answer: meanSquare, expected: [10.3], tolerance: 0.5 },
  { model: 'person_detect_int8_qdq', answer: scoreOf(1), expected: [0.93, 0.28], tolerance: 0.03 },
  { model: 'micro_speech_int8_qdq', answer: largest, expected: [2, 3], tolerance: 0 },
  { model: 'twinlitenet_preprocessed_quantized', answer: covered(0), expected: [0.225], tolerance: 0.02 },
  { model: 'twinlitenet_preprocessed_quantized', answer: covered(1), expected: [0.0071], tolerance: 0.002 },
];

const testWithData = testWhere(test, needsSharedData.met, needsSharedData.needs);

testWithData('quantised models recognise what is in the pictures and sounds', async () => {
  const cases = quantizedCases(sharedData);
  let seen = 0;
  for (const { model, answer, expected, tolerance } of expectations) {
    const each = cases.find(({ name }) => name.endsWith(`/${model}`));
    if (!each || missingFile(each)) throw new Error(`no case or no file for ${model}`);
    const ours = new TestModel(readModel(new Uint8Array(readFileSync(each.model))));
    for (const [index, source] of each.sources.entries()) {
      const runs = await each.inputs(source);
      const answers = runs.map((inputs) => {
        const outputs = Object.values(ours.run(inputs)).map(({ data }) => data as Float32Array);
        return answer(outputs, Object.values(inputs)[0]?.data as Float32Array);
      });
      const mean = answers.reduce((sum, value) => sum + value, 0) / answers.length;
      const wanted = expected[index] as number;
      assert.ok(Math.abs(mean - wanted) <= tolerance, `${model}, ${source}: ${mean} instead of ${wanted}`);
      seen++;
    }
  }
  assert.is(seen, 15);
});

test.run();
