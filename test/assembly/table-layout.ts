import * as op from '../../assembly/opcodes.ts';
import type { Row } from './kernel-table.ts';
import type { Trial } from './machine.ts';
import * as reference from './reference.ts';

interface CopyCase {
  readonly shape: readonly number[];
  readonly x: readonly number[];
  readonly y: readonly number[];
  readonly xOffset?: number;
  readonly yOffset?: number;
}

const copies: readonly CopyCase[] = [
  { shape: [], x: [], y: [] },
  { shape: [0, 3], x: [3, 1], y: [3, 1] },
  { shape: [17], x: [1], y: [1] },
  { shape: [200_003], x: [1], y: [1] },
  { shape: [5, 7], x: [1, 5], y: [7, 1] }, // transpose
  { shape: [4, 4], x: [1, 4], y: [4, 1] },
  { shape: [33, 65], x: [1, 33], y: [65, 1] },
  { shape: [300, 500], x: [1, 300], y: [500, 1] },
  { shape: [2, 6, 5, 3], x: [90, 5, 1, 30], y: [90, 15, 3, 1] }, // NCHW → NHWC
  { shape: [2, 3, 6, 5], x: [90, 1, 15, 3], y: [90, 30, 5, 1] }, // and back
  { shape: [4, 3, 2, 5], x: [5, 20, 60, 1], y: [30, 10, 5, 1] },
  { shape: [3, 4], x: [10, 1], y: [4, 1], xOffset: 13 }, // slice
  { shape: [5], x: [-1], y: [1], xOffset: 4 }, // reversed
  { shape: [3, 5], x: [-5, -2], y: [5, 1], xOffset: 23 },
  { shape: [6, 3], x: [3, 1], y: [8, 1], yOffset: 5 }, // concat
  { shape: [4, 6], x: [0, 1], y: [6, 1] }, // expand
  { shape: [6, 4], x: [1, 0], y: [4, 1] },
  { shape: [2, 3, 2, 2, 3, 2, 2, 3], x: [1, 2, 6, 12, 24, 72, 144, 288], y: [432, 144, 72, 36, 12, 6, 3, 1] },
];

const copyArrays = { 1: [Int8Array, 'int8'], 4: [Int32Array, 'int32'], 8: [BigInt64Array, 'int64'] } as const;

function extent(shape: readonly number[], strides: readonly number[], offset: number): number {
  if (shape.includes(0)) return 0;
  const ends = shape.map((size, axis) => (size - 1) * (strides[axis] as number));
  return 1 + offset + ends.reduce((sum, end) => sum + Math.max(0, end), 0);
}

function copyCase({ shape, x: xStrides, y: yStrides, xOffset = 0, yOffset = 0 }: CopyCase, bytes: 1 | 4 | 8) {
  return (trial: Trial) => {
    const [array, type] = copyArrays[bytes];
    const numbers = Array.from({ length: extent(shape, xStrides, xOffset) }, () => Math.floor(trial.random(-128, 128)));
    const written = extent(shape, yStrides, yOffset);
    const unwritten = new array(new Uint8Array(written * bytes).fill(0x5a).buffer);
    const expected = [...unwritten] as (number | bigint)[];
    reference.walk(shape, [xStrides, yStrides], ([i, j]) => {
      const value = numbers[xOffset + (i as number)] as number;
      expected[yOffset + (j as number)] = bytes === 8 ? BigInt(value) : value;
    });
    const x = bytes === 8 ? BigInt64Array.from(numbers, BigInt) : copyArrays[bytes][0].from(numbers);
    const place = { x: trial.input(x), y: trial.output(expected, type), xOffset, yOffset };
    trial.assembler.copy({ ...place, elementBytes: bytes, shape, xStrides, yStrides });
  };
}

/** 16-bit elements have no output type in a trial, so they are compared as pairs of bytes. */
function copyShorts(trial: Trial): void {
  const x = Uint16Array.from({ length: 35 }, () => Math.floor(trial.random(0, 65_536)));
  const expected = Uint16Array.from({ length: 35 }, (_, i) => x[(i % 7) * 5 + Math.floor(i / 7)] as number);
  const y = trial.output(new Uint8Array(expected.buffer), 'uint8');
  trial.assembler.copy({ x: trial.input(x), y, elementBytes: 2, shape: [5, 7], xStrides: [1, 5], yStrides: [7, 1] });
}

