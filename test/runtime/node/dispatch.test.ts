import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Dispatch } from '../../../runtime/node/dispatch.ts';
import { createCounter } from '../../../runtime/node/metrics.ts';
import type { Message, Outcome, Pipeline } from '../../../runtime/triggers/pipeline.ts';

const settle = () => new Promise((resolve) => setImmediate(resolve));
const input = (words: string, qos: 0 | 1 = 0) => ({
  topic: 't',
  payload: new TextEncoder().encode(words),
  qos,
  retain: false,
  receivedAt: 1,
});
const result = (words: string) => ({
  topic: 'out',
  payload: new TextEncoder().encode(words),
  qos: 0 as const,
  retain: false,
  summary: words,
});

/** A pipeline whose messages wait until they are let through. */
function held(prefix = '') {
  const waiting: (() => void)[] = [];
  const pipeline: Pipeline = {
    priority: 2,
    handle: ({ payload }: Message) =>
      new Promise<Outcome>((resolve) => {
        waiting.push(() =>
          resolve({ results: [result(prefix + new TextDecoder().decode(payload))], waitMs: 1, preemptions: 0 }),
        );
      }),
  };
  return { pipeline, waiting };
}

function setUp() {
  const published: string[] = [];
  const refused: string[] = [];
  const dispatch = new Dispatch({
    publish({ payload, qos }, safe) {
      published.push(`${new TextDecoder().decode(payload)} ${qos}`);
      safe();
    },
    refuse: (trigger, topic, error) => refused.push(`${trigger} ${topic} ${error}`),
  });
  return { dispatch, published, refused };
}

const drain = async (waiting: (() => void)[]) => {
  for (let rounds = 0; rounds < 20_000; rounds++) {
    const next = waiting.shift();
    if (!next) return;
    next();
    await settle();
  }
};

test('a result goes out as one of its trigger: with its class, and what may wait of it', async () => {
  const streams: unknown[] = [];
  const dispatch = new Dispatch({ publish: ({ stream }) => streams.push(stream), refuse() {} });
  const { pipeline, waiting } = held();
  dispatch.set('state', () => true, { ...pipeline, keep: { newestOnly: true, ageMsMax: 1000 } });
  dispatch.deliver(input('1'), () => {});
  await drain(waiting);
  assert.equal(streams, [{ name: 'state', urgency: 2, newestOnly: true, ageMsMax: 1000 }]);
});

test('messages of one trigger are answered one after the other, at the QoS they came with', async () => {
  const { dispatch, published } = setUp();
  const { pipeline, waiting } = held();
  dispatch.set('a', () => true, pipeline);
  let answered = 0;
  for (const [words, qos] of [
    ['1', 0],
    ['2', 1],
  ] as const)
    dispatch.deliver(input(words, qos), () => answered++);
  assert.is(waiting.length, 1);
  await drain(waiting);
  assert.equal(published, ['1 0', '2 1']);
  assert.is(answered, 2);
  const [metrics] = dispatch.metrics();
  assert.is(metrics?.results, 2);
  assert.is(metrics?.lastResult, '2');
});

test('a message that no trigger wants is answered at once', () => {
  const { dispatch } = setUp();
  let answered = 0;
  dispatch.deliver(input('1', 1), () => answered++);
  assert.is(answered, 1);
});

test('a message is answered when all its triggers are done, whether they answered or refused', async () => {
  const { dispatch, refused } = setUp();
  const { pipeline, waiting } = held();
  dispatch.set('good', () => true, pipeline);
  dispatch.set('bad', () => true, {
    priority: 2,
    handle: () => Promise.reject(new Error('expected a picture, got text')),
  });
  let answered = 0;
  dispatch.deliver(input('1', 1), () => answered++);
  await settle();
  assert.is(answered, 0);
  await drain(waiting);
  assert.is(answered, 1);
  assert.equal(refused, ['bad t expected a picture, got text']);
  assert.is(dispatch.metrics().find(({ name }) => name === 'bad')?.failures, 1);
});

test('a full queue drops its oldest QoS 0 message and keeps those of QoS 1', async () => {
  const { dispatch, published } = setUp();
  const { pipeline, waiting } = held();
  dispatch.set('a', () => true, pipeline);
  dispatch.deliver(input('first'), () => {});
  dispatch.deliver(input('kept', 1), () => {});
  for (let count = 0; count < 300; count++) dispatch.deliver(input(String(count)), () => {});
  await drain(waiting);
  assert.equal(published.slice(0, 3), ['first 0', 'kept 1', '44 0']);
  assert.is(published.length, 258);
  assert.is(dispatch.metrics()[0]?.dropped, 44);
});

