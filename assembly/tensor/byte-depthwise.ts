// Depthwise convolution from bytes to bytes where the machine multiplies bytes exactly (byte-dot.ts): as quantized-depthwise.ts, with four
// rows interleaved instead of two, so that one step multiplies and adds four taps of a channel, one below the other. Weights are
// [channels / 8] blocks of { sums of a channel's taps [8] (int32); bytes [(kernelHeight + 3) / 4][kernelWidth][8][4] }. Where two output
// rows can be made of the same four rows (`shared`), the blocks for the second one follow, with taps one row further down.
import { ByteDepthwise, ConvShape, Rescaling, at } from '../operands.ts';
import { dot } from './byte-dot.ts';
import { keep, storeRows } from './byte-gemm.ts';
import { origin, rounder } from './quantized.ts';
import { scratch } from './scratch.ts';

const TILE: i32 = 4;
/** Scratch, behind what `storeRows` uses: pointers to taps. The compiler knows how many fit. */
const POINTERS: usize = 512;
const ELEMENT_BYTES: usize = 4; // of four rows
const SUMS_BYTES: usize = 32;

/**
 * Rescaled sums of 8 channels, or of 16 (`wide`), of `width` (1 or 4, constant) neighbouring outputs, `offset` bytes behind the pointers
 * of the taps, to `sums`, which is scratch. `block` is the size of a block of weights, `start` what sums begin with.
 */
// @ts-ignore: decorator
@inline
function tile(
  width: i32, wide: bool, sums: usize, offset: usize, step: usize, weights: usize, block: usize, taps: i32, start: usize, factor: usize, to: Rescaling,
): void {
  let c0 = v128.load(start), c1 = v128.load(start, 16), c2 = v128.load(start, 32), c3 = v128.load(start, 48);
  let d0 = c0, d1 = c1, d2 = c2, d3 = c3, e0 = c0, e1 = c1, e2 = c2, e3 = c3, f0 = c0, f1 = c1, f2 = c2, f3 = c3;
  let pointer = sums + POINTERS, second = weights + block;
  for (; taps > 0; taps--) {
    let p = load<u32>(pointer) + offset;
    const w0 = v128.load(weights), w1 = v128.load(weights, 16), w2 = wide ? v128.load(second) : w0, w3 = wide ? v128.load(second, 16) : w0;
    c0 = dot(w0, v128.load(p), c0); c1 = dot(w1, v128.load(p, 16), c1);
    if (wide) { c2 = dot(w2, v128.load(p, 32), c2); c3 = dot(w3, v128.load(p, 48), c3); }
    if (width > 1) {
      p += step;
      d0 = dot(w0, v128.load(p), d0); d1 = dot(w1, v128.load(p, 16), d1);
      if (wide) { d2 = dot(w2, v128.load(p, 32), d2); d3 = dot(w3, v128.load(p, 48), d3); }
      p += step;
      e0 = dot(w0, v128.load(p), e0); e1 = dot(w1, v128.load(p, 16), e1);
      if (wide) { e2 = dot(w2, v128.load(p, 32), e2); e3 = dot(w3, v128.load(p, 48), e3); }
      p += step;
      f0 = dot(w0, v128.load(p), f0); f1 = dot(w1, v128.load(p, 16), f1);
      if (wide) { f2 = dot(w2, v128.load(p, 32), f2); f3 = dot(w3, v128.load(p, 48), f3); }
    }
    pointer += 4;
    weights += 32;
    if (wide) second += 32;
  }
  const g0 = v128.load(factor), g1 = v128.load(factor, 16), g2 = v128.load(factor, 32), g3 = v128.load(factor, 48);
  const low = f32x4.splat(to.low), high = f32x4.splat(to.high), half = rounder(), from = origin(to);
  keep(wide, sums, c0, c1, c2, c3, g0, g1, g2, g3, low, high, half, from);
  if (width > 1) {
    keep(wide, sums + 64, d0, d1, d2, d3, g0, g1, g2, g3, low, high, half, from);
    keep(wide, sums + 128, e0, e1, e2, e3, g0, g1, g2, g3, low, high, half, from);
    keep(wide, sums + 192, f0, f1, f2, f3, g0, g1, g2, g3, low, high, half, from);
  }
}

