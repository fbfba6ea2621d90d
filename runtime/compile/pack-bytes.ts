/** Weights of one byte in the form in which the kernels read them that multiply bytes. Layouts: assembly/tensor/byte-gemm.ts. */
import type { ConvShape } from './instructions.ts';
import { DEPTHWISE_BLOCK, isDepthwise, patchLength, roundUp } from './pack.ts';

/** Columns in one panel, on every build. */
export const BYTE_PANEL = 16;
/** Neighbours along the sum that are multiplied in one step. */
const FOUR = 4;
/** The sums of a panel's columns, int32, before its bytes. */
const SUMS_BYTES = 4 * BYTE_PANEL;

/** Of a packed [k, n] matrix. */
export function packedBytes(k: number, n: number): number {
  return Math.ceil(n / BYTE_PANEL) * (SUMS_BYTES + Math.ceil(k / FOUR) * FOUR * BYTE_PANEL);
}

/** Whether two output rows of a depthwise convolution, one below the other, see no more than four rows. */
export function sharesRows({ kernel, strides, dilations }: ConvShape): boolean {
  return kernel[0] < FOUR && strides[0] === 1 && dilations[0] === 1;
}

/**
 * Weights of a depthwise convolution, [channels, 1, kh, kw] → [channels / 8] blocks of { sums [8]; bytes [(kh + 3) / 4][kw][8][4] }, zero
 * padded, and the same again with taps one row further down where rows are shared (assembly/tensor/byte-depthwise.ts).
 */
function packDepthwise(weights: Int8Array, shape: ConvShape): Uint8Array {
  const [first, second] = sharesRows(shape)
    ? [packBlocks(weights, shape, 0), packBlocks(weights, shape, 1)]
    : [packBlocks(weights, shape, 0)];
  const packed = new Uint8Array(first.length + (second?.length ?? 0));
  packed.set(first);
  if (second) packed.set(second, first.length);
  return packed;
}

function packBlocks(weights: Int8Array, { kernel, outputChannels }: ConvShape, down: number): Uint8Array {
  const [taps, width] = [kernel[0] * kernel[1], kernel[1]];
  const sumsBytes = 4 * DEPTHWISE_BLOCK;
  const block = sumsBytes + Math.ceil(kernel[0] / FOUR) * FOUR * width * DEPTHWISE_BLOCK;
  const packed = new Int8Array((roundUp(outputChannels, DEPTHWISE_BLOCK) / DEPTHWISE_BLOCK) * block);
  const sums = new Int32Array(packed.buffer);
  for (let channel = 0; channel < outputChannels; channel++) {
    const lane = channel % DEPTHWISE_BLOCK;
    const start = ((channel - lane) / DEPTHWISE_BLOCK) * block;
    let sum = 0;
    for (let tap = 0; tap < taps; tap++) {
      const weight = weights[channel * taps + tap] as number;
      const [row, column] = [down + Math.floor(tap / width), tap % width];
      const place = (row >> 2) * width + column;
      packed[start + sumsBytes + (place * DEPTHWISE_BLOCK + lane) * FOUR + (row & 3)] = weight;
      sum += weight;
    }
    sums[start / 4 + lane] = sum;
  }
  return new Uint8Array(packed.buffer);
}

/** Those of a depthwise convolution in blocks; else [outputChannels, inputChannels / group, kh, kw] → per group panels of { sums [16]; bytes [(k + 3) / 4][16][4] }, zero padded. */
export function packByteConv(weights: Int8Array, shape: ConvShape): Uint8Array {
  if (isDepthwise(shape)) return packDepthwise(weights, shape);
  const taps = shape.kernel[0] * shape.kernel[1];
  const channels = shape.inputChannels / shape.group;
  const [k, n] = [patchLength(shape), shape.outputChannels / shape.group];
  const [size, panel] = [packedBytes(k, n), packedBytes(k, 1)];
  const packed = new Int8Array(shape.group * size);
  const sums = new Int32Array(packed.buffer);
  let from = 0;
  for (let group = 0; group < shape.group; group++)
    for (let column = 0; column < n; column++) {
      const lane = column % BYTE_PANEL;
      const start = group * size + ((column - lane) / BYTE_PANEL) * panel;
      const target = start + SUMS_BYTES + lane * FOUR;
      let sum = 0;
      for (let channel = 0; channel < channels; channel++)
        for (let tap = 0; tap < taps; tap++) {
          const weight = weights[from++] as number;
          const row = tap * channels + channel;
          packed[target + (row >> 2) * FOUR * BYTE_PANEL + (row & 3)] = weight;
          sum += weight;
        }
      sums[start / 4 + lane] = sum;
    }
  return new Uint8Array(packed.buffer);
}
