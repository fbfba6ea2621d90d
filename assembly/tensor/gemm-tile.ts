// The micro-kernel of all matrix work: up to 6 rows of A times one panel of packed B, accumulators held in registers.
// One template; `rows` (1..6), `vectors` (2 for 8 columns, 4 for 16) and `residual` are constants at each call, so that
// every instance is straight code. A branch that merges two v128 values would keep V8 from fusing the pairs.
import { clip, madd, splat } from './simd.ts';

// @ts-ignore: decorator
@inline
function start(residual: bool, bias: v128, r: usize): v128 {
  if (residual) return f32x4.add(bias, v128.load(r));
  return bias;
}

// @ts-ignore: decorator
@inline
function finish(vectors: i32, c: usize, x0: v128, x1: v128, x2: v128, x3: v128, low: v128, high: v128): void {
  v128.store(c, clip(x0, low, high));
  v128.store(c, clip(x1, low, high), 16);
  if (vectors > 2) {
    v128.store(c, clip(x2, low, high), 32);
    v128.store(c, clip(x3, low, high), 48);
  }
}

/**
 * C[i][j] = clip(bias[j] + residual[i][j] + Σ A[i][p] · B[p][j]). Strides are in bytes; `step` is the one between rows of the panel, so
 * that 8 columns can be taken of one that is 16 wide. C may be the residual. A row of A has `segments` of k floats, with `gap` between them.
 */
// @ts-ignore: decorator
@inline
function tile(
  rows: i32, vectors: i32, residual: bool,
  a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32,
): void {
  const wide = vectors > 2;
  const zero = f32x4.splat(0);
  const s0 = v128.load(bias), s1 = v128.load(bias, 16);
  let s2 = zero, s3 = zero;
  if (wide) { s2 = v128.load(bias, 32); s3 = v128.load(bias, 48); }
  const r1 = r + ldr, r2 = r1 + ldr, r3 = r2 + ldr, r4 = r3 + ldr, r5 = r4 + ldr;
  let c00 = start(residual, s0, r), c01 = start(residual, s1, r + 16);
  let c02 = start(residual && wide, s2, r + 32), c03 = start(residual && wide, s3, r + 48);
  let c10 = start(residual && rows > 1, s0, r1), c11 = start(residual && rows > 1, s1, r1 + 16);
  let c12 = start(residual && rows > 1 && wide, s2, r1 + 32), c13 = start(residual && rows > 1 && wide, s3, r1 + 48);
  let c20 = start(residual && rows > 2, s0, r2), c21 = start(residual && rows > 2, s1, r2 + 16);
  let c22 = start(residual && rows > 2 && wide, s2, r2 + 32), c23 = start(residual && rows > 2 && wide, s3, r2 + 48);
  let c30 = start(residual && rows > 3, s0, r3), c31 = start(residual && rows > 3, s1, r3 + 16);
  let c32 = start(residual && rows > 3 && wide, s2, r3 + 32), c33 = start(residual && rows > 3 && wide, s3, r3 + 48);
  let c40 = start(residual && rows > 4, s0, r4), c41 = start(residual && rows > 4, s1, r4 + 16);
  let c42 = start(residual && rows > 4 && wide, s2, r4 + 32), c43 = start(residual && rows > 4 && wide, s3, r4 + 48);
  let c50 = start(residual && rows > 5, s0, r5), c51 = start(residual && rows > 5, s1, r5 + 16);
  let c52 = start(residual && rows > 5 && wide, s2, r5 + 32), c53 = start(residual && rows > 5 && wide, s3, r5 + 48);
  let a0 = a, a1 = a0 + lda, a2 = a1 + lda, a3 = a2 + lda, a4 = a3 + lda, a5 = a4 + lda;
  for (; segments > 0; segments--) {
    for (let left = k; left > 0; left--) {
      const b0 = v128.load(b), b1 = v128.load(b, 16);
      let b2 = zero, b3 = zero;
      if (wide) { b2 = v128.load(b, 32); b3 = v128.load(b, 48); }
      const x0 = splat(a0);
      c00 = madd(x0, b0, c00); c01 = madd(x0, b1, c01);
      if (wide) { c02 = madd(x0, b2, c02); c03 = madd(x0, b3, c03); }
      a0 += 4;
      if (rows > 1) {
        const x = splat(a1);
        c10 = madd(x, b0, c10); c11 = madd(x, b1, c11);
        if (wide) { c12 = madd(x, b2, c12); c13 = madd(x, b3, c13); }
        a1 += 4;
      }
      if (rows > 2) {
        const x = splat(a2);
        c20 = madd(x, b0, c20); c21 = madd(x, b1, c21);
        if (wide) { c22 = madd(x, b2, c22); c23 = madd(x, b3, c23); }
        a2 += 4;
      }
      if (rows > 3) {
        const x = splat(a3);
        c30 = madd(x, b0, c30); c31 = madd(x, b1, c31);
        if (wide) { c32 = madd(x, b2, c32); c33 = madd(x, b3, c33); }
        a3 += 4;
      }
      if (rows > 4) {
        const x = splat(a4);
        c40 = madd(x, b0, c40); c41 = madd(x, b1, c41);
        if (wide) { c42 = madd(x, b2, c42); c43 = madd(x, b3, c43); }
        a4 += 4;
      }
      if (rows > 5) {
        const x = splat(a5);
        c50 = madd(x, b0, c50); c51 = madd(x, b1, c51);
        if (wide) { c52 = madd(x, b2, c52); c53 = madd(x, b3, c53); }
        a5 += 4;
      }
      b += step;
    }
    a0 += gap; a1 += gap; a2 += gap; a3 += gap; a4 += gap; a5 += gap;
  }
  const lo = f32x4.splat(low), hi = f32x4.splat(high);
  finish(vectors, c, c00, c01, c02, c03, lo, hi);
  if (rows > 1) finish(vectors, (c += ldc), c10, c11, c12, c13, lo, hi);
  if (rows > 2) finish(vectors, (c += ldc), c20, c21, c22, c23, lo, hi);
  if (rows > 3) finish(vectors, (c += ldc), c30, c31, c32, c33, lo, hi);
  if (rows > 4) finish(vectors, (c += ldc), c40, c41, c42, c43, lo, hi);
  if (rows > 5) finish(vectors, (c += ldc), c50, c51, c52, c53, lo, hi);
}

