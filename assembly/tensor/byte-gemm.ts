// 8-bit products from bytes to bytes, as quantized.ts, where the machine multiplies bytes exactly (byte-dot.ts): four neighbours along
// the sum in one step, so B is packed in fours of rows, a panel of 16 columns being 16 sums of columns (int32), then [(k + 3) / 4][16][4]
// bytes, zero padded. The sums are for the zero point: Σ (x - zero) · w = Σ x · w - zero · Σ w.
import { ByteGemm, Rescaling, at } from '../operands.ts';
import { dot } from './byte-dot.ts';
import { origin, rescale, rounder } from './quantized.ts';
import { scratch } from './scratch.ts';

const TILE_ROWS: i32 = 6;
const PANEL: i32 = 16;
const SUMS_BYTES: usize = 64;
const FOUR_BYTES: usize = 64; // of a panel, for four rows
/** Scratch: 6 x 16 rescaled sums, then what the sums of a panel begin with. */
const START: usize = 384;

/**
 * `rows` (1 or 6) rows of A, `wide`: times all 16 columns of a panel at `b`, else times 8 of them. Rescaled sums go to `sums`, which is
 * scratch, 64 bytes a row, in pairs: what makes bytes of them would break the pairs.
 */
// @ts-ignore: decorator
@inline
function tile(rows: i32, wide: bool, a: usize, lda: usize, b: usize, fours: i32, sums: usize, factor: usize, to: Rescaling): void {
  let c00 = v128.load(sums + START), c01 = v128.load(sums + START, 16), c02 = v128.load(sums + START, 32), c03 = v128.load(sums + START, 48);
  let c10 = c00, c11 = c01, c12 = c02, c13 = c03, c20 = c00, c21 = c01, c22 = c02, c23 = c03, c30 = c00, c31 = c01, c32 = c02, c33 = c03;
  let c40 = c00, c41 = c01, c42 = c02, c43 = c03, c50 = c00, c51 = c01, c52 = c02, c53 = c03;
  let a1 = a + lda, a2 = a1 + lda, a3 = a2 + lda, a4 = a3 + lda, a5 = a4 + lda;
  for (; fours > 0; fours--) {
    const b0 = v128.load(b), b1 = v128.load(b, 16), b2 = wide ? v128.load(b, 32) : b0, b3 = wide ? v128.load(b, 48) : b0;
    const x0 = v128.load32_splat(a);
    c00 = dot(b0, x0, c00); c01 = dot(b1, x0, c01);
    if (wide) { c02 = dot(b2, x0, c02); c03 = dot(b3, x0, c03); }
    if (rows > 1) {
      const x1 = v128.load32_splat(a1);
      c10 = dot(b0, x1, c10); c11 = dot(b1, x1, c11);
      if (wide) { c12 = dot(b2, x1, c12); c13 = dot(b3, x1, c13); }
      const x2 = v128.load32_splat(a2);
      c20 = dot(b0, x2, c20); c21 = dot(b1, x2, c21);
      if (wide) { c22 = dot(b2, x2, c22); c23 = dot(b3, x2, c23); }
      const x3 = v128.load32_splat(a3);
      c30 = dot(b0, x3, c30); c31 = dot(b1, x3, c31);
      if (wide) { c32 = dot(b2, x3, c32); c33 = dot(b3, x3, c33); }
      const x4 = v128.load32_splat(a4);
      c40 = dot(b0, x4, c40); c41 = dot(b1, x4, c41);
      if (wide) { c42 = dot(b2, x4, c42); c43 = dot(b3, x4, c43); }
      const x5 = v128.load32_splat(a5);
      c50 = dot(b0, x5, c50); c51 = dot(b1, x5, c51);
      if (wide) { c52 = dot(b2, x5, c52); c53 = dot(b3, x5, c53); }
      a1 += 4; a2 += 4; a3 += 4; a4 += 4; a5 += 4;
    }
    a += 4;
    b += FOUR_BYTES;
  }
  const f0 = v128.load(factor), f1 = v128.load(factor, 16), f2 = v128.load(factor, 32), f3 = v128.load(factor, 48);
  const low = f32x4.splat(to.low), high = f32x4.splat(to.high), half = rounder(), from = origin(to);
  keep(wide, sums, c00, c01, c02, c03, f0, f1, f2, f3, low, high, half, from);
  if (rows > 1) {
    keep(wide, sums + 64, c10, c11, c12, c13, f0, f1, f2, f3, low, high, half, from);
    keep(wide, sums + 128, c20, c21, c22, c23, f0, f1, f2, f3, low, high, half, from);
    keep(wide, sums + 192, c30, c31, c32, c33, f0, f1, f2, f3, low, high, half, from);
    keep(wide, sums + 256, c40, c41, c42, c43, f0, f1, f2, f3, low, high, half, from);
    keep(wide, sums + 320, c50, c51, c52, c53, f0, f1, f2, f3, low, high, half, from);
  }
}

/** A row of 8 or 16 rescaled sums. Constants come as arguments, so that they are loaded once a tile. */
// @ts-ignore: decorator
@inline
export function keep(
  wide: bool, row: usize, c0: v128, c1: v128, c2: v128, c3: v128, f0: v128, f1: v128, f2: v128, f3: v128, low: v128, high: v128, half: v128, from: v128,
): void {
  v128.store(row, rescale(c0, f0, low, high, half, from));
  v128.store(row, rescale(c1, f1, low, high, half, from), 16);
  if (!wide) return;
  v128.store(row, rescale(c2, f2, low, high, half, from), 32);
  v128.store(row, rescale(c3, f3, low, high, half, from), 48);
}

