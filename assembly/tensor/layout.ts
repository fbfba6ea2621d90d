// Moving data: strided copies (transpose, slice, concat, expand), fill, gather.
import { FAULT_INDEX } from '../opcodes.ts';
import { Copy, at } from '../operands.ts';
import { turn } from './turn.ts';

@unmanaged
class Axis {
  size: i32; xStride: i32; yStride: i32;
}

/** Strides in bytes. */
type Block = (x: usize, y: usize, o: Copy) => void;

export function copyStrided(o: Copy): void {
  const axes = changetype<usize>(o) + offsetof<Copy>();
  const x = at(o.x) + o.xOffsetBytes, y = at(o.y) + o.yOffsetBytes;
  const block = chooseBlock(o);
  for (let index = o.begin; index < o.end; index++) {
    let rest = index;
    let xOffset = 0, yOffset = 0;
    for (let i = o.axes - 1; i >= 0; i--) {
      const axis = changetype<Axis>(axes + <usize>i * offsetof<Axis>());
      const position = rest % axis.size;
      rest /= axis.size;
      xOffset += position * axis.xStride;
      yOffset += position * axis.yStride;
    }
    block(x + xOffset, y + yOffset, o);
  }
}

function chooseBlock(o: Copy): Block {
  const bytes = o.elementBytes;
  if (o.xColumnBytes == bytes && o.yColumnBytes == bytes) return copyRuns;
  if (bytes == 4) return o.xRowBytes == 4 && o.yColumnBytes == 4 ? transposeWords : copyWords;
  if (bytes == 8) return copyLongs;
  return bytes == 2 ? copyShorts : copyBytes;
}

function copyRuns(x: usize, y: usize, o: Copy): void {
  const bytes = <usize>(o.columns * o.elementBytes);
  for (let row = 0; row < o.rows; row++) {
    memory.copy(y, x, bytes);
    x += o.xRowBytes;
    y += o.yRowBytes;
  }
}

function copyBytes(x: usize, y: usize, o: Copy): void { copyElements<u8>(x, y, o); }
function copyShorts(x: usize, y: usize, o: Copy): void { copyElements<u16>(x, y, o); }
function copyWords(x: usize, y: usize, o: Copy): void { copyElements<u32>(x, y, o); }
function copyLongs(x: usize, y: usize, o: Copy): void { copyElements<u64>(x, y, o); }

// @ts-ignore: decorator
@inline
function copyElements<T>(x: usize, y: usize, o: Copy): void {
  for (let row = 0; row < o.rows; row++) {
    let from = x, to = y;
    for (let column = 0; column < o.columns; column++) {
      store<T>(to, load<T>(from));
      from += o.xColumnBytes;
      to += o.yColumnBytes;
    }
    x += o.xRowBytes;
    y += o.yRowBytes;
  }
}

/** Rows are dense in x and columns dense in y: blocks of 4 x 4 words are turned in registers. */
function transposeWords(x: usize, y: usize, o: Copy): void {
  const xColumn = o.xColumnBytes, yRow = o.yRowBytes;
  let row = 0;
  for (; row + 4 <= o.rows; row += 4) {
    let from = x, to = y;
    let column = 0;
    for (; column + 4 <= o.columns; column += 4) {
      turn(from, xColumn, to, yRow);
      from += xColumn * 4;
      to += 16;
    }
    for (; column < o.columns; column++) {
      for (let i = 0; i < 4; i++) store<u32>(to + i * yRow, load<u32>(from + (i << 2)));
      from += xColumn;
      to += 4;
    }
    x += 16;
    y += yRow * 4;
  }
  for (; row < o.rows; row++) {
    for (let column = 0; column < o.columns; column++) store<u32>(y + (column << 2), load<u32>(x + column * xColumn));
    x += 4;
    y += yRow;
  }
}

export function fill(y: usize, count: i32, value: f32): void {
  const v = f32x4.splat(value);
  for (; count >= 4; count -= 4) {
    v128.store(y, v);
    y += 16;
  }
  for (; count > 0; count--) {
    store<f32>(y, value);
    y += 4;
  }
}

/** Output rows [begin, end) of outer * count, `bytes` of each. Returns `ok`, or FAULT_INDEX when an index lies outside the axis. */
export function gather(
  x: usize, indices: usize, wide: bool, y: usize, axis: i32, count: i32, innerBytes: i32, begin: i32, end: i32, bytes: i32, ok: i32,
): i32 {
  y += <usize>begin * innerBytes;
  for (let row = begin; row < end; row++) {
    const position = <usize>(row % count);
    let index: i64 = wide ? load<i64>(indices + (position << 3)) : <i64>load<i32>(indices + (position << 2));
    if (index < 0) index += axis;
    if (index < 0 || index >= axis) return FAULT_INDEX;
    const source = x + <usize>(row / count * axis + <i32>index) * innerBytes;
    if (innerBytes == 4) store<u32>(y, load<u32>(source));
    else memory.copy(y, source, bytes);
    y += innerBytes;
  }
  return ok;
}
