/** Convolutions from bytes to bytes by the machine's product of bytes. Layouts: assembly/tensor/byte-gemm.ts. */
import * as op from '../../assembly/opcodes.ts';
import { assembleRescaled, type RescaledKernel } from './assemble-rescaled.ts';
import type { ByteType, ConvShape } from './instructions.ts';
import { DEPTHWISE_BLOCK, isDepthwise, isPointwise, patchLength, roundUp } from './pack.ts';
import { BYTE_PANEL, packedBytes, sharesRows } from './pack-bytes.ts';
import { inPictureParts, shapeWords } from './picture-parts.ts';
import { type QuantizedConvCall, rescalingWords } from './quantized-call.ts';
import type { ByteDot } from './traits.ts';
import { behind, FLOPS_MAX, forCores, TAPS_MAX, type Writer } from './writer.ts';

/** Patches that are gathered at a time: they and a panel of weights stay in the first caches. */
const PATCH_BYTES = 32_768;
const TILE_ROWS = 6;
/** Vectors reach beyond the last patch. */
const SLACK_BYTES = 32;
/** Where bytes are multiplied, four products take the time of one of float32. */
const PRODUCTS_MAX = 2 * FLOPS_MAX;

/** Rows of patches begin at multiples of four bytes. */
function rowBytes(shape: ConvShape): number {
  return roundUp(patchLength(shape), 4);
}

function patchRows(shape: ConvShape): number {
  const fitting = Math.floor(PATCH_BYTES / rowBytes(shape) / TILE_ROWS) * TILE_ROWS;
  return Math.min(Math.max(TILE_ROWS, fitting), shape.batch * shape.outputHeight * shape.outputWidth);
}

/** What changes bytes of a type into those that the machine multiplies, by an exclusive or; it moves them and their zero point by 128. */
function flipOf(type: ByteType, byteDot: ByteDot): { readonly flip: number; readonly shift: number } {
  if ((type === 'int8') === (byteDot === 'signed')) return { flip: 0, shift: 0 };
  return { flip: 128, shift: type === 'int8' ? 128 : -128 };
}

/** Rows of patches are the pixels of x, and can be multiplied where they lie. */
function isInPlace(shape: ConvShape, type: ByteType, byteDot: ByteDot): boolean {
  return isPointwise(shape) && shape.inputChannels % 4 === 0 && flipOf(type, byteDot).flip === 0;
}

/** Steps of the depthwise kernel's products: four taps, one below the other, of a channel. */
function tapFours({ kernel }: ConvShape): number {
  return Math.ceil(kernel[0] / 4) * kernel[1];
}

/** Pointers to taps share the kernels' own memory (assembly/tensor/scratch.ts). */
const TAP_FOURS_MAX = 128;

/** Whether the kernels can do it. */
export function fitsBytes(shape: ConvShape): boolean {
  return !isDepthwise(shape) || tapFours(shape) <= TAP_FOURS_MAX;
}

/** What lies outside a picture: a row of zero points. */
function outsideBytes({ inputWidth, inputChannels }: ConvShape): number {
  return roundUp(inputWidth * inputChannels, 16);
}

/** What sums begin with, the row outside, and a ring of fours of rows, 4 bytes for four elements (assembly/tensor/byte-depthwise.ts). */
function depthwiseBytes(shape: ConvShape): number {
  const { kernel, strides, dilations, outputWidth, inputChannels } = shape;
  const width = (outputWidth - 1) * strides[1] + (kernel[1] - 1) * dilations[1] + 1;
  const reach = 4 * (Math.ceil(kernel[0] / 4) - 1) * dilations[0];
  const slots = Math.floor(reach / (strides[0] % 2 === 1 ? 1 : 2)) + 1;
  return 4 * roundUp(inputChannels, 2 * DEPTHWISE_BLOCK) + outsideBytes(shape) + slots * width * inputChannels * 4;
}

export function byteConvScratchBytes(shape: ConvShape, type: ByteType, byteDot: ByteDot): number {
  if (isDepthwise(shape)) return depthwiseBytes(shape) + 2 * SLACK_BYTES;
  return isInPlace(shape, type, byteDot) ? 0 : patchRows(shape) * rowBytes(shape) + SLACK_BYTES;
}

const kernel: RescaledKernel = {
  opcode: op.BYTE_GEMM,
  elementBytes: 1,
  tileRows: TILE_ROWS,
  columns: BYTE_PANEL,
  productsMax: PRODUCTS_MAX,
  packedLength: packedBytes,
};

function assembleDepthwise(writer: Writer, panel: number, byteDot: ByteDot, call: QuantizedConvCall): void {
  const { shape, x, xType, weights, bias, factor, y, to } = call;
  const scratch = writer.lane(call.scratch);
  const { flip, shift } = flipOf(xType, byteDot);
  inPictureParts(writer, shape, 2 * TAPS_MAX, ({ words, begin, end, shift: pixels }) => {
    writer.emit(op.BYTE_DEPTHWISE, [
      ...words,
      ...rescalingWords(to),
      flip,
      call.xZero + shift,
      tapFours(shape),
      panel,
      x,
      weights,
      bias,
      factor,
      behind(y, pixels * shape.outputChannels, 1),
      scratch,
      outsideBytes(shape),
      sharesRows(shape) ? 1 : 0,
      begin,
      end,
    ]);
  });
}

/** By patches, group by group; those of a pointwise convolution lie in x already. */
function assemblePatches(writer: Writer, panel: number, byteDot: ByteDot, call: QuantizedConvCall): void {
  const { shape, x, xType, weights, bias, factor, y, to } = call;
  const { flip, shift } = flipOf(xType, byteDot);
  const xZero = call.xZero + shift;
  const channels = shape.inputChannels / shape.group;
  const [k, n] = [patchLength(shape), shape.outputChannels / shape.group];
  const pixels = shape.batch * shape.outputHeight * shape.outputWidth;
  const product = { xZero, ldy: shape.outputChannels, n, k };
  if (isInPlace(shape, xType, byteDot)) {
    assembleRescaled(writer, panel, kernel, to, {
      ...product,
      a: x,
      lda: k,
      packedB: weights,
      y,
      m: pixels,
      bias,
      factor,
    });
    return;
  }
  const isDirect = isPointwise(shape) && k % 4 === 0;
  const scratch = writer.lane(call.scratch);
  writer.inChunks(pixels, forCores(pixels, patchRows(shape)), TILE_ROWS, (begin, end) => {
    for (let group = 0; group < shape.group; group++) {
      writer.emit(op.BYTE_GATHER, [
        ...shapeWords(shape),
        flip,
        xZero & 0xff,
        isDirect ? 1 : 0,
        x,
        scratch,
        group * channels,
        channels,
        begin,
        end,
      ]);
      assembleRescaled(writer, panel, kernel, to, {
        ...product,
        a: scratch,
        lda: rowBytes(shape),
        packedB: behind(weights, group * packedBytes(k, n), 1),
        y: behind(y, begin * shape.outputChannels + group * n, 1),
        m: end - begin,
        bias: behind(bias, group * n),
        factor: behind(factor, group * n),
      });
    }
  });
}

export function assembleByteConv(writer: Writer, panel: number, byteDot: ByteDot, call: QuantizedConvCall): void {
  if (isDepthwise(call.shape)) assembleDepthwise(writer, panel, byteDot, call);
  else assemblePatches(writer, panel, byteDot, call);
}
