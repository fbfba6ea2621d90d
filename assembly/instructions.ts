// What each opcode does with its operands: one small function each. They return OK, AGAIN, or a fault.
import * as op from './opcodes.ts';
import { Col2im, ConvRows, ConvTransposeRows, Depthwise, Im2col, WinogradInput, WinogradOutput } from './operands-conv.ts';
import {
  Activation, Broadcast, Cast, ConvShape, Copy, Fill, Gather, Gemm, IntegerDepthwise, IntegerGemm, LayerNorm,
  PackMatrix, Pool, Recurrent, Reduce, Resize, Unary, at,
} from './operands.ts';
import {
  runCumulate, runDeterminant, runMaxRoiPool, runRoiAlign, runSample, runScatter, runTopK, runTrees, runUniform, runWrapIndices, runProduct,
  runLookup, runSuppress, runUnpackBlocks,
} from './rare.ts';
import { runByteDepthwise, runByteGather, runByteGemm, runQuantizedDepthwise, runQuantizedGather, runQuantizedGemm } from './quantized.ts';
import { binary, compareAll, where } from './tensor/broadcast.ts';
import { castAll } from './tensor/cast.ts';
import { convRows, convTransposeRows } from './tensor/conv-rows.ts';
import { depthwise } from './tensor/depthwise.ts';
import { activatedGemm, packMatrix } from './tensor/gemm.ts';
import { depthwiseInteger, gemmInteger, im2colInteger, packInteger } from './tensor/integer.ts';
import { copyStrided, fill, gather } from './tensor/layout.ts';
import { layerNorm } from './tensor/norm.ts';
import { col2im, im2col } from './tensor/patches.ts';
import { pool } from './tensor/pool.ts';
import { center, dequantize, quantize, requantize } from './tensor/quantize.ts';
import { recurrent } from './tensor/recurrent.ts';
import { shiftOf } from './tensor/element.ts';
import { reduce } from './tensor/reduce.ts';
import { resizeLinear, resizeNearest } from './tensor/resize.ts';
import { softmax } from './tensor/softmax.ts';
import { argExtreme, reduceTyped } from './tensor/typed-reduce.ts';
import { unary } from './tensor/unary.ts';
import { unary64 } from './tensor/unary64.ts';
import { winogradInput, winogradOutput } from './tensor/winograd.ts';

export const OK: i32 = op.OK;

export type Instruction = (operands: usize) => i32;

/** By opcode. A table, not a switch, so that V8 compiles only what a program uses. */
export const INSTRUCTIONS: StaticArray<Instruction> = [
  unknown, runGemm, runPackMatrix, runIm2col, runCol2im, runDepthwise, runPool, runUnary, runBinary, runCompare, runWhere, runCast,
  runReduce, runSoftmax, runArgMax, runLayerNorm, runCopy, runFill, runGather, runResizeNearest, runResizeLinear, runRecurrent,
  runQuantize, runRequantize, runDequantize, runCenter, runGemmInteger, runPackInteger, runIm2colInteger, runDepthwiseInteger,
  runWrapIndices, runScatter, runCumulate, runTopK, runSample, runRoiAlign, runDeterminant,
  runWinogradInput, runWinogradOutput, runUniform, runMaxRoiPool, runTrees, runProduct, runLookup,
  runQuantizedGemm, runQuantizedGather, runQuantizedDepthwise, runSuppress, runByteGemm, runByteGather, runByteDepthwise,
  runConvRows, runConvTransposeRows, runUnpackBlocks,
];

function unknown(operands: usize): i32 {
  return op.FAULT_OPCODE;
}

function runGemm(operands: usize): i32 {
  activatedGemm(changetype<Gemm>(operands));
  return OK;
}

function runPackMatrix(operands: usize): i32 {
  const o = changetype<PackMatrix>(operands);
  packMatrix(at(o.b), at(o.packed), o.k, o.n, o.transposed != 0, o.panel, o.begin, o.end, o.from, o.to);
  return OK;
}

function runIm2col(operands: usize): i32 {
  const o = changetype<Im2col>(operands);
  im2col(changetype<ConvShape>(operands), at(o.x), at(o.columns), o.channelBegin, o.channels, o.begin, o.end);
  return OK;
}

function runCol2im(operands: usize): i32 {
  const o = changetype<Col2im>(operands);
  col2im(changetype<ConvShape>(operands), at(o.columns), at(o.y), o.channelBegin, o.channels, o.begin, o.end);
  return OK;
}

function runConvRows(operands: usize): i32 {
  convRows(changetype<ConvRows>(operands), changetype<ConvShape>(operands), changetype<Activation>(operands + offsetof<ConvRows>('low')));
  return OK;
}

function runConvTransposeRows(operands: usize): i32 {
  const activation = changetype<Activation>(operands + offsetof<ConvTransposeRows>('low'));
  convTransposeRows(changetype<ConvTransposeRows>(operands), changetype<ConvShape>(operands), activation);
  return OK;
}

function runWinogradInput(operands: usize): i32 {
  const o = changetype<WinogradInput>(operands);
  winogradInput(changetype<ConvShape>(operands), at(o.x), at(o.y), <usize>o.plane << 2, at(o.room), at(o.patch), o.begin, o.end);
  return OK;
}

function runWinogradOutput(operands: usize): i32 {
  const o = changetype<WinogradOutput>(operands);
  winogradOutput(
    changetype<ConvShape>(operands), changetype<Activation>(operands + offsetof<WinogradOutput>('low')),
    at(o.x), <usize>o.plane << 2, at(o.y), <usize>o.yPixelStride << 2, at(o.bias), at(o.residual), at(o.room), o.begin, o.end,
  );
  return OK;
}

