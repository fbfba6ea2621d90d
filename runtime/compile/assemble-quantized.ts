/** Convolutions from bytes to bytes. Layouts: assembly/tensor/quantized.ts and quantized-depthwise.ts. */
import * as op from '../../assembly/opcodes.ts';
import { assembleByteConv } from './assemble-bytes.ts';
import { checkShape } from './assemble-matrix.ts';
import { assembleRescaled, type RescaledKernel } from './assemble-rescaled.ts';
import type { Size2d } from './graph.ts';
import type { ConvShape } from './instructions.ts';
import { quantizedTypes } from './kinds.ts';
import { isDepthwise, isPointwise, patchLength, roundUp } from './pack.ts';
import { INTEGER_PANEL, packedIntegers } from './pack-integer.ts';
import { inPictureParts, shapeWords } from './picture-parts.ts';
import { type QuantizedConvCall, rescalingWords } from './quantized-call.ts';
import { behind, checkAligned, FLOPS_MAX, forCores, TAPS_MAX, type Writer } from './writer.ts';

/** Pointers to taps share the kernels' own memory (assembly/tensor/scratch.ts). */
export const TAP_PAIRS_MAX = 200;
/** Patches that are gathered at a time: they and a panel of weights stay in the first caches. */
const PATCH_BYTES = 65_536;
const TILE_ROWS = 4;
/** Vectors reach beyond the last patch, and beyond the last row of the ring. */
const SLACK_BYTES = 32;

/** Taps that meet one operand of the depthwise kernel's products: those of two rows, one below the other. */
export function tapPairs(kernel: Size2d): number {
  return Math.ceil(kernel[0] / 2) * kernel[1];
}

/** Pairs of rows, 4 bytes for two elements. */
function ringBytes({ kernel, strides, dilations, outputWidth, inputChannels }: ConvShape): number {
  const width = (outputWidth - 1) * strides[1] + (kernel[1] - 1) * dilations[1] + 1;
  const reach = 2 * (Math.ceil(kernel[0] / 2) - 1) * dilations[0];
  const slots = Math.floor(reach / (strides[0] % 2 === 1 ? 1 : 2)) + 1;
  return slots * width * inputChannels * 4;
}

function rowElements(shape: ConvShape): number {
  return roundUp(patchLength(shape), 2);
}

function patchRows(shape: ConvShape): number {
  const fitting = Math.floor(PATCH_BYTES / 2 / rowElements(shape) / TILE_ROWS) * TILE_ROWS;
  return Math.min(Math.max(TILE_ROWS, fitting), shape.batch * shape.outputHeight * shape.outputWidth);
}

export function quantizedConvScratchBytes(shape: ConvShape): number {
  const bytes = isDepthwise(shape) ? ringBytes(shape) : patchRows(shape) * rowElements(shape) * 2;
  return bytes + SLACK_BYTES;
}

function assembleDepthwise(writer: Writer, call: QuantizedConvCall): void {
  const { shape, x, xType, xZero, weights, bias, factor, y, to } = call;
  const scratch = writer.lane(call.scratch);
  inPictureParts(writer, shape, TAPS_MAX, ({ words, begin, end, shift }) => {
    writer.emit(op.QUANTIZED_DEPTHWISE, [
      ...words,
      ...rescalingWords(to),
      quantizedTypes[xType].code,
      xZero,
      tapPairs(shape.kernel),
      x,
      weights,
      bias,
      factor,
      behind(y, shift * shape.outputChannels, 1),
      scratch,
      begin,
      end,
    ]);
  });
}

const kernel: RescaledKernel = {
  opcode: op.QUANTIZED_GEMM,
  elementBytes: 2,
  tileRows: TILE_ROWS,
  columns: 2 * INTEGER_PANEL,
  productsMax: FLOPS_MAX / 2,
  packedLength: packedIntegers,
};

/** By patches, group by group. */
function assemblePatches(writer: Writer, panel: number, call: QuantizedConvCall): void {
  const { shape, x, xType, xZero, weights, bias, factor, y, to } = call;
  const scratch = writer.lane(call.scratch);
  const channels = shape.inputChannels / shape.group;
  const n = shape.outputChannels / shape.group;
  const k = patchLength(shape);
  const isDirect = isPointwise(shape) && k % 2 === 0;
  const pixels = shape.batch * shape.outputHeight * shape.outputWidth;
  writer.inChunks(pixels, forCores(pixels, patchRows(shape)), TILE_ROWS, (begin, end) => {
    for (let group = 0; group < shape.group; group++) {
      writer.emit(op.QUANTIZED_GATHER, [
        ...shapeWords(shape),
        quantizedTypes[xType].code,
        xZero,
        isDirect ? 1 : 0,
        x,
        scratch,
        group * channels,
        channels,
        begin,
        end,
      ]);
      assembleRescaled(writer, panel, kernel, to, {
        a: scratch,
        lda: rowElements(shape),
        packedB: behind(weights, group * packedIntegers(k, n), 2),
        y: behind(y, begin * shape.outputChannels + group * n, 1),
        ldy: shape.outputChannels,
        m: end - begin,
        n,
        k,
        bias: behind(bias, group * n),
        factor: behind(factor, group * n),
      });
    }
  });
}

export function assembleQuantizedConv(writer: Writer, panel: number, call: QuantizedConvCall): void {
  checkShape(call.shape);
  checkAligned(call.x, call.weights, call.bias, call.factor, call.y, call.scratch);
  if (call.byteDot) assembleByteConv(writer, panel, call.byteDot, call);
  else if (isDepthwise(call.shape)) assembleDepthwise(writer, call);
  else assemblePatches(writer, panel, call);
}
