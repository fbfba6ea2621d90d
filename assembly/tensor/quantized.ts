// 8-bit products from bytes to bytes: x minus its zero point times int16 weights, summed up in int32, every sum times its channel's
// factor, rounded to the nearest whole number, ties to even, moved by the zero point of y and limited. The sums never leave the tile.
// Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (2018), section
// 2.4; the factor stays a float32 here, so that results are those of REQUANTIZE.
import { QuantizedGemm, Rescaling, at } from '../operands.ts';
import { scratch } from './scratch.ts';

const TILE_ROWS: i32 = 4;
const TAIL: usize = 256; // of a row that fills no vector, behind the 4 x 16 tile in scratch
/** 1.5 * 2^23: added to a smaller float32, it leaves the nearest whole number, ties to even, in the low bits. */
const ROUNDER_BITS: i32 = 0x4b400000;
const ROUNDERS: usize = memory.data<f32>([12582912]);

/** Limits come before rounding: they are whole numbers, so that it makes no difference, and what is added to is small. */
// @ts-ignore: decorator
@inline
export function rescale(sums: v128, factor: v128, low: v128, high: v128, rounder: v128, origin: v128): v128 {
  const limited = f32x4.pmax(f32x4.pmin(f32x4.mul(f32x4.convert_i32x4_s(sums), factor), high), low);
  return i32x4.sub(f32x4.add(limited, rounder), origin);
}

// @ts-ignore: decorator
@inline
export function rounder(): v128 {
  return v128.load_splat<f32>(ROUNDERS);
}

/** What is subtracted from the bits of a rounded sum: y is int8 then, and `flip` moves it to where uint8 lies. */
// @ts-ignore: decorator
@inline
export function origin(to: Rescaling): v128 {
  return i32x4.splat(ROUNDER_BITS - to.zero);
}

/** Eight rescaled sums as bytes, in the low half. */
// @ts-ignore: decorator
@inline
export function narrow(low: v128, high: v128, flip: v128): v128 {
  const words = i16x8.narrow_i32x4_s(low, high);
  return v128.xor(i8x16.narrow_i16x8_s(words, words), flip);
}

export function copyBytes(target: usize, source: usize, count: i32): void {
  for (let i: usize = 0; i < <usize>count; i++) store<u8>(target + i, load<u8>(source + i));
}

/**
 * `rows` (1 or 4) rows of A, `wide`: times two panels of B, at `b` and `c` bytes behind it, else times one. Sums go to scratch,
 * 64 bytes a row, in pairs: what makes bytes of them would break the pairs.
 */
// @ts-ignore: decorator
@inline
function tile(rows: i32, wide: bool, a: usize, lda: usize, b: usize, second: usize, pairs: i32, bias: usize): void {
  let c00 = v128.load(bias), c01 = v128.load(bias, 16), c02 = v128.load(bias, 32), c03 = v128.load(bias, 48);
  let c10 = c00, c11 = c01, c12 = c02, c13 = c03, c20 = c00, c21 = c01, c22 = c02, c23 = c03, c30 = c00, c31 = c01, c32 = c02, c33 = c03;
  let a1 = a + lda, a2 = a1 + lda, a3 = a2 + lda;
  for (; pairs > 0; pairs--) {
    const b0 = v128.load(b), b1 = v128.load(b, 16), b2 = v128.load(second), b3 = v128.load(second, 16);
    const x0 = v128.load_splat<i32>(a);
    c00 = i32x4.add(c00, i32x4.dot_i16x8_s(x0, b0)); c01 = i32x4.add(c01, i32x4.dot_i16x8_s(x0, b1));
    if (wide) { c02 = i32x4.add(c02, i32x4.dot_i16x8_s(x0, b2)); c03 = i32x4.add(c03, i32x4.dot_i16x8_s(x0, b3)); }
    if (rows > 1) {
      const x1 = v128.load_splat<i32>(a1);
      c10 = i32x4.add(c10, i32x4.dot_i16x8_s(x1, b0)); c11 = i32x4.add(c11, i32x4.dot_i16x8_s(x1, b1));
      if (wide) { c12 = i32x4.add(c12, i32x4.dot_i16x8_s(x1, b2)); c13 = i32x4.add(c13, i32x4.dot_i16x8_s(x1, b3)); }
      const x2 = v128.load_splat<i32>(a2);
      c20 = i32x4.add(c20, i32x4.dot_i16x8_s(x2, b0)); c21 = i32x4.add(c21, i32x4.dot_i16x8_s(x2, b1));
      if (wide) { c22 = i32x4.add(c22, i32x4.dot_i16x8_s(x2, b2)); c23 = i32x4.add(c23, i32x4.dot_i16x8_s(x2, b3)); }
      const x3 = v128.load_splat<i32>(a3);
      c30 = i32x4.add(c30, i32x4.dot_i16x8_s(x3, b0)); c31 = i32x4.add(c31, i32x4.dot_i16x8_s(x3, b1));
      if (wide) { c32 = i32x4.add(c32, i32x4.dot_i16x8_s(x3, b2)); c33 = i32x4.add(c33, i32x4.dot_i16x8_s(x3, b3)); }
      a1 += 4; a2 += 4; a3 += 4;
    }
    a += 4;
    b += 32;
    if (wide) second += 32;
  }
  keep(wide, 0, c00, c01, c02, c03);
  if (rows > 1) {
    keep(wide, 64, c10, c11, c12, c13);
    keep(wide, 128, c20, c21, c22, c23);
    keep(wide, 192, c30, c31, c32, c33);
  }
}

