/** Instructions of integer arithmetic: quantisation, and exact products of int16 in int32. */
import { strict as assert } from 'node:assert';
import * as op from '../../assembly/opcodes.ts';
import { assembleBroadcast } from './assemble-elementwise.ts';
import { assemblePacking, checkShape } from './assemble-matrix.ts';
import {
  type Address,
  type ConvShape,
  type IntegerConvCall,
  type IntegerGemmCall,
  NO_ADDRESS,
  type QuantizeCall,
} from './instructions.ts';
import { quantizedTypes } from './kinds.ts';
import { isDepthwise, isPointwise, patchLength } from './pack.ts';
import { INTEGER_PANEL, packedIntegers } from './pack-integer.ts';
import { inPictureParts, shapeWords } from './picture-parts.ts';
import { behind, checkAligned, FLOPS_MAX, forCores, TAPS_MAX, type Writer } from './writer.ts';

const TWO_BYTES = 2;
/** Patches of a convolution that are gathered at a time. */
const PATCH_BYTES = 122_880;
const B_BLOCK_BYTES = 262_144;
const TILE_ROWS = 4;
/** With more terms a row is an instruction of its own. */
const DEPTH_MAX = 65_536;

const scaled = (strides: readonly number[], bytes: number): number[] => strides.map((stride) => stride * bytes);

/** QUANTIZE and REQUANTIZE: the zero point is the operand whose strides are in bytes. */
export function assembleQuantize(
  writer: Writer,
  opcode: number,
  call: QuantizeCall,
  limits: readonly [low: number, high: number] = [0, 0],
): void {
  const { code, bytes } = quantizedTypes[call.type];
  const [low, high] = limits.map((limit) => limit & 0xff) as [number, number];
  assembleBroadcast(writer, {
    opcode,
    kind: code | (low << 8) | (high << 16),
    condition: call.zero,
    a: call.x,
    b: call.scale,
    y: call.y,
    xBytes: 4,
    yBytes: bytes,
    shape: call.shape,
    conditionStrides: scaled(call.zeroStrides, 4),
    aStrides: call.xStrides,
    bStrides: call.scaleStrides,
  });
}

/** DEQUANTIZE and CENTER: x is the operand whose strides are in bytes. */
export function assembleDequantize(writer: Writer, opcode: number, call: QuantizeCall, yBytes: number): void {
  const { code, bytes } = quantizedTypes[call.type];
  assembleBroadcast(writer, {
    opcode,
    kind: code,
    condition: call.x,
    a: call.scale,
    b: call.zero,
    y: call.y,
    xBytes: 4,
    yBytes,
    shape: call.shape,
    conditionStrides: scaled(call.xStrides, bytes),
    aStrides: call.scaleStrides,
    bStrides: call.zeroStrides,
  });
}

/** Cut in columns so that their part of B stays in the cache, then in rows. */
export function assembleIntegerGemm(writer: Writer, panel: number, call: IntegerGemmCall): void {
  const { m, n, k, lda, ldc, bias = NO_ADDRESS } = call;
  const depth = Math.max(1, k);
  const columnsMax = Math.min(B_BLOCK_BYTES / TWO_BYTES, FLOPS_MAX / 2 / TILE_ROWS) / depth;
  const columns = Math.max(INTEGER_PANEL, Math.floor(columnsMax / INTEGER_PANEL) * INTEGER_PANEL);
  writer.inParts(
    n,
    columns,
    (left, right) => {
      const rowsMax = FLOPS_MAX / 2 / depth / (right - left);
      const rows = (top: number, bottom: number): void => {
        writer.emit(op.GEMM_INTEGER, [
          behind(call.a, top * lda, TWO_BYTES),
          lda,
          behind(call.packedB, packedIntegers(k, left), TWO_BYTES),
          behind(call.c, top * ldc + left),
          ldc,
          bottom - top,
          right - left,
          k,
          panel,
          behind(bias, left),
        ]);
      };
      if (k > DEPTH_MAX) writer.inParts(m, 1, rows);
      else writer.inShares(m, Math.max(TILE_ROWS, rowsMax), TILE_ROWS, rows);
    },
    INTEGER_PANEL,
  );
}

export function assemblePackInteger(
  writer: Writer,
  call: { b: Address; packed: Address; k: number; n: number; transposed: boolean },
): void {
  assemblePacking(writer, { opcode: op.PACK_INTEGER, panel: INTEGER_PANEL, ...call });
}

export function integerConvScratchBytes(shape: ConvShape): number {
  if (isPointwise(shape) || isDepthwise(shape)) return 0;
  return patchRows(shape) * patchLength(shape) * TWO_BYTES;
}

function patchRows(shape: ConvShape): number {
  const fitting = Math.floor(PATCH_BYTES / TWO_BYTES / patchLength(shape) / TILE_ROWS) * TILE_ROWS;
  return Math.min(Math.max(TILE_ROWS, fitting), shape.batch * shape.outputHeight * shape.outputWidth);
}

export function assembleIntegerConv(writer: Writer, panel: number, call: IntegerConvCall): void {
  const { shape, x, weights, bias = NO_ADDRESS, y } = call;
  checkShape(shape);
  checkAligned(x, weights, call.bias, y, call.scratch);
  const pixels = shape.batch * shape.outputHeight * shape.outputWidth;
  if (isDepthwise(shape)) {
    inPictureParts(writer, shape, TAPS_MAX, ({ words, begin, end, shift }) => {
      const target = behind(y, shift * shape.outputChannels);
      writer.emit(op.DEPTHWISE_INTEGER, [...words, x, weights, bias, target, begin, end]);
    });
    return;
  }
  const channels = shape.inputChannels / shape.group;
  const n = shape.outputChannels / shape.group;
  const k = patchLength(shape);
  const product = { n, k, lda: k, ldc: shape.outputChannels };
  if (isPointwise(shape)) {
    assembleIntegerGemm(writer, panel, { ...product, a: x, packedB: weights, c: y, m: pixels, bias: call.bias });
    return;
  }
  assert(call.scratch !== undefined, 'a convolution by patches needs scratch memory');
  const scratch = writer.lane(call.scratch);
  writer.inChunks(pixels, forCores(pixels, patchRows(shape)), TILE_ROWS, (begin, end) => {
    for (let group = 0; group < shape.group; group++) {
      writer.emit(op.IM2COL_INTEGER, [...shapeWords(shape), x, scratch, group * channels, channels, begin, end]);
      assembleIntegerGemm(writer, panel, {
        ...product,
        a: scratch,
        packedB: behind(weights, group * packedIntegers(k, n), TWO_BYTES),
        c: behind(y, begin * shape.outputChannels + group * n),
        m: end - begin,
        bias: behind(bias, group * n),
      });
    }
  });
}
