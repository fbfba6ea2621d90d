import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Model, RunOptions } from '../../../runtime/engine/model.ts';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import { readSafetensors } from '../../../runtime/triggers/safetensors.ts';
import { randomFrom } from '../../random.ts';
import { encodePng } from '../media/write-png.ts';
import { bodies, counter, modelOf, pipelineOf, refusal, scalar, send, stage, sumOf } from './arithmetic.ts';

test('a result carries its fields, and who answered what and how fast', async () => {
  const outcome = await send(pipelineOf(), { v: [1, 2, 3.5], id: 'a1' }, 1234);
  const [result] = outcome.results;
  assert.is(result?.topic, 'out/heat/7');
  assert.is(result?.qos, 0);
  assert.is(result?.summary, 'sum 6.5, line 7, id a1, twice 13');
  assert.is(outcome.dropped, undefined);
  assert.equal(bodies(outcome), [
    {
      sum: 6.5,
      line: '7',
      id: 'a1',
      twice: 13,
      meta: {
        trigger: 't',
        node: 'node-1',
        models: [{ name: 'm', version: 3, engine: 'llmasos' }],
        queueMs: 0.25,
        runMs: 1.5,
        receivedAt: 1234,
        id: 'a1',
      },
    },
  ]);
});

test('priority, deadline and tenant reach the model', async () => {
  let seen: RunOptions | undefined;
  const model = modelOf({
    run: (_, options) => {
      seen = options;
      return { y: scalar(1) };
    },
  });
  await send(pipelineOf({ priority: 'safety', deadlineMs: 50, tenant: 'brakes' }, model), { v: 1, id: 1 }, 1000);
  assert.equal(seen, { priority: 'safety', deadlineMs: 1050, tenant: 'brakes' });
  await send(pipelineOf({}, model), { v: 1, id: 1 }, 1000);
  assert.equal(seen, { priority: 'normal', deadlineMs: undefined, tenant: undefined });
});

test('a condition withholds results, and let names values for it', async () => {
  const pipeline = pipelineOf({
    let: { sign: 'sum.y.data[0] > 10 ? "hot" : "cold"' },
    when: 'sign == "hot"',
    output: { topic: 'out', fields: { sign: 'sign' }, summary: 'sign + "!"' },
  });
  assert.equal((await send(pipeline, { v: 9, id: 1 })).results, []);
  const outcome = await send(pipeline, { v: 11, id: 2 });
  assert.is(outcome.results[0]?.summary, 'hot!');
  assert.is(bodies(outcome)[0]?.sign, 'hot');
  const odd = pipelineOf({ when: 'sum.y.data[0]' });
  assert.is(await refusal(() => send(odd, { v: 1, id: 1 })), 'when: expected true or false, got 1');
});

test('at most so many results leave within a period, for each stream', async () => {
  const pipeline = pipelineOf({ rate: { max: 2, perMs: 1000 } });
  const sent: [at: number, topic: string, results: number][] = [
    [0, 'plant/1/a', 1],
    [500, 'plant/1/a', 1],
    [999, 'plant/1/a', 0],
    [999, 'plant/1/b', 1],
    [1000, 'plant/1/a', 1],
    [1400, 'plant/1/a', 0],
    [1500, 'plant/1/a', 1],
  ];
  for (const [at, topic, results] of sent) {
    const outcome = await send(pipeline, { v: 1, id: at }, at, topic);
    assert.is(outcome.results.length, results, `at ${at}`);
    assert.is(outcome.dropped, results ? undefined : 'more than 2 results in 1000 ms');
  }
});

test('messages of one stream are answered in order, those of others do not wait for them', async () => {
  const done: number[] = [];
  let release = (): void => {};
  const gate = new Promise<void>((resolve) => (release = resolve));
  const model = modelOf({
    run: async ({ x }) => {
      const value = (x as Tensor).data[0] as number;
      // The first message waits; were there no queue, the later ones would overtake it.
      if (value === 1) await gate;
      done.push(value);
      return { y: scalar(value) };
    },
  });
  const pipeline = pipelineOf({}, model);
  const first = [1, 2, 3].map((v) => send(pipeline, { v, id: v }, v, 'plant/1/a'));
  await send(pipeline, { v: 9, id: 9 }, 9, 'plant/1/b');
  assert.equal(done, [9]);
  release();
  await Promise.all(first);
  assert.equal(done, [9, 1, 2, 3]);
});

