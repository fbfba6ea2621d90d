/** Fourier transforms, windows and mel filters. */
import type { Value } from '../compile/graph.ts';
import { elementCount } from '../engine/tensor.ts';
import type { Build, OperatorContext } from './context.ts';

/** Transforms up to this length are one product with a matrix; longer ones are split into factors. */
const DIRECT_MAX = 256;
/** Samples of one transform. */
const LENGTH_MAX = 2 ** 20;
/** A prime factor beyond this would need a matrix that is too large. */
const PRIME_MAX = 1024;
/** Samples in one frame of a short-time transform by one matrix, which has as many columns. */
const FRAME_MAX = 2048;
/** Entries of a table: a window, a filter bank, the places of all samples of all frames. */
const TABLE_MAX = 2 ** 22;

/** Forward transforms turn clockwise. */
type Sign = 1 | -1;

/**
 * What the real (and imaginary) part of sample n adds to the real and imaginary part of bin k: [length, parts, 2 · bins]. It has
 * a name, so that all programs of a model share it.
 */
function fourierMatrix({ builder }: OperatorContext, length: number, bins: number, sign: Sign, parts: number): Value {
  const data = new Float32Array(length * parts * bins * 2);
  for (let n = 0; n < length; n++)
    for (let k = 0; k < bins; k++) {
      const angle = (2 * Math.PI * ((n * k) % length)) / length;
      const [along, across] = [Math.cos(angle), sign * Math.sin(angle)];
      const at = (n * parts * bins + k) * 2;
      data.set([along, across], at);
      if (parts === 2) data.set([-across, along], at + bins * 2);
    }
  return builder.constant(
    { type: 'float32', dims: [length, parts, bins * 2], data },
    `fourier ${[length, parts, bins, sign]}`,
  );
}

/** x [rows, length, 1 or 2] → [rows, bins, 2] */
function direct(node: OperatorContext, x: Value, bins: number, sign: Sign): Value {
  const { builder } = node;
  const [rows = 0, length = 0, parts = 0] = x.dims;
  const matrix = builder.reshape(fourierMatrix(node, length, bins, sign, parts), [length * parts, bins * 2]);
  const product = builder.matMul(builder.reshape(x, [rows, length * parts]), builder.cast(matrix, x.type));
  return builder.reshape(product, [rows, bins, 2]);
}

/** The largest divisor of a length that leaves a short transform. */
function factorOf(node: OperatorContext, length: number): number {
  for (let factor = DIRECT_MAX; factor > 1; factor--) if (length % factor === 0) return factor;
  for (let factor = DIRECT_MAX + 1; factor <= PRIME_MAX; factor++) if (length % factor === 0) return factor;
  throw node.unsupported(`a transform of ${length}, which has a prime factor above ${PRIME_MAX},`);
}

/**
 * x [rows, length, 1 or 2] → [rows, bins, 2]. A length a · b is split (J. Cooley, J. Tukey, 1965): sample b · i + j, bin
 * r + a · s; transforms of length a over i, a turn by j · r / length, transforms of length b over j.
 */
function transform(node: OperatorContext, x: Value, bins: number, sign: Sign): Value {
  const { builder } = node;
  const [rows = 0, length = 0, parts = 0] = x.dims;
  const a = length <= DIRECT_MAX ? length : factorOf(node, length);
  if (a === length) return direct(node, x, bins, sign);
  const b = length / a;
  const columns = builder.transpose(builder.reshape(x, [rows, a, b, parts]), [0, 2, 1, 3]);
  const inner = builder.reshape(direct(node, builder.reshape(columns, [rows * b, a, parts]), a, sign), [rows, b, a, 2]);
  const turned = builder.transpose(turn(node, inner, length, sign), [0, 2, 1, 3]);
  const outer = transform(node, builder.reshape(turned, [rows * a, b, 2]), b, sign);
  const ordered = builder.transpose(builder.reshape(outer, [rows, a, b, 2]), [0, 2, 1, 3]);
  return builder.sliceAxis(builder.reshape(ordered, [rows, length, 2]), 1, 0, bins);
}

