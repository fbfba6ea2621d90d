/**
 * Another sample rate for a recording, by windowed-sinc interpolation.
 * Source: Julius O. Smith, "Digital Audio Resampling Home Page" (the polyphase form); the window is Kaiser's (1974).
 */

/** Zero crossings of the sinc on each side: more make the cut-off steeper and the work longer. */
const ZERO_CROSSINGS = 24;
/** About 85 dB below the signal in the stop band. */
const KAISER_BETA = 8.6;
/** The cut-off, as a share of the lower Nyquist frequency: leaves room for the filter's slope. */
const CUT_OFF = 0.94;
/**
 * Rates apart by an odd ratio have a filter of its own for every output sample. Places between samples are rounded so
 * that all filters together have at most this many numbers: a filter takes far longer to make than to use.
 */
const WEIGHTS_MAX = 1 << 19;

/** `samples` at rate `from`, in Hz, as samples at rate `to`; the length scales with the rate, rounded down. */
export function resample(samples: Float32Array, from: number, to: number): Float32Array {
  for (const rate of [from, to]) {
    if (!Number.isInteger(rate) || rate < 1) throw new Error(`resample: expected rates in whole Hz, got ${rate}`);
  }
  if (from === to) return samples;
  const divisor = greatestCommonDivisor(from, to);
  const [step, phases] = [from / divisor, to / divisor];
  const length = Math.floor((samples.length * phases) / step);
  // When the rate falls, the filter widens so as to cut at the new Nyquist frequency.
  const cutOff = CUT_OFF * Math.min(1, to / from);
  const half = Math.ceil(ZERO_CROSSINGS / cutOff);
  const filters = new Map<number, Float32Array>();
  const places = Math.min(phases, Math.ceil(WEIGHTS_MAX / (2 * half)));
  const out = new Float32Array(length);
  for (let i = 0; i < length; i++) {
    const position = i * step;
    const phase = position % phases;
    const centre = (position - phase) / phases;
    const place = Math.round((phase * places) / phases);
    let weights = filters.get(place);
    if (!weights) {
      weights = filterWeights(place / places, half, cutOff);
      filters.set(place, weights);
    }
    out[i] = convolve(samples, centre - half + 1, weights);
  }
  return out;
}

/** Beyond its ends the recording is silent. */
function convolve(samples: Float32Array, start: number, weights: Float32Array): number {
  const first = Math.max(0, -start);
  const last = Math.min(weights.length, samples.length - start);
  let sum = 0;
  for (let i = first; i < last; i++) sum += (samples[start + i] as number) * (weights[i] as number);
  return sum;
}

/** Weights of the 2 · half samples around a point `fraction` after the middle one; they add up to 1. */
function filterWeights(fraction: number, half: number, cutOff: number): Float32Array {
  const weights = new Float64Array(2 * half);
  let sum = 0;
  for (let i = 0; i < weights.length; i++) {
    const distance = i - half + 1 - fraction;
    const angle = Math.PI * distance * cutOff;
    const sinc = angle === 0 ? 1 : Math.sin(angle) / angle;
    const weight = sinc * kaiser(distance / half);
    weights[i] = weight;
    sum += weight;
  }
  return Float32Array.from(weights, (weight) => weight / sum);
}

/** The Kaiser window at −1 … 1, without its constant factor. */
function kaiser(position: number): number {
  return Math.abs(position) > 1 ? 0 : besselI0(KAISER_BETA * Math.sqrt(1 - position * position));
}

/** The modified Bessel function of order zero, by its power series: Σ ((x/2)^k / k!)². */
function besselI0(x: number): number {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > sum * 1e-12; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