test('a stream that is flooded is refused further messages, and goes on afterwards', async () => {
  let release = (): void => {};
  const gate = new Promise<void>((resolve) => (release = resolve));
  const pipeline = pipelineOf({}, modelOf({ run: () => gate.then(() => ({ y: scalar(1) })) }));
  const waiting = Array.from({ length: 256 }, (_, id) => send(pipeline, { v: 1, id }));
  assert.match(
    await refusal(() => send(pipeline, { v: 1, id: 'late' })),
    /expected at most 256 messages of "plant\/7\/heat" to wait/,
  );
  release();
  assert.is((await Promise.all(waiting)).length, 256);
  assert.is((await send(pipeline, { v: 1, id: 'after' })).results.length, 1);
});

const streaming = {
  topic: 'a/{d}',
  decode: { format: 'raw', type: 'int16' },
  window: { length: 4, hop: 2, context: 1, gapMs: 100, rate: 8000 },
  stages: [{ ...stage, inputs: { state: { recurrent: 'next', dims: [1, 1] }, rate: { constant: 8000 } } }],
  output: { topic: 'b', fields: { sum: 'sum.y.data[0]', seen: 'sum.next.data[0]', at: 'window.start' } },
};

function pcm(...values: number[]): Uint8Array {
  return new Uint8Array(Int16Array.from(values).buffer);
}

test('windows and recurrent state are kept for each stream', async () => {
  const pipeline = pipelineOf(streaming, modelOf(counter));
  const ask = async (topic: string, at: number, ...values: number[]) =>
    bodies(await send(pipeline, pcm(...values), at, topic)).map(({ sum, seen, at: start }) => [sum, seen, start]);
  assert.equal(await ask('a/x', 0, 1, 2, 3), []);
  // Windows [0 1 2 3 4] and [2 3 4 5 6]; two samples are new in each.
  assert.equal(await ask('a/x', 10, 4, 5, 6), [
    [10, 1, 2],
    [20, 2, 4],
  ]);
  assert.equal(await ask('a/y', 20, 10, 10, 10, 10), [[40, 1, 2]]);
  assert.equal(await ask('a/x', 30, 7, 8), [[30, 3, 6]]);
});

test('a pause longer than gapMs starts the stream afresh', async () => {
  const pipeline = pipelineOf(streaming, modelOf(counter));
  assert.is(bodies(await send(pipeline, pcm(1, 1, 1, 1), 0, 'a/x'))[0]?.seen, 1);
  assert.equal((await send(pipeline, pcm(1), 100, 'a/x')).results, []);
  assert.is(bodies(await send(pipeline, pcm(1), 200, 'a/x'))[0]?.seen, 2);
  assert.is(bodies(await send(pipeline, pcm(1, 1, 1, 1), 301, 'a/x'))[0]?.seen, 1);
});

test('a message that cannot be decoded leaves its stream as it was, one that fails later starts it afresh', async () => {
  const seed = 8;
  const random = randomFrom(seed);
  const pipeline = pipelineOf(streaming, modelOf(counter));
  // Samples since the stream began, after the zero of context; windows answered so far.
  let stream = [0];
  let answered = 0;
  const seen = { undecodable: 0, failed: 0, answered: 0 };
  for (let round = 0; round < 1000; round++) {
    const values = Array.from({ length: 1 + random(9) }, () => random(50) - (random(60) === 0 ? 400 : 0));
    if (random(10) === 0) {
      const half = new Uint8Array([...pcm(...values), 0]);
      assert.match(await refusal(() => send(pipeline, half, 0, 'a/x')), /^message: expected a multiple of 2 bytes/);
      seen.undecodable++;
      continue;
    }
    stream.push(...values);
    const expected: [sum: number, seen: number][] = [];
    for (let at = answered * 2; at + 5 <= stream.length; at += 2) {
      expected.push([stream.slice(at, at + 5).reduce((sum, value) => sum + value), answered + expected.length + 1]);
    }
    if (expected.some(([sum]) => sum < 0)) {
      const message = await refusal(() => send(pipeline, pcm(...values), 0, 'a/x'));
      assert.is(message, 'trigger "t", stage "sum" (model "m"): negative sound');
      stream = [0];
      answered = 0;
      seen.failed++;
    } else {
      const found = bodies(await send(pipeline, pcm(...values), 0, 'a/x'));
      assert.equal(
        found.map(({ sum, seen }) => [sum, seen]),
        expected,
        `seed ${seed}, round ${round}`,
      );
      answered += found.length;
      seen.answered += found.length;
    }
  }
  assert.ok(seen.undecodable > 50 && seen.failed > 50 && seen.answered > 500, JSON.stringify(seen));
});

