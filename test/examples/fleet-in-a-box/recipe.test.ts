import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { photograph, type Shot } from '../../../examples/fleet-in-a-box/recipe/camera.ts';
import { labelPage, labelScenes } from '../../../examples/fleet-in-a-box/recipe/labels.ts';
import { roadPage, roadScenes } from '../../../examples/fleet-in-a-box/recipe/signs.ts';
import { makeRecording, recordings } from '../../../examples/fleet-in-a-box/recipe/sounds.ts';
import { materialsFolder, readTruth } from '../../../examples/fleet-in-a-box/truth.ts';
import { findProgram, testWhere } from '../../requirement.ts';

const truth = readTruth();

function samplesOf(name: string): Int16Array {
  const wav = readFileSync(join(materialsFolder, 'city-microphone', `${name}.wav`));
  return new Int16Array(new Uint8Array(wav.subarray(44)).buffer);
}

test('the street is the same on every machine, sample for sample', () => {
  let compared = 0;
  for (const [index, recording] of recordings.entries()) {
    if (recording.utterances.length > 0) continue;
    const { samples, speech } = makeRecording(recording, index + 1);
    assert.equal(speech, []);
    assert.ok(Buffer.from(samples.buffer).equals(Buffer.from(samplesOf(recording.name).buffer)), recording.name);
    compared++;
  }
  assert.is(compared, 2);
});

const voices = findProgram('espeak-ng') && findProgram('sox');

testWhere(
  test,
  voices,
  'espeak-ng and sox',
)('speech lies where the truth says', () => {
  const recording = recordings[0] as (typeof recordings)[0];
  const { samples, speech } = makeRecording(recording, 1);
  const expected = truth['city-microphone'][`${recording.name}.wav`]?.speech ?? [];
  assert.is(samples.length, samplesOf(recording.name).length);
  assert.is(speech.length, expected.length);
  for (const [index, { startS, endS }] of expected.entries()) {
    // Another version of espeak-ng speaks a little faster or slower.
    assert.ok(Math.abs((speech[index]?.startS ?? 0) - startS) < 0.1, `starts at ${speech[index]?.startS} s`);
    assert.ok(Math.abs((speech[index]?.endS ?? 0) - endS) < 0.3, `ends at ${speech[index]?.endS} s`);
  }
});

testWhere(
  test,
  voices,
  'espeak-ng and sox',
)('speech that does not fit into its recording is refused', () => {
  const recording = recordings[0] as (typeof recordings)[0];
  assert.throws(
    () => makeRecording({ ...recording, seconds: 3 }, 1),
    /"bus-stop".*ends after the recording, at \d\.\d+ s/,
  );
});

test('every page shows what the truth says, and no other number', () => {
  for (const scene of labelScenes) {
    assert.equal(truth['factory-camera'][`${scene.name}.jpg`]?.texts, scene.lines);
    for (const line of scene.lines) assert.ok(labelPage(scene).includes(`>${line}<`), line);
  }
  for (const scene of roadScenes) {
    const shown = [...roadPage(scene).matchAll(/<text[^>]*>([^<]*)</g)].map((match) => match[1]);
    const limit = truth['vehicle-camera'][`${scene.name}.jpg`]?.limitKmh;
    assert.equal(
      shown.filter((text) => /\d/.test(text ?? '')),
      limit === null ? [] : [String(limit)],
      scene.name,
    );
  }
  assert.equal([labelScenes.length, roadScenes.length], [12, 13]);
});

const plain: Shot = {
  seed: 1,
  blurPx: 0,
  motionPx: 0,
  exposure: 1,
  warmth: 0,
  falloff: 0,
  lightDegrees: 0,
  glare: { level: 0, x: 0.5, y: 0.5 },
  noise: 0,
};

/** Grey 128, with one white pixel in the middle. */
function scene(width: number, height: number) {
  const pixels = new Uint8Array(width * height * 3).fill(128);
  pixels.fill(255, 3 * ((height >> 1) * width + (width >> 1)), 3 * ((height >> 1) * width + (width >> 1)) + 3);
  return { width, height, pixels };
}

test('a perfect camera changes nothing but the corners, which its lens darkens', () => {
  const { pixels } = photograph(scene(41, 41), plain);
  const middle = 3 * (20 * 41 + 20);
  assert.equal([...pixels.subarray(middle - 3, middle + 6)], [128, 128, 128, 255, 255, 255, 128, 128, 128]);
  assert.ok((pixels[0] as number) < 120 && (pixels[0] as number) > 80, `corner ${pixels[0]}`);
});

test('blur spreads a bright point and keeps its light', () => {
  const light = (pixels: Uint8Array) => pixels.reduce((sum, value) => sum + ((value / 255 + 0.055) / 1.055) ** 2.4, 0);
  const sharp = photograph(scene(41, 41), plain).pixels;
  const soft = photograph(scene(41, 41), { ...plain, blurPx: 1.2 }).pixels;
  const middle = 3 * (20 * 41 + 20);
  assert.ok((soft[middle] as number) < 200 && (soft[middle + 3] as number) > 128);
  assert.ok(Math.abs(light(soft) / light(sharp) - 1) < 0.002);
});

test('the same seed gives the same noise', () => {
  const noisy = { ...plain, noise: 0.05 };
  const [first, again, other] = [noisy, noisy, { ...noisy, seed: 2 }].map(
    (shot) => photograph(scene(9, 9), shot).pixels,
  );
  assert.equal(first, again);
  assert.not.equal(first, other);
});

test.run();