/** x [rows, b, a, 2] times the unit vector at angle 2 · pi · j · r / length: (re, im) · cos + (im, re) · (-sin, sin). */
function turn({ builder }: OperatorContext, x: Value, length: number, sign: Sign): Value {
  const dims = x.dims.slice(1);
  const [b = 0, a = 0] = dims;
  const [cosines, sines] = [new Float32Array(a * b * 2), new Float32Array(a * b * 2)];
  for (let j = 0; j < b; j++)
    for (let r = 0; r < a; r++) {
      const [angle, at] = [(2 * Math.PI * j * r) / length, (j * a + r) * 2];
      const [along, across] = [Math.cos(angle), sign * Math.sin(angle)];
      cosines.set([along, along], at);
      sines.set([-across, across], at);
    }
  const table = (data: Float32Array, name: string): Value =>
    builder.cast(builder.constant({ type: 'float32', dims, data }, `${name} ${[a, b, sign]}`), x.type);
  const swapped = builder.concat([builder.sliceAxis(x, 3, 1, 2), builder.sliceAxis(x, 3, 0, 1)], 3);
  const along = builder.binary('mul', x, table(cosines, 'fourier cosines'));
  return builder.binary('add', along, builder.binary('mul', swapped, table(sines, 'fourier sines')));
}

/** Cuts an axis to `size`, or fills it up with zeros. */
function fit({ builder }: OperatorContext, x: Value, axis: number, size: number): Value {
  const has = x.dims[axis] as number;
  const cut = builder.sliceAxis(x, axis, 0, Math.min(has, size));
  const ends = x.dims.map((_, i) => (i === axis ? Math.max(0, size - has) : 0));
  return builder.add({ kind: 'pad', mode: 'constant', begins: ends.map(() => 0), ends, value: 0 }, [cut]);
}

/** The other half of a real signal's spectrum: bin length - k is bin k with the imaginary part turned round. */
function mirrored({ builder }: OperatorContext, x: Value, length: number): Value {
  const bins = x.dims[1] as number;
  const from = Array.from({ length }, (_, k) => (k < bins ? k : length - k));
  const signs = from.flatMap((_, k) => [1, k < bins ? 1 : -1]);
  const whole = builder.gather(x, builder.literal('int64', [length], from), 1);
  return builder.binary('mul', whole, builder.cast(builder.literal('float32', [length, 2], signs), x.type));
}

/** x [..., length, ..., 1 or 2]; the axis is an attribute before opset 20 and an input since. */
export const dft: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const rank = x.dims.length;
  const given = node.opset < 20 ? node.int('axis', 1) : (node.optionalNumbers(2)?.[0] ?? -2);
  const axis = node.axis(given, rank);
  const parts = x.dims[rank - 1];
  if (rank < 2 || axis === rank - 1 || (parts !== 1 && parts !== 2))
    throw new Error(`expected numbers of one or two parts behind axis ${axis}, got shape [${x.dims.join(', ')}]`);
  const [inverse, onesided] = [node.flag('inverse'), node.flag('onesided')];
  const halves = inverse && onesided;
  const size = x.dims[axis] as number;
  const length = node.optionalNumbers(1)?.[0] ?? (halves ? 2 * (size - 1) : size);
  if (!(Number.isInteger(length) && length >= 1 && length <= LENGTH_MAX))
    throw new Error(`expected a length from 1 to ${LENGTH_MAX}, got ${length}`);
  const half = Math.floor(length / 2) + 1;
  const others = x.dims.map((_, i) => i).filter((i) => i !== axis && i !== rank - 1);
  const perm = [...others, axis, rank - 1];
  const outer = others.map((i) => x.dims[i] as number);
  const fitted = fit(node, builder.transpose(x, perm), rank - 2, halves ? half : length);
  let rows = builder.reshape(fitted, [elementCount(outer), halves ? half : length, parts]);
  if (halves) rows = mirrored(node, rows, length);
  let y = transform(node, rows, onesided && !inverse ? half : length, inverse ? 1 : -1);
  if (inverse) y = builder.scale(halves ? builder.sliceAxis(y, 2, 0, 1) : y, 1 / length, 0);
  const back = builder.reshape(y, [...outer, ...y.dims.slice(1)]);
  return builder.transpose(
    back,
    perm.map((_, i) => perm.indexOf(i)),
  );
};

/** signal [batch, length, 1 or 2] → [batch, frames, bins, 2] */
export const stft: Build = (node) => {
  const signal = node.input(0);
  const [, samples = 0, parts = 1] = signal.dims;
  const [step = 0] = node.numbers(1);
  const window = node.optional(2);
  const length = node.optionalNumbers(3)?.[0] ?? window?.dims[0] ?? 0;
  if (!(length >= 1 && length <= samples && step >= 1))
    throw new Error(`expected frames of 1 to ${samples} samples and a step of at least 1, got ${length} and ${step}`);
  if (window && window.dims.join() !== `${length}`)
    throw new Error(
      `expected a window of ${length} samples, as the frames have, got shape [${window.dims.join(', ')}]`,
    );
  const bins = node.flag('onesided', true) && parts === 1 ? Math.floor(length / 2) + 1 : length;
  const frames = { length, step, bins, window };
  return length <= FRAME_MAX ? stftByConvolution(node, signal, frames) : stftByGathering(node, signal, frames);
};

