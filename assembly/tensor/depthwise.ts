// Depthwise convolution: every channel has a filter of its own. Weights are [channels / 8][taps][8], so that one step works on
// 8 channels (a pair of v128); up to four neighbouring outputs share each weight that is loaded.
import { Activation, ConvShape } from '../operands.ts';
import { activate } from './gemm.ts';
import { depthwiseTile, hasDepthwiseTile } from './depthwise-tile.ts';
import { clip, madd } from './simd.ts';
import { ceilDivide } from './window.ts';

const BLOCK_BYTES: usize = 32;
const TILE: i32 = 4;
/** Tiles of four outputs that are done together of each eight channels: so few that the next eight find their cache lines still there. */
const CHANNELS_AT_WORK: i32 = 128;

/** The geometry of one output row, in bytes; per instance, set before the row is walked. */
let tapRows: i32 = 0; // kernel rows inside the image
let firstRow: usize = 0; // input row under the first of them
let firstTap: usize = 0; // its weights, from the beginning of a block
let rowBytes: usize = 0; // between kernel rows in x
let tapBytes: usize = 0; // between kernel columns in x
let stepBytes: usize = 0; // between outputs in x
let pixelBytes: usize = 0; // between outputs in y

/**
 * Eight channels of `width` (1 or 4, constant) neighbouring outputs. `x` points to the first tap that lies in the image, `weights` to its
 * weights; `taps` columns are walked in each kernel row of `kernelWidth`.
 */
// @ts-ignore: decorator
@inline
function tile(width: i32, x: usize, weights: usize, kernelWidth: i32, taps: i32, bias: usize, y: usize, low: f32, high: f32): void {
  let c0 = v128.load(bias), c1 = v128.load(bias, 16);
  let d0 = c0, d1 = c1, e0 = c0, e1 = c1, f0 = c0, f1 = c1;
  const toRow = rowBytes, toTap = tapBytes;
  const x1 = stepBytes, x2 = x1 + x1, x3 = x2 + x1;
  const skipped = <usize>(kernelWidth - taps) * BLOCK_BYTES;
  for (let row = tapRows; row > 0; row--) {
    let p = x;
    for (let tap = taps; tap > 0; tap--) {
      const w0 = v128.load(weights), w1 = v128.load(weights, 16);
      c0 = madd(v128.load(p), w0, c0);
      c1 = madd(v128.load(p, 16), w1, c1);
      if (width > 1) {
        d0 = madd(v128.load(p + x1), w0, d0);
        d1 = madd(v128.load(p + x1, 16), w1, d1);
        e0 = madd(v128.load(p + x2), w0, e0);
        e1 = madd(v128.load(p + x2, 16), w1, e1);
        f0 = madd(v128.load(p + x3), w0, f0);
        f1 = madd(v128.load(p + x3, 16), w1, f1);
      }
      p += toTap;
      weights += BLOCK_BYTES;
    }
    weights += skipped;
    x += toRow;
  }
  const lo = f32x4.splat(low), hi = f32x4.splat(high);
  v128.store(y, clip(c0, lo, hi));
  v128.store(y, clip(c1, lo, hi), 16);
  if (width > 1) {
    const y1 = y + pixelBytes, y2 = y1 + pixelBytes, y3 = y2 + pixelBytes;
    v128.store(y1, clip(d0, lo, hi));
    v128.store(y1, clip(d1, lo, hi), 16);
    v128.store(y2, clip(e0, lo, hi));
    v128.store(y2, clip(e1, lo, hi), 16);
    v128.store(y3, clip(f0, lo, hi));
    v128.store(y3, clip(f1, lo, hi), 16);
  }
}

function pixel(x: usize, weights: usize, kernelWidth: i32, taps: i32, bias: usize, y: usize, channels: i32, block: usize, low: f32, high: f32): void {
  for (; channels >= 8; channels -= 8) {
    tile(1, x, weights, kernelWidth, taps, bias, y, low, high);
    x += BLOCK_BYTES;
    bias += BLOCK_BYTES;
    y += BLOCK_BYTES;
    weights += block;
  }
  for (let lane = 0; lane < channels; lane++) scalar(x, weights, kernelWidth, taps, bias, y, <usize>lane << 2, low, high);
}

