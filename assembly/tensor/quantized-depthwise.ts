// Depthwise convolution from bytes to bytes (quantized.ts). Taps are taken in pairs, whose elements are interleaved, so that one
// i32x4.dot_i16x8_s multiplies and adds two taps of four channels. Weights are [channels / 8][(taps + 1) / 2][8][2]. The bias contains
// minus the zero point of x times the sum of the weights, so bytes are multiplied as they are, and padding is the zero point.
import { INT8 } from '../opcodes.ts';
import { ConvShape, QuantizedDepthwise, Rescaling, at } from '../operands.ts';
import { copyBytes, narrow, origin, rescale, rounder } from './quantized.ts';
import { scratch } from './scratch.ts';

const TILE: i32 = 4;
/** Scratch: 32 bytes for channels that fill no vector, then one pointer a tap. The compiler knows how many fit. */
const POINTERS: usize = 64;

// @ts-ignore: decorator
@inline
function interleaveLow(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}

// @ts-ignore: decorator
@inline
function interleaveHigh(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

// @ts-ignore: decorator
@inline
function load8<T>(p: usize): v128 {
  return isSigned<T>() ? v128.load8x8_s(p) : v128.load8x8_u(p);
}

/** Eight channels of `width` (1 or 4, constant) neighbouring outputs, `offset` bytes behind the pointers of the taps. */
// @ts-ignore: decorator
@inline
function tile<T>(
  width: i32, offset: usize, step: usize, weights: usize, pairs: i32, bias: usize, factor: usize, to: Rescaling, y: usize, yStep: usize,
): void {
  let c0 = v128.load(bias), c1 = v128.load(bias, 16);
  let d0 = c0, d1 = c1, e0 = c0, e1 = c1, f0 = c0, f1 = c1;
  let pointer = scratch + POINTERS;
  for (; pairs > 0; pairs--) {
    let p = load<u32>(pointer) + offset, q = load<u32>(pointer, 4) + offset;
    const w0 = v128.load(weights), w1 = v128.load(weights, 16);
    let a = load8<T>(p), b = load8<T>(q);
    c0 = i32x4.add(c0, i32x4.dot_i16x8_s(interleaveLow(a, b), w0));
    c1 = i32x4.add(c1, i32x4.dot_i16x8_s(interleaveHigh(a, b), w1));
    if (width > 1) {
      a = load8<T>((p += step)); b = load8<T>((q += step));
      d0 = i32x4.add(d0, i32x4.dot_i16x8_s(interleaveLow(a, b), w0));
      d1 = i32x4.add(d1, i32x4.dot_i16x8_s(interleaveHigh(a, b), w1));
      a = load8<T>((p += step)); b = load8<T>((q += step));
      e0 = i32x4.add(e0, i32x4.dot_i16x8_s(interleaveLow(a, b), w0));
      e1 = i32x4.add(e1, i32x4.dot_i16x8_s(interleaveHigh(a, b), w1));
      a = load8<T>(p + step); b = load8<T>(q + step);
      f0 = i32x4.add(f0, i32x4.dot_i16x8_s(interleaveLow(a, b), w0));
      f1 = i32x4.add(f1, i32x4.dot_i16x8_s(interleaveHigh(a, b), w1));
    }
    pointer += 8;
    weights += 32;
  }
  finish(y, c0, c1, factor, to);
  if (width > 1) {
    finish((y += yStep), d0, d1, factor, to);
    finish((y += yStep), e0, e1, factor, to);
    finish(y + yStep, f0, f1, factor, to);
  }
}

// @ts-ignore: decorator
@inline
function finish(y: usize, c0: v128, c1: v128, factor: usize, to: Rescaling): void {
  const low = f32x4.splat(to.low), high = f32x4.splat(to.high), half = rounder();
  const a = rescale(c0, factor, low, high, half), b = rescale(c1, factor + 16, low, high, half);
  v128.store64_lane(y, narrow(a, b, origin(to), i8x16.splat(<i8>to.flip)), 0);
}

/** All channels of one output pixel, or of four. The last channels are reckoned eight at a time as well, and less of them stored. */
// @ts-ignore: decorator
@inline
function pixels<T>(width: i32, o: QuantizedDepthwise, to: Rescaling, channels: i32, offset: usize, step: usize, y: usize): void {
  const pairs = o.pairs, block = <usize>pairs << 5, yStep = <usize>channels;
  let weights = at(o.weights), bias = at(o.bias), factor = at(o.factor);
  for (; channels >= 8; channels -= 8) {
    tile<T>(width, offset, step, weights, pairs, bias, factor, to, y, yStep);
    offset += 8;
    y += 8;
    weights += block;
    bias += 32;
    factor += 32;
  }
  if (channels == 0) return;
  tile<T>(width, offset, step, weights, pairs, bias, factor, to, scratch, 8);
  for (let i: usize = 0; i < <usize>width; i++) copyBytes(y + i * yStep, scratch + (i << 3), channels);
}

function onePixelI8(o: QuantizedDepthwise, to: Rescaling, channels: i32, offset: usize, step: usize, y: usize): void { pixels<i8>(1, o, to, channels, offset, step, y); }
function onePixelU8(o: QuantizedDepthwise, to: Rescaling, channels: i32, offset: usize, step: usize, y: usize): void { pixels<u8>(1, o, to, channels, offset, step, y); }
function fourPixelsI8(o: QuantizedDepthwise, to: Rescaling, channels: i32, offset: usize, step: usize, y: usize): void { pixels<i8>(TILE, o, to, channels, offset, step, y); }
function fourPixelsU8(o: QuantizedDepthwise, to: Rescaling, channels: i32, offset: usize, step: usize, y: usize): void { pixels<u8>(TILE, o, to, channels, offset, step, y); }

/** Row `row` of the picture as the window sees it, from its left padding on, `bytes` long. */
function padRow(shape: ConvShape, x: usize, zero: u8, row: i32, target: usize, bytes: usize): void {
  if (<u32>row >= <u32>shape.inputHeight) return memory.fill(target, zero, bytes);
  const channels = <usize>shape.inputChannels;
  const left = min(bytes, <usize>shape.padLeft * channels);
  const width = min(bytes - left, <usize>shape.inputWidth * channels);
  memory.fill(target, zero, left);
  memory.copy(target + left, x + <usize>(row * shape.inputWidth) * channels, width);
  memory.fill(target + left + width, zero, bytes - left - width);
}

/** Where each tap of the output row begins; a tap without a partner meets itself, and a weight of 0. */
function pointAtTaps(shape: ConvShape, ring: usize, rowBytes: usize, slots: i32, topSlot: i32): void {
  let pointer = scratch + POINTERS;
  for (let ky = 0; ky < shape.kernelHeight; ky++) {
    const row = ring + <usize>((topSlot + ky * shape.dilationHeight) % slots) * rowBytes;
    for (let kx = 0; kx < shape.kernelWidth; kx++) {
      const tap = row + <usize>(kx * shape.dilationWidth * shape.inputChannels);
      store<u32>(pointer, <u32>tap);
      store<u32>(pointer, <u32>tap, 4);
      pointer += 4;
    }
  }
}

/** Output rows [begin, end) of batch * outputHeight, over a ring of as many padded rows as the window is high. */
export function depthwiseQuantized(shape: ConvShape, o: QuantizedDepthwise, to: Rescaling): void {
  const channels = shape.inputChannels, slots = (shape.kernelHeight - 1) * shape.dilationHeight + 1;
  const rowBytes = <usize>(((shape.outputWidth - 1) * shape.strideWidth + (shape.kernelWidth - 1) * shape.dilationWidth + 1) * channels);
  const image = <usize>(shape.inputHeight * shape.inputWidth * channels);
  const signed = o.kind == INT8;
  const step = <usize>(shape.strideWidth * channels);
  const ring = at(o.ring);
  let next = 0; // the first row that is not in the ring, counted from the top padding
  for (let row = o.begin; row < o.end; row++) {
    const inside = row % shape.outputHeight;
    const top = inside * shape.strideHeight;
    if (row == o.begin || inside == 0) next = top;
    for (next = max(next, top); next < top + slots; next++) {
      const source = at(o.x) + <usize>(row / shape.outputHeight) * image;
      padRow(shape, source, <u8>o.zero, next - shape.padTop, ring + <usize>(next % slots) * rowBytes, rowBytes);
    }
    pointAtTaps(shape, ring, rowBytes, slots, top % slots);
    let y = at(o.y) + <usize>(row * shape.outputWidth * channels);
    let offset: usize = 0, column = 0;
    for (; column + TILE <= shape.outputWidth; column += TILE) {
      if (signed) fourPixelsI8(o, to, channels, offset, step, y);
      else fourPixelsU8(o, to, channels, offset, step, y);
      offset += step * TILE;
      y += channels * TILE;
    }
    for (; column < shape.outputWidth; column++) {
      if (signed) onePixelI8(o, to, channels, offset, step, y);
      else onePixelU8(o, to, channels, offset, step, y);
      offset += step;
      y += channels;
    }
  }
}
