// Maximum and average over windows, 8 channels at a time.
import * as op from '../opcodes.ts';
import { ConvShape } from '../operands.ts';
import { ceilDivide } from './window.ts';

// @ts-ignore: decorator
@inline
function step(maximum: bool, value: v128, tap: v128): v128 {
  return maximum ? f32x4.pmax(value, tap) : f32x4.add(value, tap);
}

/** `across` is 2 or 3 for that many columns, walked without a loop, and 0 for `columns`; `maximum` and `across` are constants at each call. */
// @ts-ignore: decorator
@inline
function pixel(
  maximum: bool, across: i32, x: usize, y: usize, channels: i32, rows: i32, rowBytes: usize, columns: i32, tapBytes: usize, factor: f32,
): void {
  const start = f32x4.splat(maximum ? -Infinity : 0);
  const scale = f32x4.splat(factor);
  for (; channels >= 8; channels -= 8) {
    let low = start, high = start;
    let line = x;
    for (let row = rows; row > 0; row--) {
      let p = line;
      if (across > 0) {
        low = step(maximum, low, v128.load(p));
        high = step(maximum, high, v128.load(p, 16));
        p += tapBytes;
        low = step(maximum, low, v128.load(p));
        high = step(maximum, high, v128.load(p, 16));
        if (across > 2) {
          p += tapBytes;
          low = step(maximum, low, v128.load(p));
          high = step(maximum, high, v128.load(p, 16));
        }
      } else {
        for (let column = columns; column > 0; column--) {
          low = step(maximum, low, v128.load(p));
          high = step(maximum, high, v128.load(p, 16));
          p += tapBytes;
        }
      }
      line += rowBytes;
    }
    v128.store(y, maximum ? low : f32x4.mul(low, scale));
    v128.store(y, maximum ? high : f32x4.mul(high, scale), 16);
    x += 32;
    y += 32;
  }
  for (; channels > 0; channels--) {
    let value: f32 = maximum ? -Infinity : 0;
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) {
        const tap = load<f32>(x + <usize>row * rowBytes + <usize>column * tapBytes);
        if (maximum) value = value < tap ? tap : value;
        else value += tap;
      }
    store<f32>(y, maximum ? value : value * factor);
    x += 4;
    y += 4;
  }
}

/** `count` neighbouring results, whose windows are `stepBytes` apart, and they themselves `yStepBytes`. */
// @ts-ignore: decorator
@inline
function pixels(
  maximum: bool, across: i32, count: i32, x: usize, stepBytes: usize, y: usize, yStepBytes: usize, channels: i32, rows: i32, rowBytes: usize, columns: i32,
  tapBytes: usize, factor: f32,
): void {
  for (; count > 0; count--) {
    pixel(maximum, across, x, y, channels, rows, rowBytes, columns, tapBytes, factor);
    x += stepBytes;
    y += yStepBytes;
  }
}

type Pixels = (count: i32, x: usize, stepBytes: usize, y: usize, yStepBytes: usize, channels: i32, rows: i32, rowBytes: usize, columns: i32, tapBytes: usize, factor: f32) => void;

function most(count: i32, x: usize, stepBytes: usize, y: usize, yStepBytes: usize, channels: i32, rows: i32, rowBytes: usize, columns: i32, tapBytes: usize, factor: f32): void { pixels(true, 0, count, x, stepBytes, y, yStepBytes, channels, rows, rowBytes, columns, tapBytes, factor); }
function mostOfTwo(count: i32, x: usize, stepBytes: usize, y: usize, yStepBytes: usize, channels: i32, rows: i32, rowBytes: usize, columns: i32, tapBytes: usize, factor: f32): void { pixels(true, 2, count, x, stepBytes, y, yStepBytes, channels, rows, rowBytes, columns, tapBytes, factor); }
function mostOfThree(count: i32, x: usize, stepBytes: usize, y: usize, yStepBytes: usize, channels: i32, rows: i32, rowBytes: usize, columns: i32, tapBytes: usize, factor: f32): void { pixels(true, 3, count, x, stepBytes, y, yStepBytes, channels, rows, rowBytes, columns, tapBytes, factor); }
function mean(count: i32, x: usize, stepBytes: usize, y: usize, yStepBytes: usize, channels: i32, rows: i32, rowBytes: usize, columns: i32, tapBytes: usize, factor: f32): void { pixels(false, 0, count, x, stepBytes, y, yStepBytes, channels, rows, rowBytes, columns, tapBytes, factor); }
function meanOfTwo(count: i32, x: usize, stepBytes: usize, y: usize, yStepBytes: usize, channels: i32, rows: i32, rowBytes: usize, columns: i32, tapBytes: usize, factor: f32): void { pixels(false, 2, count, x, stepBytes, y, yStepBytes, channels, rows, rowBytes, columns, tapBytes, factor); }
function meanOfThree(count: i32, x: usize, stepBytes: usize, y: usize, yStepBytes: usize, channels: i32, rows: i32, rowBytes: usize, columns: i32, tapBytes: usize, factor: f32): void { pixels(false, 3, count, x, stepBytes, y, yStepBytes, channels, rows, rowBytes, columns, tapBytes, factor); }