function runDepthwise(operands: usize): i32 {
  const o = changetype<Depthwise>(operands);
  const activation = changetype<Activation>(operands + offsetof<Depthwise>('low'));
  depthwise(
    changetype<ConvShape>(operands), activation,
    at(o.x), at(o.weights), at(o.bias), at(o.y), <usize>o.yPixelStride << 2, at(o.residual), o.begin, o.end,
  );
  return OK;
}

function runPool(operands: usize): i32 {
  const o = changetype<Pool>(operands);
  pool(
    o.kind, changetype<ConvShape>(operands), at(o.x), at(o.y), <usize>o.yPixelStride << 2,
    o.padBottom, o.padRight, o.begin, o.end,
  );
  return OK;
}

function runUnary(operands: usize): i32 {
  const o = changetype<Unary>(operands);
  if (o.kind >> 8 == op.FLOAT64) unary64(o.kind & 0xff, at(o.x), at(o.y), o.count, o.alpha, o.beta);
  else unary(o.kind, at(o.x), at(o.y), o.count, o.alpha, o.beta);
  return OK;
}

function runBinary(operands: usize): i32 {
  binary(changetype<Broadcast>(operands));
  return OK;
}

function runCompare(operands: usize): i32 {
  compareAll(changetype<Broadcast>(operands));
  return OK;
}

function runWhere(operands: usize): i32 {
  where(changetype<Broadcast>(operands));
  return OK;
}

function runCast(operands: usize): i32 {
  const o = changetype<Cast>(operands);
  castAll(at(o.x), o.from, at(o.y), o.to, o.mode, o.count);
  return OK;
}

function runReduce(operands: usize): i32 {
  const o = changetype<Reduce>(operands);
  const type = o.kind >> 8, shift = shiftOf(type);
  const first = <usize>o.begin * o.inner;
  const x = at(o.x) + (first * o.axis << shift), y = at(o.y) + (first << shift);
  if (type == op.FLOAT32) reduce(o.kind, x, y, o.end - o.begin, o.axis, o.inner, o.columns, o.from, o.to);
  else reduceTyped(type, o.kind & 0xff, x, y, o.end - o.begin, o.axis, o.inner, o.columns, o.from, o.to);
  return OK;
}

function runSoftmax(operands: usize): i32 {
  const o = changetype<Reduce>(operands);
  const offset = <usize>o.begin * o.axis * o.inner << 2;
  softmax(o.kind != 0, at(o.x) + offset, at(o.y) + offset, o.end - o.begin, o.axis, o.inner, o.columns);
  return OK;
}

function runArgMax(operands: usize): i32 {
  const o = changetype<Reduce>(operands);
  const type = o.kind >> 8;
  const first = <usize>o.begin * o.inner;
  const x = at(o.x) + (first * o.axis << shiftOf(type));
  argExtreme(type, o.kind & 0xff, x, at(o.y) + (first << 3), o.end - o.begin, o.axis, o.inner, o.columns, o.from, o.to);
  return OK;
}

function runLayerNorm(operands: usize): i32 {
  const o = changetype<LayerNorm>(operands);
  const offset = <usize>o.begin * o.size << 2;
  layerNorm(at(o.x) + offset, at(o.y) + offset, at(o.scale), at(o.bias), o.end - o.begin, o.size, o.epsilon, o.centred != 0);
  return OK;
}

function runCopy(operands: usize): i32 {
  copyStrided(changetype<Copy>(operands));
  return OK;
}

function runFill(operands: usize): i32 {
  const o = changetype<Fill>(operands);
  fill(at(o.y), o.count, o.value);
  return OK;
}

function runGather(operands: usize): i32 {
  const o = changetype<Gather>(operands);
  return gather(at(o.x), at(o.indices), o.wide != 0, at(o.y), o.axis, o.count, o.innerBytes, o.begin, o.end, o.bytes, OK);
}

function runResizeNearest(operands: usize): i32 {
  resizeNearest(changetype<Resize>(operands));
  return OK;
}

function runResizeLinear(operands: usize): i32 {
  resizeLinear(changetype<Resize>(operands));
  return OK;
}

function runRecurrent(operands: usize): i32 {
  recurrent(changetype<Recurrent>(operands));
  return OK;
}

function runQuantize(operands: usize): i32 {
  quantize(changetype<Broadcast>(operands));
  return OK;
}

function runRequantize(operands: usize): i32 {
  requantize(changetype<Broadcast>(operands));
  return OK;
}

function runDequantize(operands: usize): i32 {
  dequantize(changetype<Broadcast>(operands));
  return OK;
}

function runCenter(operands: usize): i32 {
  center(changetype<Broadcast>(operands));
  return OK;
}

function runGemmInteger(operands: usize): i32 {
  const o = changetype<IntegerGemm>(operands);
  gemmInteger(at(o.a), <usize>o.lda << 1, at(o.b), at(o.c), <usize>o.ldc << 2, o.m, o.n, o.k, o.panel, at(o.bias));
  return OK;
}

function runPackInteger(operands: usize): i32 {
  const o = changetype<PackMatrix>(operands);
  packInteger(at(o.b), at(o.packed), o.k, o.n, o.transposed != 0, o.begin, o.end, o.from, o.to);
  return OK;
}

function runIm2colInteger(operands: usize): i32 {
  const o = changetype<Im2col>(operands);
  im2colInteger(changetype<ConvShape>(operands), at(o.x), at(o.columns), o.channelBegin, o.channels, o.begin, o.end);
  return OK;
}

function runDepthwiseInteger(operands: usize): i32 {
  const o = changetype<IntegerDepthwise>(operands);
  depthwiseInteger(changetype<ConvShape>(operands), at(o.x), at(o.weights), at(o.bias), at(o.y), o.begin, o.end);
  return OK;
}
