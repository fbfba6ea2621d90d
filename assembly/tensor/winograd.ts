// Convolution 3x3 of stride 1 by Winograd's F(4x4, 3x3): 36 products a tile of 4x4 results instead of 144 (A. Lavin, S. Gray, "Fast
// Algorithms for Convolutional Neural Networks", 2015). The interpolation points are 0, ±5/8, ±3/2 and infinity instead of the paper's 0, ±1,
// ±2: the constants stay exact in float32 and the error is about that of the plain sum (1e-6 of the largest result instead of 5e-6).
// Weights: runtime/compile/winograd.ts. Channels come in eights, as pairs of vectors.
import { Activation, ConvShape } from '../operands.ts';
import { activate } from './gemm.ts';
import { copyFloats, zeroFloats } from './patches.ts';
import { clip, madd, splat } from './simd.ts';

const A: f32 = 0.625, B: f32 = 1.5;
const CONSTANTS = memory.data<f32>([
  A * A * B * B, -A * A - B * B, -B * B, -A * A, A, B, A * A, B * B, A * A * A, B * B * B,
], 16);

/** Six values at `source`, `stride` bytes apart → six at `target`, `step` bytes apart; eight channels. */
function forward(source: usize, stride: usize, target: usize, step: usize): void {
  const product = splat(CONSTANTS), sum = splat(CONSTANTS + 4), minusB = splat(CONSTANTS + 8), minusA = splat(CONSTANTS + 12);
  const a = splat(CONSTANTS + 16), b = splat(CONSTANTS + 20);
  const s1 = source + stride, s2 = s1 + stride, s3 = s2 + stride, s4 = s3 + stride, s5 = s4 + stride;
  const x0 = v128.load(source), y0 = v128.load(source, 16), x1 = v128.load(s1), y1 = v128.load(s1, 16);
  const x2 = v128.load(s2), y2 = v128.load(s2, 16), x3 = v128.load(s3), y3 = v128.load(s3, 16);
  const x4 = v128.load(s4), y4 = v128.load(s4, 16), x5 = v128.load(s5), y5 = v128.load(s5, 16);
  v128.store(target, madd(product, x0, madd(sum, x2, x4)));
  v128.store(target, madd(product, y0, madd(sum, y2, y4)), 16);
  const evenX = madd(minusB, x2, x4), evenY = madd(minusB, y2, y4);
  const oddX = f32x4.mul(a, madd(minusB, x1, x3)), oddY = f32x4.mul(a, madd(minusB, y1, y3));
  target += step;
  v128.store(target, f32x4.add(evenX, oddX));
  v128.store(target, f32x4.add(evenY, oddY), 16);
  target += step;
  v128.store(target, f32x4.sub(evenX, oddX));
  v128.store(target, f32x4.sub(evenY, oddY), 16);
  const wideX = madd(minusA, x2, x4), wideY = madd(minusA, y2, y4);
  const farX = f32x4.mul(b, madd(minusA, x1, x3)), farY = f32x4.mul(b, madd(minusA, y1, y3));
  target += step;
  v128.store(target, f32x4.add(wideX, farX));
  v128.store(target, f32x4.add(wideY, farY), 16);
  target += step;
  v128.store(target, f32x4.sub(wideX, farX));
  v128.store(target, f32x4.sub(wideY, farY), 16);
  target += step;
  v128.store(target, madd(product, x1, madd(sum, x3, x5)));
  v128.store(target, madd(product, y1, madd(sum, y3, y5)), 16);
}

/** Six values at `source`, `stride` bytes apart → four at `target`, `step` bytes apart; eight channels. */
function backward(source: usize, stride: usize, target: usize, step: usize): void {
  const a = splat(CONSTANTS + 16), b = splat(CONSTANTS + 20), a2 = splat(CONSTANTS + 24), b2 = splat(CONSTANTS + 28);
  const a3 = splat(CONSTANTS + 32), b3 = splat(CONSTANTS + 36);
  const s1 = source + stride, s2 = s1 + stride, s3 = s2 + stride, s4 = s3 + stride, s5 = s4 + stride;
  const x0 = v128.load(source), y0 = v128.load(source, 16), x1 = v128.load(s1), y1 = v128.load(s1, 16);
  const x2 = v128.load(s2), y2 = v128.load(s2, 16), x3 = v128.load(s3), y3 = v128.load(s3, 16);
  const x4 = v128.load(s4), y4 = v128.load(s4, 16), x5 = v128.load(s5), y5 = v128.load(s5, 16);
  const sumX = f32x4.add(x1, x2), sumY = f32x4.add(y1, y2), farSumX = f32x4.add(x3, x4), farSumY = f32x4.add(y3, y4);
  v128.store(target, f32x4.add(f32x4.add(x0, sumX), farSumX));
  v128.store(target, f32x4.add(f32x4.add(y0, sumY), farSumY), 16);
  const oddX = f32x4.sub(x1, x2), oddY = f32x4.sub(y1, y2), farX = f32x4.sub(x3, x4), farY = f32x4.sub(y3, y4);
  target += step;
  v128.store(target, madd(a, oddX, f32x4.mul(b, farX)));
  v128.store(target, madd(a, oddY, f32x4.mul(b, farY)), 16);
  target += step;
  v128.store(target, madd(a2, sumX, f32x4.mul(b2, farSumX)));
  v128.store(target, madd(a2, sumY, f32x4.mul(b2, farSumY)), 16);
  target += step;
  v128.store(target, madd(a3, oddX, madd(b3, farX, x5)));
  v128.store(target, madd(a3, oddY, madd(b3, farY, y5)), 16);
}

