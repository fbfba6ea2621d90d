/** Instructions of the rare operations (rare-operations.ts). Shapes have been checked. */
import * as op from '../../assembly/opcodes.ts';
import { type DataType, elementBytes } from '../engine/tensor.ts';
import { assembleAlongAxis, cumulateKernel } from './assemble-along-axis.ts';
import { CUT_NS } from './element-cost.ts';
import type { Address } from './instructions.ts';
import { elementTypes, typedKind } from './kinds.ts';
import { BLOCK_COLUMNS } from './pack-blocks.ts';
import type { BorderMode, SampleMode, ScatterName, TreesName } from './rare-operations.ts';
import { behind, checkAligned, checkMatrices, ELEMENTS_MAX, floatWord, inParts, type Writer } from './writer.ts';

const scatterKinds: Record<ScatterName, number> = {
  set: op.SCATTER_SET,
  add: op.SCATTER_ADD,
  mul: op.SCATTER_MUL,
  max: op.SCATTER_MAX,
  min: op.SCATTER_MIN,
};
const sampleModes: Record<SampleMode, number> = {
  nearest: op.SAMPLE_NEAREST,
  linear: op.SAMPLE_LINEAR,
  cubic: op.SAMPLE_CUBIC,
};
const borderModes: Record<BorderMode, number> = {
  zeros: op.BORDER_ZERO,
  border: op.BORDER_CLAMP,
  reflection: op.BORDER_REFLECT,
};

export interface WrapCall {
  readonly x: Address;
  readonly type: 'int32' | 'int64';
  readonly y: Address;
  readonly count: number;
  readonly size: number;
}

export function assembleWrapIndices(writer: Writer, { x, type, y, count, size }: WrapCall): void {
  checkAligned(x, y);
  const bytes = type === 'int64' ? 8 : 4;
  inParts(count, ELEMENTS_MAX, (begin, end) => {
    const parts = [behind(x, begin, bytes), bytes === 8 ? 1 : 0, behind(y, begin, 8)];
    writer.emit(op.WRAP_INDICES, [...parts, end - begin, size]);
  });
}

export interface ScatterCall {
  readonly name: ScatterName;
  readonly type: DataType;
  /** Holds what is not overwritten already. */
  readonly y: Address;
  readonly positions: Address;
  readonly updates: Address;
  readonly rows: number;
  readonly inner: number;
  readonly count: number;
}

export function assembleScatter(writer: Writer, call: ScatterCall): void {
  const { y, positions, updates, rows, inner } = call;
  checkAligned(y, positions, updates);
  const kind = typedKind(scatterKinds[call.name], call.type);
  const bytes = elementBytes(call.type);
  inParts(inner, ELEMENTS_MAX, (left, right) => {
    const places = [behind(y, left, bytes), positions, behind(updates, left, bytes)];
    inParts(call.count, ELEMENTS_MAX / 4 / Math.max(1, (right - left) / 4), (begin, end) => {
      writer.emit(op.SCATTER, [kind, ...places, rows, inner, begin, end, right - left]);
    });
  });
}

/** [outer, axis, inner] of a type. */
export interface Run {
  readonly type: DataType;
  readonly outer: number;
  readonly axis: number;
  readonly inner: number;
}

export interface CumulateCall extends Run {
  readonly x: Address;
  readonly y: Address;
  readonly product: boolean;
  readonly exclusive: boolean;
  readonly reverse: boolean;
}

export function assembleCumulate(writer: Writer, call: CumulateCall): void {
  const flags =
    (call.product ? op.CUMULATE_PRODUCT : 0) |
    (call.exclusive ? op.CUMULATE_EXCLUSIVE : 0) |
    (call.reverse ? op.CUMULATE_REVERSE : 0);
  assembleAlongAxis(writer, cumulateKernel(typedKind(flags, call.type), call.type), call);
}

export interface TopKCall extends Run {
  readonly x: Address;
  readonly values: Address;
  readonly indices: Address;
  /** Room for `axis` int32. */
  readonly heap: Address;
  readonly k: number;
  readonly largest: boolean;
}

/** Nanoseconds: a thousand indices are written down, a root sinks to its place, the first of a heap is taken. */
export const INDICES_NS = 500;
export const ROOT_NS = 16;
export function takeNs(axis: number): number {
  return 20 * Math.log2(axis + 2);
}

/** How a row is done: assembly/tensor/order.ts. */
export function topKSteps(axis: number, k: number): { blocks: number; roots: number; all: number } {
  const [blocks, roots] = [Math.ceil(axis / 1024), Math.floor(axis / 2)];
  return { blocks, roots, all: blocks + roots + k };
}