test('the stream that was silent longest is forgotten when there are too many', async () => {
  const pipeline = pipelineOf(streaming, modelOf(counter));
  const seen = async (device: number, at: number) =>
    bodies(await send(pipeline, pcm(1, 1, 1, 1), at, `a/${device}`)).at(-1)?.seen;
  for (let device = 0; device < 1000; device++) assert.is(await seen(device, 0), 1);
  assert.is(await seen(0, 1), 3, 'still known, and now the latest');
  assert.is(await seen(1000, 1), 1);
  assert.is(await seen(0, 2), 5);
  assert.is(await seen(1, 2), 1, 'forgotten in favour of the thousand-and-first');
});

test('an entry that outlines no part of the picture is refused', async () => {
  const model = modelOf({
    inputs: [{ name: 'x', type: 'float32', dims: [1, 3, 2, 4] }],
    run: () => ({ y: { type: 'float32', dims: [2], data: Float32Array.of(0.1, 0.9) } }),
  });
  const trigger = {
    decode: { format: 'image' },
    stages: [
      { name: 'found', model: 'm', post: { step: 'top-k', k: 1 } },
      { name: 'part', model: 'm', each: 'found', post: { step: 'top-k' } },
    ],
    output: { topic: 'b' },
  };
  const png = encodePng({ width: 4, height: 2, channels: 3, data: new Uint8Array(24) });
  assert.is(
    await refusal(() => send(pipelineOf(trigger, model), png)),
    'each: expected regions with "points" or a "box", got {"index":1,"label":"class 1","score":0.9}',
  );
});

test('tensors come and go as safetensors, with the origin beside them', async () => {
  const pipeline = pipelineOf({
    decode: { format: 'raw', type: 'float32' },
    stages: [{ name: 'sum', model: 'm' }],
    output: { topic: 'b', tensors: 'sum' },
  });
  const { results } = await send(pipeline, new Uint8Array(Float32Array.of(1, 2, 4).buffer));
  const { tensors, metadata } = readSafetensors((results[0] as { payload: Uint8Array }).payload);
  assert.equal(tensors.y, scalar(7));
  assert.is(metadata.node, 'node-1');
  assert.equal(JSON.parse(metadata.models as string), [{ name: 'm', version: 3, engine: 'llmasos' }]);
});

test('messages that do not suit the model are refused by the name of its input', async () => {
  const model = modelOf({ inputs: [{ name: 'x', type: 'uint8', dims: [1, 3] }] });
  const pipeline = pipelineOf({}, model);
  assert.is(
    await refusal(() => send(pipeline, { v: [1, 2], id: 1 })),
    'trigger "t", stage "sum" (model "m"), input "x": the model wants [1, 3], got [2]; "dims" can give it another shape',
  );
  assert.is(
    await refusal(() => send(pipeline, { v: [1, 2, 300], id: 1 })),
    'trigger "t", stage "sum" (model "m"), input "x": element 2: expected a value that uint8 can hold, got 300',
  );
  assert.match(
    await refusal(() => send(pipelineOf(), { v: [1, 1e300], id: 1 })),
    /input "x": element 1: expected a value that float32 can hold, got 1e\+300/,
  );
  assert.is(
    await refusal(() => send(pipeline, { v: 1, id: 1 }, 1, 'elsewhere')),
    'topic "elsewhere" does not match the trigger\'s "plant/{line}/{sensor}"',
  );
  assert.is((await send(pipeline, { v: [1, 2, 3], id: 1 })).results.length, 1);
});

test('an expression that fails at work is named', async () => {
  const pipeline = pipelineOf({ output: { topic: 'b', fields: { x: 'sum.y.data[5]' } } });
  assert.match(await refusal(() => send(pipeline, { v: 1, id: 1 })), /^expression "sum\.y\.data\[5\]": /);
});

test('one stage can feed the next with its output', async () => {
  const plain = await send(pipelineOf(), { v: [1, 2, 3], id: 1 });
  const meta = bodies(plain)[0]?.meta as { models: object[] };
  const stages = [
    { name: 'first', model: 'm' },
    { ...stage, inputs: { x: { from: 'first.y' } } },
  ];
  const outcome = await send(pipelineOf({ stages }), { v: [1, 2, 3], id: 1 });
  assert.is(bodies(outcome)[0]?.sum, 6);
  assert.equal(bodies(outcome)[0]?.meta, { ...meta, models: [...meta.models, ...meta.models], runMs: 3, queueMs: 0.5 });
});

test('a result names the engine that gave it, also when the model changed to another one', async () => {
  let engine: Model['engine'] = 'llmasos';
  const model = {
    ...modelOf(),
    get engine() {
      return engine;
    },
  };
  const pipeline = pipelineOf({}, model);
  const ask = async () => {
    const [body] = bodies(await send(pipeline, { v: 1, id: 1 }));
    return (body?.meta as { models: object[] } | undefined)?.models[0];
  };
  assert.equal(await ask(), { name: 'm', version: 3, engine: 'llmasos' });
  engine = 'onnxruntime';
  assert.equal(await ask(), { name: 'm', version: 3, engine: 'onnxruntime' });
});

