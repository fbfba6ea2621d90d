/** The sound of a street without anyone speaking: rumble, wind, passing cars, short horns. 16 kHz mono, full scale ±1. */
import { type Random, seededRandom } from '../random.ts';

export const SAMPLE_RATE = 16_000;

/** Something that happens at `atS` seconds into the recording; levels are RMS in dB of full scale at its loudest. */
export type StreetEvent =
  | { readonly kind: 'car'; readonly atS: number; readonly levelDb: number; readonly speedKmh: number }
  | { readonly kind: 'horn'; readonly atS: number; readonly levelDb: number; readonly lengthS: number };

const amplitude = (db: number) => 10 ** (db / 20);

/** Brown and pink noise under a slow gust, about `levelDb` RMS. */
export function streetNoise(count: number, levelDb: number, seed: number): Float32Array {
  const random = seededRandom(seed);
  const samples = new Float32Array(count);
  let brown = 0;
  let pinkSlow = 0;
  let pinkFast = 0;
  const gustPhase = random.between(0, 6);
  for (let i = 0; i < count; i++) {
    const white = random.normal();
    brown = 0.995 * brown + 0.1 * white;
    pinkSlow = 0.99 * pinkSlow + 0.1 * white;
    pinkFast = 0.8 * pinkFast + 0.3 * random.normal();
    const gust = 1 + 0.4 * Math.sin((2 * Math.PI * 0.23 * i) / SAMPLE_RATE + gustPhase);
    samples[i] = (0.8 * brown + 0.5 * pinkSlow + 0.25 * pinkFast) * gust;
  }
  return scaleToRms(samples, levelDb);
}

export function addEvent(samples: Float32Array, event: StreetEvent, seed: number): void {
  if (event.kind === 'car') addCar(samples, event, seededRandom(seed));
  else addHorn(samples, event);
}

/**
 * A car on a straight line, 4 m away at `atS`: tyre noise and engine orders, both falling with distance and shifted by
 * the Doppler effect, f' = f · c / (c + v_radial).
 */
function addCar(samples: Float32Array, car: Extract<StreetEvent, { kind: 'car' }>, random: Random): void {
  const speed = car.speedKmh / 3.6;
  const nearest = 4;
  const gain = amplitude(car.levelDb);
  let low = 0;
  let high = 0;
  let phase = 0;
  for (let i = 0; i < samples.length; i++) {
    const along = speed * (i / SAMPLE_RATE - car.atS);
    const distance = Math.hypot(along, nearest);
    const doppler = 343 / (343 + (speed * along) / distance);
    const cutoff = Math.min(0.9, 0.28 * doppler * (0.4 + (0.6 * nearest) / distance));
    low += cutoff * (random.normal() - low);
    high += 0.02 * (low - high);
    phase += (2 * Math.PI * 62 * doppler) / SAMPLE_RATE;
    const engine = Math.sin(phase) + 0.6 * Math.sin(2 * phase + 1) + 0.3 * Math.sin(3 * phase + 2);
    samples[i] = (samples[i] as number) + gain * (nearest / distance) * (2.2 * (low - high) + 0.25 * engine);
  }
}

/** A two-tone electric horn: 405 Hz and 510 Hz, rich in odd harmonics, with a 20 ms rise and fall. */
function addHorn(samples: Float32Array, horn: Extract<StreetEvent, { kind: 'horn' }>): void {
  const gain = amplitude(horn.levelDb);
  const start = Math.round(horn.atS * SAMPLE_RATE);
  const count = Math.round(horn.lengthS * SAMPLE_RATE);
  for (let i = 0; i < count && start + i < samples.length; i++) {
    const time = i / SAMPLE_RATE;
    const edge = Math.min(1, i / (0.02 * SAMPLE_RATE), (count - i) / (0.02 * SAMPLE_RATE));
    let tone = 0;
    for (const pitch of [405, 510])
      for (const harmonic of [1, 2, 3, 5, 7]) tone += Math.sin(2 * Math.PI * pitch * harmonic * time) / harmonic;
    samples[start + i] = (samples[start + i] as number) + gain * edge * 0.7 * tone;
  }
}

export function scaleToRms(samples: Float32Array, levelDb: number): Float32Array {
  const rms = Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length);
  const factor = amplitude(levelDb) / rms;
  return samples.map((value) => value * factor);
}
