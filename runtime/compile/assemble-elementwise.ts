/** Instructions that walk tensors element by element: broadcast functions, and copies with strides. */
import { strict as assert } from 'node:assert';
import * as op from '../../assembly/opcodes.ts';
import { elementNs, elementsFor } from './element-cost.ts';
import { type Address, type BinaryPlaces, type LayerNormCall, NO_ADDRESS, type StridedCopy } from './instructions.ts';
import { joinAxes, stridesOf } from './strides.ts';
import { behind, checkAligned, ELEMENTS_MAX, floatWord, LINE, type Writer } from './writer.ts';

const RANK_MAX = 8;
/** A row on its own takes as long as some elements. */
const ROW_ELEMENTS = 4;

export interface BroadcastCall extends BinaryPlaces {
  readonly opcode: number;
  readonly kind: number;
  readonly condition?: Address;
  readonly a: Address;
  readonly b: Address;
  readonly y: Address;
  /** Bytes of an element of a and b. */
  readonly xBytes: number;
  /** Bytes of an element of y: 1 for comparisons. */
  readonly yBytes: number;
  readonly shape: readonly number[];
  readonly conditionStrides?: readonly number[];
  readonly aStrides: readonly number[];
  readonly bStrides: readonly number[];
}

function checkStrides(shape: readonly number[], ...strides: (readonly number[])[]): void {
  assert(shape.length <= RANK_MAX, `rank ${shape.length}: expected at most ${RANK_MAX}`);
  for (const each of strides)
    assert(
      each.length === shape.length && each.every(Number.isInteger),
      `strides [${each}] do not fit the shape [${shape}]`,
    );
}

/** The innermost axis becomes a row, cut when it is long; the outer ones are counted by the kernel. */
export function assembleBroadcast(writer: Writer, call: BroadcastCall): void {
  const { shape, aStrides, bStrides, aOffset = 0, bOffset = 0 } = call;
  const conditionStrides = call.conditionStrides ?? shape.map(() => 0);
  checkAligned(call.condition, call.a, call.b, call.y);
  checkStrides(shape, conditionStrides, aStrides, bStrides);
  if (shape.includes(0)) return;
  const yStrides = stridesOf(shape, call.yPixelStride);
  const joined = joinAxes(shape, [conditionStrides, aStrides, bStrides, yStrides]);
  const axes = joined.shape.map((size, axis) => ({
    size,
    strides: joined.strides.map((each) => each[axis] as number),
  }));
  const inner = axes.pop() as (typeof axes)[number];
  const [conditionStep, aStep, bStep] = inner.strides as [number, number, number];
  const rows = axes.reduce((product, axis) => product * axis.size, 1);
  const outer = axes.flatMap(({ size, strides }) => [size, ...strides.slice(0, 3)]);
  const most = elementsFor(elementNs(call.opcode, call.kind));
  writer.inShares(inner.size, most, LINE, (left, right) => {
    writer.inShares(rows, most / (right - left + ROW_ELEMENTS), 1, (begin, end) => {
      writer.emit(call.opcode, [
        call.kind,
        behind(call.condition ?? NO_ADDRESS, left * conditionStep, 1),
        behind(call.a, aOffset + left * aStep, call.xBytes),
        behind(call.b, bOffset + left * bStep, call.xBytes),
        behind(call.y, left, call.yBytes),
        right - left,
        conditionStep,
        aStep,
        bStep,
        axes.at(-1)?.strides[3] ?? inner.size,
        begin,
        end,
        axes.length,
        ...outer,
      ]);
    });
  });
}

interface ByteAxis {
  readonly size: number;
  readonly x: number;
  readonly y: number;
}

/** Which two axes the kernel copies as a block: columns dense in y, rows dense in x where columns are not (a transpose). */
function orderAxes(axes: readonly ByteAxis[]): { outer: ByteAxis[]; rows: ByteAxis; columns: ByteAxis } {
  const one: ByteAxis = { size: 1, x: 0, y: 0 };
  const outer = [...axes];
  const take = (stride: (axis: ByteAxis) => number): ByteAxis => {
    if (outer.length === 0) return one;
    const least = Math.min(...outer.map(stride));
    return outer.splice(
      outer.findLastIndex((axis) => stride(axis) === least),
      1,
    )[0] as ByteAxis;
  };
  const columns = take((axis) => Math.abs(axis.y));
  // A repeated axis (stride 0) reads nothing new, so it is no better than a far one.
  const rows = take((axis) => Math.abs(axis.x) || Number.MAX_SAFE_INTEGER);
  return { outer, rows, columns };
}