test('a publisher cannot choose levels that make a trigger answer itself or speak for the fleet', async () => {
  const pipeline = pipelineOf({ topic: '{kind}/{line}/in', output: { topic: '{line}/{kind}/{line}', fields: {} } });
  const ask = (topic: string) => refusal(() => send(pipeline, { v: 1, id: 1 }, 1, topic));
  assert.is((await send(pipeline, { v: 1, id: 1 }, 1, 'a/b/in')).results[0]?.topic, 'b/a/b');
  assert.is(await ask('a/in/in'), '"in/a/in" matches the trigger\'s own filter: it would answer itself');
  assert.is(await ask('a/llmasos/in'), '"llmasos/a/llmasos" belongs to the broker or the fleet itself');
  assert.is(await ask('a/$SYS/in'), '"$SYS/a/$SYS" belongs to the broker or the fleet itself');
  const bare = pipelineOf({ topic: '{line}/in', output: { topic: '{line}', fields: {} } });
  const empty = await refusal(() => send(bare, { v: 1, id: 1 }, 1, '/in'));
  assert.is(empty, 'answer topic "": expected at least one character');
});

test('a state that is no number is not carried into later messages', async () => {
  const model = modelOf({
    ...counter,
    run: ({ x, state }) => ({ y: scalar(1), next: scalar(((state as Tensor).data[0] as number) + sumOf(x as Tensor)) }),
  });
  const inputs = { state: { recurrent: 'next', dims: [1, 1] }, rate: { constant: 8000 } };
  const stages = [{ name: 'sum', model: 'm', inputs, post: { step: 'raw' } }];
  const pipeline = pipelineOf(
    {
      decode: { format: 'raw', type: 'float32' },
      stages,
      output: { topic: 'b', fields: { next: 'sum.next.data[0]' } },
    },
    model,
  );
  const ask = (value: number) => send(pipeline, new Uint8Array(Float32Array.of(value).buffer));
  assert.is(bodies(await ask(2))[0]?.next, 2);
  assert.is(bodies(await ask(3))[0]?.next, 5);
  assert.match(
    await refusal(() => ask(Number.NaN)),
    /stage "sum" \(model "m"\): output "next".* holds values that are no/,
  );
  assert.is(bodies(await ask(4))[0]?.next, 4);
});

test('results go on leaving when the clock is set back', async () => {
  const pipeline = pipelineOf({ rate: { max: 1, perMs: 1000 } });
  const count = async (at: number) => (await send(pipeline, { v: 1, id: at }, at)).results.length;
  assert.equal([await count(5_000_000), await count(5_000_100), await count(100), await count(200)], [1, 0, 1, 0]);
});

test('text out of a message reaches no terminal as a command', async () => {
  const pipeline = pipelineOf({ output: { topic: 'b', fields: {}, summary: 'message.body.text' } });
  const outcome = await send(pipeline, { v: 1, id: 1, text: 'a\u001b[2Jb\r\nc' });
  assert.is(outcome.results[0]?.summary, 'a [2Jb c');
});

test('regions that cover a picture again and again are refused before they fill the memory', async () => {
  const box = [0, 0, 1000, 1000];
  const count = 40;
  const model = modelOf({
    inputs: [{ name: 'x', type: 'float32', dims: [1, 3, 4, 4] }],
    run: () => ({
      scores: { type: 'float32', dims: [1, count, 2], data: new Float32Array(2 * count).fill(0.9) },
      boxes: {
        type: 'float32',
        dims: [1, count, 4],
        data: Float32Array.from({ length: 4 * count }, (_, i) => box[i % 4] as number),
      },
    }),
  });
  const trigger = {
    decode: { format: 'image' },
    stages: [
      { name: 'found', model: 'm', post: { step: 'ssd-boxes', iouMax: 1, normalised: false } },
      { name: 'part', model: 'm', each: 'found', post: { step: 'ssd-boxes' } },
    ],
    output: { topic: 'b' },
  };
  const png = encodePng({ width: 1000, height: 1000, channels: 1, data: new Uint8Array(1_000_000) });
  assert.match(
    await refusal(() => send(pipelineOf(trigger, model), png)),
    /stage "part": expected regions of at most 33177600 pixels/,
  );
});

test('a model that declares no shape takes what comes', async () => {
  const model = modelOf({ inputs: [{ name: 'x', type: 'float32', dims: [] }] });
  assert.is(bodies(await send(pipelineOf({}, model), { v: [1, 2, 3], id: 1 }))[0]?.sum, 6);
});

test.run();
