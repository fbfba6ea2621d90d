// Depthwise convolution from bytes to bytes (quantized.ts). Rows are taken in pairs: int16 without the zero point, the elements of two
// rows interleaved, so that one i32x4.dot_i16x8_s multiplies and adds two taps of four channels, and each pair of rows is made once for
// all output rows that see it. Weights are [channels / 8][(kernelHeight + 1) / 2][kernelWidth][8][2].
import { INT8 } from '../opcodes.ts';
import { ConvShape, QuantizedDepthwise, Rescaling, at } from '../operands.ts';
import { copyBytes, narrow, origin, rescale, rounder } from './quantized.ts';
import { scratch } from './scratch.ts';

const TILE: i32 = 4;
/** Scratch: 32 bytes of sums a pixel, 8 bytes for channels that fill no vector, then pointers. The compiler knows how many fit. */
const TAIL: usize = 128;
const POINTERS: usize = 144;
const ELEMENT_BYTES: usize = 4; // in a pair of rows

/** Rescaled sums of eight channels of `width` (1 or 4, constant) neighbouring outputs, `offset` bytes behind the pointers of the taps, to scratch. */
// @ts-ignore: decorator
@inline
function tile(width: i32, offset: usize, step: usize, weights: usize, taps: i32, bias: usize, factor: usize, to: Rescaling): void {
  let c0 = v128.load(bias), c1 = v128.load(bias, 16);
  let d0 = c0, d1 = c1, e0 = c0, e1 = c1, f0 = c0, f1 = c1;
  let pointer = scratch + POINTERS;
  for (; taps > 0; taps--) {
    let p = load<u32>(pointer) + offset;
    const w0 = v128.load(weights), w1 = v128.load(weights, 16);
    c0 = i32x4.add(c0, i32x4.dot_i16x8_s(v128.load(p), w0));
    c1 = i32x4.add(c1, i32x4.dot_i16x8_s(v128.load(p, 16), w1));
    if (width > 1) {
      p += step;
      d0 = i32x4.add(d0, i32x4.dot_i16x8_s(v128.load(p), w0));
      d1 = i32x4.add(d1, i32x4.dot_i16x8_s(v128.load(p, 16), w1));
      p += step;
      e0 = i32x4.add(e0, i32x4.dot_i16x8_s(v128.load(p), w0));
      e1 = i32x4.add(e1, i32x4.dot_i16x8_s(v128.load(p, 16), w1));
      p += step;
      f0 = i32x4.add(f0, i32x4.dot_i16x8_s(v128.load(p), w0));
      f1 = i32x4.add(f1, i32x4.dot_i16x8_s(v128.load(p, 16), w1));
    }
    pointer += 4;
    weights += 32;
  }
  const low = f32x4.splat(to.low), high = f32x4.splat(to.high), half = rounder(), from = origin(to);
  const even = v128.load(factor), odd = v128.load(factor, 16);
  keep(0, rescale(c0, even, low, high, half, from), rescale(c1, odd, low, high, half, from));
  if (width > 1) {
    keep(32, rescale(d0, even, low, high, half, from), rescale(d1, odd, low, high, half, from));
    keep(64, rescale(e0, even, low, high, half, from), rescale(e1, odd, low, high, half, from));
    keep(96, rescale(f0, even, low, high, half, from), rescale(f1, odd, low, high, half, from));
  }
}

// @ts-ignore: decorator
@inline
function keep(pixel: usize, low: v128, high: v128): void {
  v128.store(scratch + pixel, low);
  v128.store(scratch + pixel, high, 16);
}

function onePixel(offset: usize, step: usize, weights: usize, taps: i32, bias: usize, factor: usize, to: Rescaling): void { tile(1, offset, step, weights, taps, bias, factor, to); }
function fourPixels(offset: usize, step: usize, weights: usize, taps: i32, bias: usize, factor: usize, to: Rescaling): void { tile(TILE, offset, step, weights, taps, bias, factor, to); }

/** Rescaled sums in scratch to up to eight bytes of each pixel. */
function storePixels(pixels: i32, channels: i32, y: usize, yStep: usize, to: Rescaling): void {
  const flip = i8x16.splat(<i8>to.flip);
  for (let p = scratch; pixels > 0; pixels--) {
    const bytes = narrow(v128.load(p), v128.load(p, 16), flip);
    if (channels >= 8) {
      v128.store64_lane(y, bytes, 0);
    } else {
      v128.store64_lane(scratch + TAIL, bytes, 0);
      copyBytes(y, scratch + TAIL, channels);
    }
    p += 32;
    y += yStep;
  }
}

/** All channels of `pixels` (1 or 4) outputs. The last channels are reckoned eight at a time as well, and less of them stored. */
function allChannels(
  pixels: i32, taps: i32, channels: i32, offset: usize, step: usize, weights: usize, bias: usize, factor: usize, y: usize, to: Rescaling,
): void {
  const block = <usize>taps << 5, yStep = <usize>channels;
  for (; channels > 0; channels -= 8) {
    if (pixels == 1) onePixel(offset, step, weights, taps, bias, factor, to);
    else fourPixels(offset, step, weights, taps, bias, factor, to);
    storePixels(pixels, channels, y, yStep, to);
    offset += 8 * ELEMENT_BYTES;
    y += 8;
    weights += block;
    bias += 32;
    factor += 32;
  }
}