function fourPixels(x: usize, weights: usize, kernelWidth: i32, bias: usize, y: usize, channels: i32, block: usize, low: f32, high: f32): void {
  for (; channels >= 8; channels -= 8) {
    tile(4, x, weights, kernelWidth, kernelWidth, bias, y, low, high);
    x += BLOCK_BYTES;
    bias += BLOCK_BYTES;
    y += BLOCK_BYTES;
    weights += block;
  }
  for (let i: usize = 0; i < <usize>TILE; i++)
    for (let lane = 0; lane < channels; lane++)
      scalar(x + i * stepBytes, weights, kernelWidth, kernelWidth, bias, y + i * pixelBytes, <usize>lane << 2, low, high);
}

/** One channel of one output: what is left of the last block. */
function scalar(x: usize, weights: usize, kernelWidth: i32, taps: i32, bias: usize, y: usize, lane: usize, low: f32, high: f32): void {
  let sum = load<f32>(bias + lane);
  for (let row = 0; row < tapRows; row++) {
    for (let tap = 0; tap < taps; tap++)
      sum += load<f32>(x + <usize>tap * tapBytes + lane) * load<f32>(weights + <usize>tap * BLOCK_BYTES + lane);
    x += rowBytes;
    weights += <usize>kernelWidth * BLOCK_BYTES;
  }
  if (sum > high) sum = high; // comparisons, since min and max would not keep NaN as `clip` does
  if (sum < low) sum = low;
  store<f32>(y + lane, sum);
}

/** Output rows [begin, end) of batch * outputHeight. */
export function depthwise(
  shape: ConvShape, activation: Activation,
  x: usize, weights: usize, bias: usize, y: usize, yPixelBytes: usize, residual: usize, begin: i32, end: i32,
): void {
  const channels = shape.outputChannels, kernelWidth = shape.kernelWidth, kernelHeight = shape.kernelHeight;
  const inputPixel = <usize>channels << 2;
  const outputWidth = shape.outputWidth;
  const low: f32 = residual ? -<f32>Infinity : activation.low, high: f32 = residual ? <f32>Infinity : activation.high;
  rowBytes = <usize>(shape.dilationHeight * shape.inputWidth) * inputPixel;
  tapBytes = <usize>shape.dilationWidth * inputPixel;
  stepBytes = <usize>shape.strideWidth * inputPixel;
  pixelBytes = yPixelBytes;
  for (let row = begin; row < end; row++) {
    const top = row % shape.outputHeight * shape.strideHeight - shape.padTop;
    const first = ceilDivide(-top, shape.dilationHeight);
    const last = min(kernelHeight, ceilDivide(shape.inputHeight - top, shape.dilationHeight));
    tapRows = max(0, last - first);
    firstRow = x + <usize>((row / shape.outputHeight * shape.inputHeight + top + first * shape.dilationHeight) * shape.inputWidth) * inputPixel;
    firstTap = weights + <usize>(first * kernelWidth) * BLOCK_BYTES;
    const target = y + <usize>(row * outputWidth) * yPixelBytes;
    depthwiseRow(shape, bias, target, low, high);
    if (residual) addRow(target, residual + <usize>(row * outputWidth) * inputPixel, yPixelBytes, outputWidth, channels, activation);
    activate(activation.kind, target, yPixelBytes, outputWidth, channels, activation.alpha, activation.beta);
  }
}

