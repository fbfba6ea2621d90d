/** Constants in the form in which the kernels read them. Layouts: assembly/tensor/gemm.ts and depthwise.ts. */
import { strict as assert } from 'node:assert';
import type { ConvShape } from './instructions.ts';
import type { PackingRoom } from './packing-room.ts';

/** Channels that one step of the depthwise kernel works on. */
export const DEPTHWISE_BLOCK = 8;

/** Floats behind a packed bias, so that a panel may begin at any channel (groups) and still be read whole. */
const BIAS_SLACK = 16;

export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

/** Elements of a packed [k, n] matrix. */
export function packedLength(k: number, n: number, panel: number): number {
  return k * roundUp(n, panel);
}

/** A panel of so many columns has them once more in its free half, as assembly/tensor/narrow-gemm.ts reads them. */
export const NARROW_MAX = 4;
const NARROW_PANEL = 16;
const NARROW_STEP = 8;

export function repeatColumns(packed: Float32Array, k: number, n: number, panel: number): void {
  const width = ((n - 1) % panel) + 1;
  if (panel !== NARROW_PANEL || n === 0 || width > NARROW_MAX || k % NARROW_STEP !== 0) return;
  const last = packed.subarray((n - width) * k);
  for (let row = 0; row < k; row++)
    for (let column = 0; column < width; column++) {
      const step = row - (row % NARROW_STEP);
      last[(step + column) * panel + NARROW_STEP + (row % NARROW_STEP)] = last[row * panel + column] as number;
    }
}

/** Panels [n / panel][k][panel], zero padded; `element(row, column)` gives B. */
function packPanels(
  target: Float32Array,
  k: number,
  n: number,
  panel: number,
  element: (row: number, column: number) => number,
): void {
  let at = 0;
  for (let begin = 0; begin < n; begin += panel)
    for (let row = 0; row < k; row++, at += panel)
      for (let column = begin; column < Math.min(begin + panel, n); column++)
        target[at + column - begin] = element(row, column);
  repeatColumns(target, k, n, panel);
}

/** The same for columns that lie `columnStride` elements apart and rows that begin at `rowOffsets`: most weights, so that it is quick. */
function packStrided(
  target: Float32Array,
  source: Float32Array,
  rowOffsets: Int32Array,
  columnStride: number,
  n: number,
  panel: number,
): void {
  const k = rowOffsets.length;
  let at = 0;
  for (let begin = 0; begin < n; begin += panel) {
    const width = Math.min(panel, n - begin);
    for (let row = 0; row < k; row++, at += panel) {
      const from = (rowOffsets[row] as number) + begin * columnStride;
      for (let column = 0; column < width; column++)
        target[at + column] = source[from + column * columnStride] as number;
    }
  }
  repeatColumns(target, k, n, panel);
}

export function packGemm(
  b: Float32Array,
  k: number,
  n: number,
  panel: number,
  transposed: boolean,
  room: PackingRoom,
): Float32Array {
  const packed = room.take(packedLength(k, n, panel));
  const rowOffsets = Int32Array.from({ length: k }, (_, row) => (transposed ? row : row * n));
  packStrided(packed, b, rowOffsets, transposed ? k : 1, n, panel);
  return packed;
}

export function isPointwise(shape: ConvShape): boolean {
  return (
    shape.group === 1 && [...shape.kernel, ...shape.strides].every((size) => size === 1) && !shape.pads.some(Boolean)
  );
}

export function isDepthwise(shape: ConvShape): boolean {
  return shape.group > 1 && shape.group === shape.inputChannels && shape.group === shape.outputChannels;
}

/** Rows of one group's weight matrix: taps times input channels of the group. */
export function patchLength(shape: ConvShape): number {
  return shape.kernel[0] * shape.kernel[1] * (shape.inputChannels / shape.group);
}

/** Of a convolution or a transposed one. */
export function checkConvWeights({ length }: Float32Array, shape: ConvShape): void {
  const expected = patchLength(shape) * shape.outputChannels;
  assert(length === expected, `weights have ${length} elements: expected ${expected}`);
}

/** [outputChannels, inputChannels / group, kh, kw] → per group a packed [kh * kw * inputChannels / group, outputChannels / group] matrix. */
export function packConv(weights: Float32Array, shape: ConvShape, panel: number, room: PackingRoom): Float32Array {
  const taps = shape.kernel[0] * shape.kernel[1];
  if (isDepthwise(shape)) return packDepthwise(weights, shape.outputChannels, taps);
  const channels = shape.inputChannels / shape.group;
  const n = shape.outputChannels / shape.group;
  const k = taps * channels;
  const packed = room.take(shape.group * packedLength(k, n, panel));
  for (let group = 0; group < shape.group; group++) {
    const target = packed.subarray(group * packedLength(k, n, panel));
    const rowOffsets = Int32Array.from({ length: k }, (_, row) => {
      const channel = row % channels;
      return (group * n * channels + channel) * taps + (row - channel) / channels;
    });
    packStrided(target, weights, rowOffsets, channels * taps, n, panel);
  }
  return packed;
}

/** [channels, 1, kh, kw] → [channels / 8][taps][8]. */
function packDepthwise(weights: Float32Array, channels: number, taps: number): Float32Array {
  const packed = new Float32Array(roundUp(channels, DEPTHWISE_BLOCK) * taps);
  for (let channel = 0; channel < channels; channel++) {
    const lane = channel % DEPTHWISE_BLOCK;
    for (let tap = 0; tap < taps; tap++)
      packed[(channel - lane) * taps + tap * DEPTHWISE_BLOCK + lane] = weights[channel * taps + tap] as number;
  }
  return packed;
}

/** [inputChannels, outputChannels / group, kh, kw] → per group a packed [inputChannels / group, kh * kw * outputChannels / group] matrix. */
export function packConvTranspose(
  weights: Float32Array,
  shape: ConvShape,
  panel: number,
  room: PackingRoom,
): Float32Array {
  const taps = shape.kernel[0] * shape.kernel[1];
  const channels = shape.outputChannels / shape.group;
  const k = shape.inputChannels / shape.group;
  const n = taps * channels;
  const packed = room.take(shape.group * packedLength(k, n, panel));
  for (let group = 0; group < shape.group; group++) {
    const target = packed.subarray(group * packedLength(k, n, panel));
    const first = group * k;
    packPanels(target, k, n, panel, (row, column) => {
      const channel = column % channels;
      const tap = (column - channel) / channels;
      return weights[((first + row) * channels + channel) * taps + tap] as number;
    });
  }
  return packed;
}

export function packBias(bias: Float32Array | undefined, n: number): Float32Array {
  const packed = new Float32Array(roundUp(n, BIAS_SLACK) + BIAS_SLACK);
  if (bias) packed.set(bias);
  return packed;
}
