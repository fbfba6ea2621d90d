/** Non-maximum suppression: its shapes, its room, and its instruction. */
import * as op from '../../assembly/opcodes.ts';
import { type Emitter, inputOf, type OperationOf, requireFloat32 } from './emission.ts';
import type { Value } from './graph.ts';
import type { Address } from './instructions.ts';
import { checkAligned, type Writer } from './writer.ts';

/** Where the kernel notes what is done (assembly/tensor/suppress.ts, Progress). */
const PROGRESS_FLOATS = 16;
/** Low corner, high corner and area of a box that is kept. */
const OUTLINE_FLOATS = 5;

const inFours = (count: number): number => Math.ceil(count / 4) * 4;

/** Bytes: what is done, an index a candidate, an outline a kept box. */
export function suppressRoomBytes(boxCount: number, most: number): number {
  return (PROGRESS_FLOATS + inFours(boxCount) + OUTLINE_FLOATS * inFours(most)) * 4;
}

export interface SuppressCall {
  /** float32 [images, boxCount, 4] */
  readonly boxes: Address;
  /** float32 [images, classes, boxCount] */
  readonly scores: Address;
  /** float32: how much of their union two boxes may share. */
  readonly overlap: Address;
  /** float32: only boxes with a higher score count; NaN for all. */
  readonly least: Address;
  readonly room: Address;
  /** int32: (image · classes + class) · boxCount + box of each that is kept. */
  readonly places: Address;
  /** int32: how many there are. */
  readonly count: Address;
  readonly images: number;
  readonly classes: number;
  readonly boxCount: number;
  /** Boxes that are kept of an image's class. */
  readonly most: number;
  /** A box is [x, y, width, height] and not two corners. */
  readonly centred: boolean;
}

/** One instruction, which is called again until it is done. */
export function assembleSuppress(writer: Writer, call: SuppressCall): void {
  const { boxes, scores, overlap, least, room, places, count, classes, boxCount, most } = call;
  checkAligned(boxes, scores, overlap, least, room, places, count);
  writer.emit(op.FILL, [room, PROGRESS_FLOATS, 0]);
  const sizes = [call.images * classes, classes, boxCount, most, call.centred ? 1 : 0];
  writer.emit(op.SUPPRESS, [boxes, scores, overlap, least, room, places, count, ...sizes]);
}

export const suppress: Emitter<OperationOf<'suppress'>> = {
  scratchBytes: (node, { most }) => suppressRoomBytes(inputOf(node, 0).dims[1] as number, most),
  emit({ assembler, node, operation, scratch, at }) {
    const [boxes, scores, overlap, least] = [0, 1, 2, 3].map((i) => inputOf(node, i)) as [Value, Value, Value, Value];
    requireFloat32(node, boxes, scores, overlap, least);
    const [places, count] = node.outputs.map(at) as [Address, Address];
    const [images = 0, classes = 0, boxCount = 0] = scores.dims;
    assembler.suppress({
      ...{ boxes: at(boxes), scores: at(scores), overlap: at(overlap), least: at(least), room: scratch, places, count },
      ...{ images, classes, boxCount, ...operation },
    });
  },
};
