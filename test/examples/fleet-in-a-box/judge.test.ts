import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createJudge, type Judge, overlap, PATIENCE_MS, type Score } from '../../../examples/fleet-in-a-box/judge.ts';
import { encodeNote, sentTopic } from '../../../examples/fleet-in-a-box/sent.ts';
import type { DeviceKind, Truth } from '../../../examples/fleet-in-a-box/truth.ts';

const truth: Truth = {
  'city-microphone': {
    'talk.wav': { seconds: 5, speech: [{ startS: 1, endS: 3 }] },
    'cars.wav': { seconds: 4, speech: [] },
  },
  'factory-camera': { 'pump.jpg': { texts: ['OIL PUMP', 'S/N 12'] } },
  'vehicle-camera': { 'fifty.jpg': { limitKmh: 50 }, 'empty.jpg': { limitKmh: null } },
};

function say(judge: Judge, topic: string, value: unknown): void {
  judge.message(topic, new TextEncoder().encode(JSON.stringify(value)));
}

function sent(judge: Judge, kind: DeviceKind, device: string, file: string, at: number): void {
  judge.message(sentTopic(device), new TextEncoder().encode(encodeNote({ kind, file, at })));
}

function scoreOf(judge: Judge, trigger: string, now: number): Omit<Score, 'trigger'> {
  const { trigger: _, ...score } = judge.scores(now).find((score) => score.trigger === trigger) as Score;
  return score;
}

const limit = (value: number, receivedAt: number) => ({ limit: value, unit: 'km/h', meta: { receivedAt } });

/** A stretch of the stream that ends when the node has heard `heardS` seconds of it. */
const speech = (start: number, end: number, heardS: number, receivedAt: number) => ({
  start,
  end,
  meta: { receivedAt, window: { start: heardS * 16_000 - 512, length: 512 } },
});

test('a limit counts for the picture that was taken last before the node received it', () => {
  const judge = createJudge(truth);
  sent(judge, 'vehicle-camera', 'van', 'empty.jpg', 1000);
  sent(judge, 'vehicle-camera', 'van', 'fifty.jpg', 2000);
  sent(judge, 'vehicle-camera', 'van', 'empty.jpg', 3000);
  say(judge, 'vehicle/van/speed-limit', limit(50, 2010));
  assert.equal(scoreOf(judge, 'vehicle-speed-limit', 4000), {
    right: 1,
    wrong: 0,
    missed: 0,
    quiet: 0,
    lastMistake: undefined,
  });
  assert.is(scoreOf(judge, 'vehicle-speed-limit', 3001 + PATIENCE_MS).quiet, 2);
});

test('another number, a second answer, and an answer about nothing are wrong', () => {
  const judge = createJudge(truth);
  sent(judge, 'vehicle-camera', 'van', 'fifty.jpg', 1000);
  say(judge, 'vehicle/van/speed-limit', limit(60, 1001));
  assert.is(scoreOf(judge, 'vehicle-speed-limit', 1100).lastMistake, 'fifty.jpg: "60", expected "50"');
  say(judge, 'vehicle/van/speed-limit', limit(50, 1001));
  assert.is(scoreOf(judge, 'vehicle-speed-limit', 1100).lastMistake, 'fifty.jpg: "50" once more, expected "50"');
  sent(judge, 'vehicle-camera', 'van', 'empty.jpg', 2000);
  say(judge, 'vehicle/van/speed-limit', limit(30, 2001));
  const score = scoreOf(judge, 'vehicle-speed-limit', 2100 + PATIENCE_MS);
  assert.equal(score, { right: 0, wrong: 3, missed: 0, quiet: 0, lastMistake: 'empty.jpg: "30", expected "nothing"' });
});

