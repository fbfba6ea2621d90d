/** What stages give back when an answer is written. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { resultBuffer } from '../../../runtime/engine/result-memory.ts';
import type { Tensor, ValueDescription } from '../../../runtime/engine/tensor.ts';
import { bodies, modelOf, pipelineOf, send, stage } from './arithmetic.ts';

test('memory of results is used again once the answer is written, but not that of a state', async () => {
  const COUNT = 5000;
  const filled = (value: number): Tensor => {
    const data = new Float32Array(resultBuffer(COUNT * 4)).fill(value);
    return { type: 'float32', dims: [1, COUNT], data };
  };
  const seen = new Set<ArrayBufferLike>();
  const [x, state] = ['x', 'state'].map((name) => ({ name, type: 'float32', dims: [1, null] }) as const);
  const model = modelOf({
    inputs: [x, state] as ValueDescription[],
    outputs: ['y', 'next'].map((name) => ({ name, type: 'float32', dims: [1, null] })),
    run: ({ x, state }) => {
      const [runs] = (state as Tensor).data as Float32Array;
      const outputs = { y: filled(Math.max(...((x as Tensor).data as Float32Array))), next: filled(Number(runs) + 1) };
      seen.add(outputs.y.data.buffer);
      return outputs;
    },
  });
  const inputs = { state: { recurrent: 'next', dims: [1, COUNT] } };
  const pipeline = pipelineOf(
    {
      stages: [
        { ...stage, inputs },
        { ...stage, name: 'again', inputs: { ...inputs, x: { from: 'sum.y' } } },
      ],
      output: { topic: 'b', fields: { y: 'again.y.data[4999]', runs: 'sum.next.data[0] + again.next.data[4999]' } },
    },
    model,
  );
  for (let i = 1; i <= 60; i++) {
    assert.equal(
      bodies(await send(pipeline, { v: i, id: i })).map(({ y, runs }) => [y, runs]),
      [[i, 2 * i]],
    );
    // Whoever gets what is free now writes to it; it is gone afterwards.
    for (let j = 0; j < 3; j++) filled(Number.NaN);
  }
  const held = seen.size;
  for (let i = 61; i <= 100; i++) await send(pipeline, { v: i, id: i });
  assert.ok(seen.size <= held + 4, `${seen.size - held} arrays for 40 messages`);
});

test.run();
