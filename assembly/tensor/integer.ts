// Exact products of int16 matrices, summed up in int32, wrapping as int32 does. Neighbours along the sum are multiplied and added in one
// step (i32x4.dot_i16x8_s), so B is packed in pairs of rows: [n / 8][(k + 1) / 2][8][2], zero padded.
import { ConvShape } from '../operands.ts';
import { scratch } from './scratch.ts';

const TILE_ROWS: i32 = 4;
const TAIL: usize = 64; // of a row that fills no panel, behind the bias in scratch
const ZEROS: usize = memory.data(32, 16);

/**
 * `rows` (1 or 4, a constant) rows of A, `wide`: times two panels of B, at `b` and `second`, else times one. An odd last element meets a
 * zero in B.
 */
// @ts-ignore: decorator
@inline
function tile(rows: i32, wide: bool, a: usize, lda: usize, b: usize, second: usize, k: i32, bias: usize, c: usize, ldc: usize): void {
  let c00 = v128.load(bias), c01 = v128.load(bias, 16), c02 = v128.load(bias, 32), c03 = v128.load(bias, 48);
  let c10 = c00, c11 = c01, c12 = c02, c13 = c03, c20 = c00, c21 = c01, c22 = c02, c23 = c03, c30 = c00, c31 = c01, c32 = c02, c33 = c03;
  let a1 = a + lda, a2 = a1 + lda, a3 = a2 + lda;
  for (; k > 1; k -= 2) {
    const b0 = v128.load(b), b1 = v128.load(b, 16), b2 = v128.load(second), b3 = v128.load(second, 16);
    const x0 = v128.load32_splat(a);
    c00 = i32x4.add(c00, i32x4.dot_i16x8_s(x0, b0)); c01 = i32x4.add(c01, i32x4.dot_i16x8_s(x0, b1));
    if (wide) { c02 = i32x4.add(c02, i32x4.dot_i16x8_s(x0, b2)); c03 = i32x4.add(c03, i32x4.dot_i16x8_s(x0, b3)); }
    if (rows > 1) {
      const x1 = v128.load32_splat(a1);
      c10 = i32x4.add(c10, i32x4.dot_i16x8_s(x1, b0)); c11 = i32x4.add(c11, i32x4.dot_i16x8_s(x1, b1));
      if (wide) { c12 = i32x4.add(c12, i32x4.dot_i16x8_s(x1, b2)); c13 = i32x4.add(c13, i32x4.dot_i16x8_s(x1, b3)); }
      const x2 = v128.load32_splat(a2);
      c20 = i32x4.add(c20, i32x4.dot_i16x8_s(x2, b0)); c21 = i32x4.add(c21, i32x4.dot_i16x8_s(x2, b1));
      if (wide) { c22 = i32x4.add(c22, i32x4.dot_i16x8_s(x2, b2)); c23 = i32x4.add(c23, i32x4.dot_i16x8_s(x2, b3)); }
      const x3 = v128.load32_splat(a3);
      c30 = i32x4.add(c30, i32x4.dot_i16x8_s(x3, b0)); c31 = i32x4.add(c31, i32x4.dot_i16x8_s(x3, b1));
      if (wide) { c32 = i32x4.add(c32, i32x4.dot_i16x8_s(x3, b2)); c33 = i32x4.add(c33, i32x4.dot_i16x8_s(x3, b3)); }
      a1 += 4; a2 += 4; a3 += 4;
    }
    a += 4;
    b += 32;
    if (wide) second += 32;
  }
  for (; k > 0; k--) { // a loop, since V8 gives up pairs where branches meet
    const b0 = v128.load(b), b1 = v128.load(b, 16), b2 = v128.load(second), b3 = v128.load(second, 16);
    const x0 = v128.load16_splat(a);
    c00 = i32x4.add(c00, i32x4.dot_i16x8_s(x0, b0)); c01 = i32x4.add(c01, i32x4.dot_i16x8_s(x0, b1));
    if (wide) { c02 = i32x4.add(c02, i32x4.dot_i16x8_s(x0, b2)); c03 = i32x4.add(c03, i32x4.dot_i16x8_s(x0, b3)); }
    if (rows > 1) {
      const x1 = v128.load16_splat(a1);
      c10 = i32x4.add(c10, i32x4.dot_i16x8_s(x1, b0)); c11 = i32x4.add(c11, i32x4.dot_i16x8_s(x1, b1));
      if (wide) { c12 = i32x4.add(c12, i32x4.dot_i16x8_s(x1, b2)); c13 = i32x4.add(c13, i32x4.dot_i16x8_s(x1, b3)); }
      const x2 = v128.load16_splat(a2);
      c20 = i32x4.add(c20, i32x4.dot_i16x8_s(x2, b0)); c21 = i32x4.add(c21, i32x4.dot_i16x8_s(x2, b1));
      if (wide) { c22 = i32x4.add(c22, i32x4.dot_i16x8_s(x2, b2)); c23 = i32x4.add(c23, i32x4.dot_i16x8_s(x2, b3)); }
      const x3 = v128.load16_splat(a3);
      c30 = i32x4.add(c30, i32x4.dot_i16x8_s(x3, b0)); c31 = i32x4.add(c31, i32x4.dot_i16x8_s(x3, b1));
      if (wide) { c32 = i32x4.add(c32, i32x4.dot_i16x8_s(x3, b2)); c33 = i32x4.add(c33, i32x4.dot_i16x8_s(x3, b3)); }
    }
  }
  keep(wide, c, c00, c01, c02, c03);
  if (rows > 1) {
    keep(wide, c + ldc, c10, c11, c12, c13);
    keep(wide, c + 2 * ldc, c20, c21, c22, c23);
    keep(wide, c + 3 * ldc, c30, c31, c32, c33);
  }
}

