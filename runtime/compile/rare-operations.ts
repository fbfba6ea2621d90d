/** Operations of the kernel graph that few models need; their kernels are plain code. */
import type { DataType } from '../engine/tensor.ts';
import type { TypeAndDims } from './infer.ts';
import { sameDims } from './strides.ts';

export type ScatterName = 'set' | 'add' | 'mul' | 'max' | 'min';
export type SampleMode = 'nearest' | 'linear' | 'cubic';
export type TreesName = 'sum' | 'min' | 'max';
export type BorderMode = 'zeros' | 'border' | 'reflection';

export type RareOperation =
  /** Indices (int32 or int64) → int64 from 0 to size - 1; negative ones count from the end, and others fault the run. */
  | { readonly kind: 'wrapIndices'; readonly size: number }
  /** x [rows, inner], positions [n] (int64), updates [n, inner] → x, changed at those rows, one update after the other. */
  | { readonly kind: 'scatter'; readonly name: ScatterName }
  /** Running sums or products; `exclusive`: without the element itself. */
  | {
      readonly kind: 'cumulate';
      readonly axis: number;
      readonly product: boolean;
      readonly exclusive: boolean;
      readonly reverse: boolean;
    }
  /** Values and places (int64) of the first k along an axis, in order. */
  | { readonly kind: 'topK'; readonly axis: number; readonly k: number; readonly largest: boolean }
  /**
   * x [n, (d,) h, w, c], grid [n, points, 2 or 3] (x first; pixels, or -1 to 1 when `normalised`) → [n, points, c].
   * `aligned`: -1 and 1 are the centres of the outermost pixels.
   */
  | {
      readonly kind: 'sample';
      readonly mode: SampleMode;
      readonly border: BorderMode;
      readonly aligned: boolean;
      readonly normalised: boolean;
    }
  /** x [n, h, w, c], regions [r, 4], images [r] (int64) → [r, height, width, c]. `ratio` 0: one place a pixel. */
  | {
      readonly kind: 'roiAlign';
      readonly outputSize: readonly [height: number, width: number];
      readonly ratio: number;
      readonly scale: number;
      readonly offset: number;
      readonly largest: boolean;
    }
  /**
   * Counter (uint64 [1], a constant that runs count up) → even float32 numbers in [0, 1), others in each run. Equal keys of
   * 32-bit words draw alike.
   */
  | { readonly kind: 'uniform'; readonly dims: readonly number[]; readonly key: readonly [number, number] }
  /** x [n, h, w, c], regions [r, 5] (image first) → [r, height, width, c]. */
  | {
      readonly kind: 'maxRoiPool';
      readonly outputSize: readonly [height: number, width: number];
      readonly scale: number;
    }
  /** x (int8 or uint8) [..., c], table [256, 1 or c] of bytes, by the bit patterns of x → what the table says */
  | { readonly kind: 'lookup' }
  /** [..., n, n] → [...] */
  | { readonly kind: 'determinant' }
  /**
   * boxes [n, count, 4], scores [n, classes, count], two thresholds → (image · classes + class) · count + box of those that are
   * kept (int32, room for `most` of each image's class), and how many there are (int32 [1]).
   */
  | { readonly kind: 'suppress'; readonly most: number; readonly centred: boolean }
  /**
   * x [rows, features] and the tables of an ensemble (TreesCall) → [rows, outputs], NaN where no leaf had a weight for an output.
   * `depth`: nodes on the longest way down a tree, with the weights at its end.
   */
  | { readonly kind: 'trees'; readonly name: TreesName; readonly outputs: number; readonly depth: number }
  /** x [..., k] times a constant matrix [k, n] of 4-bit numbers in the form of packBlocks → [..., n]. */
  | { readonly kind: 'matMulBlocks'; readonly n: number; readonly block: number }
  /**
   * x [batch, length] and the same from its end to its beginning → [batch, windows, taps / 2]: of every window of `taps` elements, `step`
   * apart, sums or differences of those that lie opposite each other, element first + i and the one at taps - 1 - i.
   */
  | {
      readonly kind: 'pairOpposites';
      readonly taps: number;
      readonly step: number;
      readonly first: 0 | 1;
      readonly name: 'add' | 'sub';
    };

interface Operand {
  readonly type: DataType;
  readonly dims: readonly number[];
}

function expect(fits: boolean, what: string, ...operands: readonly (Operand | undefined)[]): void {
  if (fits) return;
  const shapes = operands.map((operand) => `${operand?.type} [${operand?.dims.join(', ')}]`);
  throw new Error(`expected ${what}, got ${shapes.join(' and ')}`);
}

