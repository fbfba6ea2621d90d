// Products with one to four columns: vectors run along the sums instead of along the columns, of which most would be empty. Of a panel of
// 16 columns the second half is free then; runtime/compile/pack.ts writes the columns there once more, each as eight rows of B in a vector.
import { clip, madd } from './simd.ts';
import { scratch } from './scratch.ts';

/** From a step of eight rows to the next, from one column to the next, and where the first lies. */
const STEP: usize = 512;
const COLUMN: usize = 64;
const FIRST: usize = 32;

export const NARROW_MAX: i32 = 4;
const TILE_ROWS: i32 = 4;

/** `rows` (1 or 4) times `columns` (1 to 3) sums of eight lanes each → scratch; both are constants at each call. A as gemm-tile.ts says. */
// @ts-ignore: decorator
@inline
function tile(rows: i32, columns: i32, a: usize, lda: usize, b: usize, k: i32, segments: i32, gap: usize): void {
  const zero = f32x4.splat(0);
  let a0 = a, a1 = a0 + lda, a2 = a1 + lda, a3 = a2 + lda;
  let p00 = zero, q00 = zero, p01 = zero, q01 = zero, p02 = zero, q02 = zero;
  let p10 = zero, q10 = zero, p11 = zero, q11 = zero, p12 = zero, q12 = zero;
  let p20 = zero, q20 = zero, p21 = zero, q21 = zero, p22 = zero, q22 = zero;
  let p30 = zero, q30 = zero, p31 = zero, q31 = zero, p32 = zero, q32 = zero;
  b += FIRST;
  for (; segments > 0; segments--) {
    for (let left = k; left > 0; left -= 8) {
      const v0 = v128.load(b), w0 = v128.load(b, 16);
      let v1 = zero, w1 = zero, v2 = zero, w2 = zero;
      if (columns > 1) { v1 = v128.load(b, COLUMN); w1 = v128.load(b, COLUMN + 16); }
      if (columns > 2) { v2 = v128.load(b, 2 * COLUMN); w2 = v128.load(b, 2 * COLUMN + 16); }
      {
        const x = v128.load(a0), y = v128.load(a0, 16);
        p00 = madd(x, v0, p00); q00 = madd(y, w0, q00);
        if (columns > 1) { p01 = madd(x, v1, p01); q01 = madd(y, w1, q01); }
        if (columns > 2) { p02 = madd(x, v2, p02); q02 = madd(y, w2, q02); }
        a0 += 32;
      }
      if (rows > 1) {
        const x = v128.load(a1), y = v128.load(a1, 16);
        p10 = madd(x, v0, p10); q10 = madd(y, w0, q10);
        if (columns > 1) { p11 = madd(x, v1, p11); q11 = madd(y, w1, q11); }
        if (columns > 2) { p12 = madd(x, v2, p12); q12 = madd(y, w2, q12); }
        a1 += 32;
      }
      if (rows > 1) {
        const x = v128.load(a2), y = v128.load(a2, 16);
        p20 = madd(x, v0, p20); q20 = madd(y, w0, q20);
        if (columns > 1) { p21 = madd(x, v1, p21); q21 = madd(y, w1, q21); }
        if (columns > 2) { p22 = madd(x, v2, p22); q22 = madd(y, w2, q22); }
        a2 += 32;
      }
      if (rows > 1) {
        const x = v128.load(a3), y = v128.load(a3, 16);
        p30 = madd(x, v0, p30); q30 = madd(y, w0, q30);
        if (columns > 1) { p31 = madd(x, v1, p31); q31 = madd(y, w1, q31); }
        if (columns > 2) { p32 = madd(x, v2, p32); q32 = madd(y, w2, q32); }
        a3 += 32;
      }
      b += STEP;
    }
    a0 += gap; a1 += gap; a2 += gap; a3 += gap;
  }
  put(0, p00, q00);
  if (columns > 1) put(1, p01, q01);
  if (columns > 2) put(2, p02, q02);
  if (rows > 1) put(3, p10, q10);
  if (rows > 1 && columns > 1) put(4, p11, q11);
  if (rows > 1 && columns > 2) put(5, p12, q12);
  if (rows > 1) put(6, p20, q20);
  if (rows > 1 && columns > 1) put(7, p21, q21);
  if (rows > 1 && columns > 2) put(8, p22, q22);
  if (rows > 1) put(9, p30, q30);
  if (rows > 1 && columns > 1) put(10, p31, q31);
  if (rows > 1 && columns > 2) put(11, p32, q32);
}

// @ts-ignore: decorator
@inline
function put(index: usize, low: v128, high: v128): void {
  v128.store(scratch + index * 32, low);
  v128.store(scratch + index * 32, high, 16);
}