function gatherCase(outer: number, axis: number, count: number, inner: number, indexType: 'int32' | 'int64') {
  return (trial: Trial) => {
    const x = Int8Array.from({ length: outer * axis * inner }, () => Math.floor(trial.random(-128, 128)));
    const indices = Array.from({ length: count }, () => Math.floor(trial.random(-axis, axis)));
    const expected = Array.from({ length: outer * count * inner }, (_, i) => {
      const [o, at, byte] = [Math.floor(i / (count * inner)), Math.floor(i / inner) % count, i % inner];
      const index = indices[at] as number;
      return x[(o * axis + (index < 0 ? index + axis : index)) * inner + byte] as number;
    });
    const table = indexType === 'int64' ? BigInt64Array.from(indices, BigInt) : Int32Array.from(indices);
    const y = trial.output(expected, 'int8');
    trial.assembler.gather(trial.input(x), trial.input(table), indexType, y, outer, axis, count, inner);
  };
}

/** [batch, height, width, output height, output width, channels]. */
const resizes = [
  [1, 1, 1, 1, 1, 1],
  [1, 3, 5, 7, 4, 1],
  [2, 4, 4, 8, 8, 8],
  [1, 5, 3, 2, 9, 13],
  [2, 20, 30, 60, 90, 20],
] as const;

function resizeCase(
  [batch, height, width, outputHeight, outputWidth, channels]: (typeof resizes)[number],
  linear: boolean,
) {
  return (trial: Trial) => {
    const x = trial.floats(batch * height * width * channels);
    const axis = (size: number, output: number) =>
      Array.from({ length: output }, () => {
        const lower = Math.floor(trial.random(0, size));
        return { lower, weight: linear ? Math.fround(trial.random(0, 1)) : 0, upper: Math.min(lower + 1, size - 1) };
      });
    const [rows, columns] = [axis(height, outputHeight), axis(width, outputWidth)];
    const expected: number[] = [];
    for (let b = 0; b < batch; b++)
      for (const row of rows)
        for (const column of columns)
          for (let c = 0; c < channels; c++) {
            const at = (y: number, left: number) => x[((b * height + y) * width + left) * channels + c] as number;
            const mix = (y: number) => at(y, column.lower) * (1 - column.weight) + at(y, column.upper) * column.weight;
            expected.push(mix(row.lower) * (1 - row.weight) + mix(row.upper) * row.weight);
          }
    const table = (entries: typeof rows) => {
      if (!linear)
        return trial.input(
          Int32Array.from(entries, ({ lower }) => lower),
          'weights',
        );
      const words = new DataView(new ArrayBuffer(entries.length * 8));
      entries.forEach(({ lower, weight }, i) => {
        words.setInt32(i * 8, lower, true);
        words.setFloat32(i * 8 + 4, weight, true);
      });
      return trial.input(new Uint8Array(words.buffer), 'weights');
    };
    const sizes = { batch, inputHeight: height, inputWidth: width, outputHeight, outputWidth, channels };
    const call = { x: trial.input(x), y: trial.output(expected), rows: table(rows), columns: table(columns), ...sizes };
    if (linear) trial.assembler.resizeLinear(call);
    else trial.assembler.resizeNearest(call);
  };
}

export const layoutRows: readonly Row[] = [
  {
    name: 'strided copy',
    opcodes: [op.COPY],
    tolerance: 0,
    cases: [...copies.flatMap((each) => ([1, 4, 8] as const).map((bytes) => copyCase(each, bytes))), copyShorts],
  },
  {
    name: 'fill',
    opcodes: [op.FILL],
    tolerance: 0,
    cases: [0, 1, 3, 4, 5, 8, 17, 70_001].map((count) => (trial: Trial) => {
      trial.assembler.fill(trial.output(new Array<number>(count).fill(0.5)), count, 0.5);
    }),
  },
  {
    name: 'gather',
    opcodes: [op.GATHER],
    tolerance: 0,
    cases: (['int32', 'int64'] as const).flatMap((type) => [
      gatherCase(1, 5, 1, 4, type),
      gatherCase(3, 7, 4, 1, type),
      gatherCase(2, 9, 20, 4, type),
      gatherCase(2, 4, 3, 33, type),
      gatherCase(1, 100, 0, 8, type),
      gatherCase(5, 50, 300, 256, type),
    ]),
  },
  {
    name: 'resize nearest',
    opcodes: [op.RESIZE_NEAREST],
    tolerance: 0,
    cases: resizes.map((sizes) => resizeCase(sizes, false)),
  },
  {
    name: 'resize linear',
    opcodes: [op.RESIZE_LINEAR],
    tolerance: 3e-7,
    cases: resizes.map((sizes) => resizeCase(sizes, true)),
  },
];