// @ts-ignore: decorator
@inline
function keep(wide: bool, c: usize, c0: v128, c1: v128, c2: v128, c3: v128): void {
  v128.store(c, c0);
  v128.store(c, c1, 16);
  if (!wide) return;
  v128.store(c, c2, 32);
  v128.store(c, c3, 48);
}

function tile1x8(a: usize, lda: usize, b: usize, second: usize, k: i32, bias: usize, c: usize, ldc: usize): void { tile(1, false, a, lda, b, second, k, bias, c, ldc); }
function tile4x8(a: usize, lda: usize, b: usize, second: usize, k: i32, bias: usize, c: usize, ldc: usize): void { tile(4, false, a, lda, b, second, k, bias, c, ldc); }
function tile1x16(a: usize, lda: usize, b: usize, second: usize, k: i32, bias: usize, c: usize, ldc: usize): void { tile(1, true, a, lda, b, second, k, bias, c, ldc); }
function tile4x16(a: usize, lda: usize, b: usize, second: usize, k: i32, bias: usize, c: usize, ldc: usize): void { tile(4, true, a, lda, b, second, k, bias, c, ldc); }

type Tile = (a: usize, lda: usize, b: usize, second: usize, k: i32, bias: usize, c: usize, ldc: usize) => void;

// A table, as in gemm-tile.ts, so that the instances are not inlined into one function too large for registers.
const TILES: StaticArray<Tile> = [tile1x8, tile4x8, tile1x16, tile4x16];

/** C = A · B + bias. Strides in bytes; `bias` may be 0 for none. Panels of 8 are taken two at a time when `panel` is 16. */
export function gemmInteger(a: usize, lda: usize, b: usize, c: usize, ldc: usize, m: i32, n: i32, k: i32, panel: i32, bias: usize): void {
  const panelBytes = <usize>((k + 1) >> 1) << 5;
  for (let j = 0; j < n; ) {
    const wide = panel == 16 && n - j >= 16;
    const columns = wide ? 16 : 8, width = min(columns, n - j);
    for (let q = 0; q < 16; q++) store<i32>(scratch + (<usize>q << 2), bias && q < width ? load<i32>(bias + (<usize>(j + q) << 2)) : 0);
    const four = unchecked(TILES[wide ? 3 : 1]), one = unchecked(TILES[wide ? 2 : 0]);
    const rowsEnd = width == columns ? m - TILE_ROWS : -1;
    let row = a, to = c + (<usize>j << 2), i = 0;
    for (; i <= rowsEnd; i += TILE_ROWS) {
      four(row, lda, b, b + panelBytes, k, scratch, to, ldc);
      row += lda * TILE_ROWS;
      to += ldc * TILE_ROWS;
    }
    for (; i < m; i++) {
      const whole = width == columns ? to : scratch + TAIL;
      one(row, lda, b, b + panelBytes, k, scratch, whole, 0);
      if (width < columns) for (let q = 0; q < width; q++) store<i32>(to + (<usize>q << 2), load<i32>(whole + (<usize>q << 2)));
      row += lda;
      to += ldc;
    }
    b += wide ? 2 * panelBytes : panelBytes;
    j += columns;
  }
}

/** Packs columns [begin, end) of B [k, n] (`transposed`: B is [n, k]); begin is a multiple of 8. */
export function packInteger(b: usize, packed: usize, k: i32, n: i32, transposed: bool, begin: i32, end: i32, from: i32, to: i32): void {
  const rowStride: usize = transposed ? 2 : <usize>n << 1;
  const columnStride: usize = transposed ? <usize>k << 1 : 2;
  const panelBytes = <usize>((k + 1) >> 1) << 5;
  for (let j = begin; j < end; j += 8) {
    let target = packed + (<usize>j >> 3) * panelBytes + (<usize>(from >> 1) << 5);
    for (let p = from; p < to; p += 2) {
      for (let q = 0; q < 8; q++) {
        const source = b + <usize>p * rowStride + <usize>(j + q) * columnStride;
        store<i16>(target, j + q < n ? load<i16>(source) : 0);
        store<i16>(target, j + q < n && p + 1 < k ? load<i16>(source + rowStride) : 0, 2);
        target += 4;
      }
    }
  }
}

