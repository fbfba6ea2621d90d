/** Instructions of pools and of resizing. */
import * as op from '../../assembly/opcodes.ts';
import { checkShape, shapeWords } from './assemble-matrix.ts';
import type { Address, ConvShape, Instructions } from './instructions.ts';
import { checkAligned, ELEMENTS_MAX, TAPS_MAX, type Writer } from './writer.ts';

/** Averages are divided one by one. */
const POOL_TAPS_MAX = TAPS_MAX / 4;

export function assemblePool(
  writer: Writer,
  kind: number,
  x: Address,
  y: Address,
  shape: ConvShape,
  yPixelStride = shape.outputChannels,
): void {
  checkShape(shape);
  checkAligned(x, y);
  const taps = shape.kernel[0] * shape.kernel[1] * shape.outputWidth * shape.outputChannels;
  const rows = shape.batch * shape.outputHeight;
  writer.inShares(rows, POOL_TAPS_MAX / taps, 1, (begin, end) => {
    const [, , bottom, right] = shape.pads;
    writer.emit(op.POOL, [...shapeWords(shape), kind, x, y, yPixelStride, bottom, right, begin, end]);
  });
}

export function assembleResize(
  writer: Writer,
  opcode: number,
  call: Parameters<Instructions['resizeNearest']>[0],
): void {
  const { x, y, rows, columns, batch, inputHeight, inputWidth, outputHeight, outputWidth, channels } = call;
  const { xPixelStride = channels, yPixelStride = channels } = call;
  checkAligned(x, y, rows, columns);
  const sizes = [inputHeight, inputWidth, outputHeight, outputWidth, channels];
  const outputRows = batch * outputHeight;
  const most = ELEMENTS_MAX / Math.max(1, outputWidth * channels);
  writer.inShares(outputRows, most, 1, (begin, end) => {
    writer.emit(opcode, [x, xPixelStride, y, yPixelStride, rows, columns, ...sizes, begin, end]);
  });
}
