import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Behaviour, counter, modelOf, pipelineOf, refusal, stage } from './arithmetic.ts';

test('a model that cannot be fed as the trigger says is refused before the first message', async () => {
  const picture = { decode: { format: 'image' } };
  const open: Behaviour = { inputs: [{ name: 'x', type: 'float32', dims: [1, 3, 'h', 'w'] }] };
  const fixed: Behaviour = { inputs: [{ name: 'x', type: 'float32', dims: [1, 3, 32, 32] }] };
  const withInputs = (inputs: object) => ({ stages: [{ ...stage, inputs }] });
  const cases: [changes: object, behaviour: Behaviour, sentence: string][] = [
    [{ stages: [{ ...stage, model: 'other' }] }, {}, 'trigger "t", stage "sum": model "other": not on this node'],
    [withInputs({ z: { constant: 1 } }), {}, 'AT: the model has no input "z", it wants "x" float32 [1, ?]'],
    [
      withInputs({}),
      counter,
      'AT: inputs "x" and "state" and "rate" would all get the message; say under "inputs" what the others get',
    ],
    [
      withInputs({ state: { recurrent: 'z' }, rate: { constant: 1 } }),
      counter,
      'AT, input "state": the model has no output "z" to feed back, it has y, next',
    ],
    [
      withInputs({ state: { recurrent: 'next' }, rate: { constant: 1 } }),
      counter,
      'AT, input "state": the model leaves [1, n] open: give "dims" for the zeros at the start',
    ],
    [
      withInputs({ state: { recurrent: 'next', dims: [2, 2] }, rate: { constant: 1 } }),
      counter,
      'AT, input "state": the model wants [1, n], got [2, 2]; "dims" can give it another shape',
    ],
    [
      withInputs({ state: { recurrent: 'next', dims: [1, 1] }, rate: { constant: 1.5 } }),
      counter,
      'AT, input "rate": element 0: expected a value that int64 can hold, got 1.5',
    ],
    [
      withInputs({ x: { from: 'sum.y' } }),
      {},
      'AT, input "x": expected the output of an earlier stage without "each", got "sum.y"; there is none',
    ],
    [
      withInputs({ x: { from: 'y' } }),
      {},
      'AT, input "x": only "tensors" messages have named tensors, this trigger decodes "json"',
    ],
    [withInputs({ x: { image: {} } }), {}, 'AT, input "x": "image" needs decode.format "image", got "json"'],
    [
      { decode: { format: 'json', values: '$.v', dims: [5] } },
      { inputs: [{ name: 'x', type: 'float32', dims: [1, 4] }] },
      'AT, input "x": the model wants [1, 4], got [5]; "dims" can give it another shape',
    ],
    [
      { decode: { format: 'audio', rate: 8000 }, window: { length: 6, context: 2 } },
      { inputs: [{ name: 'x', type: 'float32', dims: [1, 6] }] },
      'AT, input "x": the model wants [1, 6], got [8]; "dims" can give it another shape',
    ],
    [picture, {}, 'AT, input "x": a picture has 4 dimensions, the model wants [1, ?]'],
    [picture, open, 'AT, input "x": the model leaves [1, 3, h, w] open: give image.height and image.width'],
    [
      { ...picture, ...withInputs({ x: { image: { order: 'gray' } } }) },
      fixed,
      'AT, input "x": the model wants [1, 3, 32, 32], layout nchw with order gray gives 1 channels there',
    ],
    [
      { ...picture, ...withInputs({ x: { image: { layout: 'nhwc' } } }) },
      fixed,
      'AT, input "x": the model wants [1, 3, 32, 32], layout nhwc with order rgb gives 3 channels there',
    ],
    [
      { ...picture, ...withInputs({ x: { image: { height: 64 } } }) },
      fixed,
      'AT, input "x": the model wants height 32, image.height is 64',
    ],
    [
      { ...picture, ...withInputs({ x: { image: { std: [1, 0, 1] } } }) },
      fixed,
      'AT, input "x": picture tensor: expected "std" without zeros',
    ],
    [
      { ...picture, ...withInputs({ x: { image: { mean: [1, 2] } } }) },
      fixed,
      'AT, input "x": picture tensor: expected "mean" with 1 or 3 numbers, got 2',
    ],
    [
      withInputs({}),
      { inputs: [{ name: 'x', type: 'string', dims: [1] }] },
      'AT, input "x": string cannot be made from messages',
    ],
  ];
  for (const [changes, behaviour, sentence] of cases) {
    const plain = { output: { topic: 'b' }, ...changes };
    const expected = sentence.replace('AT', 'trigger "t", stage "sum" (model "m")');
    assert.is(await refusal(() => pipelineOf(plain, modelOf(behaviour))), expected);
  }
});

test.run();
