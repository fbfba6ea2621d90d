// Depthwise convolution with 3, 5 or 7 taps a row and a stride of 1 or 2: four neighbouring outputs, eight channels. The taps of a
// kernel row stay in registers and every input is loaded once for all the outputs that see it.
import { clip, madd } from './simd.ts';

const BLOCK_BYTES: usize = 32;
const ZEROS: usize = memory.data(32, 16);

// @ts-ignore: decorator
@inline
function put(y: usize, a: v128, b: v128, low: v128, high: v128): void {
  v128.store(y, clip(a, low, high));
  v128.store(y, clip(b, low, high), 16);
}

/** sum + x · (tap `tap` of `taps`), or `sum` where there is no such tap; `tap` and `taps` are constants at each call. */
// @ts-ignore: decorator
@inline
function term(
  taps: i32, tap: i32, x: v128, w0: v128, w1: v128, w2: v128, w3: v128, w4: v128, w5: v128, w6: v128, sum: v128,
): v128 {
  if (tap < 0 || tap >= taps) return sum;
  if (tap == 0) return madd(x, w0, sum);
  if (tap == 1) return madd(x, w1, sum);
  if (tap == 2) return madd(x, w2, sum);
  if (tap == 3) return madd(x, w3, sum);
  if (tap == 4) return madd(x, w4, sum);
  if (tap == 5) return madd(x, w5, sum);
  return madd(x, w6, sum);
}


/**
 * `tiles` times four outputs, `step` bytes apart, of `channels` (whole eights) whose weights lie `block` bytes apart. Of `rows` kernel rows
 * the first meets x; bytes between rows (`line`) and pixels (`pixel`). Of the columns of x, `before` at the left and `behind` at the right
 * are left out (constants). At an `edge` (also a constant) the first column is number `left` of `width`, and those outside count as zeros.
 */
