// Maximum and average over windows, 8 channels at a time.
import * as op from '../opcodes.ts';
import { ConvShape } from '../operands.ts';
import { ceilDivide } from './window.ts';

// @ts-ignore: decorator
@inline
function pixel(maximum: bool, x: usize, y: usize, channels: i32, rows: i32, rowBytes: usize, columns: i32, tapBytes: usize, factor: f32): void {
  const start = f32x4.splat(maximum ? -Infinity : 0);
  const scale = f32x4.splat(factor);
  for (; channels >= 8; channels -= 8) {
    let low = start, high = start;
    let line = x;
    for (let row = rows; row > 0; row--) {
      let p = line;
      for (let column = columns; column > 0; column--) {
        if (maximum) {
          low = f32x4.pmax(low, v128.load(p));
          high = f32x4.pmax(high, v128.load(p, 16));
        } else {
          low = f32x4.add(low, v128.load(p));
          high = f32x4.add(high, v128.load(p, 16));
        }
        p += tapBytes;
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

function maxPixel(x: usize, y: usize, channels: i32, rows: i32, rowBytes: usize, columns: i32, tapBytes: usize, factor: f32): void {
  pixel(true, x, y, channels, rows, rowBytes, columns, tapBytes, factor);
}

function averagePixel(x: usize, y: usize, channels: i32, rows: i32, rowBytes: usize, columns: i32, tapBytes: usize, factor: f32): void {
  pixel(false, x, y, channels, rows, rowBytes, columns, tapBytes, factor);
}

/** Output rows [begin, end) of batch * outputHeight. */
export function pool(kind: i32, shape: ConvShape, x: usize, y: usize, padBottom: i32, padRight: i32, begin: i32, end: i32): void {
  const height = shape.inputHeight, width = shape.inputWidth, channels = shape.inputChannels;
  const pixelBytes = <usize>channels << 2;
  const rowBytes = <usize>(shape.dilationHeight * width) * pixelBytes, tapBytes = <usize>shape.dilationWidth * pixelBytes;
  for (let outputRow = begin; outputRow < end; outputRow++) {
    const top = outputRow % shape.outputHeight * shape.strideHeight - shape.padTop;
    const firstRow = ceilDivide(-top, shape.dilationHeight);
    const rows = max(0, min(shape.kernelHeight, ceilDivide(height - top, shape.dilationHeight)) - firstRow);
    const paddedRows = min(shape.kernelHeight, ceilDivide(height + padBottom - top, shape.dilationHeight));
    const line = x + <usize>((outputRow / shape.outputHeight * height + top + firstRow * shape.dilationHeight) * width) * pixelBytes;
    let target = y + <usize>(outputRow * shape.outputWidth) * pixelBytes;
    for (let outputColumn = 0; outputColumn < shape.outputWidth; outputColumn++) {
      const left = outputColumn * shape.strideWidth - shape.padLeft;
      const first = ceilDivide(-left, shape.dilationWidth);
      const columns = max(0, min(shape.kernelWidth, ceilDivide(width - left, shape.dilationWidth)) - first);
      const source = line + <usize>(left + first * shape.dilationWidth) * pixelBytes;
      if (kind == op.POOL_MAX) {
        maxPixel(source, target, channels, rows, rowBytes, columns, tapBytes, 1);
      } else {
        const paddedColumns = min(shape.kernelWidth, ceilDivide(width + padRight - left, shape.dilationWidth));
        const taps = kind == op.POOL_AVERAGE_PADDED ? paddedRows * paddedColumns : rows * columns;
        averagePixel(source, target, channels, rows, rowBytes, columns, tapBytes, 1 / <f32>taps);
      }
      target += pixelBytes;
    }
  }
}
