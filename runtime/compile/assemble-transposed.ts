/** Instructions of transposed convolutions. */
import * as op from '../../assembly/opcodes.ts';
import { activationWords, assembleGemm, checkShape } from './assemble-matrix.ts';
import type { ConvShape, Instructions } from './instructions.ts';
import * as pack from './pack.ts';
import { shapeWords } from './picture-parts.ts';
import { behind, ELEMENTS_MAX, FLOPS_MAX, inParts, type Writer } from './writer.ts';

/** Of the results that are held at a time, in the first cache and in the second. */
const COLUMN_BYTES = 122_880;
const RESULT_BYTES = 262_144;
const TILE_ROWS = 6;
const PANEL_MAX = 16;

type ConvTransposeCall = Parameters<Instructions['convTranspose']>[0];

/** Rows (pixels of x) and columns (taps and output channels of a group) of a ConvTranspose that are held at a time. */
function columnBlock(shape: ConvShape): { rows: number; n: number } {
  const n = shape.kernel[0] * shape.kernel[1] * (shape.outputChannels / shape.group);
  const fitting = Math.max(TILE_ROWS, Math.floor(COLUMN_BYTES / 4 / n / TILE_ROWS) * TILE_ROWS);
  return { rows: Math.min(fitting, pack.roundUp(shape.batch * shape.inputHeight * shape.inputWidth, TILE_ROWS)), n };
}

/** Whether every pixel gives a block of results of its own, so that no results are added up. */
export function isSpread(shape: ConvShape): boolean {
  const { group, kernel, strides, dilations, pads, inputHeight, inputWidth, outputHeight, outputWidth } = shape;
  const isTiled = kernel.every((size, axis) => size === strides[axis] && (size === 1 || dilations[axis] === 1));
  const isWhole = outputHeight === inputHeight * kernel[0] && outputWidth === inputWidth * kernel[1];
  return group === 1 && isTiled && isWhole && !pads.some(Boolean) && spreadFlops(shape) <= FLOPS_MAX;
}

/** Of one input row. */
function spreadFlops(shape: ConvShape): number {
  return 2 * shape.inputWidth * shape.inputChannels * columnBlock(shape).n;
}

/** As a transposed convolution for which `isSpread` holds. */
export function assembleSpread(writer: Writer, panel: number, call: ConvTransposeCall): void {
  const { shape } = call;
  checkShape(shape);
  const resultBytes = 4 * shape.inputWidth * columnBlock(shape).n;
  const rows = Math.max(1, Math.floor(Math.min(FLOPS_MAX / spreadFlops(shape), RESULT_BYTES / resultBytes)));
  const scratch = writer.lane(call.scratch);
  writer.inShares(shape.batch * shape.inputHeight, rows, 1, (begin, end) => {
    const operands = [call.x, call.weights, call.bias, call.y, scratch, panel, begin, end];
    writer.emit(op.CONV_TRANSPOSE_ROWS, [...shapeWords(shape), ...activationWords(call.activation), ...operands]);
  });
}

export function convTransposeScratchBytes(shape: ConvShape): number {
  if (isSpread(shape))
    return 4 * (pack.roundUp(columnBlock(shape).n + PANEL_MAX, PANEL_MAX) + shape.inputWidth * PANEL_MAX);
  const { rows, n } = columnBlock(shape);
  return rows * n * 4;
}

/** x times the weights gives every pixel's contributions, which are added where they belong in y; y must hold the bias already. */
export function assembleConvTranspose(writer: Writer, panel: number, call: ConvTransposeCall): void {
  const { shape } = call;
  checkShape(shape);
  const [k, channels] = [shape.inputChannels / shape.group, shape.outputChannels / shape.group];
  const { rows, n } = columnBlock(shape);
  inParts(shape.batch * shape.inputHeight * shape.inputWidth, rows, (begin, end) => {
    for (let group = 0; group < shape.group; group++) {
      assembleGemm(writer, panel, {
        a: behind(call.x, begin * shape.inputChannels + group * k),
        lda: shape.inputChannels,
        packedB: behind(call.weights, group * pack.packedLength(k, n, panel)),
        c: call.scratch,
        ldc: n,
        ldr: n,
        m: end - begin,
        n,
        k,
      });
      inParts(end - begin, ELEMENTS_MAX / n, (first, last) => {
        const rows = [group * channels, channels, begin + first, begin + last];
        writer.emit(op.COL2IM, [...shapeWords(shape), behind(call.scratch, first * n), call.y, ...rows]);
      });
    }
  });
}
