// Maxima over the parts of regions (Fast R-CNN: R. Girshick, 2015).
import * as op from '../opcodes.ts';
import { MaxRoiPool, at } from '../operands.ts';

/** Pixels are counted exactly up to here; regions come from the data and may lie anywhere. */
const FARTHEST: f32 = 4194304;

/** To the nearest whole number, halves away from zero. What is no number counts as far outside. */
function rounded(x: f32): i32 {
  if (!(x > -FARTHEST)) return -<i32>FARTHEST;
  if (x > FARTHEST) return <i32>FARTHEST;
  return <i32>copysign<f32>(floor<f32>(abs<f32>(x) + 0.5), x);
}

function clamped(x: i32, size: i32): i32 {
  return min(max(x, 0), size);
}

/** The largest of `count` channels over a block of pixels, 0 where there are none. */
function largest(x: usize, y: usize, count: i32, rows: i32, rowBytes: usize, columns: i32, pixelBytes: usize): void {
  const bytes = <usize>count << 2;
  if (rows <= 0 || columns <= 0) {
    memory.fill(y, 0, bytes);
    return;
  }
  for (let channel: usize = 0; channel < bytes; channel += 4) {
    let most: f32 = -Infinity;
    let line = x + channel;
    for (let row = 0; row < rows; row++) {
      let pixel = line;
      for (let column = 0; column < columns; column++) {
        const value = load<f32>(pixel);
        most = most < value ? value : most;
        pixel += pixelBytes;
      }
      line += rowBytes;
    }
    store<f32>(y + channel, most);
  }
}

/** Bins [begin, end) of regions · outputHeight · outputWidth. */
export function maxRoiPool(o: MaxRoiPool): i32 {
  for (let bin = o.begin; bin < o.end; bin++) {
    const column = bin % o.outputWidth, row = bin / o.outputWidth % o.outputHeight;
    const region = at(o.rois) + <usize>(bin / (o.outputWidth * o.outputHeight)) * 20;
    const index = load<f32>(region);
    if (!(index >= 0 && index < <f32>o.batch)) return op.FAULT_INDEX;
    const left = rounded(load<f32>(region, 4) * o.scale), top = rounded(load<f32>(region, 8) * o.scale);
    const right = rounded(load<f32>(region, 12) * o.scale), bottom = rounded(load<f32>(region, 16) * o.scale);
    const binHeight = <f32>max(bottom - top + 1, 1) / <f32>o.outputHeight;
    const binWidth = <f32>max(right - left + 1, 1) / <f32>o.outputWidth;
    const firstRow = clamped(<i32>floor(<f32>row * binHeight) + top, o.height);
    const firstColumn = clamped(<i32>floor(<f32>column * binWidth) + left, o.width);
    const rows = clamped(<i32>ceil(<f32>(row + 1) * binHeight) + top, o.height) - firstRow;
    const columns = clamped(<i32>ceil(<f32>(column + 1) * binWidth) + left, o.width) - firstColumn;
    const pixel = (<i32>index * o.height + firstRow) * o.width + firstColumn;
    const from = at(o.x) + (<usize>pixel * o.channels << 2), to = at(o.y) + (<usize>bin * o.channels << 2);
    largest(from, to, o.count, rows, <usize>(o.width * o.channels) << 2, columns, <usize>o.channels << 2);
  }
  return op.OK;
}
