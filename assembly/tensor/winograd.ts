// Convolution of stride 1 by Winograd's algorithm: a tile of results costs fewer products than the plain sum, 36 instead of 144 for 4x4
// results of a 3x3 kernel (A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2015). Kernels have 1, 3 or 5 rows and
// columns, or 7 or 9 along one axis and 1 along the other. With dilation d the image is taken apart into d x d images of every d-th pixel.
// Weights: runtime/compile/winograd.ts. Channels are transformed in eights, as pairs of vectors; what is beyond the last channel is
// reckoned with, but neither multiplied nor stored.
import { Activation, ConvShape } from '../operands.ts';
import { activate } from './gemm.ts';
import { copyFloats, zeroFloats } from './patches.ts';
import { clip } from './simd.ts';
import { backwardSixToFour, backwardSixToTwo, backwardTenToFour, backwardTenToTwo, forwardSix, forwardTen } from './winograd-transform.ts';

const BLOCK: usize = 32;
/** Where a row of results lies in `room`, behind the halfway values of four rows of six. */
const RESULTS: usize = 24 * BLOCK;

/** Values along an axis of a tile, for so many taps. */
// @ts-ignore: decorator
@inline
function pointsOf(taps: i32): i32 {
  return taps == 1 ? 1 : taps <= 5 ? 6 : 10;
}

/** The first result of a tile, set by `locate`; per instance. */
let image: i32 = 0;
let top: i32 = 0;
let left: i32 = 0;

function locate(shape: ConvShape, tile: i32): void {
  const height = pointsOf(shape.kernelHeight) - shape.kernelHeight + 1, width = pointsOf(shape.kernelWidth) - shape.kernelWidth + 1;
  const across = tilesAlong(shape.outputWidth, shape.dilationWidth, width), down = tilesAlong(shape.outputHeight, shape.dilationHeight, height);
  let rest = tile / across;
  left = tile % across * width * shape.dilationWidth;
  top = rest % down * height * shape.dilationHeight;
  rest /= down;
  left += rest % shape.dilationWidth;
  rest /= shape.dilationWidth;
  top += rest % shape.dilationHeight;
  image = rest / shape.dilationHeight;
}

/** a / b rounded up. */
// @ts-ignore: decorator
@inline
function quotient(a: i32, b: i32): i32 {
  return (a + b - 1) / b;
}

// @ts-ignore: decorator
@inline
function tilesAlong(size: i32, dilation: i32, tile: i32): i32 {
  return quotient(quotient(size, dilation), tile);
}

/** Pixels of a patch that lie outside are zeros. `patch`: [height, width, stride bytes]. */
function copyPatch(shape: ConvShape, x: usize, top: i32, left: i32, height: i32, width: i32, patch: usize, stride: usize): void {
  const bytes = <usize>shape.inputChannels << 2;
  for (let row = top; height > 0; height--) {
    let column = left;
    for (let i = 0; i < width; i++) {
      const inside = <u32>row < <u32>shape.inputHeight && <u32>column < <u32>shape.inputWidth;
      if (inside) copyFloats(patch, x + <usize>(row * shape.inputWidth + column) * bytes, shape.inputChannels);
      else zeroFloats(patch, shape.inputChannels);
      patch += stride;
      column += shape.dilationWidth;
    }
    row += shape.dilationHeight;
  }
}

/**
 * Tiles [begin, end) of all images → y [points, plane], of which each plane begins with [end - begin, channels rounded up to eight];
 * `plane` in bytes. `room` takes 36 values of eight channels and `patch` a patch of whole eights.
 */