/** Many rows, or a part of one. */
export function assembleTopK(writer: Writer, call: TopKCall): void {
  const { x, values, indices, heap, outer, axis, inner, k } = call;
  checkAligned(x, values, indices, heap);
  const kind = typedKind(call.largest ? 1 : 0, call.type);
  const operands = [kind, x, values, indices, heap, axis, inner, k];
  const { blocks, roots, all } = topKSteps(axis, k);
  const rowNs = blocks * INDICES_NS + roots * ROOT_NS + k * takeNs(axis);
  if (rowNs <= CUT_NS) {
    inParts(outer * inner, CUT_NS / rowNs, (begin, end) => writer.emit(op.TOP_K, [...operands, begin, end, 0, all]));
    return;
  }
  const part = (row: number, first: number, count: number, ns: number): void =>
    inParts(count, CUT_NS / ns, (from, to) => {
      writer.emit(op.TOP_K, [...operands, row, row + 1, first + from, first + to]);
    });
  for (let row = 0; row < outer * inner; row++) {
    part(row, 0, blocks, INDICES_NS);
    part(row, blocks, roots, ROOT_NS);
    part(row, blocks + roots, k, takeNs(axis));
  }
}

export interface SampleCall {
  readonly x: Address;
  readonly grid: Address;
  readonly y: Address;
  readonly mode: SampleMode;
  readonly border: BorderMode;
  readonly aligned: boolean;
  readonly normalised: boolean;
  /** [depth, height, width]; a plane has depth 1 and rank 2. */
  readonly size: readonly [depth: number, height: number, width: number];
  readonly rank: 2 | 3;
  readonly channels: number;
  readonly batch: number;
  readonly points: number;
}

export function assembleSample(writer: Writer, call: SampleCall): void {
  const { x, grid, y, rank, size, channels, points } = call;
  checkAligned(x, grid, y);
  const flags = [call.aligned ? 1 : 0, call.normalised ? 1 : 0];
  const operands = [x, grid, y, sampleModes[call.mode], borderModes[call.border], ...flags, rank, ...size, channels];
  const taps = { nearest: 1, linear: 2, cubic: 4 }[call.mode] ** rank;
  inParts(call.batch * points, ELEMENTS_MAX / Math.max(1, channels * taps), (begin, end) => {
    writer.emit(op.SAMPLE, [...operands, points, begin, end]);
  });
}

export interface RoiAlignCall {
  readonly x: Address;
  readonly rois: Address;
  readonly images: Address;
  readonly y: Address;
  /** [batch, height, width, channels] */
  readonly dims: readonly number[];
  readonly regions: number;
  readonly outputSize: readonly [height: number, width: number];
  readonly ratio: number;
  readonly scale: number;
  readonly offset: number;
  readonly largest: boolean;
}

export function assembleRoiAlign(writer: Writer, call: RoiAlignCall): void {
  const { x, rois, images, y, dims, outputSize, ratio } = call;
  checkAligned(x, rois, images, y);
  const numbers = [ratio, floatWord(call.scale), floatWord(call.offset), call.largest ? 1 : 0];
  const operands = [x, rois, images, y, ...dims, ...outputSize, ...numbers];
  const taps = 4 * Math.max(ratio, 2) ** 2 * (dims[3] as number);
  inParts(call.regions * outputSize[0] * outputSize[1], ELEMENTS_MAX / Math.max(1, taps), (begin, end) => {
    writer.emit(op.ROI_ALIGN, [...operands, begin, end]);
  });
}

export interface ProductCall {
  readonly type: DataType;
  /** [m, k] */
  readonly a: Address;
  /** [k, n], or [n, k] when transposed. */
  readonly b: Address;
  /** [m, n] */
  readonly c: Address;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transposed: boolean;
}

export function assembleProduct(writer: Writer, call: ProductCall): void {
  const { a, b, c, n, k } = call;
  checkMatrices(a, b, c);
  const [bytes, bColumn] = [elementBytes(call.type), call.transposed ? k : 1];
  const columns = Math.max(1, Math.min(n, ELEMENTS_MAX / Math.max(1, k)));
  inParts(n, columns, (left, right) => {
    const places = [a, behind(b, left * bColumn, bytes), behind(c, left, bytes), n, k, call.transposed ? 1 : 0];
    inParts(call.m, ELEMENTS_MAX / Math.max(1, (right - left) * k), (begin, end) => {
      // Of no terms the sum is 0.
      if (k === 0) writer.emit(op.PRODUCT, [elementTypes[call.type], ...places, begin, end, right - left, 0, 0]);
      inParts(k, ELEMENTS_MAX, (from, to) => {
        writer.emit(op.PRODUCT, [elementTypes[call.type], ...places, begin, end, right - left, from, to]);
      });
    });
  });
}

export interface LookupCall {
  readonly x: Address;
  /** [256, channels] */
  readonly table: Address;
  readonly y: Address;
  readonly rows: number;
  readonly channels: number;
}

export function assembleLookup(writer: Writer, { x, table, y, rows, channels }: LookupCall): void {
  checkAligned(x, table, y);
  writer.inParts(rows, ELEMENTS_MAX / Math.max(1, channels), (begin, end) => {
    writer.emit(op.LOOKUP, [x, table, y, channels, begin, end]);
  });
}

/** Nanoseconds of an element in a column of an elimination. */
export const ELIMINATION_NS = 0.5;

