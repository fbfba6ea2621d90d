/** int16 constants in the form in which the integer kernels read them. Layouts: assembly/tensor/integer.ts. */
import type { ConvShape } from './instructions.ts';
import { DEPTHWISE_BLOCK, isDepthwise, patchLength, roundUp } from './pack.ts';

/** Columns in one panel, on every build. */
export const INTEGER_PANEL = 8;

/** Elements of a packed [k, n] matrix. */
export function packedIntegers(k: number, n: number): number {
  return roundUp(k, 2) * roundUp(n, INTEGER_PANEL);
}

/** Panels [n / 8][(k + 1) / 2][8][2], zero padded; `element(row, column)` gives B. */
function packPairs(target: Int16Array, k: number, n: number, element: (row: number, column: number) => number): void {
  const panel = roundUp(k, 2) * INTEGER_PANEL;
  for (let column = 0; column < n; column++) {
    const lane = column % INTEGER_PANEL;
    const at = ((column - lane) / INTEGER_PANEL) * panel + 2 * lane;
    for (let row = 0; row < k; row++) target[at + (row >> 1) * 2 * INTEGER_PANEL + (row & 1)] = element(row, column);
  }
}

export function packIntegerMatrix(b: Int16Array, k: number, n: number, transposed: boolean): Int16Array {
  const packed = new Int16Array(packedIntegers(k, n));
  const [rowStride, columnStride] = transposed ? [1, k] : [n, 1];
  packPairs(packed, k, n, (row, column) => b[row * rowStride + column * columnStride] as number);
  return packed;
}

/** Weights of a depthwise convolution from bytes to bytes, [channels, 1, kh, kw] → [channels / 8][(kh + 1) / 2][kw][8][2]. */
export function packIntegerPairs(weights: Int8Array | Int16Array, { kernel, outputChannels }: ConvShape): Int16Array {
  const [taps, width] = [kernel[0] * kernel[1], kernel[1]];
  const whole = roundUp(kernel[0], 2) * width;
  const packed = new Int16Array(roundUp(outputChannels, DEPTHWISE_BLOCK) * whole);
  weights.forEach((weight, i) => {
    const [channel, tap] = [Math.floor(i / taps), i % taps];
    const lane = channel % DEPTHWISE_BLOCK;
    const [row, column] = [Math.floor(tap / width), tap % width];
    const pair = (row >> 1) * width + column;
    packed[(channel - lane) * whole + pair * 2 * DEPTHWISE_BLOCK + 2 * lane + (row & 1)] = weight;
  });
  return packed;
}

/** [outputChannels, inputChannels / group, kh, kw] → per group a packed matrix, or [channels / 8][taps][8] for depthwise ones. */
export function packIntegerConv(weights: Int8Array | Int16Array, shape: ConvShape): Int16Array {
  const taps = shape.kernel[0] * shape.kernel[1];
  if (isDepthwise(shape)) {
    const packed = new Int16Array(roundUp(shape.outputChannels, DEPTHWISE_BLOCK) * taps);
    weights.forEach((weight, i) => {
      const [channel, tap] = [Math.floor(i / taps), i % taps];
      const lane = channel % DEPTHWISE_BLOCK;
      packed[(channel - lane) * taps + tap * DEPTHWISE_BLOCK + lane] = weight;
    });
    return packed;
  }
  const channels = shape.inputChannels / shape.group;
  const [k, n] = [patchLength(shape), shape.outputChannels / shape.group];
  const size = packedIntegers(k, n);
  const packed = new Int16Array(shape.group * size);
  for (let group = 0; group < shape.group; group++) {
    packPairs(packed.subarray(group * size), k, n, (row, column) => {
      const [tap, channel] = [Math.floor(row / channels), row % channels];
      return weights[((group * n + column) * channels + channel) * taps + tap] as number;
    });
  }
  return packed;
}
