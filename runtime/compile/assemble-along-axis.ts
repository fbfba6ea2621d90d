/** Instructions that walk the middle axis of [outer, axis, inner]. */
import { strict as assert } from 'node:assert';
import * as op from '../../assembly/opcodes.ts';
import { type DataType, elementBytes } from '../engine/tensor.ts';
import { elementNs, elementsFor } from './element-cost.ts';
import type { Address } from './instructions.ts';
import { behind, checkAligned, inParts, LINE, type Writer } from './writer.ts';

interface AlongKernel {
  readonly opcode: number;
  readonly kind: number;
  readonly xBytes: number;
  readonly yBytes: number;
  /** One instruction goes on along the axis where the one before has stopped. */
  readonly isCarried: boolean;
}

interface Along {
  readonly x: Address;
  readonly y: Address;
  readonly outer: number;
  readonly axis: number;
  readonly inner: number;
}

export function reduceKernel(kind: number, type: DataType): AlongKernel {
  return { opcode: op.REDUCE, kind, xBytes: elementBytes(type), yBytes: elementBytes(type), isCarried: true };
}

export function argMaxKernel(kind: number, type: DataType): AlongKernel {
  return { opcode: op.ARG_MAX, kind, xBytes: elementBytes(type), yBytes: 8, isCarried: true };
}

export function softmaxKernel(log: boolean): AlongKernel {
  return { opcode: op.SOFTMAX, kind: log ? 1 : 0, xBytes: 4, yBytes: 4, isCarried: false };
}

export function cumulateKernel(kind: number, type: DataType): AlongKernel {
  return { opcode: op.CUMULATE, kind, xBytes: elementBytes(type), yBytes: elementBytes(type), isCarried: true };
}

/** Columns that are done together when not all of them can be: vectors shall be full, and cache lines used. */
const COLUMNS_MIN = LINE;

function elementsAtOnce({ opcode, kind }: AlongKernel, inner: number): number {
  return elementsFor(opcode === op.SOFTMAX ? softmaxNs(inner) : elementNs(opcode, kind));
}

/** Fewer columns than a vector has are done one by one. */
export function softmaxNs(inner: number): number {
  return inner > 1 && inner < 8 ? 5 : 2.5;
}

/** Whether a row along the axis has more elements than an instruction may, however few columns are done at a time. */
export function isLong(axis: number, inner: number): boolean {
  return axis * Math.min(inner, COLUMNS_MIN) > elementsFor(softmaxNs(inner));
}

/** By rows of outer; where one of them takes too long, by columns of inner, and then, if the kernel can, by parts of the axis. */
export function assembleAlongAxis(writer: Writer, kernel: AlongKernel, call: Along): void {
  const { x, y, outer, axis, inner } = call;
  const { opcode, kind, xBytes, yBytes, isCarried } = kernel;
  checkAligned(x, y);
  const hasExtreme = opcode === op.SOFTMAX || opcode === op.ARG_MAX;
  assert(!hasExtreme || inner === 0 || outer === 0 || axis > 0, 'an empty axis has no largest element');
  const most = elementsAtOnce(kernel, inner);
  if (axis * inner <= most) {
    writer.inShares(outer, most / Math.max(1, axis * inner), 1, (begin, end) => {
      writer.emit(opcode, [kind, x, y, axis, inner, begin, end, inner, 0, axis]);
    });
    return;
  }
  const columns = Math.max(COLUMNS_MIN, Math.floor(most / axis / LINE) * LINE);
  writer.inParts(outer, 1, (row) => {
    writer.inChunks(inner, columns, LINE, (left, right) => {
      const places = [kind, behind(x, left, xBytes), behind(y, left, yBytes), axis, inner, row, row + 1, right - left];
      inParts(axis, isCarried ? most / (right - left) : axis, (from, to) => writer.emit(opcode, [...places, from, to]));
    });
  });
}