// @ts-ignore: decorator
@inline
function run(
  taps: i32, stride: i32, before: i32, behind: i32, edge: bool,
  x: usize, line: usize, pixel: usize, weights: usize, block: usize, rows: i32, bias: usize, y: usize, step: usize, tiles: i32, channels: i32,
  low: f32, high: f32, left: i32, width: i32,
): void {
  const end = taps + 3 * stride - behind;
  const lo = f32x4.splat(low), hi = f32x4.splat(high), zero = f32x4.splat(0);
  for (; channels > 0; channels -= 8) {
    const start0 = v128.load(bias), start1 = v128.load(bias, 16);
    let corner = x, target = y;
    for (let tile = tiles; tile > 0; tile--) {
      let c0 = start0, c1 = start1, d0 = start0, d1 = start1, e0 = start0, e1 = start1, f0 = start0, f1 = start1;
      let source = corner, w = weights;
      for (let row = rows; row > 0; row--) {
        const v0 = v128.load(w), w0 = v128.load(w, 16), v1 = v128.load(w, 32), w1 = v128.load(w, 48);
        const v2 = v128.load(w, 64), w2 = v128.load(w, 80);
        let v3 = zero, w3 = zero, v4 = zero, w4 = zero, v5 = zero, w5 = zero, v6 = zero, w6 = zero;
        if (taps > 3) { v3 = v128.load(w, 96); w3 = v128.load(w, 112); v4 = v128.load(w, 128); w4 = v128.load(w, 144); }
        if (taps > 5) { v5 = v128.load(w, 160); w5 = v128.load(w, 176); v6 = v128.load(w, 192); w6 = v128.load(w, 208); }
        let p = source;
        if (before == 0) {
          const q = edge && <u32>(left) >= <u32>width ? ZEROS : p;
          const a = v128.load(q), b = v128.load(q, 16);
          c0 = term(taps, 0, a, v0, v1, v2, v3, v4, v5, v6, c0); c1 = term(taps, 0, b, w0, w1, w2, w3, w4, w5, w6, c1);
        }
        p += pixel;
        {
          const q = edge && <u32>(left + 1) >= <u32>width ? ZEROS : p;
          const a = v128.load(q), b = v128.load(q, 16);
          c0 = term(taps, 1, a, v0, v1, v2, v3, v4, v5, v6, c0); c1 = term(taps, 1, b, w0, w1, w2, w3, w4, w5, w6, c1);
          d0 = term(taps, 1 - stride, a, v0, v1, v2, v3, v4, v5, v6, d0); d1 = term(taps, 1 - stride, b, w0, w1, w2, w3, w4, w5, w6, d1);
        }
        p += pixel;
        {
          const q = edge && <u32>(left + 2) >= <u32>width ? ZEROS : p;
          const a = v128.load(q), b = v128.load(q, 16);
          c0 = term(taps, 2, a, v0, v1, v2, v3, v4, v5, v6, c0); c1 = term(taps, 2, b, w0, w1, w2, w3, w4, w5, w6, c1);
          d0 = term(taps, 2 - stride, a, v0, v1, v2, v3, v4, v5, v6, d0); d1 = term(taps, 2 - stride, b, w0, w1, w2, w3, w4, w5, w6, d1);
          e0 = term(taps, 2 - 2 * stride, a, v0, v1, v2, v3, v4, v5, v6, e0); e1 = term(taps, 2 - 2 * stride, b, w0, w1, w2, w3, w4, w5, w6, e1);
        }
        p += pixel;
        {
          const q = edge && <u32>(left + 3) >= <u32>width ? ZEROS : p;
          const a = v128.load(q), b = v128.load(q, 16);
          c0 = term(taps, 3, a, v0, v1, v2, v3, v4, v5, v6, c0); c1 = term(taps, 3, b, w0, w1, w2, w3, w4, w5, w6, c1);
          d0 = term(taps, 3 - stride, a, v0, v1, v2, v3, v4, v5, v6, d0); d1 = term(taps, 3 - stride, b, w0, w1, w2, w3, w4, w5, w6, d1);
          e0 = term(taps, 3 - 2 * stride, a, v0, v1, v2, v3, v4, v5, v6, e0); e1 = term(taps, 3 - 2 * stride, b, w0, w1, w2, w3, w4, w5, w6, e1);
          f0 = term(taps, 3 - 3 * stride, a, v0, v1, v2, v3, v4, v5, v6, f0); f1 = term(taps, 3 - 3 * stride, b, w0, w1, w2, w3, w4, w5, w6, f1);
        }
        p += pixel;
        {
          const q = edge && <u32>(left + 4) >= <u32>width ? ZEROS : p;
          const a = v128.load(q), b = v128.load(q, 16);
          c0 = term(taps, 4, a, v0, v1, v2, v3, v4, v5, v6, c0); c1 = term(taps, 4, b, w0, w1, w2, w3, w4, w5, w6, c1);
          d0 = term(taps, 4 - stride, a, v0, v1, v2, v3, v4, v5, v6, d0); d1 = term(taps, 4 - stride, b, w0, w1, w2, w3, w4, w5, w6, d1);
          e0 = term(taps, 4 - 2 * stride, a, v0, v1, v2, v3, v4, v5, v6, e0); e1 = term(taps, 4 - 2 * stride, b, w0, w1, w2, w3, w4, w5, w6, e1);
          f0 = term(taps, 4 - 3 * stride, a, v0, v1, v2, v3, v4, v5, v6, f0); f1 = term(taps, 4 - 3 * stride, b, w0, w1, w2, w3, w4, w5, w6, f1);
        }
        p += pixel;
        if (end > 5) {
          const q = edge && <u32>(left + 5) >= <u32>width ? ZEROS : p;
          const a = v128.load(q), b = v128.load(q, 16);
          c0 = term(taps, 5, a, v0, v1, v2, v3, v4, v5, v6, c0); c1 = term(taps, 5, b, w0, w1, w2, w3, w4, w5, w6, c1);
          d0 = term(taps, 5 - stride, a, v0, v1, v2, v3, v4, v5, v6, d0); d1 = term(taps, 5 - stride, b, w0, w1, w2, w3, w4, w5, w6, d1);
          e0 = term(taps, 5 - 2 * stride, a, v0, v1, v2, v3, v4, v5, v6, e0); e1 = term(taps, 5 - 2 * stride, b, w0, w1, w2, w3, w4, w5, w6, e1);
          f0 = term(taps, 5 - 3 * stride, a, v0, v1, v2, v3, v4, v5, v6, f0); f1 = term(taps, 5 - 3 * stride, b, w0, w1, w2, w3, w4, w5, w6, f1);
        }
        p += pixel;
        if (end > 6) {
          const q = edge && <u32>(left + 6) >= <u32>width ? ZEROS : p;
          const a = v128.load(q), b = v128.load(q, 16);
          c0 = term(taps, 6, a, v0, v1, v2, v3, v4, v5, v6, c0); c1 = term(taps, 6, b, w0, w1, w2, w3, w4, w5, w6, c1);
          d0 = term(taps, 6 - stride, a, v0, v1, v2, v3, v4, v5, v6, d0); d1 = term(taps, 6 - stride, b, w0, w1, w2, w3, w4, w5, w6, d1);
          e0 = term(taps, 6 - 2 * stride, a, v0, v1, v2, v3, v4, v5, v6, e0); e1 = term(taps, 6 - 2 * stride, b, w0, w1, w2, w3, w4, w5, w6, e1);
          f0 = term(taps, 6 - 3 * stride, a, v0, v1, v2, v3, v4, v5, v6, f0); f1 = term(taps, 6 - 3 * stride, b, w0, w1, w2, w3, w4, w5, w6, f1);
        }
        p += pixel;
        if (end > 7) {
          const q = edge && <u32>(left + 7) >= <u32>width ? ZEROS : p;
          const a = v128.load(q), b = v128.load(q, 16);
          d0 = term(taps, 7 - stride, a, v0, v1, v2, v3, v4, v5, v6, d0); d1 = term(taps, 7 - stride, b, w0, w1, w2, w3, w4, w5, w6, d1);
          e0 = term(taps, 7 - 2 * stride, a, v0, v1, v2, v3, v4, v5, v6, e0); e1 = term(taps, 7 - 2 * stride, b, w0, w1, w2, w3, w4, w5, w6, e1);
          f0 = term(taps, 7 - 3 * stride, a, v0, v1, v2, v3, v4, v5, v6, f0); f1 = term(taps, 7 - 3 * stride, b, w0, w1, w2, w3, w4, w5, w6, f1);
        }
        p += pixel;
        if (end > 8) {
          const q = edge && <u32>(left + 8) >= <u32>width ? ZEROS : p;
          const a = v128.load(q), b = v128.load(q, 16);
          d0 = term(taps, 8 - stride, a, v0, v1, v2, v3, v4, v5, v6, d0); d1 = term(taps, 8 - stride, b, w0, w1, w2, w3, w4, w5, w6, d1);
          e0 = term(taps, 8 - 2 * stride, a, v0, v1, v2, v3, v4, v5, v6, e0); e1 = term(taps, 8 - 2 * stride, b, w0, w1, w2, w3, w4, w5, w6, e1);
          f0 = term(taps, 8 - 3 * stride, a, v0, v1, v2, v3, v4, v5, v6, f0); f1 = term(taps, 8 - 3 * stride, b, w0, w1, w2, w3, w4, w5, w6, f1);
        }
        p += pixel;
        if (end > 9) {
          const q = edge && <u32>(left + 9) >= <u32>width ? ZEROS : p;
          const a = v128.load(q), b = v128.load(q, 16);
          e0 = term(taps, 9 - 2 * stride, a, v0, v1, v2, v3, v4, v5, v6, e0); e1 = term(taps, 9 - 2 * stride, b, w0, w1, w2, w3, w4, w5, w6, e1);
          f0 = term(taps, 9 - 3 * stride, a, v0, v1, v2, v3, v4, v5, v6, f0); f1 = term(taps, 9 - 3 * stride, b, w0, w1, w2, w3, w4, w5, w6, f1);
        }
        p += pixel;
        if (end > 10) {
          const q = edge && <u32>(left + 10) >= <u32>width ? ZEROS : p;
          const a = v128.load(q), b = v128.load(q, 16);
          e0 = term(taps, 10 - 2 * stride, a, v0, v1, v2, v3, v4, v5, v6, e0); e1 = term(taps, 10 - 2 * stride, b, w0, w1, w2, w3, w4, w5, w6, e1);
          f0 = term(taps, 10 - 3 * stride, a, v0, v1, v2, v3, v4, v5, v6, f0); f1 = term(taps, 10 - 3 * stride, b, w0, w1, w2, w3, w4, w5, w6, f1);
        }
        p += pixel;
        if (end > 11) {
          const q = edge && <u32>(left + 11) >= <u32>width ? ZEROS : p;
          const a = v128.load(q), b = v128.load(q, 16);
          f0 = term(taps, 11 - 3 * stride, a, v0, v1, v2, v3, v4, v5, v6, f0); f1 = term(taps, 11 - 3 * stride, b, w0, w1, w2, w3, w4, w5, w6, f1);
        }
        p += pixel;
        if (end > 12) {
          const q = edge && <u32>(left + 12) >= <u32>width ? ZEROS : p;
          const a = v128.load(q), b = v128.load(q, 16);
          f0 = term(taps, 12 - 3 * stride, a, v0, v1, v2, v3, v4, v5, v6, f0); f1 = term(taps, 12 - 3 * stride, b, w0, w1, w2, w3, w4, w5, w6, f1);
        }
        source += line;
        w += <usize>taps * BLOCK_BYTES;
      }
      put(target, c0, c1, lo, hi);
      target += step;
      put(target, d0, d1, lo, hi);
      target += step;
      put(target, e0, e1, lo, hi);
      target += step;
      put(target, f0, f1, lo, hi);
      target += step;
      corner += pixel * 4 * stride;
    }
    x += BLOCK_BYTES;
    weights += block;
    bias += BLOCK_BYTES;
    y += BLOCK_BYTES;
  }
}

