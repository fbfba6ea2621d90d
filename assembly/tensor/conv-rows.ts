// Convolution, one output row after the other, without gathering patches: under a row of the kernel, a pixel's inputs are neighbours in
// memory, so that the patches of an output row are a matrix whose rows overlap. Where the picture is padded, the input rows that are
// needed are copied first, each once, with zeros around them.
import { ConvRows, ConvTransposeRows } from '../operands-conv.ts';
import { Activation, ConvShape, at } from '../operands.ts';
import { activate, gemm, segmentedGemm } from './gemm.ts';
import { copyFloats, zeroFloats } from './patches.ts';

/** A panel of the bias is read whole. */
const BIAS_SLACK: i32 = 16;

/** Floats of input pixels under one output row. */
// @ts-ignore: decorator
@inline
function lineFloats(shape: ConvShape): i32 {
  return ((shape.outputWidth - 1) * shape.strideWidth + shape.kernelWidth) * shape.inputChannels;
}

/** Input rows [top, top + rows), of which some may lie outside, from column -padLeft on. */
function padRows(shape: ConvShape, image: usize, top: i32, rows: i32, target: usize): void {
  const channels = shape.inputChannels, floats = lineFloats(shape);
  const before = min(floats, shape.padLeft * channels);
  const inside = min(floats - before, shape.inputWidth * channels);
  const behind = floats - before - inside;
  const line = <usize>(shape.inputWidth * channels) << 2;
  for (let row = top; row < top + rows; row++) {
    if (<u32>row >= <u32>shape.inputHeight) {
      zeroFloats(target, floats);
      target += <usize>floats << 2;
      continue;
    }
    zeroFloats(target, before);
    target += <usize>before << 2;
    memory.copy(target, image + <usize>row * line, <usize>inside << 2);
    target += <usize>inside << 2;
    zeroFloats(target, behind);
    target += <usize>behind << 2;
  }
}

/** Output rows [begin, end), all of one image; a panel of the weights serves all of them before the next one comes. */
export function convRows(o: ConvRows, shape: ConvShape, activation: Activation): void {
  const pixel = <usize>shape.inputChannels << 2, room = at(o.room), rows = o.end - o.begin;
  const image = at(o.x) + <usize>(o.begin / shape.outputHeight * shape.inputHeight * shape.inputWidth) * pixel;
  const top = o.begin % shape.outputHeight * shape.strideHeight - shape.padTop;
  let a = image + <usize>(top * shape.inputWidth) * pixel, line = <usize>shape.inputWidth * pixel;
  if (room) {
    padRows(shape, image, top, (rows - 1) * shape.strideHeight + (shape.kernelHeight - 1) * shape.dilationHeight + 1, room);
    a = room;
    line = <usize>lineFloats(shape) << 2;
  }
  const n = shape.outputChannels, width = shape.outputWidth, down = line * shape.strideHeight;
  const k = shape.kernelWidth * shape.inputChannels, gap = line * shape.dilationHeight - (<usize>k << 2);
  const panelBytes = <usize>(k * shape.kernelHeight * o.panel) << 2;
  const ldc = <usize>o.yPixelStride << 2, ldr = <usize>n << 2, first = <usize>(o.begin * width);
  const c = at(o.y) + first * ldc, r = at(o.residual), bias = at(o.bias);
  let b = at(o.weights);
  for (let j = 0; j < n; j += o.panel) {
    const offset = <usize>j << 2, columns = min(o.panel, n - j);
    for (let row: usize = 0; row < <usize>rows; row++) {
      const residual = r ? r + (first + row * width) * ldr + offset : 0;
      segmentedGemm(
        a + row * down, pixel * shape.strideWidth, shape.kernelHeight, gap, b, c + row * width * ldc + offset, ldc, width, columns, k,
        o.panel, bias + offset, residual, ldr, activation.low, activation.high,
      );
    }
    b += panelBytes;
  }
  activate(activation.kind, c, ldc, rows * width, n, activation.alpha, activation.beta);
}

/**
 * Input rows [begin, end) of batch * inputHeight of a transposed convolution whose strides are as large as its kernel: every pixel gives a
 * block of results of its own. `room` takes the bias once for each tap, then a panel of results.
 */
export function convTransposeRows(o: ConvTransposeRows, shape: ConvShape, activation: Activation): void {
  const width = shape.inputWidth, k = shape.inputChannels, channels = shape.outputChannels, rows = o.end - o.begin;
  const across = shape.kernelWidth * channels, n = across * shape.kernelHeight; // of a pixel's block: floats of one row, of all
  const lda = <usize>k << 2, ldc = <usize>across << 2, line = ldc * width;
  const a = at(o.x) + <usize>(o.begin * width) * lda, y = at(o.y) + <usize>(o.begin * shape.kernelHeight) * line;
  const bias = at(o.room), results = bias + (<usize>(n + BIAS_SLACK) << 2);
  for (let tap = 0; tap < n; tap += channels) copyFloats(bias + (<usize>tap << 2), at(o.bias), channels);
  let b = at(o.weights);
  for (let j = 0; j < n; j += o.panel) {
    const columns = min(o.panel, n - j), down = j / across, within = j % across;
    const isWhole = within + columns <= across && (columns == o.panel || columns == 8);
    const ldr = <usize>(isWhole ? across : columns <= 8 ? 8 : o.panel) << 2;
    for (let row: usize = 0; row < <usize>rows; row++) {
      const block = y + row * shape.kernelHeight * line;
      const c = isWhole ? block + down * line + (<usize>within << 2) : results;
      gemm(
        a + row * lda * width, lda, b, c, ldr, width, isWhole ? columns : <i32>(ldr >> 2), k, o.panel, bias + (<usize>j << 2), 0, 0,
        activation.low, activation.high,
      );
      if (!isWhole) spread(results, ldr, width, j, columns, across, block, line);
    }
    b += <usize>(k * o.panel) << 2;
  }
  activate(activation.kind, y, ldc, rows * shape.kernelHeight * width, across, activation.alpha, activation.beta);
}

/** Columns [begin, begin + columns) of `pixels` blocks, each of whose rows has `across` floats → where they belong in rows of y. */
function spread(source: usize, ldr: usize, pixels: i32, begin: i32, columns: i32, across: i32, y: usize, line: usize): void {
  for (let done = 0; done < columns; ) {
    const within = (begin + done) % across, count = min(across - within, columns - done);
    let from = source + (<usize>done << 2), to = y + <usize>((begin + done) / across) * line + (<usize>within << 2);
    for (let pixel = 0; pixel < pixels; pixel++) {
      if (count == 2) store<u64>(to, load<u64>(from));
      else copyFloats(to, from, count);
      from += ldr;
      to += <usize>across << 2;
    }
    done += count;
  }
}
