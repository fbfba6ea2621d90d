// Pictures read at places between their pixels. x is [batch, depth, height, width, channels]; a plane has depth 1.
// Sources: ONNX GridSample-22 and RoiAlign-22 (K. He et al., Mask R-CNN, 2017).
import * as op from '../opcodes.ts';
import { RoiAlign, Sample, at } from '../operands.ts';

/** From -1 … 1 to pixels; whether the ends are the centres of the outermost pixels or their borders. */
// @ts-ignore: decorator
@inline
function toPixel(g: f32, size: i32, aligned: bool): f32 {
  return aligned ? (g + 1) / 2 * <f32>(size - 1) : ((g + 1) * <f32>size - 1) / 2;
}

function reflect(x: f32, low: f32, high: f32): f32 {
  const range = high - low;
  if (range <= 0) return low;
  const beyond: f32 = x < low ? low - x : x > high ? x - high : 0;
  if (beyond == 0) return x;
  const times = floor(beyond / range), rest = beyond - times * range;
  const isBack = times % 2 == 0;
  return (x < low) == isBack ? low + rest : high - rest;
}

/** A place beyond the picture is brought back as the border mode says. */
function bring(x: f32, size: i32, border: i32, aligned: bool): f32 {
  // Far beyond (or NaN) there is no whole number that a pixel could have.
  const far = <f32>0x1000000;
  if (!(abs(x) < far)) x = x > 0 ? far : -far;
  const last = <f32>(size - 1);
  if (border == op.BORDER_CLAMP) return min(max(x, 0), last);
  if (border == op.BORDER_REFLECT) return aligned ? reflect(x, 0, last) : reflect(x, -0.5, last + 0.5);
  return x;
}

/** Index of a pixel, or -1 for one that counts as zero. */
// @ts-ignore: decorator
@inline
function indexOf(x: f32, size: i32, border: i32, aligned: bool): i32 {
  if (border == op.BORDER_ZERO) return x < 0 || x > <f32>(size - 1) ? -1 : <i32>x;
  return min(max(<i32>bring(x, size, border, aligned), 0), size - 1);
}

/** Weights of the pixels around a place; a = -0.75, as everybody has it. */
function cubic(t: f32, tap: i32): f32 {
  const a: f32 = -0.75;
  const x = abs(t - <f32>(tap - 1));
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}

// @ts-ignore: decorator
@inline
function weightOf(mode: i32, t: f32, tap: i32): f32 {
  if (mode == op.SAMPLE_NEAREST) return 1;
  if (mode == op.SAMPLE_LINEAR) return tap == 0 ? 1 - t : t;
  return cubic(t, tap);
}

/** Points [begin, end) of batch · points. */
export function sample(o: Sample): void {
  const aligned = o.aligned != 0;
  const taps = o.mode == op.SAMPLE_NEAREST ? 1 : o.mode == op.SAMPLE_LINEAR ? 2 : 4;
  const first = o.mode == op.SAMPLE_CUBIC ? -1 : 0;
  const zTaps = o.rank == 3 ? taps : 1;
  for (let point = o.begin; point < o.end; point++) {
    const grid = at(o.grid) + (<usize>(point * o.rank) << 2);
    const image = point / o.points;
    const x = place(load<f32>(grid), o.width, o, aligned), y = place(load<f32>(grid, 4), o.height, o, aligned);
    const z: f32 = o.rank == 3 ? place(load<f32>(grid, 8), o.depth, o, aligned) : 0;
    const left = floor(x), top = floor(y), front = floor(z);
    const to = at(o.y) + (<usize>(point * o.channels) << 2);
    memory.fill(to, 0, <usize>o.channels << 2);
    for (let k = 0; k < zTaps; k++) {
      const plane = o.rank == 3 ? indexOf(front + <f32>(k + first), o.depth, o.border, aligned) : 0;
      const zWeight: f32 = o.rank == 3 ? weightOf(o.mode, z - front, k) : 1;
      for (let j = 0; j < taps; j++) {
        const row = indexOf(top + <f32>(j + first), o.height, o.border, aligned);
        const yWeight = zWeight * weightOf(o.mode, y - top, j);
        for (let i = 0; i < taps; i++) {
          const column = indexOf(left + <f32>(i + first), o.width, o.border, aligned);
          if (plane < 0 || row < 0 || column < 0) continue;
          const pixel = ((image * o.depth + plane) * o.height + row) * o.width + column;
          addScaled(at(o.x) + (<usize>pixel * o.channels << 2), to, o.channels, yWeight * weightOf(o.mode, x - left, i));
        }
      }
    }
  }
}

