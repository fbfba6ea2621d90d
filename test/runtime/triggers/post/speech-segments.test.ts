import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { SpeechResult } from '../../../../runtime/triggers/post/speech-segments.ts';
import { run, tensor } from './inputs.ts';

const rate = 16_000;
const length = 512;

/** Feeds probabilities window by window, the state handed back each time as JSON would carry it. */
function feed(
  probabilities: number[],
  options: object = {},
  firstWindow = 0,
  state?: unknown,
): [SpeechResult[], unknown] {
  const results = probabilities.map((probability, index) => {
    const window = { start: (firstWindow + index) * length, length, rate };
    const stepped = run(
      'speech-segments',
      { outputs: { output: tensor([1, 1], [probability]) }, window, state },
      options,
    );
    state = JSON.parse(JSON.stringify(stepped.state));
    return stepped.result as SpeechResult;
  });
  return [results, state];
}

test('starts and ends are those of VADIterator, over 300 windows of a random walk', () => {
  let state = 3;
  let level = 0.5;
  const probabilities = Array.from({ length: 300 }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    level = Math.min(1, Math.max(0, level + (((state >> 16) % 1000) / 1000 - 0.5) * 0.6));
    return Math.round(level * 1000) / 1000;
  });
  // Window, event and sample, as silero-vad's VADIterator gives them for the same probabilities.
  const expected: [number, string, number][] = [
    [0, 'start', 0],
    [6, 'end', 1504],
    [12, 'start', 5664],
    [25, 'end', 11232],
    [27, 'start', 13344],
    [33, 'end', 15328],
    [37, 'start', 18464],
    [50, 'end', 23520],
    [56, 'start', 28192],
    [76, 'end', 37344],
    [85, 'start', 43040],
    [91, 'end', 45024],
    [98, 'start', 49696],
    [111, 'end', 55264],
    [129, 'start', 65568],
    [171, 'end', 85984],
    [189, 'start', 96288],
    [214, 'end', 107488],
    [218, 'start', 111136],
    [237, 'end', 119776],
    [240, 'start', 122400],
    [247, 'end', 124896],
    [261, 'start', 133152],
    [269, 'end', 136160],
    [277, 'start', 141344],
    [292, 'end', 147936],
  ];
  const events = feed(probabilities)[0].flatMap(({ started, segment }, index) => [
    ...(started === null ? [] : [[index, 'start', started]]),
    ...(segment === null ? [] : [[index, 'end', segment.end]]),
  ]) as [number, string, number][];
  const seconds = expected.map(([index, kind, sample]) => [index, kind, Math.round((sample / rate) * 10_000) / 10_000]);
  assert.equal(events, seconds);
  assert.is(events.length, 26);
});

test('a segment says when it began, when it ended, and how long it was', () => {
  const [results] = feed([0.1, 0.6, 0.9, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1]);
  assert.equal(
    results.map(({ speaking }) => speaking),
    [false, true, true, true, true, true, true, true, false],
  );
  assert.equal(results[1]?.started, 0.002);
  assert.equal(results[8]?.segment, { start: 0.002, end: 0.158, duration: 0.156 });
  assert.is(results.filter(({ segment }) => segment).length, 1);
});

test('the band between the thresholds neither ends speech nor begins it', () => {
  assert.ok(feed(Array(50).fill(0.4))[0].every(({ speaking }) => !speaking));
  assert.ok(feed([0.6, ...Array(50).fill(0.4)])[0].every(({ speaking }) => speaking));
});

test('a shorter segment than asked for is neither announced nor reported', () => {
  const options = { speechMsMin: 100 };
  const quiet = Array(6).fill(0);
  const [short] = feed([0.9, 0.9, ...quiet], options);
  assert.ok(short.every(({ speaking, started, segment }) => !speaking && started === null && segment === null));
  const [long] = feed([0, 0.9, 0.9, 0.9, 0.9, ...quiet], options);
  assert.equal(
    long.map(({ started }) => started).filter((second) => second !== null),
    [0.002],
  );
  assert.is(
    long.findIndex(({ started }) => started !== null),
    4,
  );
  assert.equal(long.find(({ segment }) => segment)?.segment, { start: 0.002, end: 0.19, duration: 0.188 });
});

test('two streams do not disturb each other, because state travels with the stream', () => {
  const [, speaking] = feed([0.9, 0.9]);
  const [, silent] = feed([0.1, 0.1]);
  assert.is(feed([0.4], {}, 2, speaking)[0][0]?.speaking, true);
  assert.is(feed([0.4], {}, 2, silent)[0][0]?.speaking, false);
});

test('a jump in the stream closes the open segment and starts anew', () => {
  const [, state] = feed([0.9, 0.9]);
  const [results] = feed([0.9, 0.9], {}, 100, state);
  assert.equal(results[0]?.segment, { start: 0, end: 0.094, duration: 0.094 });
  assert.equal([results[0]?.started, results[0]?.speaking], [3.17, true]);
});

test('what is no probability, or not from a stream, is refused', () => {
  assert.throws(() => feed([Number.NaN]), /probability from 0 to 1, got NaN/);
  assert.throws(() => feed([1.5]), /got 1.5/);
  assert.throws(
    () => run('speech-segments', { outputs: { output: tensor([1], [0]) } }),
    /sliding window over a stream/,
  );
});

test.run();