function tile1x8(a: usize, lda: usize, b: usize, fours: i32, sums: usize, factor: usize, to: Rescaling): void { tile(1, false, a, lda, b, fours, sums, factor, to); }
function tile6x8(a: usize, lda: usize, b: usize, fours: i32, sums: usize, factor: usize, to: Rescaling): void { tile(6, false, a, lda, b, fours, sums, factor, to); }
function tile1x16(a: usize, lda: usize, b: usize, fours: i32, sums: usize, factor: usize, to: Rescaling): void { tile(1, true, a, lda, b, fours, sums, factor, to); }
function tile6x16(a: usize, lda: usize, b: usize, fours: i32, sums: usize, factor: usize, to: Rescaling): void { tile(6, true, a, lda, b, fours, sums, factor, to); }

// @ts-ignore: decorator
@inline
function bytesAt(p: usize, flips: v128): v128 {
  const left = i16x8.narrow_i32x4_s(v128.load(p), v128.load(p, 16)), right = i16x8.narrow_i32x4_s(v128.load(p, 32), v128.load(p, 48));
  return v128.xor(i8x16.narrow_i16x8_s(left, right), flips);
}

/** The first `width` bytes, less than 16. */
// @ts-ignore: decorator
@inline
function storeFirst(y: usize, bytes: v128, width: i32): void {
  if (width & 8) {
    v128.store64_lane(y, bytes, 0);
    bytes = v128.shuffle<i64>(bytes, bytes, 1, 1);
    y += 8;
  }
  if (width & 4) {
    v128.store32_lane(y, bytes, 0);
    bytes = v128.shuffle<i32>(bytes, bytes, 1, 1, 1, 1);
    y += 4;
  }
  if (width & 2) {
    v128.store16_lane(y, bytes, 0);
    bytes = v128.shuffle<i16>(bytes, bytes, 1, 1, 1, 1, 1, 1, 1, 1);
    y += 2;
  }
  if (width & 1) v128.store8_lane(y, bytes, 0);
}

/** Rescaled sums in scratch to `width` bytes of each row. */
export function storeRows(rows: i32, width: i32, y: usize, ldy: usize, flip: i32): void {
  const flips = i8x16.splat(<i8>flip);
  let p = scratch;
  if (width == 16) {
    for (; rows > 0; rows--, p += 64, y += ldy) v128.store(y, bytesAt(p, flips));
  } else if (width == 8) {
    for (; rows > 0; rows--, p += 64, y += ldy) v128.store64_lane(y, bytesAt(p, flips), 0);
  } else {
    for (; rows > 0; rows--, p += 64, y += ldy) storeFirst(y, bytesAt(p, flips), width);
  }
}

/** What the sums of 8 or 16 columns begin with, to scratch. */
// @ts-ignore: decorator
@inline
function begin(bias: usize, sums: usize, zero: i32): void {
  const zeros = i32x4.splat(zero);
  for (let i: usize = 0; i < SUMS_BYTES; i += 16)
    v128.store(scratch + START + i, i32x4.sub(v128.load(bias + i), i32x4.mul(v128.load(sums + i), zeros)));
}

/** All rows of `columns` (8 or 16, constant) columns of a panel, from the one at `b` on; `width` of them are stored. */
// @ts-ignore: decorator
@inline
function columnsOf(columns: i32, o: ByteGemm, to: Rescaling, width: i32, b: usize, factor: usize, y: usize): void {
  const lda = <usize>o.lda, ldy = <usize>o.ldy, fours = (o.k + 3) >> 2, m = o.m, a = at(o.a);
  for (let i = 0; i < m; ) {
    const left = m - i;
    if (left > 1 && left < TILE_ROWS && m > TILE_ROWS) i = m - TILE_ROWS; // six at a time are quicker, even when some are reckoned twice
    const row = a + lda * i, target = y + ldy * i;
    if (m - i >= TILE_ROWS) {
      if (columns == PANEL) tile6x16(row, lda, b, fours, scratch, factor, to);
      else tile6x8(row, lda, b, fours, scratch, factor, to);
      storeRows(TILE_ROWS, width, target, ldy, to.flip);
      i += TILE_ROWS;
    } else {
      if (columns == PANEL) tile1x16(row, lda, b, fours, scratch, factor, to);
      else tile1x8(row, lda, b, fours, scratch, factor, to);
      storeRows(1, width, target, ldy, to.flip);
      i++;
    }
  }
}

function eightColumns(o: ByteGemm, to: Rescaling, width: i32, b: usize, factor: usize, y: usize): void { columnsOf(8, o, to, width, b, factor, y); }
function wholePanel(o: ByteGemm, to: Rescaling, width: i32, b: usize, factor: usize, y: usize): void { columnsOf(PANEL, o, to, width, b, factor, y); }

/** Panels are taken 8 columns at a time when `panel` is 8, and where no more are left. */
export function gemmBytes(o: ByteGemm, to: Rescaling): void {
  const panelBytes = SUMS_BYTES + <usize>((o.k + 3) >> 2) * FOUR_BYTES;
  let b = at(o.b), bias = at(o.bias), factor = at(o.factor), y = at(o.y);
  for (let j = 0; j < o.n; ) {
    const half = j & 8; // columns into the panel
    const columns = o.panel == PANEL && o.n - j > 8 ? PANEL : 8;
    begin(bias, b + (<usize>half << 2), o.xZero);
    const weights = b + SUMS_BYTES + (<usize>half << 2), width = min(columns, o.n - j);
    if (columns == PANEL) wholePanel(o, to, width, weights, factor, y);
    else eightColumns(o, to, width, weights, factor, y);
    if (half + columns == PANEL) b += panelBytes;
    bias += <usize>columns << 2;
    factor += <usize>columns << 2;
    y += columns;
    j += columns;
  }
}