function place(g: f32, size: i32, o: Sample, aligned: bool): f32 {
  let x = o.normalised ? toPixel(g, size, aligned) : g;
  if (o.mode == op.SAMPLE_NEAREST) x = nearest(x);
  // The taps of a wider filter are brought back one by one.
  return bring(x, size, o.mode == op.SAMPLE_CUBIC ? op.BORDER_ZERO : o.border, aligned);
}

function addScaled(x: usize, y: usize, count: i32, factor: f32): void {
  for (let i = 0; i < count; i++) {
    store<f32>(y, load<f32>(y) + factor * load<f32>(x));
    x += 4;
    y += 4;
  }
}

/** The largest of the weighted neighbours, which is what the standard compares. */
function keepLargest(x: usize, y: usize, count: i32, factor: f32): void {
  for (let i = 0; i < count; i++) {
    store<f32>(y, max(load<f32>(y), factor * load<f32>(x)));
    x += 4;
    y += 4;
  }
}

/** One place of a region: its four neighbours, weighted; a place more than a pixel outside counts as zero. */
function joinPlace(o: RoiAlign, image: usize, y: f32, x: f32, to: usize, factor: f32): void {
  if (y < -1 || y > <f32>o.height || x < -1 || x > <f32>o.width) {
    if (o.largest) keepLargest(image, to, o.channels, 0);
    return;
  }
  y = min(max(y, 0), <f32>(o.height - 1));
  x = min(max(x, 0), <f32>(o.width - 1));
  const top = <i32>y, left = <i32>x;
  for (let j = 0; j < 2; j++) {
    const yWeight: f32 = j == 0 ? 1 - (y - <f32>top) : y - <f32>top;
    for (let i = 0; i < 2; i++) {
      const weight: f32 = factor * yWeight * (i == 0 ? 1 - (x - <f32>left) : x - <f32>left);
      const pixel = min(top + j, o.height - 1) * o.width + min(left + i, o.width - 1);
      const from = image + (<usize>pixel * o.channels << 2);
      if (o.largest) keepLargest(from, to, o.channels, weight);
      else addScaled(from, to, o.channels, weight);
    }
  }
}

/** Bins [begin, end) of regions · outputHeight · outputWidth. */
export function roiAlign(o: RoiAlign): i32 {
  for (let bin = o.begin; bin < o.end; bin++) {
    const column = bin % o.outputWidth, row = bin / o.outputWidth % o.outputHeight;
    const region = bin / (o.outputWidth * o.outputHeight);
    const index = load<i64>(at(o.images) + (<usize>region << 3));
    if (index < 0 || index >= o.batch) return op.FAULT_INDEX;
    const corner = at(o.rois) + (<usize>region << 4);
    const left = load<f32>(corner) * o.scale - o.offset, top = load<f32>(corner, 4) * o.scale - o.offset;
    let width = load<f32>(corner, 8) * o.scale - o.offset - left, height = load<f32>(corner, 12) * o.scale - o.offset - top;
    if (o.offset == 0) {
      width = max(width, 1);
      height = max(height, 1);
    }
    const binHeight = height / <f32>o.outputHeight, binWidth = width / <f32>o.outputWidth;
    const rows = countOf(o.ratio, binHeight), columns = countOf(o.ratio, binWidth);
    const image = at(o.x) + (<usize>(<i32>index * o.height * o.width) * o.channels << 2);
    const to = at(o.y) + (<usize>bin * o.channels << 2);
    for (let c = 0; c < o.channels; c++) store<f32>(to + (<usize>c << 2), o.largest ? -Infinity : 0);
    const factor: f32 = o.largest ? 1 : 1 / <f32>max(rows * columns, 1);
    for (let j = 0; j < rows; j++) {
      const y = top + binHeight * (<f32>row + (<f32>j + 0.5) / <f32>rows);
      for (let i = 0; i < columns; i++)
        joinPlace(o, image, y, left + binWidth * (<f32>column + (<f32>i + 0.5) / <f32>columns), to, factor);
    }
  }
  return op.OK;
}

/** Places a bin is read at along one axis, when the model leaves it open: one a pixel. Bounded, since regions come from the data. */
function countOf(ratio: i32, size: f32): i32 {
  if (ratio > 0) return ratio;
  return <i32>min(max(ceil(size), 0), 1024);
}