function three(x: usize, line: usize, pixel: usize, weights: usize, block: usize, rows: i32, bias: usize, y: usize, step: usize, tiles: i32, channels: i32, low: f32, high: f32, left: i32, width: i32): void { run(3, 1, 0, 0, false, x, line, pixel, weights, block, rows, bias, y, step, tiles, channels, low, high, left, width); }
function threeLeft(x: usize, line: usize, pixel: usize, weights: usize, block: usize, rows: i32, bias: usize, y: usize, step: usize, tiles: i32, channels: i32, low: f32, high: f32, left: i32, width: i32): void { run(3, 1, 1, 0, false, x, line, pixel, weights, block, rows, bias, y, step, tiles, channels, low, high, left, width); }
function threeRight(x: usize, line: usize, pixel: usize, weights: usize, block: usize, rows: i32, bias: usize, y: usize, step: usize, tiles: i32, channels: i32, low: f32, high: f32, left: i32, width: i32): void { run(3, 1, 0, 1, false, x, line, pixel, weights, block, rows, bias, y, step, tiles, channels, low, high, left, width); }
function threeBoth(x: usize, line: usize, pixel: usize, weights: usize, block: usize, rows: i32, bias: usize, y: usize, step: usize, tiles: i32, channels: i32, low: f32, high: f32, left: i32, width: i32): void { run(3, 1, 1, 1, false, x, line, pixel, weights, block, rows, bias, y, step, tiles, channels, low, high, left, width); }
function threeEdge(x: usize, line: usize, pixel: usize, weights: usize, block: usize, rows: i32, bias: usize, y: usize, step: usize, tiles: i32, channels: i32, low: f32, high: f32, left: i32, width: i32): void { run(3, 1, 0, 0, true, x, line, pixel, weights, block, rows, bias, y, step, tiles, channels, low, high, left, width); }
function threeApart(x: usize, line: usize, pixel: usize, weights: usize, block: usize, rows: i32, bias: usize, y: usize, step: usize, tiles: i32, channels: i32, low: f32, high: f32, left: i32, width: i32): void { run(3, 2, 0, 0, false, x, line, pixel, weights, block, rows, bias, y, step, tiles, channels, low, high, left, width); }
function threeApartLeft(x: usize, line: usize, pixel: usize, weights: usize, block: usize, rows: i32, bias: usize, y: usize, step: usize, tiles: i32, channels: i32, low: f32, high: f32, left: i32, width: i32): void { run(3, 2, 1, 0, false, x, line, pixel, weights, block, rows, bias, y, step, tiles, channels, low, high, left, width); }
function threeApartRight(x: usize, line: usize, pixel: usize, weights: usize, block: usize, rows: i32, bias: usize, y: usize, step: usize, tiles: i32, channels: i32, low: f32, high: f32, left: i32, width: i32): void { run(3, 2, 0, 1, false, x, line, pixel, weights, block, rows, bias, y, step, tiles, channels, low, high, left, width); }
function threeApartBoth(x: usize, line: usize, pixel: usize, weights: usize, block: usize, rows: i32, bias: usize, y: usize, step: usize, tiles: i32, channels: i32, low: f32, high: f32, left: i32, width: i32): void { run(3, 2, 1, 1, false, x, line, pixel, weights, block, rows, bias, y, step, tiles, channels, low, high, left, width); }
function threeApartEdge(x: usize, line: usize, pixel: usize, weights: usize, block: usize, rows: i32, bias: usize, y: usize, step: usize, tiles: i32, channels: i32, low: f32, high: f32, left: i32, width: i32): void { run(3, 2, 0, 0, true, x, line, pixel, weights, block, rows, bias, y, step, tiles, channels, low, high, left, width); }
function five(x: usize, line: usize, pixel: usize, weights: usize, block: usize, rows: i32, bias: usize, y: usize, step: usize, tiles: i32, channels: i32, low: f32, high: f32, left: i32, width: i32): void { run(5, 1, 0, 0, false, x, line, pixel, weights, block, rows, bias, y, step, tiles, channels, low, high, left, width); }
function fiveEdge(x: usize, line: usize, pixel: usize, weights: usize, block: usize, rows: i32, bias: usize, y: usize, step: usize, tiles: i32, channels: i32, low: f32, high: f32, left: i32, width: i32): void { run(5, 1, 0, 0, true, x, line, pixel, weights, block, rows, bias, y, step, tiles, channels, low, high, left, width); }
function fiveApart(x: usize, line: usize, pixel: usize, weights: usize, block: usize, rows: i32, bias: usize, y: usize, step: usize, tiles: i32, channels: i32, low: f32, high: f32, left: i32, width: i32): void { run(5, 2, 0, 0, false, x, line, pixel, weights, block, rows, bias, y, step, tiles, channels, low, high, left, width); }
function fiveApartEdge(x: usize, line: usize, pixel: usize, weights: usize, block: usize, rows: i32, bias: usize, y: usize, step: usize, tiles: i32, channels: i32, low: f32, high: f32, left: i32, width: i32): void { run(5, 2, 0, 0, true, x, line, pixel, weights, block, rows, bias, y, step, tiles, channels, low, high, left, width); }
function seven(x: usize, line: usize, pixel: usize, weights: usize, block: usize, rows: i32, bias: usize, y: usize, step: usize, tiles: i32, channels: i32, low: f32, high: f32, left: i32, width: i32): void { run(7, 1, 0, 0, false, x, line, pixel, weights, block, rows, bias, y, step, tiles, channels, low, high, left, width); }
function sevenEdge(x: usize, line: usize, pixel: usize, weights: usize, block: usize, rows: i32, bias: usize, y: usize, step: usize, tiles: i32, channels: i32, low: f32, high: f32, left: i32, width: i32): void { run(7, 1, 0, 0, true, x, line, pixel, weights, block, rows, bias, y, step, tiles, channels, low, high, left, width); }
function sevenApart(x: usize, line: usize, pixel: usize, weights: usize, block: usize, rows: i32, bias: usize, y: usize, step: usize, tiles: i32, channels: i32, low: f32, high: f32, left: i32, width: i32): void { run(7, 2, 0, 0, false, x, line, pixel, weights, block, rows, bias, y, step, tiles, channels, low, high, left, width); }
function sevenApartEdge(x: usize, line: usize, pixel: usize, weights: usize, block: usize, rows: i32, bias: usize, y: usize, step: usize, tiles: i32, channels: i32, low: f32, high: f32, left: i32, width: i32): void { run(7, 2, 0, 0, true, x, line, pixel, weights, block, rows, bias, y, step, tiles, channels, low, high, left, width); }

