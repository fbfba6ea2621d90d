/** Instructions of the rare operations (rare-operations.ts). Shapes have been checked. */
import * as op from '../../assembly/opcodes.ts';
import type { DataType } from '../engine/tensor.ts';
import type { Address } from './instructions.ts';
import { elementTypes, typedKind } from './kinds.ts';
import { BLOCK_COLUMNS } from './pack-blocks.ts';
import type { BorderMode, SampleMode, ScatterName, TreesName } from './rare-operations.ts';
import {
  behind,
  checkAligned,
  checkMatrices,
  ELEMENTS_MAX,
  floatWord,
  inParts,
  TAPS_MAX,
  type Writer,
} from './writer.ts';

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
  inParts(call.count, ELEMENTS_MAX / Math.max(1, inner), (begin, end) => {
    writer.emit(op.SCATTER, [kind, y, positions, updates, rows, inner, begin, end]);
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
  const { x, y, outer, axis, inner } = call;
  checkAligned(x, y);
  const flags =
    (call.product ? op.CUMULATE_PRODUCT : 0) |
    (call.exclusive ? op.CUMULATE_EXCLUSIVE : 0) |
    (call.reverse ? op.CUMULATE_REVERSE : 0);
  inParts(outer, ELEMENTS_MAX / Math.max(1, axis * inner), (begin, end) => {
    writer.emit(op.CUMULATE, [typedKind(flags, call.type), x, y, axis, inner, begin, end]);
  });
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

/** Choosing costs about 16 comparisons an element. */
export function assembleTopK(writer: Writer, call: TopKCall): void {
  const { x, values, indices, heap, outer, axis, inner, k } = call;
  checkAligned(x, values, indices, heap);
  inParts(outer, ELEMENTS_MAX / 16 / Math.max(1, axis * inner), (begin, end) => {
    const kind = typedKind(call.largest ? 1 : 0, call.type);
    writer.emit(op.TOP_K, [kind, x, values, indices, heap, axis, inner, k, begin, end]);
  });
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
  const operands = [elementTypes[call.type], a, b, c, n, k, call.transposed ? 1 : 0];
  inParts(call.m, ELEMENTS_MAX / Math.max(1, n * k), (begin, end) => {
    writer.emit(op.PRODUCT, [...operands, begin, end]);
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

/** `room` holds size · size float64. */
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
  inParts(count, ELEMENTS_MAX / Math.max(1, size ** 3), (begin, end) => {
    writer.emit(op.DETERMINANT, [x, y, room, size, begin, end]);
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

/** A region may cover its picture, and a bin the whole region. */
export function assembleMaxRoiPool(writer: Writer, call: MaxRoiPoolCall): void {
  const { x, rois, y, dims, regions, outputSize, scale } = call;
  checkAligned(x, rois, y);
  const taps = dims.slice(1).reduce((product, size) => product * size, 1);
  inParts(regions * outputSize[0] * outputSize[1], TAPS_MAX / Math.max(1, taps), (begin, end) => {
    writer.emit(op.MAX_ROI_POOL, [x, rois, y, ...dims, ...outputSize, floatWord(scale), begin, end]);
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
