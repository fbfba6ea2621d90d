import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { writeModel } from '../../../bench/write-model.ts';
import { createEngine } from '../../../runtime/engine/engine.ts';
import { int, text, texts } from '../onnx/attributes.ts';
import { bodies, pipelineOf, send } from './arithmetic.ts';

test('a condition may ask for a label that a classifier gives as text', async () => {
  const file = writeModel({
    opsets: { '': 17, 'ai.onnx.ml': 1 },
    graph: {
      inputs: [{ name: 'x', type: 1, dims: [1, 2] }],
      outputs: [{ name: 'label', type: 8 }],
      nodes: [
        { operator: 'ArgMax', inputs: ['x'], outputs: ['place'], attributes: [int('axis', 1), int('keepdims', 0)] },
        {
          operator: 'LabelEncoder',
          domain: 'ai.onnx.ml',
          inputs: ['place'],
          outputs: ['label'],
          attributes: [texts('classes_strings', ['normal', 'bearing worn']), text('default_string', '?')],
        },
      ],
    },
  });
  const engine = await createEngine();
  try {
    const model = await engine.load(file, { name: 'm' });
    const changes = {
      when: 'sum.label.data[0] == "bearing worn"',
      output: { topic: 'out', fields: { label: 'sum.label.data[0]' }, summary: 'sum.label.data[0] + "!"' },
    };
    const pipeline = pipelineOf(changes, model);
    assert.equal((await send(pipeline, { v: [0.9, 0.1], id: 1 })).results, []);
    const outcome = await send(pipeline, { v: [0.2, 0.8], id: 2 });
    assert.is(bodies(outcome)[0]?.label, 'bearing worn');
    assert.is(outcome.results[0]?.summary, 'bearing worn!');
  } finally {
    await engine.close();
  }
});

test.run();