// @ts-ignore: decorator
@inline
function centred<T>(p: usize, zero: v128, mask: v128): v128 {
  return v128.and(i16x8.sub(isSigned<T>() ? v128.load8x8_s(p) : v128.load8x8_u(p), zero), mask);
}

/** `count` elements of two rows, side by side; a row that lies outside the picture (mask 0) is 0. */
// @ts-ignore: decorator
@inline
function interleave<T>(a: usize, b: usize, aMask: i32, bMask: i32, zero: i32, target: usize, count: i32): void {
  const zeros = i16x8.splat(<i16>zero), first = i32x4.splat(aMask), second = i32x4.splat(bMask);
  for (; count >= 8; count -= 8) {
    const x = centred<T>(a, zeros, first), y = centred<T>(b, zeros, second);
    v128.store(target, v128.shuffle<i16>(x, y, 0, 8, 1, 9, 2, 10, 3, 11));
    v128.store(target, v128.shuffle<i16>(x, y, 4, 12, 5, 13, 6, 14, 7, 15), 16);
    a += 8;
    b += 8;
    target += 32;
  }
  for (; count > 0; count--) {
    store<i16>(target, <i16>(((<i32>load<T>(a++)) - zero) & aMask));
    store<i16>(target, <i16>(((<i32>load<T>(b++)) - zero) & bMask), 2);
    target += ELEMENT_BYTES;
  }
}

function clear(target: usize, elements: i32): void {
  for (; elements > 0; elements--) {
    store<u32>(target, 0);
    target += ELEMENT_BYTES;
  }
}

/** Rows `row` and the next one under the window of the picture at `x`, from the left padding on, `width` columns. */
function makePair(shape: ConvShape, o: QuantizedDepthwise, x: usize, row: i32, target: usize, width: i32): void {
  const channels = shape.inputChannels, rowBytes = <usize>(shape.inputWidth * channels);
  const next = row + shape.dilationHeight;
  const hasFirst = <u32>row < <u32>shape.inputHeight, hasSecond = <u32>next < <u32>shape.inputHeight;
  const left = min(width, max(shape.padLeft, 0)), skipped = max(-shape.padLeft, 0);
  const inside = min(width - left, shape.inputWidth - skipped);
  x += <usize>(skipped * channels);
  const a = hasFirst ? x + <usize>row * rowBytes : x, b = hasSecond ? x + <usize>next * rowBytes : x;
  clear(target, left * channels);
  target += <usize>(left * channels) * ELEMENT_BYTES;
  const count = inside * channels;
  if (o.kind == INT8) interleave<i8>(a, b, -<i32>hasFirst, -<i32>hasSecond, o.zero, target, count);
  else interleave<u8>(a, b, -<i32>hasFirst, -<i32>hasSecond, o.zero, target, count);
  clear(target + <usize>count * ELEMENT_BYTES, (width - left - inside) * channels);
}

/** Output rows [begin, end) of batch * outputHeight. The ring holds `slots` pairs of rows, of every `every`-th row from the top padding on. */
export function depthwiseQuantized(shape: ConvShape, o: QuantizedDepthwise, to: Rescaling): void {
  const channels = shape.inputChannels, kernelRows = (shape.kernelHeight + 1) >> 1;
  const width = (shape.outputWidth - 1) * shape.strideWidth + (shape.kernelWidth - 1) * shape.dilationWidth + 1;
  const rowBytes = <usize>(width * channels) * ELEMENT_BYTES;
  const image = <usize>(shape.inputHeight * shape.inputWidth * channels);
  const every = shape.strideHeight & 1 ? 1 : 2; // pairs begin two taps apart: with an even stride, at even rows
  const reach = 2 * (kernelRows - 1) * shape.dilationHeight;
  const slots = reach / every + 1;
  const step = <usize>(shape.strideWidth * channels) * ELEMENT_BYTES;
  const ring = at(o.ring), weights = at(o.weights), bias = at(o.bias), factor = at(o.factor);
  let next = 0; // the first row that is not in the ring, counted from the top padding
  for (let row = o.begin; row < o.end; row++) {
    const inside = row % shape.outputHeight;
    const top = inside * shape.strideHeight;
    if (row == o.begin || inside == 0) next = top;
    for (next = max(next, top); next <= top + reach; next += every) {
      const x = at(o.x) + <usize>(row / shape.outputHeight) * image;
      makePair(shape, o, x, next - shape.padTop, ring + <usize>(next / every % slots) * rowBytes, width);
    }
    let pointer = scratch + POINTERS;
    for (let pair = 0; pair <= reach; pair += 2 * shape.dilationHeight) {
      const first = ring + <usize>((top + pair) / every % slots) * rowBytes;
      for (let kx = 0; kx < shape.kernelWidth; kx++, pointer += 4)
        store<u32>(pointer, <u32>(first + <usize>(kx * shape.dilationWidth * channels) * ELEMENT_BYTES));
    }
    let y = at(o.y) + <usize>(row * shape.outputWidth * channels);
    let offset: usize = 0;
    for (let column = 0; column < shape.outputWidth; ) {
      const pixels = shape.outputWidth - column >= TILE ? TILE : 1;
      allChannels(pixels, o.pairs, channels, offset, step, weights, bias, factor, y, to);
      offset += step * pixels;
      y += channels * pixels;
      column += pixels;
    }
  }
}
