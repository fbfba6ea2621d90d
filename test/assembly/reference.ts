/** Plain loops in float64 that say what each kernel should give. Written for obviousness, not for speed. */
import type { ConvShape } from '../../runtime/compile/instructions.ts';

type Numbers = ArrayLike<number>;
const at = (values: Numbers, index: number): number => values[index] as number;

export function gemm(a: Numbers, b: Numbers, m: number, n: number, k: number, transposed = false): Float64Array {
  const c = new Float64Array(m * n);
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let p = 0; p < k; p++) sum += at(a, i * k + p) * at(b, transposed ? j * k + p : p * n + j);
      c[i * n + j] = sum;
    }
  return c;
}

/** Calls `visit(outputPixel, tap, inputPixel)` for every tap that lies in the image; pixels count over the batch. */
function forTaps(shape: ConvShape, visit: (output: number, tap: number, input: number) => void): void {
  const [kh, kw] = shape.kernel;
  for (let b = 0; b < shape.batch; b++)
    for (let oy = 0; oy < shape.outputHeight; oy++)
      for (let ox = 0; ox < shape.outputWidth; ox++)
        for (let ky = 0; ky < kh; ky++)
          for (let kx = 0; kx < kw; kx++) {
            const y = oy * shape.strides[0] + ky * shape.dilations[0] - shape.pads[0];
            const x = ox * shape.strides[1] + kx * shape.dilations[1] - shape.pads[1];
            if (y < 0 || y >= shape.inputHeight || x < 0 || x >= shape.inputWidth) continue;
            const output = (b * shape.outputHeight + oy) * shape.outputWidth + ox;
            visit(output, ky * kw + kx, (b * shape.inputHeight + y) * shape.inputWidth + x);
          }
}

/** weights [outputChannels, inputChannels / group, kh, kw]. */
export function conv(x: Numbers, weights: Numbers, bias: Numbers, shape: ConvShape): Float64Array {
  const { inputChannels, outputChannels, group } = shape;
  const channels = inputChannels / group;
  const taps = shape.kernel[0] * shape.kernel[1];
  const pixels = shape.batch * shape.outputHeight * shape.outputWidth;
  const y = Float64Array.from({ length: pixels * outputChannels }, (_, i) => at(bias, i % outputChannels));
  forTaps(shape, (output, tap, input) => {
    for (let o = 0; o < outputChannels; o++) {
      const first = Math.floor(o / (outputChannels / group)) * channels;
      let sum = 0;
      for (let c = 0; c < channels; c++)
        sum += at(x, input * inputChannels + first + c) * at(weights, (o * channels + c) * taps + tap);
      y[output * outputChannels + o] = at(y, output * outputChannels + o) + sum;
    }
  });
  return y;
}

/** weights [inputChannels, outputChannels / group, kh, kw]. A ConvTranspose is the Conv from its output to its input, walked backwards. */
export function convTranspose(x: Numbers, weights: Numbers, bias: Numbers, shape: ConvShape): Float64Array {
  const { inputChannels, outputChannels, group } = shape;
  const channels = outputChannels / group;
  const taps = shape.kernel[0] * shape.kernel[1];
  const pixels = shape.batch * shape.outputHeight * shape.outputWidth;
  const y = Float64Array.from({ length: pixels * outputChannels }, (_, i) => at(bias, i % outputChannels));
  const backwards = {
    ...shape,
    inputHeight: shape.outputHeight,
    inputWidth: shape.outputWidth,
    outputHeight: shape.inputHeight,
    outputWidth: shape.inputWidth,
  };
  forTaps(backwards, (input, tap, output) => {
    for (let c = 0; c < inputChannels; c++) {
      const first = Math.floor(c / (inputChannels / group)) * channels;
      for (let o = 0; o < channels; o++) {
        const index = output * outputChannels + first + o;
        y[index] = at(y, index) + at(x, input * inputChannels + c) * at(weights, (c * channels + o) * taps + tap);
      }
    }
  });
  return y;
}

export function maxPool(x: Numbers, shape: ConvShape): Float64Array {
  const c = shape.inputChannels;
  const y = new Float64Array(shape.batch * shape.outputHeight * shape.outputWidth * c).fill(-Infinity);
  forTaps(shape, (output, _, input) => {
    for (let i = 0; i < c; i++) y[output * c + i] = Math.max(at(y, output * c + i), at(x, input * c + i));
  });
  return y;
}

