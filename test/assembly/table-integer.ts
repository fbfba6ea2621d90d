import * as op from '../../assembly/opcodes.ts';
import { integerConvScratchBytes } from '../../runtime/compile/assemble-integer.ts';
import type { ConvShape, QuantizedType } from '../../runtime/compile/instructions.ts';
import { packedIntegers, packIntegerConv, packIntegerMatrix } from '../../runtime/compile/pack-integer.ts';
import { broadcastStrides } from '../../runtime/compile/strides.ts';
import { arrayOf, elementCount } from '../../runtime/engine/tensor.ts';
import type { Row } from './kernel-table.ts';
import type { Trial } from './machine.ts';
import * as reference from './reference.ts';
import { shapeOf, type Window } from './table-conv.ts';

const ranges: Record<QuantizedType, readonly [low: number, high: number]> = {
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-32768, 32767],
  uint16: [0, 65535],
  int32: [-(2 ** 31), 2 ** 31 - 1],
};

/** Whole numbers of the type's whole range. */
function integers(trial: Trial, type: QuantizedType, count: number, most = Infinity): number[] {
  const [low, high] = ranges[type].map((bound) => Math.min(Math.max(bound, -most), most)) as [number, number];
  return Array.from({ length: count }, () => Math.floor(trial.random(low, high + 1)));
}

function evenRound(x: number): number {
  const near = Math.round(x);
  return Math.abs(x % 1) === 0.5 && near % 2 !== 0 ? near - 1 : near;
}

interface Layout {
  readonly shape: readonly number[];
  /** Shapes that broadcast to it. */
  readonly scale: readonly number[];
  readonly zero: readonly number[];
}

const layouts: readonly Layout[] = [
  { shape: [1], scale: [], zero: [] },
  { shape: [7], scale: [], zero: [] },
  { shape: [40], scale: [], zero: [] },
  { shape: [70_003], scale: [], zero: [] },
  { shape: [5, 24], scale: [24], zero: [24] }, // channels innermost
  { shape: [5, 19], scale: [19], zero: [] },
  { shape: [2, 5, 33], scale: [5, 1], zero: [5, 1] }, // channels outermost
  { shape: [3, 16], scale: [], zero: [16] },
  { shape: [2, 3, 4, 9], scale: [3, 1, 9], zero: [2, 1, 1, 1] },
  { shape: [0, 4], scale: [], zero: [] },
];

/** The indices of x, scale and zero point for each element, in order. */
function forAll({ shape, scale, zero }: Layout, visit: (i: number, s: number, z: number) => number): number[] {
  const values: number[] = [];
  reference.walk(
    shape,
    [shape, scale, zero].map((dims) => broadcastStrides(dims, shape)),
    ([i, s, z]) => {
      values.push(visit(i as number, s as number, z as number));
    },
  );
  return values;
}

function strides({ shape, scale, zero }: Layout) {
  const [xStrides, scaleStrides, zeroStrides] = [shape, scale, zero].map((dims) => broadcastStrides(dims, shape)) as [
    number[],
    number[],
    number[],
  ];
  return { shape, xStrides, scaleStrides, zeroStrides };
}

/** Scales are powers of two, so that quotients and products are exact and ties occur. */
function parameters(trial: Trial, layout: Layout, type: QuantizedType, scale: () => number) {
  const scales = Float32Array.from({ length: elementCount(layout.scale) }, scale);
  return { scales, zeros: Float32Array.from(integers(trial, type, elementCount(layout.zero), 300)) };
}

function toIntegers(
  layout: Layout,
  type: Exclude<QuantizedType, 'int32'>,
  sums: boolean,
  [low, high]: readonly [number, number] = ranges[type],
) {
  return (trial: Trial): void => {
    const exponent = (): number => 2 ** Math.floor(trial.random(-3, 3));
    const { scales, zeros } = parameters(trial, layout, type, exponent);
    const count = elementCount(layout.shape);
    const halves = Float32Array.from({ length: count }, () => Math.floor(trial.random(-2 * high, 2 * high)) / 2);
    const x = sums ? Int32Array.from(halves, (half) => 2 * half) : halves;
    const expected = forAll(layout, (i, s, z) => {
      const [value, scale] = [x[i] as number, scales[s] as number];
      return Math.min(Math.max(evenRound(sums ? value * scale : value / scale) + (zeros[z] as number), low), high);
    });
    const places = { x: trial.input(x), scale: trial.input(scales), zero: trial.input(zeros) };
    const call = { type, ...places, y: trial.output(expected, type), ...strides(layout) };
    if (sums) trial.assembler.requantize(call, [low, high]);
    else trial.assembler.quantize(call);
  };
}

function toFloats(layout: Layout, type: QuantizedType) {
  return (trial: Trial): void => {
    const { scales, zeros } = parameters(trial, layout, type, () => trial.random(0, 4));
    const x = new (arrayOf(type))(integers(trial, type, elementCount(layout.shape), 2 ** 20) as never) as Int8Array;
    const expected = forAll(layout, (i, s, z) => ((x[i] as number) - (zeros[z] as number)) * (scales[s] as number));
    const places = { x: trial.input(x), scale: trial.input(scales), zero: trial.input(zeros) };
    trial.assembler.dequantize({ type, ...places, y: trial.output(expected), ...strides(layout) });
  };
}