function four1(a: usize, lda: usize, b: usize, k: i32, segments: i32, gap: usize): void { tile(4, 1, a, lda, b, k, segments, gap); }
function four2(a: usize, lda: usize, b: usize, k: i32, segments: i32, gap: usize): void { tile(4, 2, a, lda, b, k, segments, gap); }
function four3(a: usize, lda: usize, b: usize, k: i32, segments: i32, gap: usize): void { tile(4, 3, a, lda, b, k, segments, gap); }
function one1(a: usize, lda: usize, b: usize, k: i32, segments: i32, gap: usize): void { tile(1, 1, a, lda, b, k, segments, gap); }
function one2(a: usize, lda: usize, b: usize, k: i32, segments: i32, gap: usize): void { tile(1, 2, a, lda, b, k, segments, gap); }
function one3(a: usize, lda: usize, b: usize, k: i32, segments: i32, gap: usize): void { tile(1, 3, a, lda, b, k, segments, gap); }

type Tile = (a: usize, lda: usize, b: usize, k: i32, segments: i32, gap: usize) => void;

const TILES: StaticArray<Tile> = [four1, four2, four3, one1, one2, one3];

/** Both halves of a sum of eight lanes. */
// @ts-ignore: decorator
@inline
function halves(index: usize): v128 {
  return f32x4.add(v128.load(scratch + index * 32), v128.load(scratch + index * 32, 16));
}

/** The sums of four rows, each of all its lanes. */
// @ts-ignore: decorator
@inline
function totals(column: usize): v128 {
  const a = halves(column), b = halves(column + 3), c = halves(column + 6), d = halves(column + 9);
  const ab = f32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(v128.shuffle<i32>(c, d, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<i64>(ab, cd, 0, 2), v128.shuffle<i64>(ab, cd, 1, 3));
}

function finishFour(column: usize, c: usize, ldc: usize, bias: usize, r: usize, ldr: usize, low: f32, high: f32): void {
  let sums = totals(column);
  if (bias) sums = f32x4.add(sums, v128.load_splat<f32>(bias));
  if (r) {
    const two = v128.load_lane<f32>(r + ldr, v128.load32_zero(r), 1), three = v128.load_lane<f32>(r + ldr * 2, two, 2);
    sums = f32x4.add(sums, v128.load_lane<f32>(r + ldr * 3, three, 3));
  }
  sums = clip(sums, f32x4.splat(low), f32x4.splat(high));
  v128.store_lane<f32>(c, sums, 0);
  v128.store_lane<f32>(c + ldc, sums, 1);
  v128.store_lane<f32>(c + ldc * 2, sums, 2);
  v128.store_lane<f32>(c + ldc * 3, sums, 3);
}

function finishOne(column: usize, c: usize, bias: usize, r: usize, low: f32, high: f32): void {
  const four = halves(column), two = f32x4.add(four, v128.shuffle<i32>(four, four, 2, 3, 0, 1));
  let sum = f32x4.extract_lane(two, 0) + f32x4.extract_lane(two, 1);
  if (bias) sum += load<f32>(bias);
  if (r) sum += load<f32>(r);
  if (sum > high) sum = high; // comparisons, since min and max would not keep NaN as `clip` does
  if (sum < low) sum = low;
  store<f32>(c, sum);
}

/** C = clip(A · B + bias + residual) of `width` columns. `bias` and `r` may be 0 for none. k is a multiple of 8. */
export function narrowGemm(
  a: usize, lda: usize, b: usize, k: i32, segments: i32, gap: usize, c: usize, ldc: usize, m: i32, width: i32,
  bias: usize, r: usize, ldr: usize, low: f32, high: f32,
): void {
  const columns = width == NARROW_MAX ? 2 : width; // four columns are done in two halves
  for (let i = 0, rows = 0; i < m; i += rows) {
    rows = m - i >= TILE_ROWS ? TILE_ROWS : 1;
    const sums = unchecked(TILES[(rows == 1 ? 3 : 0) + columns - 1]);
    for (let first = 0; first < width; first += columns) {
      sums(a, lda, b + <usize>first * COLUMN, k, segments, gap);
      for (let column = 0; column < columns; column++) {
        const place = <usize>(first + column) << 2, d = bias ? bias + place : 0, residual = r ? r + place : 0;
        if (rows == 1) finishOne(column, c + place, d, residual, low, high);
        else finishFour(column, c + place, ldc, d, residual, ldr, low, high);
      }
    }
    a += lda * rows;
    c += ldc * rows;
    if (r) r += ldr * rows;
  }
}