test('a picture without its answer is missed, but not before the judge has been patient', () => {
  const judge = createJudge(truth);
  sent(judge, 'factory-camera', 'line', 'pump.jpg', 1000);
  assert.is(scoreOf(judge, 'factory-labels', 1000 + PATIENCE_MS).missed, 0);
  const { missed, lastMistake } = scoreOf(judge, 'factory-labels', 1001 + PATIENCE_MS);
  assert.is(missed, 1);
  assert.is(lastMistake, 'pump.jpg: no answer, expected "OILPUMP | S/N12"');
});

test('a label is right in any order of its lines and without its spaces, and wrong with a line too few or too many', () => {
  for (const [texts, right] of [
    [['S/N 12', 'OILPUMP'], 1],
    [['OIL PUMP'], 0],
    [['OIL PUMP', 'S/N 12', 'X'], 0],
    [['OIL PUMP', 'S/N l2'], 0],
  ] as const) {
    const judge = createJudge(truth);
    sent(judge, 'factory-camera', 'line', 'pump.jpg', 1000);
    say(judge, 'factory/line/labels', { texts, meta: { receivedAt: 1500 } });
    const score = scoreOf(judge, 'factory-labels', 2000);
    assert.equal([score.right, score.wrong], [right, 1 - right], texts.join());
  }
});

test('speech is right where it overlaps the truth by half, wherever the stream began', () => {
  for (const [start, end, right] of [
    [1, 3, 1],
    [1.4, 3.5, 1],
    [0.2, 1.5, 0],
    [2.5, 6, 0],
  ] as const) {
    const judge = createJudge(truth);
    sent(judge, 'city-microphone', 'square', 'talk.wav', 50_000);
    // The node's stream has been running for 100 s when the recording begins; it hears the end 0.4 s later.
    say(judge, 'city/square/speech', speech(100 + start, 100 + end, 100 + end + 0.4, 50_000 + 1000 * (end + 0.4)));
    const score = scoreOf(judge, 'city-speech', 60_000);
    assert.equal([score.right, score.wrong], [right, 1 - right], `${start} to ${end} s`);
  }
});

test('a recording without speech is rightly quiet, unless something in it was taken for speech', () => {
  for (const alarm of [false, true]) {
    const judge = createJudge(truth);
    sent(judge, 'city-microphone', 'square', 'cars.wav', 50_000);
    if (alarm) say(judge, 'city/square/speech', speech(1, 2, 2.4, 52_400));
    const { wrong, quiet } = scoreOf(judge, 'city-speech', 54_001 + PATIENCE_MS);
    assert.equal([wrong, quiet], alarm ? [1, 0] : [0, 1]);
  }
});

test("results of other people's devices are not judged", () => {
  const judge = createJudge(truth);
  sent(judge, 'vehicle-camera', 'van', 'fifty.jpg', 1000);
  say(judge, 'vehicle/my-bicycle/speed-limit', limit(30, 1001));
  say(judge, 'vehicle/van/something-else', limit(30, 1001));
  say(judge, 'demo/van/sent', { not: 'a note' });
  judge.message('demo/van/sent', new Uint8Array([255, 0]));
  assert.equal(scoreOf(judge, 'vehicle-speed-limit', 1100), {
    right: 0,
    wrong: 0,
    missed: 0,
    quiet: 0,
    lastMistake: undefined,
  });
});

test('a result that cannot be read is a wrong answer', () => {
  const judge = createJudge(truth);
  sent(judge, 'vehicle-camera', 'van', 'fifty.jpg', 1000);
  say(judge, 'vehicle/van/speed-limit', { limit: 'fifty' });
  judge.message('vehicle/van/speed-limit', new Uint8Array([123]));
  assert.is(scoreOf(judge, 'vehicle-speed-limit', 1100).wrong, 2);
});

test('overlap is intersection over union', () => {
  assert.is(overlap({ from: 0, to: 2 }, { from: 1, to: 3 }), 1 / 3);
  assert.is(overlap({ from: 0, to: 2 }, { from: 0, to: 2 }), 1);
  assert.is(overlap({ from: 0, to: 1 }, { from: 1, to: 2 }), 0);
});

test.run();