export function averagePool(x: Numbers, shape: ConvShape, countIncludePad: boolean): Float64Array {
  const c = shape.inputChannels;
  const pixels = shape.batch * shape.outputHeight * shape.outputWidth;
  const sums = new Float64Array(pixels * c);
  const counts = new Float64Array(pixels);
  forTaps(shape, (output, _, input) => {
    counts[output] = at(counts, output) + 1;
    for (let i = 0; i < c; i++) sums[output * c + i] = at(sums, output * c + i) + at(x, input * c + i);
  });
  if (countIncludePad) {
    // The same window over an image that is larger by its pads.
    const [top, left, bottom, right] = shape.pads;
    const padded = { ...shape, pads: [0, 0, 0, 0] as const };
    counts.fill(0);
    forTaps(
      { ...padded, inputHeight: shape.inputHeight + top + bottom, inputWidth: shape.inputWidth + left + right },
      (output) => {
        counts[output] = at(counts, output) + 1;
      },
    );
  }
  return sums.map((sum, i) => sum / at(counts, Math.floor(i / c)));
}

/** Calls `visit(offsets, index)` for each element of a shape, in order; one offset for each list of strides. */
export function walk(
  shape: readonly number[],
  strides: readonly (readonly number[])[],
  visit: (offsets: number[], index: number) => void,
): void {
  const count = shape.reduce((product, size) => product * size, 1);
  for (let index = 0; index < count; index++) {
    let rest = index;
    const offsets = strides.map(() => 0);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const position = rest % (shape[axis] as number);
      rest = Math.floor(rest / (shape[axis] as number));
      strides.forEach((each, operand) => {
        offsets[operand] = (offsets[operand] as number) + position * (each[axis] as number);
      });
    }
    visit(offsets, index);
  }
}

/** Folds the middle axis of [outer, axis, inner]: `fold` gets its elements. */
export function alongAxis(
  x: Numbers,
  outer: number,
  axis: number,
  inner: number,
  fold: (row: number[]) => number,
): number[] {
  return Array.from({ length: outer * inner }, (_, i) => {
    const first = Math.floor(i / inner) * axis * inner + (i % inner);
    return fold(Array.from({ length: axis }, (_, j) => at(x, first + j * inner)));
  });
}

export function softmax(x: Numbers, outer: number, axis: number, inner: number, log: boolean): Float64Array {
  const y = new Float64Array(outer * axis * inner);
  for (let i = 0; i < outer * inner; i++) {
    const first = Math.floor(i / inner) * axis * inner + (i % inner);
    const row = Array.from({ length: axis }, (_, j) => at(x, first + j * inner));
    const largest = Math.max(...row);
    const sum = row.reduce((total, value) => total + Math.exp(value - largest), 0);
    row.forEach((value, j) => {
      y[first + j * inner] = log ? value - largest - Math.log(sum) : Math.exp(value - largest) / sum;
    });
  }
  return y;
}

export function layerNorm(
  x: Numbers,
  scale: Numbers,
  bias: Numbers,
  rows: number,
  size: number,
  epsilon: number,
  uncentred = false,
): number[] {
  return Array.from({ length: rows }, (_, row) => {
    const values = Array.from({ length: size }, (_, i) => at(x, row * size + i));
    const mean = uncentred ? 0 : values.reduce((sum, value) => sum + value, 0) / size;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / size;
    return values.map((value, i) => ((value - mean) / Math.sqrt(variance + epsilon)) * at(scale, i) + at(bias, i));
  }).flat();
}

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Abramowitz & Stegun 7.1.5 (series) near 0, 7.1.14 (continued fraction) beyond. */
export function erf(x: number): number {
  const size = Math.abs(x);
  if (!(size < 6)) return Number.isNaN(x) ? x : Math.sign(x);
  if (size < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; n < 120; n++) {
      term *= -(x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 120; n > 0; n--) fraction = n / 2 / (size + fraction);
  return Math.sign(x) * (1 - Math.exp(-size * size) / (Math.sqrt(Math.PI) * (size + fraction)));
}