/** Elements that lie apart from each other may each miss the cache. */
const SCATTERED_MAX = ELEMENTS_MAX / 4;

export function assembleCopy(writer: Writer, call: StridedCopy): void {
  const { shape, elementBytes: bytes, xOffset = 0, yOffset = 0 } = call;
  checkAligned(call.x, call.y);
  checkStrides(shape, call.xStrides, call.yStrides);
  assert([1, 2, 4, 8].includes(bytes), `an element of ${bytes} bytes: expected 1, 2, 4 or 8`);
  if (shape.includes(0)) return;
  const joined = joinAxes(shape, [call.xStrides, call.yStrides]);
  const stride = (operand: number, axis: number) => (joined.strides[operand]?.[axis] as number) * bytes;
  const axes = joined.shape.map((size, axis): ByteAxis => ({ size, x: stride(0, axis), y: stride(1, axis) }));
  const { outer, rows, columns } = orderAxes(axes);
  const blocks = outer.reduce((product, axis) => product * axis.size, 1);
  const most = columns.x === bytes && columns.y === bytes ? ELEMENTS_MAX : SCATTERED_MAX;
  writer.inParts(columns.size, most, (left, right) => {
    writer.inParts(rows.size, most / (right - left + ROW_ELEMENTS), (top, bottom) => {
      const perBlock = (right - left + ROW_ELEMENTS) * (bottom - top);
      writer.inShares(blocks, most / perBlock, 1, (begin, end) => {
        writer.emit(op.COPY, [
          call.x,
          call.y,
          xOffset * bytes + left * columns.x + top * rows.x,
          yOffset * bytes + left * columns.y + top * rows.y,
          bytes,
          bottom - top,
          right - left,
          rows.x,
          rows.y,
          columns.x,
          columns.y,
          begin,
          end,
          outer.length,
          ...outer.flatMap((axis) => [axis.size, axis.x, axis.y]),
        ]);
      });
    });
  });
}

export function assembleLayerNorm(writer: Writer, call: LayerNormCall): void {
  const { x, y, rows, size, scale, bias, epsilon, uncentred } = call;
  checkAligned(x, y, scale, bias);
  writer.inShares(rows, ELEMENTS_MAX / Math.max(1, size), 1, (begin, end) => {
    writer.emit(op.LAYER_NORM, [x, y, scale, bias, size, floatWord(epsilon), begin, end, uncentred ? 0 : 1]);
  });
}

/** Of a row that is moved at a time. */
const ROW_BYTES_MAX = 4 * ELEMENTS_MAX;
/** A row on its own takes as long as so many bytes of one. */
const ROW_OVERHEAD_BYTES = 16;

/** As `Instructions.gather`. */
export function assembleGather(
  writer: Writer,
  call: {
    readonly x: Address;
    readonly indices: Address;
    readonly indexType: 'int32' | 'int64';
    readonly y: Address;
    readonly outer: number;
    readonly axis: number;
    readonly count: number;
    readonly innerBytes: number;
  },
): void {
  const { x, indices, indexType, y, outer, axis, count, innerBytes } = call;
  checkAligned(x, indices, y);
  const isWide = indexType === 'int64' ? 1 : 0;
  writer.inParts(innerBytes, ROW_BYTES_MAX, (left, right) => {
    const operands = [behind(x, left, 1), indices, isWide, behind(y, left, 1), axis, count, innerBytes];
    const bytes = right - left;
    writer.inParts(outer * count, ROW_BYTES_MAX / Math.max(bytes, ROW_OVERHEAD_BYTES), (begin, end) => {
      writer.emit(op.GATHER, [...operands, begin, end, bytes]);
    });
  });
}