function tile1x8(sums: usize, offset: usize, step: usize, weights: usize, block: usize, taps: i32, start: usize, factor: usize, to: Rescaling): void { tile(1, false, sums, offset, step, weights, block, taps, start, factor, to); }
function tile4x8(sums: usize, offset: usize, step: usize, weights: usize, block: usize, taps: i32, start: usize, factor: usize, to: Rescaling): void { tile(4, false, sums, offset, step, weights, block, taps, start, factor, to); }
function tile1x16(sums: usize, offset: usize, step: usize, weights: usize, block: usize, taps: i32, start: usize, factor: usize, to: Rescaling): void { tile(1, true, sums, offset, step, weights, block, taps, start, factor, to); }
function tile4x16(sums: usize, offset: usize, step: usize, weights: usize, block: usize, taps: i32, start: usize, factor: usize, to: Rescaling): void { tile(4, true, sums, offset, step, weights, block, taps, start, factor, to); }

/** All channels of `pixels` (1 or 4) outputs. The last channels are reckoned eight at a time as well, and less of them stored. */
function allChannels(
  o: ByteDepthwise, to: Rescaling, pixels: i32, channels: i32, weights: usize, offset: usize, step: usize, start: usize, y: usize,
): void {
  const block = SUMS_BYTES + (<usize>o.fours << 5), yStep = <usize>channels;
  let factor = at(o.factor);
  while (channels > 0) {
    const wide = o.panel == 16 && channels > 8;
    const columns = wide ? 16 : 8;
    if (wide) {
      if (pixels == 1) tile1x16(scratch, offset, step, weights, block, o.fours, start, factor, to);
      else tile4x16(scratch, offset, step, weights, block, o.fours, start, factor, to);
    } else {
      if (pixels == 1) tile1x8(scratch, offset, step, weights, block, o.fours, start, factor, to);
      else tile4x8(scratch, offset, step, weights, block, o.fours, start, factor, to);
    }
    storeRows(pixels, min(columns, channels), y, yStep, to.flip);
    offset += <usize>columns * ELEMENT_BYTES;
    y += columns;
    start += <usize>columns << 2;
    factor += <usize>columns << 2;
    weights += wide ? 2 * block : block;
    channels -= columns;
  }
}

/** `count` elements of four rows, side by side, each byte changed by an exclusive or with `flip`. */
// @ts-ignore: decorator
@inline
function interleave(a: usize, b: usize, c: usize, d: usize, flip: i32, target: usize, count: i32): void {
  const flips = i8x16.splat(<i8>flip);
  for (; count >= 16; count -= 16) {
    const ra = v128.load(a), rb = v128.load(b), rc = v128.load(c), rd = v128.load(d);
    const low = v128.xor(v128.shuffle<i8>(ra, rb, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), flips);
    const high = v128.xor(v128.shuffle<i8>(ra, rb, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), flips);
    const low2 = v128.xor(v128.shuffle<i8>(rc, rd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), flips);
    const high2 = v128.xor(v128.shuffle<i8>(rc, rd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), flips);
    v128.store(target, v128.shuffle<i16>(low, low2, 0, 8, 1, 9, 2, 10, 3, 11));
    v128.store(target, v128.shuffle<i16>(low, low2, 4, 12, 5, 13, 6, 14, 7, 15), 16);
    v128.store(target, v128.shuffle<i16>(high, high2, 0, 8, 1, 9, 2, 10, 3, 11), 32);
    v128.store(target, v128.shuffle<i16>(high, high2, 4, 12, 5, 13, 6, 14, 7, 15), 48);
    a += 16; b += 16; c += 16; d += 16;
    target += 64;
  }
  for (; count > 0; count--) {
    store<u8>(target, <u8>(load<u8>(a++) ^ flip));
    store<u8>(target, <u8>(load<u8>(b++) ^ flip), 1);
    store<u8>(target, <u8>(load<u8>(c++) ^ flip), 2);
    store<u8>(target, <u8>(load<u8>(d++) ^ flip), 3);
    target += ELEMENT_BYTES;
  }
}

function pad(target: usize, elements: i32, fours: u32): void {
  for (; elements > 0; elements--) {
    store<u32>(target, fours);
    target += ELEMENT_BYTES;
  }
}

/** Row `row` of the picture at `x`, or `outside`. */
// @ts-ignore: decorator
@inline
function rowAt(shape: ConvShape, x: usize, row: i32, outside: usize): usize {
  return <u32>row < <u32>shape.inputHeight ? x + <usize>(row * shape.inputWidth * shape.inputChannels) : outside;
}

