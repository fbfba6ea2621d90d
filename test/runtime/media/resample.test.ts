import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { resample } from '../../../runtime/media/resample.ts';

function tone(frequency: number, rate: number, length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.sin((2 * Math.PI * frequency * i) / rate));
}

/** Largest value away from the ends, where the recording's silence around it is mixed in. */
function peak(samples: Float32Array): number {
  return samples.slice(100, -100).reduce((largest, sample) => Math.max(largest, Math.abs(sample)), 0);
}

test('a tone keeps its frequency, phase and height at another rate', () => {
  const rates = [
    [44_100, 16_000],
    [48_000, 16_000],
    [8000, 16_000],
    [22_050, 16_000],
    [16_000, 44_100],
    [44_101, 16_000],
    [767_999, 16_000],
    [16_001, 47_999],
  ];
  for (const [from, to] of rates as [number, number][]) {
    const out = resample(tone(1000, from, from / 4), from, to);
    assert.is(out.length, Math.floor((Math.floor(from / 4) * to) / from));
    const error = out.map((sample, i) => sample - Math.sin((2 * Math.PI * 1000 * i) / to));
    assert.ok(peak(error) < 1e-3, `${from} to ${to}: ${peak(error)}`);
  }
});

test('what the new rate cannot carry is removed by 60 dB, and what it can is kept', () => {
  assert.ok(peak(resample(tone(9000, 44_100, 22_050), 44_100, 16_000)) < 1e-3);
  assert.ok(peak(resample(tone(6500, 44_100, 22_050), 44_100, 16_000)) > 0.99);
});

test('a steady level stays, the same rate is no work, and a rate that is none is refused', () => {
  const level = resample(new Float32Array(4000).fill(0.5), 44_100, 16_000);
  assert.ok(peak(level.map((sample) => sample - 0.5)) < 1e-6);
  const samples = tone(100, 8000, 100);
  assert.is(resample(samples, 8000, 8000), samples);
  assert.throws(() => resample(samples, 8000, 0), /rates in whole Hz, got 0/);
});

test.run();