function centerCase(layout: Layout, type: 'int8' | 'uint8') {
  return (trial: Trial): void => {
    const zeros = Float32Array.from(integers(trial, type, elementCount(layout.zero)));
    const x = new (arrayOf(type))(integers(trial, type, elementCount(layout.shape)) as never) as Int8Array;
    const expected = forAll(layout, (i, _, z) => (x[i] as number) - (zeros[z] as number));
    const zero = trial.input(zeros);
    const call = { type, x: trial.input(x), scale: zero, zero, y: trial.output(expected, 'int16') };
    trial.assembler.center({ ...call, ...strides({ ...layout, scale: layout.zero }) });
  };
}

/** The largest that an 8-bit number can be from its zero point. */
const MOST = 255;

function shorts(trial: Trial, count: number): Int16Array {
  return Int16Array.from(integers(trial, 'int16', count, MOST));
}

function gemmCase(m: number, n: number, k: number, packing: 'constant' | 'run' | 'transposed', biased = false) {
  return (trial: Trial): void => {
    const { assembler } = trial;
    const [a, b] = [shorts(trial, m * k), shorts(trial, k * n)];
    const bias = biased ? Int32Array.from(integers(trial, 'int32', n, 2 ** 20)) : undefined;
    const transposed = packing === 'transposed';
    const expected = reference.gemm(a, b, m, n, k, transposed).map((sum, i) => sum + (bias?.[i % n] ?? 0));
    const constant = packing === 'constant';
    const packedB = constant
      ? trial.input(packIntegerMatrix(b, k, n, false), 'weights')
      : trial.scratch(packedIntegers(k, n) * 2);
    if (!constant) assembler.packMatrixInteger(trial.input(b), packedB, k, n, transposed);
    const places = { a: trial.input(a), packedB, c: trial.output(expected, 'int32'), bias: bias && trial.input(bias) };
    assembler.gemmInteger({ ...places, lda: k, ldc: n, m, n, k });
  };
}

const sizes = [
  [1, 1, 1],
  [1, 8, 2],
  [3, 7, 5],
  [4, 8, 16],
  [5, 9, 31],
  [9, 33, 64],
  [17, 20, 1025],
  [70, 130, 301],
] as const;

function convCase(shape: ConvShape, biased = true) {
  return (trial: Trial): void => {
    const { inputChannels, outputChannels, group } = shape;
    const x = shorts(trial, shape.batch * shape.inputHeight * shape.inputWidth * inputChannels);
    const weights = shorts(trial, ((outputChannels * inputChannels) / group) * shape.kernel[0] * shape.kernel[1]);
    const bias = Int32Array.from(integers(trial, 'int32', outputChannels, biased ? 2 ** 20 : 0));
    trial.assembler.convInteger({
      x: trial.input(x),
      weights: trial.input(packIntegerConv(weights, shape), 'weights'),
      bias: biased ? trial.input(bias, 'weights') : undefined,
      y: trial.output(reference.conv(x, weights, bias, shape), 'int32'),
      scratch: trial.scratch(integerConvScratchBytes(shape)),
      shape,
    });
  };
}

const windows: readonly Window[] = [
  [1, 1, 1, 0, 0],
  [3, 1, 1, 1, 1],
  [3, 2, 1, 0, 1],
  [3, 1, 2, 2, 2],
];

export const integerRows: readonly Row[] = [
  {
    name: 'quantize',
    opcodes: [op.QUANTIZE],
    tolerance: 0,
    cases: (['int8', 'uint8', 'int16', 'uint16'] as const).flatMap((type) =>
      layouts.map((layout) => toIntegers(layout, type, false)),
    ),
  },
  {
    name: 'requantize',
    opcodes: [op.REQUANTIZE],
    tolerance: 0,
    cases: (['int8', 'uint8'] as const).flatMap((type) =>
      layouts.flatMap((layout) => [toIntegers(layout, type, true), toIntegers(layout, type, true, [3, 90])]),
    ),
  },
  {
    name: 'dequantize',
    opcodes: [op.DEQUANTIZE],
    tolerance: 1e-6,
    relative: true,
    cases: (['int8', 'uint8', 'int16', 'uint16', 'int32'] as const).flatMap((type) =>
      layouts.map((layout) => toFloats(layout, type)),
    ),
  },
  {
    name: 'center',
    opcodes: [op.CENTER],
    tolerance: 0,
    cases: (['int8', 'uint8'] as const).flatMap((type) => layouts.map((layout) => centerCase(layout, type))),
  },
  {
    name: 'integer gemm',
    opcodes: [op.GEMM_INTEGER, op.PACK_INTEGER],
    tolerance: 0,
    cases: sizes.flatMap(([m, n, k]) => [
      gemmCase(m, n, k, 'constant', true),
      gemmCase(m, n, k, 'constant'),
      gemmCase(m, n, k, 'run'),
      gemmCase(m, n, k, 'transposed', true),
    ]),
  },
  {
    name: 'integer conv',
    opcodes: [op.GEMM_INTEGER, op.IM2COL_INTEGER, op.DEPTHWISE_INTEGER],
    tolerance: 0,
    cases: windows.flatMap((window) => [
      convCase(shapeOf([7, 9], [3, 5, 1], window)),
      convCase(shapeOf([8, 8], [16, 24, 1], window, 2), false),
      convCase(shapeOf([9, 7], [6, 8, 2], window)),
      convCase(shapeOf([11, 10], [24, 24, 24], window, 2)),
      convCase(shapeOf([6, 5], [11, 11, 11], window), false),
      convCase(shapeOf([40, 40], [33, 20, 1], window)),
    ]),
  },
];