const PIXELS: StaticArray<Pixels> = [most, mostOfTwo, mostOfThree, mean, meanOfTwo, meanOfThree];

// @ts-ignore: decorator
@inline
function pixelsFor(maximum: bool, columns: i32): Pixels {
  return unchecked(PIXELS[(maximum ? 0 : 3) + (columns == 2 || columns == 3 ? columns - 1 : 0)]);
}

/** Output rows [begin, end) of batch * outputHeight; bytes between pixels of y. */
export function pool(
  kind: i32, shape: ConvShape, x: usize, y: usize, yPixelBytes: usize, padBottom: i32, padRight: i32, begin: i32, end: i32,
): void {
  const height = shape.inputHeight, width = shape.inputWidth, channels = shape.inputChannels;
  const maximum = kind == op.POOL_MAX;
  const pixelBytes = <usize>channels << 2, stepBytes = <usize>shape.strideWidth * pixelBytes;
  const reach = width - 1 - (shape.kernelWidth - 1) * shape.dilationWidth; // the first column of the last window that lies inside
  const rowBytes = <usize>(shape.dilationHeight * width) * pixelBytes, tapBytes = <usize>shape.dilationWidth * pixelBytes;
  for (let outputRow = begin; outputRow < end; outputRow++) {
    const top = outputRow % shape.outputHeight * shape.strideHeight - shape.padTop;
    const firstRow = ceilDivide(-top, shape.dilationHeight);
    const rows = max(0, min(shape.kernelHeight, ceilDivide(height - top, shape.dilationHeight)) - firstRow);
    const paddedRows = min(shape.kernelHeight, ceilDivide(height + padBottom - top, shape.dilationHeight));
    const line = x + <usize>((outputRow / shape.outputHeight * height + top + firstRow * shape.dilationHeight) * width) * pixelBytes;
    let target = y + <usize>(outputRow * shape.outputWidth) * yPixelBytes;
    for (let outputColumn = 0, count = 1; outputColumn < shape.outputWidth; outputColumn += count) {
      const left = outputColumn * shape.strideWidth - shape.padLeft;
      const first = ceilDivide(-left, shape.dilationWidth);
      const columns = max(0, min(shape.kernelWidth, ceilDivide(width - left, shape.dilationWidth)) - first);
      const source = line + <usize>(left + first * shape.dilationWidth) * pixelBytes;
      const isInside = left >= 0 && columns == shape.kernelWidth;
      count = isInside ? min(shape.outputWidth - outputColumn, (reach - left) / shape.strideWidth + 1) : 1;
      let factor: f32 = 1;
      if (!maximum) {
        const paddedColumns = min(shape.kernelWidth, ceilDivide(width + padRight - left, shape.dilationWidth));
        factor = 1 / <f32>(kind == op.POOL_AVERAGE_PADDED ? paddedRows * paddedColumns : rows * columns);
      }
      const pixelsOf = pixelsFor(maximum, columns);
      pixelsOf(count, source, stepBytes, target, yPixelBytes, channels, rows, rowBytes, columns, tapBytes, factor);
      target += yPixelBytes * count;
    }
  }
}