test('a swapped trigger finishes its message, then the new form takes over the queue and the counts', async () => {
  const { dispatch, published } = setUp();
  const [before, after] = [held('old '), held('new ')];
  dispatch.set('a', () => true, before.pipeline);
  for (const words of ['1', '2', '3']) dispatch.deliver(input(words), () => {});
  dispatch.set('a', () => true, after.pipeline);
  let quiet = false;
  void dispatch.quiet().then(() => {
    quiet = true;
  });
  dispatch.deliver(input('4'), () => {});
  await settle();
  assert.is(after.waiting.length, 0);
  assert.not.ok(quiet);
  await drain(before.waiting);
  assert.ok(quiet);
  await drain(after.waiting);
  assert.equal(published, ['old 1 0', 'new 2 0', 'new 3 0', 'new 4 0']);
  assert.is(dispatch.metrics()[0]?.messages, 4);
});

test('messages wait for a trigger that is not ready yet, and are let go when it is not wanted any more', async () => {
  const { dispatch, published } = setUp();
  const { pipeline, waiting } = held();
  let answered = 0;
  for (const name of ['a', 'b']) dispatch.hold(name, () => true);
  dispatch.deliver(input('1', 1), () => answered++);
  await settle();
  dispatch.set('a', () => true, pipeline);
  await drain(waiting);
  assert.equal(published, ['1 1']);
  assert.is(answered, 0, 'b has not answered');
  dispatch.delete('b');
  assert.is(answered, 1);
});

test('a result that no broker takes is refused with the reason, instead of ending every connection', async () => {
  const { dispatch, published, refused } = setUp();
  const fits = new Uint8Array(1000);
  const bad: [topic: string, payload: Uint8Array, expected: RegExp][] = [
    ['', fits, /at least one character/],
    ['$SYS/x', fits, /does not begin with "\$"/],
    ['l/'.repeat(16), fits, /at most 16 levels, got 17/],
    ['é'.repeat(40_000), fits, /at most 65535 bytes, got 80000/],
    ['out', new Uint8Array(17 * 2 ** 20), /takes 17825792 bytes/],
  ];
  const results = bad.map(([topic, payload]) => ({ ...result('x'), topic, payload }));
  dispatch.set('a', () => true, {
    priority: 2,
    handle: async () => ({ results: [result('first'), results.shift() ?? result('y')], waitMs: 0, preemptions: 0 }),
  });
  let answered = 0;
  for (let count = 0; count <= bad.length; count++) dispatch.deliver(input('1', 1), () => answered++);
  for (let turn = 0; turn < 20; turn++) await settle();
  assert.is(answered, bad.length + 1);
  assert.equal(published, ['first 1', 'y 1'], 'nothing of a refused answer is published');
  assert.is(refused.length, bad.length);
  for (const [index, [, , expected]] of bad.entries()) assert.match(refused[index] as string, expected);
});

test('closing waits for the message in work and leaves the queued ones unanswered', async () => {
  const { dispatch, published } = setUp();
  const { pipeline, waiting } = held();
  dispatch.set('a', () => true, pipeline);
  let answered = 0;
  for (const words of ['1', '2']) dispatch.deliver(input(words, 1), () => answered++);
  const closed = dispatch.close();
  await drain(waiting);
  await closed;
  assert.equal(published, ['1 1']);
  assert.is(answered, 1);
});

test('quantiles are those of the last thousand messages, by nearest rank', () => {
  const counter = createCounter('a');
  assert.is(counter.read().latencyMsP50, null);
  for (let ms = 1; ms <= 1500; ms++) counter.answered(ms, 1, undefined);
  const { latencyMsP50, latencyMsP99, results } = counter.read();
  assert.is(latencyMsP50, 1000);
  assert.is(latencyMsP99, 1490);
  assert.is(results, 1500);
});

test('the load of a node counts what its triggers computed, and how long messages waited for the one before', async () => {
  const { dispatch } = setUp();
  const { pipeline, waiting } = held();
  dispatch.set('a', () => true, pipeline);
  dispatch.hold('not ready', () => false);
  for (let i = 0; i < 3; i++) dispatch.deliver(input(`${i}`, 0), () => {});
  await drain(waiting);
  const { servers, streams, waits } = dispatch.load({ servers: 1, order: 'arrival' });
  assert.is(servers, 1);
  assert.is(streams.length, 1);
  const [stream] = streams;
  assert.equal([stream?.trigger, stream?.class], ['a', 'normal']);
  const { serviceMs, serviceMsSquared } = stream ?? {};
  // The square of a mean is the least that the mean of squares can be.
  assert.ok(typeof serviceMs === 'number' && (serviceMsSquared ?? 0) >= serviceMs ** 2 * (1 - 1e-9));
  assert.ok((stream?.perSecond ?? 0) > 0);
  assert.equal(
    waits.map(({ class: name, count }) => [name, count]),
    [['normal', 3]],
  );
  // A millisecond in the engine's queue, and whatever the message before took.
  assert.ok((waits[0]?.p50Ms ?? 0) >= 1 && (waits[0]?.p99Ms ?? 0) < 10_000);
});

test.run();
