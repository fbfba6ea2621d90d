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
import { inPictureParts, shapeWords } from './picture-parts.ts';
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
/** Rows of a panel are packed in multiples of these (assembly/tensor/gemm.ts, narrow panels). */
const PACKED_ROWS = 8;
/** Shorter output rows leave the tiles of the product half empty. */
const ROW_PIXELS_MIN = 4;

type ConvCall = Parameters<Instructions['conv']>[0];

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

/** A product of more terms is summed up in parts. */
const DEPTH_MAX = 49_152;

/** Parts whose size is a multiple of eight when that of all is, and only then: narrow panels are laid out by it (assembly/tensor/gemm.ts). */
function depthOfParts(k: number): number {
  const parts = Math.ceil(k / DEPTH_MAX);
  let size = Math.ceil(k / parts / 8) * 8;
  const isAlike = (depth: number): boolean => (depth % 8 === 0) === (k % 8 === 0);
  while (!(isAlike(size) && isAlike(k % size || size))) size--;
  return size;
}

/** Sums of parts of the terms, a panel at a time; what was summed up before is the next part's residual. */
function assembleDeepGemm(writer: Writer, panel: number, call: StridedGemm): void {
  const { m, n, k, a, packedB, c, ldc, ldr, bias, residual, activation } = call;
  writer.inChunks(n, panel, panel, (left, right) => {
    inParts(m, TILE_ROWS, (top, bottom) => {
      const [rows, target] = [behind(a, top * call.lda), behind(c, top * ldc + left)];
      inParts(k, depthOfParts(k), (from, to) => {
        const first = {
          bias: bias && behind(bias, left),
          residual: residual && behind(residual, top * ldr + left),
          ldr,
        };
        assembleGemm(writer, panel, {
          ...{
            a: behind(rows, from),
            lda: call.lda,
            packedB: behind(packedB, left * k + from * panel),
            c: target,
            ldc,
          },
          ...{ m: bottom - top, n: right - left, k: to - from },
          ...(from === 0 ? first : { residual: target, ldr: ldc }),
          activation: to === k ? activation : undefined,
        });
      });
    });
  });
}

/** Cut in columns so that their part of B stays in the cache, then in rows. */
export function assembleGemm(writer: Writer, panel: number, call: StridedGemm): void {
  const { m, n, k } = call;
  if (k > DEPTH_MAX) {
    assembleDeepGemm(writer, panel, call);
    return;
  }
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

/** Some panels an instruction, or rows of one. */
export function assemblePacking(
  writer: Writer,
  call: { opcode: number; panel: number; b: Address; packed: Address; k: number; n: number; transposed: boolean },
): void {
  const { opcode, panel, b, packed, k, n, transposed } = call;
  const panels = Math.max(1, Math.floor(ELEMENTS_MAX / Math.max(1, k) / panel));
  const rows = Math.max(PACKED_ROWS, Math.floor(ELEMENTS_MAX / panel / PACKED_ROWS) * PACKED_ROWS);
  writer.inParts(n, panels * panel, (begin, end) => {
    writer.inParts(k, panels > 1 ? k : rows, (from, to) => {
      writer.emit(opcode, [b, packed, k, n, transposed ? 1 : 0, panel, begin, end, from, to]);
    });
  });
}

export function assemblePackMatrix(
  writer: Writer,
  panel: number,
  call: { b: Address; packed: Address; k: number; n: number; transposed: boolean },
): void {
  const { b, packed, k, n, transposed } = call;
  checkMatrices(b, packed);
  assemblePacking(writer, { opcode: op.PACK_MATRIX, panel, b, packed, k, n, transposed });
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
      inParts(end - begin, ELEMENTS_MAX / k, (first, last) => {
        const rows = [behind(scratch, first * k), group * channels, channels, begin + first, begin + last];
        writer.emit(op.IM2COL, [...shapeWords(shape), call.x, ...rows]);
      });
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
  const { shape, yPixelStride = shape.outputChannels, residual = NO_ADDRESS } = call;
  inPictureParts(writer, shape, TAPS_MAX, ({ words, begin, end, shift }) => {
    writer.emit(op.DEPTHWISE, [
      ...words,
      ...activationWords(call.activation),
      call.x,
      call.weights,
      call.bias,
      behind(call.y, shift * yPixelStride),
      yPixelStride,
      behind(residual, shift * shape.outputChannels),
      begin,
      end,
    ]);
  });
}