export function winogradInput(shape: ConvShape, x: usize, y: usize, plane: usize, room: usize, patch: usize, begin: i32, end: i32): void {
  const height = pointsOf(shape.kernelHeight), width = pointsOf(shape.kernelWidth);
  const pixel = <usize>shape.inputChannels << 2, line = <usize>shape.inputWidth * pixel;
  const bytes = pixel + 31 & ~31;
  for (let tile = begin; tile < end; tile++) {
    locate(shape, tile);
    const row = top - shape.padTop, column = left - shape.padLeft;
    const lastRow = row + (height - 1) * shape.dilationHeight, lastColumn = column + (width - 1) * shape.dilationWidth;
    const source = x + <usize>(image * shape.inputHeight) * line;
    // Behind the very last pixel there may be no memory, so the eights that do not end with it are not read from there.
    const atEnd = bytes != pixel && lastRow == shape.inputHeight - 1 && lastColumn == shape.inputWidth - 1;
    const whole = row >= 0 && column >= 0 && lastRow < shape.inputHeight && lastColumn < shape.inputWidth && !atEnd;
    if (!whole) copyPatch(shape, source, row, column, height, width, patch, bytes);
    const corner = whole ? source + <usize>row * line + <usize>column * pixel : patch;
    const down = whole ? line * shape.dilationHeight : bytes * width, across = whole ? pixel * shape.dilationWidth : bytes;
    transformPatch(corner, height, width, down, across, room, y + <usize>(tile - begin) * bytes, plane, bytes);
  }
}

function transformPatch(
  corner: usize, height: i32, width: i32, down: usize, across: usize, room: usize, y: usize, plane: usize, bytes: usize,
): void {
  const stride = height == 1 ? across : down;
  for (let channel: usize = 0; channel < bytes; channel += BLOCK) {
    const source = corner + channel, target = y + channel;
    if (max(height, width) == 10) forwardTen(source, stride, target, plane);
    else if (min(height, width) == 1) forwardSix(source, stride, target, plane);
    else {
      for (let column: usize = 0; column < 6; column++) forwardSix(source + column * across, down, room + column * BLOCK, 6 * BLOCK);
      for (let row: usize = 0; row < 6; row++) forwardSix(room + row * 6 * BLOCK, BLOCK, target + row * 6 * plane, plane);
    }
  }
}

/** Values of one axis → results of a kernel of `taps`. Inline, and the loops below ask for `taps` outside: a call costs as much as the work. */
// @ts-ignore: decorator
@inline
function backward(taps: i32, source: usize, stride: usize, target: usize, step: usize): void {
  if (taps == 3) backwardSixToFour(source, stride, target, step);
  else if (taps == 5) backwardSixToTwo(source, stride, target, step);
  else if (taps == 7) backwardTenToFour(source, stride, target, step);
  else backwardTenToTwo(source, stride, target, step);
}

/** Products x (as `winogradInput` places its results) of tiles [begin, end) → their pixels of y, with bias, residual and activation. */
export function winogradOutput(
  shape: ConvShape, activation: Activation, x: usize, plane: usize, y: usize, ldc: usize, bias: usize, r: usize, room: usize,
  begin: i32, end: i32,
): void {
  const height = pointsOf(shape.kernelHeight) - shape.kernelHeight + 1, width = pointsOf(shape.kernelWidth) - shape.kernelWidth + 1;
  const pixel = <usize>shape.outputChannels << 2, bytes = pixel + 31 & ~31;
  for (let tile = begin; tile < end; tile++, x += bytes) {
    locate(shape, tile);
    const rows = min(height, quotient(shape.outputHeight - top, shape.dilationHeight));
    const columns = min(width, quotient(shape.outputWidth - left, shape.dilationWidth));
    if (rows <= 0 || columns <= 0) continue; // not all of the images that a dilation makes are equally large
    const first = <usize>((image * shape.outputHeight + top) * shape.outputWidth + left);
    const line = <usize>(shape.outputWidth * shape.dilationHeight);
    const target = y + first * ldc;
    tileOutput(shape, activation, x, plane, target, ldc, bias, r ? r + first * pixel : 0, rows, columns, room);
    for (let row: usize = 0; row < <usize>rows; row++)
      activate(
        activation.kind, target + row * line * ldc, ldc * shape.dilationWidth, columns, shape.outputChannels, activation.alpha, activation.beta,
      );
  }
}

