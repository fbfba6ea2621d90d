/** Instructions of matrix products, convolutions and pools. */
import { strict as assert } from 'node:assert';
import * as op from '../../assembly/opcodes.ts';
import {
  type Activation,
  type Address,
  type ConvShape,
  type GemmCall,
  type Instructions,
  NO_ADDRESS,
} from './instructions.ts';
import { unaryKinds } from './kinds.ts';
import * as pack from './pack.ts';
import {
  behind,
  checkAligned,
  checkMatrices,
  ELEMENTS_MAX,
  FLOPS_MAX,
  floatWord,
  forCores,
  inParts,
  TAPS_MAX,
  type Writer,
} from './writer.ts';

/** A block of B that stays in the second-level cache while rows of A stream past it. */
const B_BLOCK_BYTES = 262_144;
/** Patches of a convolution: gathered into the cache, used, forgotten; but weights larger than the cache want more rows a pass. */
const PATCH_BYTES = 122_880;
const PATCH_ROWS_MIN = 24;
/** The copy of a patch may end with a whole vector. */
const PATCH_SLACK_BYTES = 16;
const TILE_ROWS = 6;
const PANEL_MAX = 16;
/** Shorter output rows leave the tiles of the product half empty. */
const ROW_PIXELS_MIN = 4;

type ConvCall = Parameters<Instructions['conv']>[0];
type ConvTransposeCall = Parameters<Instructions['convTranspose']>[0];

/** low, high, kind, alpha, beta: a clip costs nothing where results are stored; the rest is a pass over the tile. */
export function activationWords(activation: Activation | undefined): number[] {
  const words = (low: number, high: number, kind: number, alpha = 0, beta = 0) => [
    floatWord(low),
    floatWord(high),
    kind,
    floatWord(alpha),
    floatWord(beta),
  ];
  if (activation === undefined || activation.kind === 'none') return words(-Infinity, Infinity, op.IDENTITY);
  if (activation.kind === 'clip') return words(activation.min, activation.max, op.IDENTITY);
  const { alpha = 0, beta = 0 } = activation as { alpha?: number; beta?: number };
  return words(-Infinity, Infinity, unaryKinds[activation.kind], alpha, beta);
}

export function shapeWords(shape: ConvShape): number[] {
  return [
    shape.batch,
    shape.inputHeight,
    shape.inputWidth,
    shape.inputChannels,
    shape.outputHeight,
    shape.outputWidth,
    shape.outputChannels,
    ...shape.kernel,
    ...shape.strides,
    ...shape.dilations,
    shape.pads[0],
    shape.pads[1],
  ];
}

export function checkShape(shape: ConvShape): void {
  const sizes = [shape.batch, shape.inputHeight, shape.inputWidth, shape.outputHeight, shape.outputWidth];
  assert(
    [...sizes, ...shape.kernel, ...shape.strides, ...shape.dilations, shape.group].every(
      (size) => Number.isInteger(size) && size > 0,
    ),
    `sizes of a convolution or pool must be positive integers, got ${JSON.stringify(shape)}`,
  );
  assert(
    shape.inputChannels % shape.group === 0 && shape.outputChannels % shape.group === 0,
    `group ${shape.group} must divide ${shape.inputChannels} input and ${shape.outputChannels} output channels`,
  );
}

/** The residual may have a row stride of its own. */
type StridedGemm = GemmCall & { readonly ldr: number };

/** Cut in columns so that their part of B stays in the cache, then in rows. */
export function assembleGemm(writer: Writer, panel: number, call: StridedGemm): void {
  const { m, n, k } = call;
  const depth = Math.max(1, k);
  const columnsMax = Math.min(B_BLOCK_BYTES / 4 / depth, FLOPS_MAX / 2 / depth / Math.min(m, TILE_ROWS));
  const columns = Math.max(panel, Math.floor(columnsMax / panel) * panel);
  writer.inParts(
    n,
    columns,
    (left, right) => {
      const rowsMax = FLOPS_MAX / 2 / depth / (right - left);
      const rows = (top: number, bottom: number): void => {
        writer.emit(op.GEMM, [
          ...activationWords(call.activation),
          behind(call.a, top * call.lda),
          call.lda,
          behind(call.packedB, left * k),
          behind(call.c, top * call.ldc + left),
          call.ldc,
          bottom - top,
          right - left,
          k,
          panel,
          behind(call.bias ?? NO_ADDRESS, left),
          behind(call.residual ?? NO_ADDRESS, top * call.ldr + left),
          call.ldr,
        ]);
      };
      writer.inShares(m, Math.max(TILE_ROWS, rowsMax), TILE_ROWS, rows);
    },
    panel,
  );
}