/** im2col (patches.ts) of int16: output pixels [begin, end) → rows of [kernelHeight][kernelWidth][channels]. */
export function im2colInteger(shape: ConvShape, x: usize, target: usize, channelBegin: i32, channels: i32, begin: i32, end: i32): void {
  const pixelBytes = <usize>shape.inputChannels << 1, tapBytes = <usize>channels << 1;
  const perImage = shape.outputHeight * shape.outputWidth;
  const image = <usize>(shape.inputHeight * shape.inputWidth) * pixelBytes;
  x += <usize>channelBegin << 1;
  for (let pixel = begin; pixel < end; pixel++) {
    const inside = pixel % perImage;
    const top = inside / shape.outputWidth * shape.strideHeight - shape.padTop;
    const left = inside % shape.outputWidth * shape.strideWidth - shape.padLeft;
    const source = x + <usize>(pixel / perImage) * image;
    for (let ky = 0; ky < shape.kernelHeight; ky++) {
      const row = top + ky * shape.dilationHeight;
      for (let kx = 0; kx < shape.kernelWidth; kx++) {
        const column = left + kx * shape.dilationWidth;
        if (<u32>row < <u32>shape.inputHeight && <u32>column < <u32>shape.inputWidth)
          memory.copy(target, source + <usize>(row * shape.inputWidth + column) * pixelBytes, tapBytes);
        else memory.fill(target, 0, tapBytes);
        target += tapBytes;
      }
    }
  }
}

/** One weight a channel and tap, [channels / 8][taps][8]; output rows [begin, end) of batch * outputHeight, int16 → int32. */
export function depthwiseInteger(shape: ConvShape, x: usize, weights: usize, bias: usize, y: usize, begin: i32, end: i32): void {
  const channels = shape.inputChannels, width = shape.outputWidth;
  const taps = shape.kernelHeight * shape.kernelWidth;
  const image = <usize>(shape.inputHeight * shape.inputWidth * channels) << 1;
  for (let row = begin; row < end; row++) {
    const source = x + <usize>(row / shape.outputHeight) * image;
    const top = row % shape.outputHeight * shape.strideHeight - shape.padTop;
    for (let column = 0; column < width; column++) {
      const left = column * shape.strideWidth - shape.padLeft;
      const target = y + (<usize>((row * width + column) * channels) << 2);
      let channel = 0;
      for (; channel + 8 <= channels; channel += 8) {
        const block = weights + (<usize>(channel * taps) << 1);
        eightChannels(shape, source + (<usize>channel << 1), block, bias ? bias + (<usize>channel << 2) : ZEROS, target + (<usize>channel << 2), top, left);
      }
      for (; channel < channels; channel++) {
        const lane = weights + (<usize>((channel & ~7) * taps + (channel & 7)) << 1);
        store<i32>(target + (<usize>channel << 2), oneChannel(shape, source + (<usize>channel << 1), lane, top, left) + (bias ? load<i32>(bias + (<usize>channel << 2)) : 0));
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function eightChannels(shape: ConvShape, x: usize, weights: usize, bias: usize, y: usize, top: i32, left: i32): void {
  let low = v128.load(bias), high = v128.load(bias, 16);
  for (let ky = 0; ky < shape.kernelHeight; ky++) {
    const row = top + ky * shape.dilationHeight;
    if (<u32>row >= <u32>shape.inputHeight) continue;
    for (let kx = 0; kx < shape.kernelWidth; kx++) {
      const column = left + kx * shape.dilationWidth;
      if (<u32>column >= <u32>shape.inputWidth) continue;
      const values = v128.load(x + (<usize>((row * shape.inputWidth + column) * shape.inputChannels) << 1));
      const factors = v128.load(weights + (<usize>(ky * shape.kernelWidth + kx) << 4));
      low = i32x4.add(low, i32x4.extmul_low_i16x8_s(values, factors));
      high = i32x4.add(high, i32x4.extmul_high_i16x8_s(values, factors));
    }
  }
  v128.store(y, low);
  v128.store(y, high, 16);
}

function oneChannel(shape: ConvShape, x: usize, weights: usize, top: i32, left: i32): i32 {
  let sum = 0;
  for (let ky = 0; ky < shape.kernelHeight; ky++) {
    const row = top + ky * shape.dilationHeight;
    for (let kx = 0; kx < shape.kernelWidth; kx++) {
      const column = left + kx * shape.dilationWidth;
      if (<u32>row >= <u32>shape.inputHeight || <u32>column >= <u32>shape.inputWidth) continue;
      const value = load<i16>(x + (<usize>((row * shape.inputWidth + column) * shape.inputChannels) << 1));
      sum += <i32>value * <i32>load<i16>(weights + (<usize>(ky * shape.kernelWidth + kx) << 4));
    }
  }
  return sum;
}
