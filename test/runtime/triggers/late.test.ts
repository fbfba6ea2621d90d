/** What becomes of messages whose answers would come too late, and how results tell of their runs. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { RunError } from '../../../runtime/engine/run-error.ts';
import type { RefusalCause } from '../../../runtime/schedule/events.ts';
import { createPipeline } from '../../../runtime/triggers/pipeline.ts';
import { triggerSchema } from '../../../runtime/triggers/schema.ts';
import { base, bodies, counter, modelOf, pipelineOf, refusal, send, stage } from './arithmetic.ts';

/** A model that is always too slow, and a sum in its place. */
function hurried(changes: object, refusal: RefusalCause = 'deadline') {
  const slow = modelOf({
    run: () => {
      throw new RunError('expected to end after 90.0 ms, later than its deadline', 'refused', { refusal });
    },
  });
  const trigger = triggerSchema.parse({ ...base, deadlineMs: 50, ...changes });
  const models = (name: string) => ({ model: name === 'm' ? slow : modelOf(), version: name === 'm' ? 3 : 4 });
  return createPipeline(trigger, { node: 'node-1', models });
}

test('a message whose answer would come too late is reported, skipped, or answered by the smaller model', async () => {
  const late = 'trigger "t", stage "sum" (model "m"): expected to end after 90.0 ms, later than its deadline';
  assert.is(await refusal(() => send(hurried({}), { v: 1, id: 1 })), late);
  const skipped = await send(hurried({ late: 'skip' }), { v: 1, id: 1 });
  assert.equal(skipped.results, []);
  assert.is(skipped.dropped, late);
  const smaller = hurried({ stages: [{ ...stage, smaller: 'nano' }] });
  const [body] = bodies(await send(smaller, { v: [1, 2], id: 1 })) as { sum: number; meta: { models: object } }[];
  assert.is(body?.sum, 3);
  assert.equal(body?.meta.models, [{ name: 'nano', version: 4, engine: 'llmasos' }]);
  const wrong = hurried({ late: 'skip', stages: [{ ...stage, smaller: 'nano' }] }, 'quota');
  assert.is(await refusal(() => send(wrong, { v: 1, id: 1 })), late);
});

test('a message that is skipped leaves what its stream remembers', async () => {
  let isSlow = false;
  const model = modelOf({
    ...counter,
    run: (inputs, options) => {
      if (isSlow) throw new RunError('late', 'late');
      return (counter.run as NonNullable<typeof counter.run>)(inputs, options);
    },
  });
  const pipeline = pipelineOf(
    {
      decode: { format: 'json', values: '$.v' },
      ...{ late: 'skip', deadlineMs: 100 },
      stages: [
        {
          name: 'sum',
          model: 'm',
          inputs: { state: { recurrent: 'next', dims: [1, 1] }, rate: { constant: 8000 } },
          post: { step: 'raw' },
        },
      ],
      output: { topic: 'out', fields: { n: 'sum.next.data[0]' } },
    },
    model,
  );
  const count = async () => bodies(await send(pipeline, { v: [1] }))[0]?.n;
  assert.equal([await count(), await count()], [1, 2]);
  isSlow = true;
  assert.is(await count(), undefined);
  isSlow = false;
  assert.is(await count(), 3);
});

test('a result tells how its runs fared when its trigger asks for it', async () => {
  const plain = modelOf();
  const account = {
    ...{ submittedUs: 1000, readyUs: 1000, endedUs: 9000, runUs: 5000, preemptions: 1 },
    slices: [
      { fromUs: 2000, untilUs: 4000, cores: [1], batch: 1, preemptedBy: 7 },
      { fromUs: 6000, untilUs: 9000, cores: [0], batch: 1 },
    ],
  };
  const model = {
    ...plain,
    run: async (...asked: Parameters<typeof plain.run>) => ({ ...(await plain.run(...asked)), accounts: [account] }),
  };
  const outcome = await send(pipelineOf({ output: { ...base.output, account: true } }, model), { v: 1, id: 1 });
  assert.equal([outcome.waitMs, outcome.preemptions], [2.25, 1]);
  const [body] = bodies(outcome) as { meta: { runs: object } }[];
  assert.equal(body?.meta.runs, [
    {
      ...{ stage: 'sum', model: 'm', preemptions: 1, waitedMs: 1, setAsideMs: 2, computedMs: 5 },
      slices: [
        { fromMs: 1, ms: 2, cores: [1] },
        { fromMs: 5, ms: 3, cores: [0] },
      ],
    },
  ]);
});

test.run();