export function assemblePackMatrix(
  writer: Writer,
  panel: number,
  call: { b: Address; packed: Address; k: number; n: number; transposed: boolean },
): void {
  const { b, packed, k, n, transposed } = call;
  checkMatrices(b, packed);
  const panels = Math.max(1, Math.floor(ELEMENTS_MAX / Math.max(1, k) / panel));
  writer.inParts(n, panels * panel, (begin, end) => {
    writer.emit(op.PACK_MATRIX, [b, packed, k, n, transposed ? 1 : 0, panel, begin, end]);
  });
}

export function convScratchBytes(shape: ConvShape): number {
  if (pack.isPointwise(shape) || pack.isDepthwise(shape)) return 0;
  if (isByRows(shape)) return isPadded(shape) ? roomBytes(shape, bandRows(shape)) : 0;
  return patchRows(shape) * pack.patchLength(shape) * 4 + PATCH_SLACK_BYTES;
}

/** Output pixels whose patches are gathered at a time. */
function patchRows(shape: ConvShape): number {
  const fitting = PATCH_BYTES / 4 / pack.patchLength(shape);
  const rows = Math.max(PATCH_ROWS_MIN, Math.floor(fitting / TILE_ROWS) * TILE_ROWS);
  return Math.min(rows, pack.roundUp(shape.batch * shape.outputHeight * shape.outputWidth, TILE_ROWS));
}

export function assembleConv(writer: Writer, panel: number, call: ConvCall): void {
  checkShape(call.shape);
  checkAligned(call.x, call.weights, call.bias, call.scratch, call.residual);
  if (pack.isDepthwise(call.shape)) checkAligned(call.y);
  else checkMatrices(call.y);
  if (pack.isDepthwise(call.shape)) assembleDepthwise(writer, call);
  else if (pack.isPointwise(call.shape)) assemblePointwise(writer, panel, call);
  else if (isByRows(call.shape)) assembleRows(writer, panel, call);
  else assemblePatches(writer, panel, call);
}

/** The image is the matrix. */
function assemblePointwise(writer: Writer, panel: number, call: ConvCall): void {
  const { shape, x, weights, y, bias, activation, residual } = call;
  const [k, n] = [shape.inputChannels, shape.outputChannels];
  const m = shape.batch * shape.outputHeight * shape.outputWidth;
  const operands = {
    a: x,
    lda: call.xPixelStride ?? k,
    packedB: weights,
    c: y,
    ldc: call.yPixelStride ?? n,
    bias,
    residual,
    ldr: n,
  };
  assembleGemm(writer, panel, { ...operands, m, n, k, activation });
}

/** Whether the inputs under a row of the kernel are neighbours in memory, and output rows are long enough and not too much work. */
function isByRows(shape: ConvShape): boolean {
  const { group, kernel, dilations, outputWidth } = lying(shape);
  const isDense = group === 1 && (dilations[1] === 1 || kernel[1] === 1);
  return isDense && outputWidth >= ROW_PIXELS_MIN && rowFlops(shape) <= FLOPS_MAX;
}

/** A picture of one column is taken for one of one row, which is the same in memory. */
function lying(shape: ConvShape): ConvShape {
  const { kernel, strides, dilations, pads } = shape;
  if (shape.inputWidth !== 1 || shape.outputWidth !== 1 || kernel[1] !== 1 || pads[1] !== 0) return shape;
  return {
    ...shape,
    inputHeight: 1,
    inputWidth: shape.inputHeight,
    outputHeight: 1,
    outputWidth: shape.outputHeight,
    kernel: [1, kernel[0]],
    strides: [1, strides[0]],
    dilations: [1, dilations[0]],
    pads: [0, pads[0], 0, pads[2]],
  };
}

function rowFlops(shape: ConvShape): number {
  return 2 * shape.outputWidth * shape.outputChannels * pack.patchLength(shape);
}

