import * as op from '../../assembly/opcodes.ts';
import type { Activation, Address, ConvShape } from '../../runtime/compile/instructions.ts';
import { winogradScratchBytes } from '../../runtime/compile/winograd.ts';
import type { Row } from './kernel-table.ts';
import type { Trial } from './machine.ts';
import * as reference from './reference.ts';
import { activations } from './table-gemm.ts';

/** [kernel, stride, dilation, pad before, pad after], each for both axes. */
export type Window = readonly [kernel: number, stride: number, dilation: number, before: number, after: number];

export function shapeOf(
  [height, width]: readonly [number, number],
  [inputChannels, outputChannels, group]: readonly [number, number, number],
  [kernel, stride, dilation, before, after]: Window,
  batch = 1,
): ConvShape {
  const out = (size: number) => Math.floor((size + before + after - dilation * (kernel - 1) - 1) / stride) + 1;
  return {
    batch,
    inputHeight: height,
    inputWidth: width,
    inputChannels,
    outputHeight: out(height),
    outputWidth: out(width),
    outputChannels,
    group,
    kernel: [kernel, kernel],
    strides: [stride, stride],
    dilations: [dilation, dilation],
    pads: [before, before, after, after],
  };
}

interface ConvOptions {
  readonly winograd?: boolean;
  readonly activation?: Activation;
  readonly after?: (x: number) => number;
  readonly residual?: boolean;
  /** Channels of a wider tensor that y is part of. */
  readonly wide?: number;
}

function convCase(shape: ConvShape, options: ConvOptions = {}): (trial: Trial) => void {
  return (trial) => {
    const { after = (x: number) => x } = options;
    const { inputChannels, outputChannels, group } = shape;
    const x = trial.floats(shape.batch * shape.inputHeight * shape.inputWidth * inputChannels);
    const weights = trial.floats(((outputChannels * inputChannels) / group) * shape.kernel[0] * shape.kernel[1]);
    const bias = trial.floats(outputChannels);
    const sums = reference.conv(x, weights, bias, shape);
    const residual = options.residual ? trial.floats(sums.length) : undefined;
    const values = sums.map((sum, i) => after(sum + (residual?.[i] ?? 0)));
    const stride = options.wide ?? outputChannels;
    const before = trial.floats((values.length / outputChannels) * stride);
    const expected = Float64Array.from(before, (old, i) =>
      i % stride < outputChannels ? (values[Math.floor(i / stride) * outputChannels + (i % stride)] as number) : old,
    );
    const { assembler } = trial;
    const packed = options.winograd ? assembler.packWinograd(weights, shape) : assembler.packConv(weights, shape);
    const scratchBytes = options.winograd ? winogradScratchBytes(shape) : assembler.convScratchBytes(shape);
    const call = {
      x: trial.input(x),
      weights: trial.input(packed, 'weights'),
      bias: trial.input(assembler.packBias(bias, outputChannels), 'weights'),
      y: trial.inPlace(before, expected),
      scratch: trial.scratch(scratchBytes),
      shape,
      activation: options.activation,
      residual: residual && trial.input(residual),
      yPixelStride: options.wide,
    };
    if (options.winograd) assembler.convWinograd(call);
    else assembler.conv(call);
  };
}

/** Channels in eights, then dilated, with channels that are no eights and with whatever an epilogue has. */
function windowCases(kernel: readonly [number, number]): ((trial: Trial) => void)[] {
  return [
    convCase(oblong([17, 23], [16, 24, 1], kernel, 1), { winograd: true }),
    convCase(oblong([22, 29], [11, 21, 1], kernel, 2, 2), { winograd: true, residual: true, wide: 25 }),
  ];
}

function convTransposeCase(
  shape: ConvShape,
  activation?: Activation,
  after = (x: number) => x,
): (trial: Trial) => void {
  return (trial) => {
    const { inputChannels, outputChannels, group } = shape;
    const x = trial.floats(shape.batch * shape.inputHeight * shape.inputWidth * inputChannels);
    const weights = trial.floats(((outputChannels * inputChannels) / group) * shape.kernel[0] * shape.kernel[1]);
    const bias = trial.floats(outputChannels);
    const expected = reference.convTranspose(x, weights, bias, shape).map(after);
    const { assembler } = trial;
    assembler.convTranspose({
      x: trial.input(x),
      weights: trial.input(assembler.packConvTranspose(weights, shape), 'weights'),
      bias: trial.input(assembler.packBias(bias, outputChannels), 'weights'),
      y: trial.output(expected),
      scratch: trial.scratch(assembler.convTransposeScratchBytes(shape)),
      shape,
      activation,
    });
  };
}