/** Row `row` and the three next ones under the window of the picture at `x`, from the left padding on, `width` columns. */
function makeFour(shape: ConvShape, o: ByteDepthwise, x: usize, row: i32, outside: usize, target: usize, width: i32): void {
  const channels = shape.inputChannels, dilation = shape.dilationHeight, fours = <u32>(o.xZero & 0xff) * 0x01010101;
  const left = min(width, max(shape.padLeft, 0)), skipped = max(-shape.padLeft, 0);
  const inside = min(width - left, shape.inputWidth - skipped);
  x += <usize>(skipped * channels);
  pad(target, left * channels, fours);
  target += <usize>(left * channels) * ELEMENT_BYTES;
  interleave(
    rowAt(shape, x, row, outside), rowAt(shape, x, row + dilation, outside),
    rowAt(shape, x, row + 2 * dilation, outside), rowAt(shape, x, row + 3 * dilation, outside), o.xFlip, target, inside * channels,
  );
  pad(target + <usize>(inside * channels) * ELEMENT_BYTES, (width - left - inside) * channels, fours);
}

/** What the sums of each channel begin with. */
function begin(o: ByteDepthwise, channels: i32, start: usize): void {
  const block = SUMS_BYTES + (<usize>o.fours << 5);
  let sums = at(o.weights), bias = at(o.bias);
  for (; channels > 0; channels -= 8) {
    for (let i: usize = 0; i < SUMS_BYTES; i += 4) store<i32>(start + i, load<i32>(bias + i) - o.xZero * load<i32>(sums + i));
    start += SUMS_BYTES;
    bias += SUMS_BYTES;
    sums += block;
  }
}

/**
 * Output rows [begin, end) of batch * outputHeight. Scratch memory: what sums begin with, a row of zero points, then a ring that holds
 * `slots` fours of rows, of every `every`-th row from the top padding on.
 */
export function depthwiseBytes(shape: ConvShape, o: ByteDepthwise, to: Rescaling): void {
  const channels = shape.inputChannels, kernelRows = (shape.kernelHeight + 3) >> 2;
  const width = (shape.outputWidth - 1) * shape.strideWidth + (shape.kernelWidth - 1) * shape.dilationWidth + 1;
  const rowBytes = <usize>(width * channels) * ELEMENT_BYTES;
  const image = <usize>(shape.inputHeight * shape.inputWidth * channels);
  // Fours begin four taps apart: with an even stride, at even rows.
  const every = o.shared || !(shape.strideHeight & 1) ? 2 : 1;
  const blocks = <usize>((channels + 7) >> 3) * (SUMS_BYTES + (<usize>o.fours << 5));
  const reach = 4 * (kernelRows - 1) * shape.dilationHeight;
  const slots = reach / every + 1;
  const step = <usize>(shape.strideWidth * channels) * ELEMENT_BYTES;
  const start = at(o.scratch), outside = start + (<usize>(channels + 15 & ~15) << 2), ring = outside + o.outsideBytes;
  begin(o, channels, start);
  for (let i: usize = 0; i < min(<usize>o.outsideBytes, rowBytes >> 2); i += 4) store<u32>(outside + i, <u32>((o.xZero ^ o.xFlip) & 0xff) * 0x01010101);
  let next = 0; // the first row that is not in the ring, counted from the top padding
  for (let row = o.begin; row < o.end; row++) {
    const inside = row % shape.outputHeight;
    const isSecond = o.shared & inside;
    const top = inside * shape.strideHeight - isSecond;
    const weights = at(o.weights) + SUMS_BYTES + (isSecond ? blocks : 0);
    if (row == o.begin || inside == 0) next = top;
    for (next = max(next, top); next <= top + reach; next += every) {
      const x = at(o.x) + <usize>(row / shape.outputHeight) * image;
      makeFour(shape, o, x, next - shape.padTop, outside, ring + <usize>(next / every % slots) * rowBytes, width);
    }
    let pointer = scratch + POINTERS;
    for (let four = 0; four <= reach; four += 4 * shape.dilationHeight) {
      const first = ring + <usize>((top + four) / every % slots) * rowBytes;
      for (let kx = 0; kx < shape.kernelWidth; kx++, pointer += 4)
        store<u32>(pointer, <u32>(first + <usize>(kx * shape.dilationWidth * channels) * ELEMENT_BYTES));
    }
    const y = at(o.y) + <usize>(row * shape.outputWidth * channels);
    for (let column = 0; column < shape.outputWidth; ) {
      const left = shape.outputWidth - column;
      // The last four together, even when some of them were reckoned before: that is quicker than two on their own.
      if (left > 1 && left < TILE && shape.outputWidth > TILE) column = shape.outputWidth - TILE;
      const pixels = shape.outputWidth - column >= TILE ? TILE : 1;
      allChannels(o, to, pixels, channels, weights, step * column, step, start, y + <usize>(column * channels));
      column += pixels;
    }
  }
}
