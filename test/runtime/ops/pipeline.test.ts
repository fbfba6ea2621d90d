/** A whole pipeline as scikit-learn's converter writes it: texts and numbers in, a label and a map of scores out. */
import * as ort from 'onnxruntime-web';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type AttributeSpec, type ModelSpec, writeModel } from '../../../bench/write-model.ts';
import { createEngine } from '../../../runtime/engine/engine.ts';
import type { EngineValue, MapValue, SequenceValue } from '../../../runtime/engine/value.ts';
import { difference } from '../../onnx/difference.ts';
import { Random } from '../../random.ts';

ort.env.wasm.numThreads = 1;
ort.env.logLevel = 'error';

const colours = ['red', 'green', 'blue'];
const classes = ['apple', 'pear', 'plum'];
const ml = 'ai.onnx.ml';

const texts = (name: string, list: readonly string[]): AttributeSpec => ({
  name,
  type: 8,
  write(writer) {
    for (const text of list) writer.writeStringField(9, text);
  },
});
const int = (name: string, value: number): AttributeSpec => ({
  name,
  type: 2,
  write: (writer) => writer.writeVarintField(3, value),
});

const numbers = (name: string, list: readonly number[]): AttributeSpec => ({
  name,
  type: 6,
  write(writer) {
    for (const value of list) writer.writeFloatField(7, value);
  },
});

const model: ModelSpec = {
  opsets: { '': 17, [ml]: 1 },
  graph: {
    inputs: [
      { name: 'colour', type: 8, dims: ['n', 1] },
      { name: 'size', type: 1, dims: ['n', 2] },
    ],
    outputs: [
      { name: 'label', type: 8 },
      { name: 'scores', type: 1 },
      { name: 'maps', type: 1, isMaps: true },
    ],
    nodes: [
      {
        operator: 'OneHotEncoder',
        domain: ml,
        inputs: ['colour'],
        outputs: ['encoded'],
        attributes: [texts('cats_strings', colours)],
      },
      { operator: 'Flatten', inputs: ['encoded'], outputs: ['flat'] },
      {
        operator: 'Scaler',
        domain: ml,
        inputs: ['size'],
        outputs: ['scaled'],
        attributes: [numbers('offset', [4, 0.5]), numbers('scale', [0.5, 4])],
      },
      { operator: 'Concat', inputs: ['flat', 'scaled'], outputs: ['features'], attributes: [int('axis', 1)] },
      {
        operator: 'LinearClassifier',
        domain: ml,
        inputs: ['features'],
        outputs: ['label', 'scores'],
        attributes: [
          numbers(
            'coefficients',
            Array.from({ length: 15 }, (_, i) => Math.sin(i * 1.7) * 2),
          ),
          numbers('intercepts', [0.1, -0.2, 0.05]),
          texts('classlabels_strings', classes),
          int('multi_class', 1),
          { name: 'post_transform', type: 3, write: (writer) => writer.writeStringField(4, 'SOFTMAX') },
        ],
      },
      {
        operator: 'ZipMap',
        domain: ml,
        inputs: ['scores'],
        outputs: ['maps'],
        attributes: [texts('classlabels_strings', classes)],
      },
    ],
  },
};

test('a pipeline from texts to labels and maps gives what onnxruntime gives, for any number of rows', async () => {
  const seed = Number(process.env.SEED ?? 7);
  console.log(`seed ${seed}`);
  const random = new Random(seed);
  const bytes = writeModel(model);
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'] });
  const engine = await createEngine();
  const ours = await engine.load(bytes, { name: 'fruit' });
  for (const rows of [1, 7, 30]) {
    // A colour that is no category has no 1 in its row.
    const names = Array.from({ length: rows }, () => [...colours, 'grey'][random.below(4)] as string);
    const sizes = Float32Array.from({ length: 2 * rows }, () => random.below(1000) / 125);
    const { outputs } = await ours.run({
      colour: { type: 'string', dims: [rows, 1], data: names },
      size: { type: 'float32', dims: [rows, 2], data: sizes },
    });
    const feeds = {
      colour: new ort.Tensor('string', names, [rows, 1]),
      size: new ort.Tensor('float32', sizes, [rows, 2]),
    };
    // onnxruntime-web cannot give maps to JavaScript.
    const wanted = await session.run(feeds, ['label', 'scores']);
    for (const name of ['label', 'scores'])
      assert.is(difference(outputs[name], wanted[name] as unknown as EngineValue), undefined, `${rows} rows, ${name}`);
    const maps = (outputs.maps as SequenceValue).items as MapValue[];
    const scores = wanted.scores?.data as Float32Array;
    assert.is(maps.length, rows);
    maps.forEach(({ entries }, row) => {
      assert.equal([...entries.keys()], classes);
      [...entries.values()].forEach((score, i) => {
        assert.ok(Math.abs(Number(score) - (scores[row * 3 + i] as number)) < 1e-5);
      });
    });
  }
  await engine.close();
  await session.release();
});

test.run();