function depthwiseRow(shape: ConvShape, bias: usize, target: usize, low: f32, high: f32): void {
  if (shape.dilationWidth == 1 && shape.outputWidth >= TILE && hasDepthwiseTile(shape.kernelWidth, shape.strideWidth)) {
    tiledRow(shape, bias, target, low, high);
    const whole = shape.outputChannels & ~7;
    if (whole < shape.outputChannels)
      for (let column = 0; column < shape.outputWidth; column++) pixelAt(shape, column, whole, bias, target, low, high);
    return;
  }
  const kernelWidth = shape.kernelWidth;
  const inputPixel = <usize>shape.outputChannels << 2;
  const block = <usize>(shape.kernelHeight * kernelWidth) * BLOCK_BYTES;
  // Outputs [safe, safeEnd) see no column outside the image.
  const safe = ceilDivide(shape.padLeft, shape.strideWidth);
  const reach = shape.inputWidth - 1 - (kernelWidth - 1) * shape.dilationWidth + shape.padLeft;
  const safeEnd = reach < 0 ? 0 : min(shape.outputWidth, reach / shape.strideWidth + 1);
  let column = 0;
  while (column < shape.outputWidth) {
    if (column >= safe && column + TILE <= safeEnd) {
      const source = firstRow + <usize>(column * shape.strideWidth - shape.padLeft) * inputPixel;
      const y = target + <usize>column * pixelBytes;
      fourPixels(source, firstTap, kernelWidth, bias, y, shape.outputChannels, block, low, high);
      column += TILE;
    } else {
      pixelAt(shape, column, 0, bias, target, low, high);
      column++;
    }
  }
}

/** Channels from `channel`, a multiple of eight, on. */
function pixelAt(shape: ConvShape, column: i32, channel: i32, bias: usize, target: usize, low: f32, high: f32): void {
  const kernelWidth = shape.kernelWidth, dilation = shape.dilationWidth;
  const block = <usize>(shape.kernelHeight * kernelWidth) * BLOCK_BYTES;
  const left = column * shape.strideWidth - shape.padLeft;
  const first = ceilDivide(-left, dilation);
  const last = min(kernelWidth, ceilDivide(shape.inputWidth - left, dilation));
  const offset = <usize>channel << 2;
  const source = firstRow + (<usize>((left + first * dilation) * shape.outputChannels) << 2) + offset;
  const weights = firstTap + <usize>first * BLOCK_BYTES + <usize>(channel >> 3) * block;
  const y = target + <usize>column * pixelBytes + offset;
  pixel(source, weights, kernelWidth, max(0, last - first), bias + offset, y, shape.outputChannels - channel, block, low, high);
}

/** All whole eights of channels; the last tile may overlap the one before. */
function tiledRow(shape: ConvShape, bias: usize, target: usize, low: f32, high: f32): void {
  const kernelWidth = shape.kernelWidth, stride = shape.strideWidth, width = shape.inputWidth;
  const channels = shape.outputChannels & ~7;
  const inputPixel = <usize>shape.outputChannels << 2;
  const block = <usize>(shape.kernelHeight * kernelWidth) * BLOCK_BYTES;
  const reach = width - kernelWidth - (TILE - 1) * stride; // the first column of the last tile that sees nothing outside
  const together = max(1, CHANNELS_AT_WORK / shape.outputChannels);
  for (let column = 0; column < shape.outputWidth; ) {
    const begin = min(column, shape.outputWidth - TILE);
    const left = begin * stride - shape.padLeft;
    const isInside = left >= 0 && left <= reach;
    const tiles = isInside ? min(together, min((reach - left) / (TILE * stride) + 1, (shape.outputWidth - begin) / TILE)) : 1;
    const run = depthwiseTile(kernelWidth, stride, left, width);
    const x = firstRow + <usize>left * inputPixel, y = target + <usize>begin * pixelBytes;
    run(x, rowBytes, inputPixel, firstTap, block, tapRows, bias, y, pixelBytes, tiles, channels, low, high, left, width);
    column = begin + tiles * TILE;
  }
}

/** target = clip(target + residual): rare behind a depthwise convolution, so a pass of its own. */
function addRow(target: usize, residual: usize, stride: usize, pixels: i32, channels: i32, activation: Activation): void {
  for (let pixel = 0; pixel < pixels; pixel++) {
    for (let i: usize = 0; i < <usize>channels << 2; i += 4) {
      let sum = load<f32>(target + i) + load<f32>(residual + i);
      if (sum > activation.high) sum = activation.high;
      if (sum < activation.low) sum = activation.low;
      store<f32>(target + i, sum);
    }
    target += stride;
    residual += <usize>channels << 2;
  }
}