function spanOf({ kernel, strides, dilations }: ConvShape, outputs: number, axis: 0 | 1): number {
  return (outputs - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1;
}

/** Whether some output sees a pixel outside the image. */
function isPadded(shape: ConvShape): boolean {
  const { pads, inputHeight, inputWidth, outputHeight, outputWidth } = lying(shape);
  return (
    pads[0] + pads[1] > 0 ||
    spanOf(lying(shape), outputHeight, 0) > inputHeight ||
    spanOf(lying(shape), outputWidth, 1) > inputWidth
  );
}

/** Bytes of the padded input rows under so many output rows. */
function roomBytes(shape: ConvShape, rows: number): number {
  const lay = lying(shape);
  return spanOf(lay, rows, 0) * spanOf(lay, lay.outputWidth, 1) * shape.inputChannels * 4;
}

/** Output rows that are done together: their inputs and results stay in the cache. */
function bandRows(shape: ConvShape): number {
  const { outputHeight, outputWidth, outputChannels } = lying(shape);
  const most = Math.min(
    outputHeight,
    B_BLOCK_BYTES / 4 / outputChannels / outputWidth,
    FLOPS_MAX / rowFlops(lying(shape)),
  );
  let rows = Math.max(1, Math.floor(most));
  while (rows > 1 && roomBytes(shape, rows) > PATCH_BYTES) rows--;
  return rows;
}

function assembleRows(writer: Writer, panel: number, call: ConvCall): void {
  const shape = lying(call.shape);
  const room = isPadded(shape) ? writer.lane(call.scratch) : NO_ADDRESS;
  const rows = bandRows(shape);
  for (let image = 0; image < shape.batch; image++)
    writer.inShares(shape.outputHeight, rows, 1, (begin, end) => {
      writer.emit(op.CONV_ROWS, [
        ...shapeWords(shape),
        ...activationWords(call.activation),
        call.x,
        call.weights,
        call.bias,
        call.y,
        call.yPixelStride ?? shape.outputChannels,
        call.residual ?? NO_ADDRESS,
        room,
        panel,
        image * shape.outputHeight + begin,
        image * shape.outputHeight + end,
      ]);
    });
}

/** Patches under the kernel window become rows of a matrix, some at a time, so that they stay in the cache. */
function assemblePatches(writer: Writer, panel: number, call: ConvCall): void {
  const { shape, activation, residual = NO_ADDRESS } = call;
  const ldc = call.yPixelStride ?? shape.outputChannels;
  const ldr = shape.outputChannels;
  const channels = shape.inputChannels / shape.group;
  const n = shape.outputChannels / shape.group;
  const k = pack.patchLength(shape);
  const scratch = writer.lane(call.scratch);
  const pixels = shape.batch * shape.outputHeight * shape.outputWidth;
  writer.inChunks(pixels, forCores(pixels, patchRows(shape)), TILE_ROWS, (begin, end) => {
    for (let group = 0; group < shape.group; group++) {
      const columns = [call.x, scratch, group * channels, channels, begin, end];
      writer.emit(op.IM2COL, [...shapeWords(shape), ...columns]);
      assembleGemm(writer, panel, {
        a: scratch,
        lda: k,
        packedB: behind(call.weights, group * pack.packedLength(k, n, panel)),
        c: behind(call.y, begin * ldc + group * n),
        ldc,
        m: end - begin,
        n,
        k,
        bias: behind(call.bias, group * n),
        residual: behind(residual, begin * ldr + group * n),
        ldr,
        activation,
      });
    }
  });
}

function assembleDepthwise(writer: Writer, call: ConvCall): void {
  const { shape } = call;
  const taps = shape.kernel[0] * shape.kernel[1] * shape.outputWidth * shape.outputChannels;
  const rows = shape.batch * shape.outputHeight;
  writer.inShares(rows, TAPS_MAX / taps, 1, (begin, end) => {
    writer.emit(op.DEPTHWISE, [
      ...shapeWords(shape),
      ...activationWords(call.activation),
      call.x,
      call.weights,
      call.bias,
      call.y,
      call.yPixelStride ?? shape.outputChannels,
      call.residual ?? NO_ADDRESS,
      begin,
      end,
    ]);
  });
}

/** Rows (pixels of x) and columns (taps and output channels of a group) of a ConvTranspose that are held at a time. */
function columnBlock(shape: ConvShape): { rows: number; n: number } {
  const n = shape.kernel[0] * shape.kernel[1] * (shape.outputChannels / shape.group);
  const fitting = Math.max(TILE_ROWS, Math.floor(PATCH_BYTES / 4 / n / TILE_ROWS) * TILE_ROWS);
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
  const rows = Math.max(1, Math.floor(Math.min(FLOPS_MAX / spreadFlops(shape), B_BLOCK_BYTES / resultBytes)));
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
      writer.emit(op.COL2IM, [...shapeWords(shape), call.scratch, call.y, group * channels, channels, begin, end]);
    }
  });
}