interface Frames {
  readonly length: number;
  readonly step: number;
  readonly bins: number;
  readonly window: Value | undefined;
}

/** The kernels are the window times the rows of the Fourier matrix, and the stride is the step: no frame is copied. */
function stftByConvolution(node: OperatorContext, signal: Value, { length, step, bins, window }: Frames): Value {
  const { builder } = node;
  const [batch = 0, samples = 0, parts = 1] = signal.dims;
  const matrix = fourierMatrix(node, length, bins, -1, parts);
  const kernels = builder.transpose(builder.cast(matrix, signal.type), [2, 1, 0]);
  const shaped = window ? builder.binary('mul', kernels, window) : kernels;
  const weights = builder.reshape(shaped, [bins * 2, parts, 1, length]);
  const slide = { kernel: [1, length], strides: [1, step], dilations: [1, 1], pads: [0, 0, 0, 0] } as const;
  const picture = builder.reshape(signal, [batch, 1, samples, parts]);
  const y = builder.add({ kind: 'conv', window: slide, group: 1 }, [picture, weights]);
  return builder.reshape(y, [batch, y.dims[2] as number, bins, 2]);
}

/** Long frames are copied, so that their transforms can be split into factors. */
function stftByGathering(node: OperatorContext, signal: Value, { length, step, bins, window }: Frames): Value {
  const { builder } = node;
  const [batch = 0, samples = 0, parts = 1] = signal.dims;
  const count = Math.floor((samples - length) / step) + 1;
  if (count * length > TABLE_MAX) throw node.unsupported(`${count} frames of ${length} samples`);
  const from = Array.from({ length: count * length }, (_, i) => Math.floor(i / length) * step + (i % length));
  const frames = builder.gather(signal, builder.literal('int64', [count, length], from), 1);
  const shaped = window ? builder.binary('mul', frames, builder.reshape(window, [length, 1])) : frames;
  const y = transform(node, builder.reshape(shaped, [batch * count, length, parts]), bins, -1);
  return builder.reshape(y, [batch, count, bins, 2]);
}

/** Sums of cosines: a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N) …; a periodic window is one of N + 1 without its last entry. */
export function cosineWindow(...weights: readonly number[]): Build {
  return (node) => {
    const [size = 0] = node.numbers(0);
    if (!(size >= 0 && size <= TABLE_MAX)) throw new Error(`expected a size up to ${TABLE_MAX}, got ${size}`);
    const span = Math.max(1, node.flag('periodic', true) ? size : size - 1);
    const values = Array.from({ length: size }, (_, n) =>
      weights.reduce(
        (sum, weight, i) => sum + (i % 2 === 0 ? 1 : -1) * weight * Math.cos((2 * Math.PI * i * n) / span),
        0,
      ),
    );
    return node.builder.literal(node.dataType(node.int('output_datatype', 1)), [size], values);
  };
}

/** Triangles over the bins of a spectrum, evenly spread on the mel scale. Source: ONNX MelWeightMatrix. */
export const melWeightMatrix: Build = (node) => {
  const [bands = 0, length = 0, rate = 0, low = 0, high = 0] = [0, 1, 2, 3, 4].map((i) => node.numbers(i)[0] as number);
  const bins = Math.floor(length / 2) + 1;
  if (!(bands >= 1 && bins >= 1 && rate >= 1 && low >= 0 && high >= low && bands * bins <= TABLE_MAX))
    throw new Error(`expected bands, a length, a rate and rising frequencies, got ${[bands, length, rate, low, high]}`);
  const mel = (hertz: number): number => 2595 * Math.log10(1 + hertz / 700);
  const step = (mel(high) - mel(low)) / (bands + 2);
  const edges = Array.from({ length: bands + 2 }, (_, i) => {
    const hertz = 700 * (10 ** ((mel(low) + i * step) / 2595) - 1);
    return Math.floor(((length + 1) * hertz) / rate);
  });
  const table = new Array<number>(bins * bands).fill(0);
  for (let band = 0; band < bands; band++) {
    const [begin = 0, centre = 0, end = 0] = edges.slice(band, band + 3);
    for (let bin = begin; bin < Math.min(end, bins); bin++)
      table[bin * bands + band] = bin < centre ? (bin - begin) / (centre - begin) : (end - bin) / (end - centre);
    if (centre < bins) table[centre * bands + band] = 1;
  }
  return node.builder.literal(node.dataType(node.int('output_datatype', 1)), [bins, bands], table);
};
