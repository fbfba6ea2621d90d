// What walks and rows of element-wise functions share.
import { Broadcast } from '../operands.ts';

/** One outer axis of a Broadcast, as it lies behind the instruction's operands. */
@unmanaged
export class Axis {
  size: i32; conditionStride: i32; aStride: i32; bStride: i32;
}

/** `rows` rows; strides between them are those of `axis`. */
export type Rows = (o: Broadcast, axis: Axis, rows: i32, condition: usize, a: usize, b: usize, y: usize) => void;