/** Pixels of a patch that lie outside are zeros. `patch`: [6, 6, channels]. */
function copyPatch(shape: ConvShape, image: usize, top: i32, left: i32, patch: usize): void {
  const bytes = <usize>shape.inputChannels << 2;
  for (let row = top; row < top + 6; row++) {
    for (let column = left; column < left + 6; column++) {
      const inside = <u32>row < <u32>shape.inputHeight && <u32>column < <u32>shape.inputWidth;
      if (inside) copyFloats(patch, image + <usize>(row * shape.inputWidth + column) * bytes, shape.inputChannels);
      else zeroFloats(patch, shape.inputChannels);
      patch += bytes;
    }
  }
}

/**
 * Tiles [begin, end) of all images → y [36, end - begin, inputChannels]. `room` takes 36 values of eight channels and
 * `patch` a patch.
 */
export function winogradInput(shape: ConvShape, x: usize, y: usize, room: usize, patch: usize, begin: i32, end: i32): void {
  const across = (shape.outputWidth + 3) >> 2, down = (shape.outputHeight + 3) >> 2;
  const pixel = <usize>shape.inputChannels << 2, line = <usize>shape.inputWidth * pixel;
  const plane = <usize>(end - begin) * pixel;
  for (let tile = begin; tile < end; tile++) {
    const top = tile / across % down * 4 - shape.padTop, left = tile % across * 4 - shape.padLeft;
    const image = x + <usize>(tile / across / down * shape.inputHeight) * line;
    const whole = top >= 0 && left >= 0 && top + 6 <= shape.inputHeight && left + 6 <= shape.inputWidth;
    if (!whole) copyPatch(shape, image, top, left, patch);
    const corner = whole ? image + <usize>top * line + <usize>left * pixel : patch;
    transformPatch(corner, whole ? line : 6 * pixel, pixel, room, y + <usize>(tile - begin) * pixel, plane);
  }
}

function transformPatch(corner: usize, line: usize, pixel: usize, room: usize, y: usize, plane: usize): void {
  for (let channel: usize = 0; channel < pixel; channel += 32) {
    for (let column: usize = 0; column < 6; column++) forward(corner + column * pixel + channel, line, room + (column << 5), 6 << 5);
    for (let row: usize = 0; row < 6; row++) forward(room + row * (6 << 5), 32, y + row * 6 * plane + channel, plane);
  }
}

/** Products x [36, end - begin, outputChannels] of tiles [begin, end) → their pixels of y, with bias, residual and activation. */
export function winogradOutput(
  shape: ConvShape, activation: Activation, x: usize, y: usize, ldc: usize, bias: usize, r: usize, room: usize,
  begin: i32, end: i32,
): void {
  const across = (shape.outputWidth + 3) >> 2, down = (shape.outputHeight + 3) >> 2;
  const bytes = <usize>shape.outputChannels << 2;
  for (let tile = begin; tile < end; tile++) {
    const top = tile / across % down * 4, left = tile % across * 4;
    const rows = min(4, shape.outputHeight - top), columns = min(4, shape.outputWidth - left);
    const corner = <usize>((tile / across / down * shape.outputHeight + top) * shape.outputWidth + left);
    const products = x + <usize>(tile - begin) * bytes;
    const target = y + corner * ldc, residual = r ? r + corner * bytes : 0;
    tileOutput(products, <usize>(end - begin) * bytes, target, ldc, bias, residual, bytes, shape.outputWidth, rows, columns, room, activation);
    for (let row = 0; row < rows; row++)
      activate(
        activation.kind, target + <usize>(row * shape.outputWidth) * ldc, ldc, columns, shape.outputChannels, activation.alpha, activation.beta,
      );
  }
}

function tileOutput(
  x: usize, plane: usize, y: usize, ldc: usize, bias: usize, r: usize, bytes: usize, width: i32, rows: i32, columns: i32,
  room: usize, activation: Activation,
): void {
  const results = room + (24 << 5);
  for (let channel: usize = 0; channel < bytes; channel += 32) {
    for (let column: usize = 0; column < 6; column++) backward(x + column * plane + channel, 6 * plane, room + (column << 5), 6 << 5);
    for (let row = 0; row < rows; row++) {
      backward(room + <usize>row * (6 << 5), 32, results, 32);
      const first = <usize>(row * width), target = y + first * ldc + channel;
      if (r) finishAdding(results, target, ldc, bias + channel, r + first * bytes + channel, bytes, columns, activation.low, activation.high);
      else finish(results, target, ldc, bias + channel, columns, activation.low, activation.high);
    }
  }
}

function finish(x: usize, y: usize, ldc: usize, bias: usize, columns: i32, low: f32, high: f32): void {
  const lo = f32x4.splat(low), hi = f32x4.splat(high), b0 = v128.load(bias), b1 = v128.load(bias, 16);
  for (; columns > 0; columns--) {
    v128.store(y, clip(f32x4.add(v128.load(x), b0), lo, hi));
    v128.store(y, clip(f32x4.add(v128.load(x, 16), b1), lo, hi), 16);
    x += 32;
    y += ldc;
  }
}

function finishAdding(x: usize, y: usize, ldc: usize, bias: usize, r: usize, ldr: usize, columns: i32, low: f32, high: f32): void {
  const lo = f32x4.splat(low), hi = f32x4.splat(high), b0 = v128.load(bias), b1 = v128.load(bias, 16);
  for (; columns > 0; columns--) {
    const sum0 = f32x4.add(b0, v128.load(r)), sum1 = f32x4.add(b1, v128.load(r, 16));
    v128.store(y, clip(f32x4.add(v128.load(x), sum0), lo, hi));
    v128.store(y, clip(f32x4.add(v128.load(x, 16), sum1), lo, hi), 16);
    x += 32;
    y += ldc;
    r += ldr;
  }
}