/** The ConvTranspose that goes back from the output of `forward` to its input. */
function backwards(forward: ConvShape): ConvShape {
  return {
    ...forward,
    inputHeight: forward.outputHeight,
    inputWidth: forward.outputWidth,
    inputChannels: forward.outputChannels,
    outputHeight: forward.inputHeight,
    outputWidth: forward.inputWidth,
    outputChannels: forward.inputChannels,
  };
}

/** Of stride 1, padded to the size of the input. */
function oblong(
  size: readonly [number, number],
  channels: readonly [number, number, number],
  kernel: readonly [number, number],
  dilation: number,
  batch = 1,
): ConvShape {
  const pads = kernel.map((taps) => (dilation * (taps - 1)) / 2) as [number, number];
  const shape = shapeOf(size, channels, [1, 1, dilation, 0, 0], batch);
  return { ...shape, kernel: [...kernel], pads: [...pads, ...pads] };
}

function poolCase(shape: ConvShape, kind: 'max' | 'average' | 'averagePadded'): (trial: Trial) => void {
  return (trial) => {
    const x = trial.floats(shape.batch * shape.inputHeight * shape.inputWidth * shape.inputChannels);
    const emit = (y: Address, input: Address) => {
      if (kind === 'max') trial.assembler.maxPool(input, y, shape);
      else trial.assembler.averagePool(input, y, shape, kind === 'averagePadded');
    };
    const expected =
      kind === 'max' ? reference.maxPool(x, shape) : reference.averagePool(x, shape, kind === 'averagePadded');
    emit(trial.output(expected), trial.input(x));
  };
}

const poolShapes = [
  shapeOf([6, 6], [1, 1, 1], [2, 2, 1, 0, 0]),
  shapeOf([7, 9], [8, 8, 1], [3, 2, 1, 1, 1], 2),
  shapeOf([9, 7], [13, 13, 1], [3, 1, 1, 1, 1]),
  shapeOf([11, 10], [16, 16, 1], [3, 2, 2, 0, 2]),
  shapeOf([13, 13], [20, 20, 1], [5, 1, 1, 2, 2]),
  shapeOf([64, 64], [40, 40, 1], [5, 1, 1, 2, 2]),
];

