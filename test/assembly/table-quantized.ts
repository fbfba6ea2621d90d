import * as op from '../../assembly/opcodes.ts';
import { byteConvScratchBytes } from '../../runtime/compile/assemble-bytes.ts';
import { quantizedConvScratchBytes } from '../../runtime/compile/assemble-quantized.ts';
import type { ByteType, ConvShape } from '../../runtime/compile/instructions.ts';
import { isDepthwise } from '../../runtime/compile/pack.ts';
import { packByteConv } from '../../runtime/compile/pack-bytes.ts';
import { packIntegerConv, packIntegerPairs } from '../../runtime/compile/pack-integer.ts';
import { arrayOf } from '../../runtime/engine/tensor.ts';
import type { Row } from './kernel-table.ts';
import type { Trial } from './machine.ts';
import * as reference from './reference.ts';
import { shapeOf, type Window } from './table-conv.ts';

const ranges: Record<ByteType, readonly [low: number, high: number]> = { int8: [-128, 127], uint8: [0, 255] };
/** Behind bias and factors; the kernels read it and use nothing of it. */
const SLACK = 31;

function whole(trial: Trial, count: number, low: number, high: number): number[] {
  return Array.from({ length: count }, () => Math.floor(trial.random(low, high + 1)));
}

function evenRound(x: number): number {
  const near = Math.round(x);
  return Math.abs(x % 1) === 0.5 && near % 2 !== 0 ? near - 1 : near;
}

interface Types {
  readonly from: ByteType;
  readonly to: ByteType;
  readonly limits?: readonly [low: number, high: number];
}

/** Factors are powers of two, so that products are exact and ties occur. Weights of one byte are multiplied as bytes where that is exact. */
function convCase(shape: ConvShape, { from, to, limits = ranges[to] }: Types, isByte = false) {
  return (trial: Trial): void => {
    const { inputChannels, outputChannels, group, kernel } = shape;
    const count = shape.batch * shape.inputHeight * shape.inputWidth * inputChannels;
    const [bytes, zero] = [whole(trial, count, ...ranges[from]), whole(trial, 1, ...ranges[to])[0] as number];
    const xZero = whole(trial, 1, ...ranges[from])[0] as number;
    const perChannel = (inputChannels / group) * kernel[0] * kernel[1];
    const range = isByte ? ranges.int8 : ([-255, 255] as const);
    const weights = Int16Array.from(whole(trial, outputChannels * perChannel, ...range));
    const byteDot = isByte ? trial.byteDot : undefined;
    const packed = byteDot
      ? packByteConv(Int8Array.from(weights), shape)
      : (isDepthwise(shape) ? packIntegerPairs : packIntegerConv)(weights, shape);
    const scratchBytes = byteDot ? byteConvScratchBytes(shape, from, byteDot) : quantizedConvScratchBytes(shape);
    const bias = Int32Array.from(whole(trial, outputChannels, -(2 ** 16), 2 ** 16));
    const scale = Math.round(Math.log2(perChannel ** 0.5 * 200));
    const factor = Float32Array.from(whole(trial, outputChannels, -2, 2), (exponent) => 2 ** (exponent - scale));
    const centred = Int16Array.from(bytes, (byte) => byte - xZero);
    const expected = reference.conv(centred, weights, bias, shape).map((sum, i) => {
      const near = evenRound(sum * (factor[i % outputChannels] as number)) + zero;
      return Math.min(Math.max(near, limits[0]), limits[1]);
    });
    const behind = new Array<number>(SLACK).fill(12_345);
    trial.assembler.convQuantized({
      x: trial.input(new (arrayOf(from))(bytes as never) as Int8Array),
      xType: from,
      xZero,
      weights: trial.input(packed, 'weights'),
      bias: trial.input(Int32Array.of(...bias, ...behind), 'weights'),
      factor: trial.input(Float32Array.of(...factor, ...behind), 'weights'),
      y: trial.output(expected, to),
      to: { type: to, zero, limits },
      scratch: trial.scratch(scratchBytes),
      byteDot,
      shape,
    });
  };
}

const windows: readonly Window[] = [
  [1, 1, 1, 0, 0],
  [3, 1, 1, 1, 1],
  [3, 2, 1, 0, 1],
  [3, 1, 2, 2, 2],
  [5, 2, 1, 2, 2],
];
const bytes: readonly Types[] = [
  { from: 'int8', to: 'int8' },
  { from: 'uint8', to: 'uint8' },
  { from: 'uint8', to: 'int8', limits: [-20, 90] },
  { from: 'int8', to: 'uint8', limits: [100, 255] },
];

export const quantizedRows: readonly Row[] = [
  {
    name: 'quantized conv',
    opcodes: [op.QUANTIZED_GEMM, op.QUANTIZED_GATHER],
    tolerance: 0,
    cases: windows.flatMap((window) =>
      bytes.flatMap((types) => [
        convCase(shapeOf([7, 9], [3, 5, 1], window), types),
        convCase(shapeOf([8, 8], [16, 24, 1], window, 2), types),
        convCase(shapeOf([9, 7], [6, 40, 2], window), types),
        convCase(shapeOf([5, 6], [1, 8, 1], window), types),
        convCase(shapeOf([24, 25], [33, 31, 1], window), types),
        convCase(shapeOf([3, 3], [40, 130, 1], window), types),
      ]),
    ),
  },
  {
    name: 'quantized conv of byte weights',
    opcodes: [op.BYTE_GEMM, op.BYTE_GATHER],
    tolerance: 0,
    cases: windows.flatMap((window) =>
      bytes.flatMap((types) => [
        convCase(shapeOf([7, 9], [3, 5, 1], window), types, true),
        convCase(shapeOf([8, 8], [16, 24, 1], window, 2), types, true),
        convCase(shapeOf([9, 7], [6, 40, 2], window), types, true),
        convCase(shapeOf([5, 6], [1, 8, 1], window), types, true),
        convCase(shapeOf([24, 25], [33, 31, 1], window), types, true),
        convCase(shapeOf([5, 5], [8, 16, 1], window), types, true),
        convCase(shapeOf([3, 3], [5, 7, 1], window, 3), types, true),
        convCase(shapeOf([3, 3], [40, 130, 1], window), types, true),
      ]),
    ),
  },
  {
    name: 'quantized depthwise conv',
    opcodes: [op.QUANTIZED_DEPTHWISE],
    tolerance: 0,
    cases: windows.flatMap((window) =>
      bytes.flatMap((types) => [
        convCase(shapeOf([11, 10], [24, 24, 24], window, 2), types),
        convCase(shapeOf([6, 5], [11, 11, 11], window), types),
        convCase(shapeOf([9, 13], [3, 3, 3], window), types),
        convCase(shapeOf([40, 40], [32, 32, 32], window), types),
      ]),
    ),
  },
  {
    name: 'quantized depthwise conv of byte weights',
    opcodes: [op.BYTE_DEPTHWISE],
    tolerance: 0,
    cases: [...windows, [6, 3, 1, 2, 0] as const, [1, 1, 1, 1, 1] as const].flatMap((window) =>
      bytes.flatMap((types) => [
        convCase(shapeOf([11, 10], [24, 24, 24], window, 2), types, true),
        convCase(shapeOf([9, 7], [11, 11, 11], window), types, true),
        convCase(shapeOf([9, 13], [3, 3, 3], window), types, true),
        convCase(shapeOf([12, 9], [17, 17, 17], window), types, true),
        convCase(shapeOf([40, 40], [32, 32, 32], window), types, true),
      ]),
    ),
  },
];
