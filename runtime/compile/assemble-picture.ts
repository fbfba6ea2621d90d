/** Instructions of pools and of resizing. */
import * as op from '../../assembly/opcodes.ts';
import { checkShape } from './assemble-matrix.ts';
import type { Address, ConvShape, Instructions } from './instructions.ts';
import { inPictureParts } from './picture-parts.ts';
import { behind, checkAligned, ELEMENTS_MAX, TAPS_MAX, type Writer } from './writer.ts';

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
  const [, , bottom, right] = shape.pads;
  inPictureParts(writer, shape, POOL_TAPS_MAX, ({ words, begin, end, shift }) => {
    writer.emit(op.POOL, [...words, kind, x, behind(y, shift * yPixelStride), yPixelStride, bottom, right, begin, end]);
  });
}

/** Columns, channels and rows of results. */
interface Rectangle {
  readonly left: number;
  readonly right: number;
  readonly first: number;
  readonly last: number;
  readonly begin: number;
  readonly end: number;
}

/** A pixel on its own takes as long as some elements. */
const PIXEL_ELEMENTS = 8;

export function assembleResize(
  writer: Writer,
  opcode: number,
  call: Parameters<Instructions['resizeNearest']>[0],
): void {
  const { x, y, rows, columns, batch, inputHeight, inputWidth, outputHeight, outputWidth, channels } = call;
  const { xPixelStride = channels, yPixelStride = channels } = call;
  checkAligned(x, y, rows, columns);
  const entryBytes = opcode === op.RESIZE_LINEAR ? 8 : 4;
  const emit = (part: Rectangle): void => {
    const { left, right, first, last, begin, end } = part;
    const width = right - left;
    // Kernels count rows of the width that they are told.
    const shift = left + begin * (outputWidth - width);
    const places = [behind(x, first), xPixelStride, behind(y, shift * yPixelStride + first), yPixelStride];
    const sizes = [inputHeight, inputWidth, outputHeight, width, last - first];
    writer.emit(opcode, [...places, rows, behind(columns, left, entryBytes), ...sizes, begin, end]);
  };
  const whole = { left: 0, right: outputWidth, first: 0, last: channels };
  const rowElements = Math.max(1, outputWidth * (channels + PIXEL_ELEMENTS));
  if (rowElements <= 2 * ELEMENTS_MAX) {
    const most = ELEMENTS_MAX / rowElements;
    writer.inShares(batch * outputHeight, most, 1, (begin, end) => emit({ ...whole, begin, end }));
    return;
  }
  writer.inParts(batch * outputHeight, 1, (row) => {
    writer.inParts(channels, ELEMENTS_MAX, (first, last) => {
      writer.inShares(outputWidth, ELEMENTS_MAX / (last - first + PIXEL_ELEMENTS), 1, (left, right) => {
        emit({ left, right, first, last, begin: row, end: row + 1 });
      });
    });
  });
}