export const convRows: readonly Row[] = [
  {
    name: 'conv',
    opcodes: [op.IM2COL, op.GEMM, op.CONV_ROWS],
    tolerance: 6e-5,
    cases: [
      convCase(shapeOf([1, 1], [1, 1, 1], [1, 1, 1, 0, 0])),
      convCase(shapeOf([5, 7], [3, 9, 1], [1, 1, 1, 0, 0], 2)),
      convCase(shapeOf([5, 7], [12, 33, 1], [1, 2, 1, 0, 0])),
      convCase(shapeOf([9, 8], [3, 16, 1], [3, 2, 1, 1, 1])),
      convCase(shapeOf([9, 8], [3, 16, 1], [3, 2, 1, 0, 1])),
      convCase(shapeOf([7, 13], [5, 31, 1], [3, 1, 1, 1, 1], 2)),
      convCase(shapeOf([10, 11], [8, 17, 1], [3, 1, 2, 2, 2])),
      convCase(shapeOf([6, 6], [4, 5, 1], [7, 1, 1, 3, 3])),
      convCase(shapeOf([4, 3], [2, 3, 1], [5, 3, 1, 4, 4])),
      convCase(shapeOf([8, 8], [8, 12, 2], [3, 1, 1, 1, 1])),
      convCase(shapeOf([8, 8], [6, 12, 6], [3, 1, 1, 1, 1])), // depth multiplier 2
      convCase(shapeOf([5, 5], [6, 9, 3], [1, 1, 1, 0, 0])),
      convCase(shapeOf([14, 14], [64, 40, 1], [3, 1, 1, 1, 1])),
      convCase(shapeOf([7, 7], [300, 20, 1], [3, 1, 1, 1, 1])),
      convCase(shapeOf([9, 6], [3, 40, 1], [3, 1, 1, 0, 0], 2)), // no padding
      convCase(shapeOf([9, 11], [3, 8, 1], [3, 2, 1, 0, 0])), // pixels behind the last that is read
      convCase(shapeOf([6, 5], [5, 20, 1], [3, 1, 1, 2, 2]), { residual: true, wide: 23 }),
      convCase(oblong([1, 40], [6, 20, 1], [1, 9], 1)),
      ...[1, 2, 3, 4].map((outputs) =>
        convCase(shapeOf([7, 9], [8, outputs, 1], [3, 1, 1, 1, 1], 2), { residual: true, wide: 5 }),
      ),
      convCase(oblong([40, 1], [6, 20, 1], [9, 1], 2)), // one column
      convCase({ ...shapeOf([20, 20], [3, 6, 1], [5, 1, 1, 2, 2]), dilations: [2, 1], pads: [4, 2, 4, 2] }),
      convCase(shapeOf([60, 61], [3, 34, 1], [7, 2, 1, 3, 3], 2)), // several bands
      ...[4, 5, 7, 8, 9, 10, 13].map((width) => convCase(shapeOf([3, width], [7, 17, 1], [3, 1, 1, 1, 1]))),
      convCase(shapeOf([8, 9], [5, 10, 1], [3, 1, 1, 1, 1]), { residual: true, wide: 23 }),
      convCase(shapeOf([8, 9], [5, 10, 1], [1, 1, 1, 0, 0]), { residual: true, wide: 23 }),
      ...activations.map(([activation, after]) =>
        convCase(shapeOf([6, 7], [4, 19, 1], [3, 1, 1, 1, 1]), { activation, after, residual: true }),
      ),
    ],
  },
  {
    name: 'Winograd conv',
    opcodes: [op.WINOGRAD_INPUT, op.GEMM, op.WINOGRAD_OUTPUT],
    tolerance: 2e-5,
    cases: [
      convCase(shapeOf([16, 16], [16, 16, 1], [3, 1, 1, 1, 1]), { winograd: true }),
      convCase(shapeOf([17, 14], [24, 40, 1], [3, 1, 1, 1, 1], 2), { winograd: true }),
      convCase(shapeOf([19, 18], [16, 24, 1], [3, 1, 1, 0, 0]), { winograd: true }),
      convCase(shapeOf([11, 31], [32, 16, 1], [3, 1, 1, 2, 0]), { winograd: true, wide: 24 }),
      convCase(shapeOf([50, 45], [16, 16, 1], [3, 1, 1, 1, 1]), { winograd: true, residual: true }),
      ...activations.map(([activation, after]) =>
        convCase(shapeOf([13, 15], [16, 16, 1], [3, 1, 1, 1, 1]), {
          winograd: true,
          activation,
          after,
          residual: true,
        }),
      ),
      ...(
        [
          [5, 5],
          [3, 5],
          [5, 3],
        ] as const
      ).flatMap(windowCases),
      convCase(shapeOf([40, 41], [8, 8, 1], [3, 1, 5, 5, 5]), { winograd: true, residual: true }),
      convCase(shapeOf([30, 33], [12, 9, 1], [3, 1, 1, 0, 1], 2), { winograd: true }),
    ],
  },
  {
    name: 'Winograd conv along one axis',
    opcodes: [op.WINOGRAD_INPUT, op.GEMM, op.WINOGRAD_OUTPUT],
    tolerance: 6e-5, // 3e-6 of the largest result with ten points, 6e-7 with six
    cases: [3, 5, 7, 9].flatMap((taps) => [...windowCases([1, taps]), ...windowCases([taps, 1])]),
  },
  {
    name: 'depthwise conv',
    opcodes: [op.DEPTHWISE],
    tolerance: 1e-5,
    cases: [
      ...[2, 7, 8, 9, 16, 24, 27].flatMap((channels) =>
        (
          [
            [3, 1, 1, 1, 1],
            [3, 2, 1, 1, 1],
            [5, 1, 1, 2, 2],
            [5, 2, 1, 1, 2],
            [3, 1, 2, 2, 2],
            [1, 1, 1, 0, 0],
          ] as Window[]
        ).map((window) => convCase(shapeOf([11, 13], [channels, channels, channels], window))),
      ),
      convCase(shapeOf([1, 1], [8, 8, 8], [3, 1, 1, 1, 1])),
      convCase(shapeOf([3, 2], [8, 8, 8], [7, 1, 1, 3, 3])),
      convCase(shapeOf([2, 30], [9, 9, 9], [3, 1, 1, 3, 3])),
      convCase(shapeOf([12, 12], [40, 40, 40], [3, 1, 1, 1, 1], 3)),
      convCase(shapeOf([9, 9], [12, 12, 12], [3, 1, 1, 1, 1]), { residual: true, wide: 30 }),
      convCase(shapeOf([60, 60], [64, 64, 64], [3, 1, 1, 1, 1])),
      ...[3, 4, 5, 8, 9, 17].flatMap((width) =>
        (
          [
            [3, 1, 1, 1, 1],
            [3, 2, 1, 1, 1],
            [3, 2, 1, 0, 1],
            [3, 1, 1, 0, 0],
            [3, 1, 1, 2, 2],
            [5, 1, 1, 2, 2],
            [5, 2, 1, 2, 2],
            [7, 1, 1, 3, 3],
            [7, 2, 1, 3, 3],
          ] as Window[]
        ).map((window) => convCase(shapeOf([width + 4, width + 4], [24, 24, 24], window))),
      ),
      convCase(shapeOf([5, 200], [8, 8, 8], [3, 1, 1, 1, 1], 2), { wide: 9 }),
      ...activations.map(([activation, after]) =>
        convCase(shapeOf([6, 9], [11, 11, 11], [3, 1, 1, 1, 1]), { activation, after, residual: true }),
      ),
    ],
  },
  {
    name: 'transposed conv',
    opcodes: [op.GEMM, op.COL2IM, op.COPY, op.CONV_TRANSPOSE_ROWS],
    tolerance: 1e-5,
    cases: [
      convTransposeCase(backwards(shapeOf([8, 8], [3, 5, 1], [2, 2, 1, 0, 0]))),
      convTransposeCase(backwards(shapeOf([9, 7], [17, 8, 1], [3, 2, 1, 1, 1], 2))),
      convTransposeCase(backwards(shapeOf([9, 9], [4, 6, 2], [3, 1, 2, 1, 2]))),
      convTransposeCase(backwards(shapeOf([10, 12], [6, 6, 6], [4, 2, 1, 1, 1]))),
      convTransposeCase(backwards(shapeOf([40, 40], [24, 33, 1], [2, 2, 1, 0, 0]))),
      ...[1, 2, 4, 8, 16, 20].map((channels) =>
        convTransposeCase(backwards(shapeOf([14, 18], [channels, 7, 1], [2, 2, 1, 0, 0], 2))),
      ),
      convTransposeCase(backwards(shapeOf([9, 12], [3, 5, 1], [3, 3, 1, 0, 0]))),
      convTransposeCase(backwards(shapeOf([9, 13], [16, 5, 1], [2, 2, 1, 0, 0]))), // more results than blocks
      convTransposeCase(backwards(shapeOf([8, 6], [32, 3, 1], [4, 4, 1, 0, 0]))),
      ...activations.flatMap(([activation, after]) => [
        convTransposeCase(backwards(shapeOf([8, 6], [3, 5, 1], [2, 2, 1, 0, 0])), activation, after),
        convTransposeCase(backwards(shapeOf([8, 6], [3, 5, 1], [3, 1, 1, 1, 1])), activation, after),
      ]),
    ],
  },
  { name: 'max pool', opcodes: [op.POOL], tolerance: 0, cases: poolShapes.map((shape) => poolCase(shape, 'max')) },
  {
    name: 'average pool',
    opcodes: [op.POOL],
    tolerance: 1e-6,
    cases: poolShapes.flatMap((shape) => [poolCase(shape, 'average'), poolCase(shape, 'averagePadded')]),
  },
];