/** `room` holds size · size + 1 float64. */
export function assembleDeterminant(
  writer: Writer,
  call: {
    readonly x: Address;
    readonly y: Address;
    readonly room: Address;
    readonly count: number;
    readonly size: number;
  },
): void {
  const { x, y, room, count, size } = call;
  checkAligned(x, y, room);
  const most = CUT_NS / ELIMINATION_NS;
  const matrices = Math.max(1, most / Math.max(1, size ** 3));
  inParts(count, matrices, (begin, end) => {
    // A matrix of no columns has a determinant, too.
    inParts(Math.max(1, size), matrices > 1 ? size : most / size ** 2, (from, to) => {
      writer.emit(op.DETERMINANT, [x, y, room, size, begin, end, from, Math.min(size, to)]);
    });
  });
}

export interface UniformCall {
  readonly key: readonly [number, number];
  readonly draws: Address;
  /** Room for 8 bytes. */
  readonly room: Address;
  readonly y: Address;
  readonly count: number;
}

/** A block of four numbers takes ten rounds of two products. */
export function assembleUniform(writer: Writer, { key, draws, room, y, count }: UniformCall): void {
  checkAligned(draws, room, y);
  inParts(Math.ceil(count / 4), ELEMENTS_MAX / 4, (begin, end) => {
    writer.emit(op.UNIFORM, [...key, draws, room, y, count, begin, end]);
  });
}

export interface MaxRoiPoolCall {
  readonly x: Address;
  readonly rois: Address;
  readonly y: Address;
  /** [batch, height, width, channels] */
  readonly dims: readonly number[];
  readonly regions: number;
  readonly outputSize: readonly [height: number, width: number];
  readonly scale: number;
}

/** Nanoseconds of a pixel's channel in a bin. */
export const ROI_TAP_NS = 0.5;

/** A region may cover its picture, and a bin the whole region. */
export function assembleMaxRoiPool(writer: Writer, call: MaxRoiPoolCall): void {
  const { x, rois, y, dims, regions, outputSize, scale } = call;
  checkAligned(x, rois, y);
  const [, height = 0, width = 0, channels = 0] = dims;
  const most = CUT_NS / ROI_TAP_NS / Math.max(1, height * width);
  inParts(channels, most, (first, last) => {
    const operands = [behind(x, first), rois, behind(y, first), ...dims, ...outputSize, floatWord(scale)];
    inParts(regions * outputSize[0] * outputSize[1], most / (last - first), (begin, end) => {
      writer.emit(op.MAX_ROI_POOL, [...operands, begin, end, last - first]);
    });
  });
}

const treesKinds: Record<TreesName, number> = { sum: op.TREES_SUM, min: op.TREES_MIN, max: op.TREES_MAX };

export interface TreesCall {
  readonly name: TreesName;
  readonly type: DataType;
  /** [rows, features] */
  readonly x: Address;
  /** int32 [nodes, 4]: kind, feature, next node when it holds, else; of leaves: 0, 0, first weight, end of the weights. */
  readonly nodes: Address;
  /** [nodes], of the type of x, as are the weights. */
  readonly thresholds: Address;
  /** int32 [trees]: the first node of each. */
  readonly roots: Address;
  /** int32 [weights]: the output that each is for. */
  readonly targets: Address;
  readonly weights: Address;
  /** [rows, outputs]; NaN where no leaf had a weight. */
  readonly y: Address;
  readonly rows: number;
  readonly features: number;
  readonly outputs: number;
  readonly trees: number;
  readonly depth: number;
}

export function assembleTrees(writer: Writer, call: TreesCall): void {
  const { x, nodes, thresholds, roots, targets, weights, y, depth } = call;
  checkAligned(x, nodes, thresholds, roots, targets, weights, y);
  const kind = typedKind(treesKinds[call.name], call.type);
  const operands = [kind, x, nodes, thresholds, roots, targets, weights, y, call.features, call.outputs];
  const treesAtOnce = Math.max(1, Math.min(call.trees, Math.floor(ELEMENTS_MAX / depth)));
  inParts(call.rows, ELEMENTS_MAX / (treesAtOnce * depth), (begin, end) => {
    inParts(call.trees, treesAtOnce, (first, last) => writer.emit(op.TREES, [...operands, first, last, begin, end]));
  });
}

export interface UnpackBlocksCall extends Record<'levels' | 'scales' | 'zeros', Address> {
  /** One row of zero points for all. */
  readonly isOneZero: boolean;
  /** A packed matrix of the groups [begin, end) only. */
  readonly y: Address;
  readonly k: number;
  readonly block: number;
  readonly begin: number;
  readonly end: number;
}

/** From packBlocks to what `gemm` takes. */
export function assembleUnpackBlocks(writer: Writer, panel: number, call: UnpackBlocksCall): void {
  const { levels, scales, zeros, y, k, block } = call;
  checkAligned(levels, scales, zeros, y);
  const groupElements = k * BLOCK_COLUMNS;
  inParts(call.end - call.begin, ELEMENTS_MAX / groupElements, (from, to) => {
    const place = behind(y, from * groupElements, 4);
    const sizes = [k, block, call.isOneZero ? 0 : BLOCK_COLUMNS * 4, panel];
    writer.emit(op.UNPACK_BLOCKS, [levels, scales, zeros, place, ...sizes, call.begin + from, call.begin + to]);
  });
}