/** Types and shapes of the outputs. Throws an Error that says what does not fit. */
export function inferRare(operation: RareOperation, inputs: readonly (Operand | undefined)[]): readonly TypeAndDims[] {
  const [x, second, third] = inputs as [Operand, Operand, Operand];
  switch (operation.kind) {
    case 'wrapIndices':
      expect(x.type === 'int32' || x.type === 'int64', 'indices of type int32 or int64', x);
      return [{ type: 'int64', dims: x.dims }];
    case 'scatter': {
      const dims = [second.dims[0] ?? 0, x.dims[1] ?? 0];
      expect(third.type === x.type && sameDims(third.dims, dims), `updates of ${x.type} [${dims.join(', ')}]`, third);
      return [x];
    }
    case 'cumulate':
      return [x];
    case 'topK': {
      const { axis, k } = operation;
      expect(k >= 0 && k <= (x.dims[axis] as number), `an axis ${axis} of at least ${k} elements`, x);
      const dims = x.dims.map((size, i) => (i === axis ? k : size));
      return [
        { type: x.type, dims },
        { type: 'int64', dims },
      ];
    }
    case 'sample': {
      const [n = 0, points = 0, rank = 0] = second.dims;
      const fits =
        second.dims.length === 3 && rank === x.dims.length - 2 && n === x.dims[0] && (rank === 2 || rank === 3);
      expect(fits && !x.dims.slice(1, -1).includes(0), 'pictures, and places in each of them', x, second);
      return [{ type: x.type, dims: [n, points, x.dims.at(-1) as number] }];
    }
    case 'roiAlign': {
      const [count = 0] = second.dims;
      const fits = x.dims.length === 4 && sameDims(second.dims, [count, 4]) && sameDims(third.dims, [count]);
      expect(
        fits && x.dims[1] !== 0 && x.dims[2] !== 0,
        'pictures, regions, and the picture of each',
        x,
        second,
        third,
      );
      return [{ type: x.type, dims: [count, ...operation.outputSize, x.dims[3] as number] }];
    }
    case 'uniform':
      return [{ type: 'float32', dims: operation.dims }];
    case 'maxRoiPool': {
      const [count = 0] = second.dims;
      expect(x.dims.length === 4 && sameDims(second.dims, [count, 5]), 'pictures, and regions of 5 numbers', x, second);
      return [{ type: x.type, dims: [count, ...operation.outputSize, x.dims[3] as number] }];
    }
    case 'trees':
      return [{ type: x.type, dims: [x.dims[0] as number, operation.outputs] }];
    case 'matMulBlocks':
      expect(x.type === 'float32' && x.dims.at(-1) === second.dims[1], 'rows as long as the matrix is high', x, second);
      return [{ type: 'float32', dims: [...x.dims.slice(0, -1), operation.n] }];
    case 'pairOpposites': {
      const [batch = 0, length = 0] = x.dims;
      const { taps, step } = operation;
      const fits = x.dims.length === 2 && sameDims(x.dims, second.dims) && length >= taps;
      expect(fits, `two rows of at least ${taps} elements`, x, second);
      return [{ type: x.type, dims: [batch, Math.floor((length - taps) / step) + 1, taps / 2] }];
    }
    case 'lookup': {
      const channels = second.dims[1] as number;
      const fits = second.dims.length === 2 && second.dims[0] === 256 && (channels === 1 || channels === x.dims.at(-1));
      const bytes = [x, second].every(({ type }) => type === 'int8' || type === 'uint8');
      expect(fits && bytes, 'bytes, and 256 results for each channel', x, second);
      return [{ type: second.type, dims: x.dims }];
    }
    case 'suppress': {
      const [n = 0, count = 0] = x.dims;
      const classes = second.dims[1] ?? 0;
      const fits = sameDims(x.dims, [n, count, 4]) && sameDims(second.dims, [n, classes, count]);
      expect(fits, 'boxes [images, boxes, 4] and scores [images, classes, boxes]', x, second);
      return [
        { type: 'int32', dims: [n * classes * operation.most] },
        { type: 'int32', dims: [1] },
      ];
    }
    case 'determinant': {
      const [rows, columns] = x.dims.slice(-2);
      expect(rows !== undefined && rows === columns, 'square matrices', x);
      return [{ type: x.type, dims: x.dims.slice(0, -2) }];
    }
  }
}
