// Exact products of int16 matrices, summed up in int32, wrapping as int32 does. Neighbours along the sum are multiplied and added in one
// step (i32x4.dot_i16x8_s), so B is packed in pairs of rows: [n / 8][(k + 1) / 2][8][2], zero padded.
import { ConvShape } from '../operands.ts';
import { scratch } from './scratch.ts';

const TILE_ROWS: i32 = 4;
const ZEROS: usize = memory.data(32, 16);

// @ts-ignore: decorator
@inline
function pair(a: usize): v128 {
  return v128.load32_splat(a);
}

/** `rows` (1 or 4, a constant) rows of A times one panel of B; eight int32 a row of C. An odd last element meets a zero in B. */
// @ts-ignore: decorator
@inline
function tile(rows: i32, a: usize, lda: usize, b: usize, k: i32, bias: usize, c: usize, ldc: usize): void {
  const low = v128.load(bias), high = v128.load(bias, 16);
  let c00 = low, c01 = high, c10 = low, c11 = high, c20 = low, c21 = high, c30 = low, c31 = high;
  for (; k > 0; k -= 2) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    const x0 = k > 1 ? pair(a) : v128.load16_splat(a);
    c00 = i32x4.add(c00, i32x4.dot_i16x8_s(x0, b0));
    c01 = i32x4.add(c01, i32x4.dot_i16x8_s(x0, b1));
    if (rows > 1) {
      const x1 = k > 1 ? pair(a + lda) : v128.load16_splat(a + lda);
      c10 = i32x4.add(c10, i32x4.dot_i16x8_s(x1, b0));
      c11 = i32x4.add(c11, i32x4.dot_i16x8_s(x1, b1));
      const x2 = k > 1 ? pair(a + 2 * lda) : v128.load16_splat(a + 2 * lda);
      c20 = i32x4.add(c20, i32x4.dot_i16x8_s(x2, b0));
      c21 = i32x4.add(c21, i32x4.dot_i16x8_s(x2, b1));
      const x3 = k > 1 ? pair(a + 3 * lda) : v128.load16_splat(a + 3 * lda);
      c30 = i32x4.add(c30, i32x4.dot_i16x8_s(x3, b0));
      c31 = i32x4.add(c31, i32x4.dot_i16x8_s(x3, b1));
    }
    a += 4;
    b += 32;
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  if (rows > 1) {
    v128.store(c + ldc, c10);
    v128.store(c + ldc, c11, 16);
    v128.store(c + 2 * ldc, c20);
    v128.store(c + 2 * ldc, c21, 16);
    v128.store(c + 3 * ldc, c30);
    v128.store(c + 3 * ldc, c31, 16);
  }
}

/** C = A · B + bias. Strides in bytes; `bias` may be 0 for none. */
export function gemmInteger(a: usize, lda: usize, b: usize, c: usize, ldc: usize, m: i32, n: i32, k: i32, bias: usize): void {
  const panelBytes = <usize>((k + 1) >> 1) << 5;
  for (let j = 0; j < n; j += 8) {
    const width = min(8, n - j);
    const start = scratch; // bias of the panel, whole
    for (let q = 0; q < 8; q++) store<i32>(start + (<usize>q << 2), bias && q < width ? load<i32>(bias + (<usize>(j + q) << 2)) : 0);
    const rowsEnd = width == 8 ? m - TILE_ROWS : -1;
    let row = a, to = c + (<usize>j << 2), i = 0;
    for (; i <= rowsEnd; i += TILE_ROWS) {
      tile(TILE_ROWS, row, lda, b, k, start, to, ldc);
      row += lda * TILE_ROWS;
      to += ldc * TILE_ROWS;
    }
    for (; i < m; i++) {
      const whole = width == 8 ? to : scratch + 32;
      tile(1, row, lda, b, k, start, whole, 0);
      if (width < 8) for (let q = 0; q < width; q++) store<i32>(to + (<usize>q << 2), load<i32>(whole + (<usize>q << 2)));
      row += lda;
      to += ldc;
    }
    b += panelBytes;
  }
}

/** Packs columns [begin, end) of B [k, n] (`transposed`: B is [n, k]); begin is a multiple of 8. */
export function packInteger(b: usize, packed: usize, k: i32, n: i32, transposed: bool, begin: i32, end: i32): void {
  const rowStride: usize = transposed ? 2 : <usize>n << 1;
  const columnStride: usize = transposed ? <usize>k << 1 : 2;
  let target = packed + (<usize>begin >> 3) * (<usize>((k + 1) >> 1) << 5);
  for (let j = begin; j < end; j += 8) {
    for (let p = 0; p < k; p += 2) {
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