type Tile = (
  x: usize, line: usize, pixel: usize, weights: usize, block: usize, rows: i32, bias: usize, y: usize, step: usize, tiles: i32, channels: i32,
  low: f32, high: f32, left: i32, width: i32,
) => void;

// Tables, so that V8 compiles only the instances that a program uses. By the columns outside: none, the first, the last, both; others.
const THREE: StaticArray<Tile> = [
  three, threeLeft, threeRight, threeBoth, threeEdge,
  threeApart, threeApartLeft, threeApartRight, threeApartBoth, threeApartEdge,
];
const MORE: StaticArray<Tile> = [
  five, fiveEdge, fiveApart, fiveApartEdge,
  seven, sevenEdge, sevenApart, sevenApartEdge,
];

export function hasDepthwiseTile(taps: i32, stride: i32): bool {
  return (taps == 3 || taps == 5 || taps == 7) && (stride == 1 || stride == 2);
}

/** For a tile whose first column is number `left` of `width`. */
export function depthwiseTile(taps: i32, stride: i32, left: i32, width: i32): Tile {
  const before = max(0, -left), behind = max(0, left + taps + 3 * stride - width);
  if (taps == 3) return unchecked(THREE[(stride - 1) * 5 + (max(before, behind) > 1 ? 4 : before + 2 * behind)]);
  return unchecked(MORE[(taps == 7 ? 4 : 0) + (stride - 1) * 2 + (before | behind ? 1 : 0)]);
}
