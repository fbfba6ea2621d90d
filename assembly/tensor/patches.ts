// Convolution as a matrix product: patches under the window become rows (im2col), or rows of contributions go back to pixels (col2im).
import { ConvShape } from '../operands.ts';

/** Copies `count` floats; pairs of v128, a single one, then one by one. */
// @ts-ignore: decorator
@inline
export function copyFloats(target: usize, source: usize, count: i32): void {
  for (; count >= 8; count -= 8) {
    const low = v128.load(source), high = v128.load(source, 16);
    v128.store(target, low);
    v128.store(target, high, 16);
    target += 32;
    source += 32;
  }
  if (count >= 4) {
    v128.store(target, v128.load(source));
    target += 16;
    source += 16;
    count -= 4;
  }
  for (; count > 0; count--) {
    store<f32>(target, load<f32>(source));
    target += 4;
    source += 4;
  }
}

// @ts-ignore: decorator
@inline
export function zeroFloats(target: usize, count: i32): void {
  for (; count >= 4; count -= 4) {
    v128.store(target, i32x4.splat(0));
    target += 16;
  }
  for (; count > 0; count--) {
    store<f32>(target, 0);
    target += 4;
  }
}

/** As copyFloats, but may read and write up to three floats too many: quick for the short runs of the first layers. */
// @ts-ignore: decorator
@inline
function copyVectors(target: usize, source: usize, count: i32): void {
  for (; count > 4; count -= 8) {
    const low = v128.load(source), high = v128.load(source, 16);
    v128.store(target, low);
    v128.store(target, high, 16);
    target += 32;
    source += 32;
  }
  if (count > 0) v128.store(target, v128.load(source));
}

/**
 * Output pixels [begin, end) → rows of [kernelHeight][kernelWidth][channels] floats, from `channels` channels of x at `channelBegin`.
 * Up to three floats behind the last row may be written.
 */
export function im2col(shape: ConvShape, x: usize, target: usize, channelBegin: i32, channels: i32, begin: i32, end: i32): void {
  const height = shape.inputHeight, width = shape.inputWidth;
  const whole = shape.dilationWidth == 1 && channels == shape.inputChannels; // taps of one kernel row are neighbours in memory
  const pixelBytes = <usize>shape.inputChannels << 2, line = <usize>width * pixelBytes;
  const perImage = shape.outputHeight * shape.outputWidth;
  const inside = begin % perImage;
  const run = shape.kernelWidth * channels, rowBytes = <usize>run << 2;
  const last = x + <usize>(shape.batch * height) * line - (rowBytes + 12); // whole vectors from further on could leave memory
  let image = x + <usize>(begin / perImage * height) * line + (<usize>channelBegin << 2);
  let top = inside / shape.outputWidth * shape.strideHeight - shape.padTop, column = inside % shape.outputWidth;
  for (let pixel = begin; pixel < end; pixel++) {
    const left = column * shape.strideWidth - shape.padLeft;
    const within = whole && left >= 0 && left + shape.kernelWidth <= width;
    for (let ky = 0, row = top; ky < shape.kernelHeight; ky++, row += shape.dilationHeight) {
      const source = image + <usize>row * line + <usize>left * pixelBytes;
      if (<u32>row >= <u32>height) zeroFloats(target, run);
      else if (within && source <= last) copyVectors(target, source, run);
      else if (whole) copyRun(source, width, left, shape.kernelWidth, channels, target);
      else copyTaps(source, width, left, shape, channels, target);
      target += rowBytes;
    }
    if (++column < shape.outputWidth) continue;
    column = 0;
    top += shape.strideHeight;
    if (top + shape.padTop < shape.outputHeight * shape.strideHeight) continue;
    top = -shape.padTop;
    image += <usize>height * line;
  }
}

/** One kernel row whose taps are neighbours; `source` is where the first one lies, or would lie. */
function copyRun(source: usize, width: i32, left: i32, taps: i32, channels: i32, target: usize): void {
  const first = max(0, -left), last = max(first, min(taps, width - left)); // taps that lie in the image
  zeroFloats(target, first * channels);
  copyFloats(target + (<usize>(first * channels) << 2), source + (<usize>(first * channels) << 2), (last - first) * channels);
  zeroFloats(target + (<usize>(last * channels) << 2), (taps - last) * channels);
}

/** One kernel row, tap by tap. */
function copyTaps(source: usize, width: i32, left: i32, shape: ConvShape, channels: i32, target: usize): void {
  const step = <usize>(shape.dilationWidth * shape.inputChannels) << 2;
  for (let kx = 0; kx < shape.kernelWidth; kx++) {
    if (<u32>left >= <u32>width) zeroFloats(target, channels);
    else copyFloats(target, source, channels);
    left += shape.dilationWidth;
    source += step;
    target += <usize>channels << 2;
  }
}

/** Adds rows [begin, end), one a pixel of x, of [kernelHeight][kernelWidth][channels] contributions to `channels` channels of y. */
export function col2im(shape: ConvShape, source: usize, y: usize, channelBegin: i32, channels: i32, begin: i32, end: i32): void {
  const pixelBytes = <usize>shape.outputChannels << 2;
  const perImage = shape.inputHeight * shape.inputWidth;
  const bytes = <usize>channels << 2;
  y += <usize>channelBegin << 2;
  for (let pixel = begin; pixel < end; pixel++) {
    const inside = pixel % perImage;
    const top = inside / shape.inputWidth * shape.strideHeight - shape.padTop;
    const left = inside % shape.inputWidth * shape.strideWidth - shape.padLeft;
    const target = y + <usize>(pixel / perImage * shape.outputHeight * shape.outputWidth) * pixelBytes;
    for (let ky = 0; ky < shape.kernelHeight; ky++) {
      const row = top + ky * shape.dilationHeight;
      for (let kx = 0; kx < shape.kernelWidth; kx++) {
        const column = left + kx * shape.dilationWidth;
        if (<u32>row < <u32>shape.outputHeight && <u32>column < <u32>shape.outputWidth)
          addFloats(target + <usize>(row * shape.outputWidth + column) * pixelBytes, source, channels);
        source += bytes;
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function addFloats(target: usize, source: usize, count: i32): void {
  for (; count >= 8; count -= 8) {
    const low = f32x4.add(v128.load(target), v128.load(source)), high = f32x4.add(v128.load(target, 16), v128.load(source, 16));
    v128.store(target, low);
    v128.store(target, high, 16);
    target += 32;
    source += 32;
  }
  for (; count > 0; count--) {
    store<f32>(target, load<f32>(target) + load<f32>(source));
    target += 4;
    source += 4;
  }
}