// @ts-ignore: decorator
@inline
function keep(wide: bool, row: usize, c0: v128, c1: v128, c2: v128, c3: v128): void {
  v128.store(scratch + row, c0);
  v128.store(scratch + row, c1, 16);
  if (!wide) return;
  v128.store(scratch + row, c2, 32);
  v128.store(scratch + row, c3, 48);
}

function tile1x8(a: usize, lda: usize, b: usize, second: usize, pairs: i32, bias: usize): void { tile(1, false, a, lda, b, second, pairs, bias); }
function tile4x8(a: usize, lda: usize, b: usize, second: usize, pairs: i32, bias: usize): void { tile(4, false, a, lda, b, second, pairs, bias); }
function tile1x16(a: usize, lda: usize, b: usize, second: usize, pairs: i32, bias: usize): void { tile(1, true, a, lda, b, second, pairs, bias); }
function tile4x16(a: usize, lda: usize, b: usize, second: usize, pairs: i32, bias: usize): void { tile(4, true, a, lda, b, second, pairs, bias); }

type Tile = (a: usize, lda: usize, b: usize, second: usize, pairs: i32, bias: usize) => void;

// A table, as in gemm-tile.ts, so that the instances are not inlined into one function too large for registers.
const TILES: StaticArray<Tile> = [tile1x8, tile4x8, tile1x16, tile4x16];

/** Rows of sums in scratch to `width` bytes of y each. */
function storeRows(rows: i32, width: i32, factor: usize, y: usize, ldy: usize, to: Rescaling): void {
  const low = f32x4.splat(to.low), high = f32x4.splat(to.high), half = rounder();
  const from = origin(to), flip = i8x16.splat(<i8>to.flip);
  for (let p = scratch; rows > 0; rows--) {
    const a = rescale(v128.load(p), v128.load(factor), low, high, half, from);
    const b = rescale(v128.load(p, 16), v128.load(factor, 16), low, high, half, from);
    if (width == 8) {
      v128.store64_lane(y, narrow(a, b, flip), 0);
    } else {
      const c = rescale(v128.load(p, 32), v128.load(factor, 32), low, high, half, from);
      const d = rescale(v128.load(p, 48), v128.load(factor, 48), low, high, half, from);
      const bytes = v128.xor(i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d)), flip);
      if (width == 16) {
        v128.store(y, bytes);
      } else {
        v128.store(scratch + TAIL, bytes);
        copyBytes(y, scratch + TAIL, width);
      }
    }
    p += 64;
    y += ldy;
  }
}

/** A is int16 with an even number of columns; panels of B are 8 wide (packInteger in integer.ts), and taken two at a time when `panel` is 16. */
export function gemmQuantized(o: QuantizedGemm, to: Rescaling): void {
  const lda = <usize>o.lda << 1, ldy = <usize>o.ldy;
  const pairs = (o.k + 1) >> 1;
  const panelBytes = <usize>pairs << 5;
  const wide = o.panel == 16;
  let b = at(o.b), bias = at(o.bias), factor = at(o.factor), y = at(o.y);
  for (let j = 0; j < o.n; ) {
    const both = wide && o.n - j > 8;
    const columns = both ? 16 : 8;
    const width = min(columns, o.n - j);
    const second = both ? b + panelBytes : b;
    let a = at(o.a), target = y, i = 0;
    const whole = unchecked(TILES[both ? 3 : 1]), one = unchecked(TILES[both ? 2 : 0]);
    for (; i + TILE_ROWS <= o.m; i += TILE_ROWS) {
      whole(a, lda, b, second, pairs, bias);
      storeRows(TILE_ROWS, width, factor, target, ldy, to);
      a += lda * TILE_ROWS;
      target += ldy * TILE_ROWS;
    }
    for (; i < o.m; i++) {
      one(a, lda, b, second, pairs, bias);
      storeRows(1, width, factor, target, ldy, to);
      a += lda;
      target += ldy;
    }
    b += both ? 2 * panelBytes : panelBytes;
    bias += <usize>columns << 2;
    factor += <usize>columns << 2;
    y += columns;
    j += columns;
  }
}