function tile1x16(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(1, 4, false, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile2x16(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(2, 4, false, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile3x16(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(3, 4, false, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile4x16(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(4, 4, false, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile5x16(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(5, 4, false, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile6x16(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(6, 4, false, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile1x16r(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(1, 4, true, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile2x16r(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(2, 4, true, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile3x16r(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(3, 4, true, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile4x16r(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(4, 4, true, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile5x16r(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(5, 4, true, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile6x16r(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(6, 4, true, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile1x8(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(1, 2, false, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile2x8(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(2, 2, false, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile3x8(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(3, 2, false, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile4x8(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(4, 2, false, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile5x8(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(5, 2, false, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile6x8(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(6, 2, false, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile1x8r(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(1, 2, true, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile2x8r(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(2, 2, true, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile3x8r(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(3, 2, true, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile4x8r(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(4, 2, true, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile5x8r(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(5, 2, true, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }
function tile6x8r(a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32): void { tile(6, 2, true, a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high); }

type Tile = (
  a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, bias: usize, r: usize, ldr: usize, c: usize, ldc: usize, low: f32, high: f32,
) => void;

// A table, not a switch: called once each, the instances would be inlined into one function too large for registers.
const TILES: StaticArray<Tile> = [
  tile1x8, tile2x8, tile3x8, tile4x8, tile5x8, tile6x8,
  tile1x8r, tile2x8r, tile3x8r, tile4x8r, tile5x8r, tile6x8r,
  tile1x16, tile2x16, tile3x16, tile4x16, tile5x16, tile6x16,
  tile1x16r, tile2x16r, tile3x16r, tile4x16r, tile5x16r, tile6x16r,
];

/** The instance for 1..6 rows and 8 or 16 columns. */
export function gemmTile(rows: i32, columns: i32, residual: bool): Tile {
  return unchecked(TILES[(columns == 16 ? 12 : 0) + (residual ? 6 : 0) + rows - 1]);
}

/**
 * One row of A times 32 columns (2 panels of 16 or 4 of 8): with a single row, one panel alone would wait for its own additions.
 * Each q points to 8 columns, which repeat after `step` bytes.
 */
// @ts-ignore: decorator
@inline
function row(
  residual: bool, a: usize, k: i32, q0: usize, q1: usize, q2: usize, q3: usize, step: usize, bias: usize, r: usize, c: usize, low: f32, high: f32,
): void {
  let c0 = start(residual, v128.load(bias), r), c1 = start(residual, v128.load(bias, 16), r + 16);
  let c2 = start(residual, v128.load(bias, 32), r + 32), c3 = start(residual, v128.load(bias, 48), r + 48);
  let c4 = start(residual, v128.load(bias, 64), r + 64), c5 = start(residual, v128.load(bias, 80), r + 80);
  let c6 = start(residual, v128.load(bias, 96), r + 96), c7 = start(residual, v128.load(bias, 112), r + 112);
  while (k > 0) {
    const x = splat(a);
    c0 = madd(x, v128.load(q0), c0); c1 = madd(x, v128.load(q0, 16), c1);
    c2 = madd(x, v128.load(q1), c2); c3 = madd(x, v128.load(q1, 16), c3);
    c4 = madd(x, v128.load(q2), c4); c5 = madd(x, v128.load(q2, 16), c5);
    c6 = madd(x, v128.load(q3), c6); c7 = madd(x, v128.load(q3, 16), c7);
    a += 4;
    q0 += step; q1 += step; q2 += step; q3 += step;
    k--;
  }
  const lo = f32x4.splat(low), hi = f32x4.splat(high);
  finish(4, c, c0, c1, c2, c3, lo, hi);
  finish(4, c + 64, c4, c5, c6, c7, lo, hi);
}

function rowPlain(a: usize, k: i32, q0: usize, q1: usize, q2: usize, q3: usize, step: usize, bias: usize, c: usize, low: f32, high: f32): void {
  row(false, a, k, q0, q1, q2, q3, step, bias, 0, c, low, high);
}
function rowResidual(a: usize, k: i32, q0: usize, q1: usize, q2: usize, q3: usize, step: usize, bias: usize, r: usize, c: usize, low: f32, high: f32): void {
  row(true, a, k, q0, q1, q2, q3, step, bias, r, c, low, high);
}

/** `b` points to the first of the panels, which are `panelBytes` apart; r = 0 means that there is no residual. */
export function gemmRow(panel: i32, a: usize, k: i32, b: usize, panelBytes: usize, bias: usize, r: usize, c: usize, low: f32, high: f32): void {
  const wide = panel == 16;
  const q1 = wide ? b + 32 : b + panelBytes;
  const q2 = wide ? b + panelBytes : q1 + panelBytes;
  const q3 = wide ? q2 + 32 : q2 + panelBytes;
  const step = <usize>panel << 2;
  if (r) rowResidual(a, k, b, q1, q2, q3, step, bias, r, c, low, high);
  else rowPlain(a, k, b, q1, q2, q3, step, bias, c, low, high);
}