function tileOutput(
  shape: ConvShape, activation: Activation, x: usize, plane: usize, y: usize, ldc: usize, bias: usize, r: usize, rows: i32, columns: i32,
  room: usize,
): void {
  const pixel = <usize>shape.outputChannels << 2;
  const across = <usize>shape.dilationWidth, down = <usize>(shape.outputWidth * shape.dilationHeight);
  const results = room + RESULTS;
  for (let channel: usize = 0; channel < pixel; channel += BLOCK) {
    const source = x + channel, b = bias + channel, rest = pixel - channel;
    if (shape.kernelHeight == 1) {
      backward(shape.kernelWidth, source, plane, results, BLOCK);
      finish(activation, results, y + channel, across * ldc, b, r ? r + channel : 0, across * pixel, columns, rest);
    } else if (shape.kernelWidth == 1) {
      backward(shape.kernelHeight, source, plane, results, BLOCK);
      finish(activation, results, y + channel, down * ldc, b, r ? r + channel : 0, down * pixel, rows, rest);
    } else {
      backwardColumns(shape.kernelHeight, source, plane, room);
      for (let row: usize = 0; row < <usize>rows; row++) {
        backward(shape.kernelWidth, room + row * 6 * BLOCK, BLOCK, results, BLOCK);
        const target = y + row * down * ldc + channel;
        finish(activation, results, target, across * ldc, b, r ? r + row * down * pixel + channel : 0, across * pixel, columns, rest);
      }
    }
  }
}

function backwardColumns(taps: i32, source: usize, plane: usize, room: usize): void {
  if (taps == 3)
    for (let column: usize = 0; column < 6; column++)
      backwardSixToFour(source + column * plane, 6 * plane, room + column * BLOCK, 6 * BLOCK);
  else
    for (let column: usize = 0; column < 6; column++)
      backwardSixToTwo(source + column * plane, 6 * plane, room + column * BLOCK, 6 * BLOCK);
}

/** Up to eight channels of `count` pixels: those of which `rest` bytes are left. */
function finish(activation: Activation, x: usize, y: usize, ldc: usize, bias: usize, r: usize, ldr: usize, count: i32, rest: usize): void {
  if (rest < BLOCK) finishTail(activation, x, y, ldc, bias, r, ldr, count, rest);
  else if (r) finishAdding(x, y, ldc, bias, r, ldr, count, activation.low, activation.high);
  else finishPlain(x, y, ldc, bias, count, activation.low, activation.high);
}

function finishPlain(x: usize, y: usize, ldc: usize, bias: usize, count: i32, low: f32, high: f32): void {
  const lo = f32x4.splat(low), hi = f32x4.splat(high), b0 = v128.load(bias), b1 = v128.load(bias, 16);
  for (; count > 0; count--) {
    v128.store(y, clip(f32x4.add(v128.load(x), b0), lo, hi));
    v128.store(y, clip(f32x4.add(v128.load(x, 16), b1), lo, hi), 16);
    x += BLOCK;
    y += ldc;
  }
}

function finishAdding(x: usize, y: usize, ldc: usize, bias: usize, r: usize, ldr: usize, count: i32, low: f32, high: f32): void {
  const lo = f32x4.splat(low), hi = f32x4.splat(high), b0 = v128.load(bias), b1 = v128.load(bias, 16);
  for (; count > 0; count--) {
    const sum0 = f32x4.add(b0, v128.load(r)), sum1 = f32x4.add(b1, v128.load(r, 16));
    v128.store(y, clip(f32x4.add(v128.load(x), sum0), lo, hi));
    v128.store(y, clip(f32x4.add(v128.load(x, 16), sum1), lo, hi), 16);
    x += BLOCK;
    y += ldc;
    r += ldr;
  }
}

function finishTail(activation: Activation, x: usize, y: usize, ldc: usize, bias: usize, r: usize, ldr: usize, count: i32, rest: usize): void {
  for (; count > 0; count--) {
    for (let lane: usize = 0; lane < rest; lane += 4) {
      let sum = load<f32>(x + lane) + load<f32>(bias + lane);
      if (r) sum += load<f32>(r + lane);
      if (sum > activation.high) sum = activation.high; // comparisons, since min and max would not keep NaN as `clip` does
      if (sum < activation.low) sum = activation.low;
      store<f32>(y + lane, sum);
    }
    x += BLOCK;
    y += ldc;
    if (r) r += ldr;
  }
}
