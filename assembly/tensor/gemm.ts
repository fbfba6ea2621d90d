// C = activation(A · B + bias + residual), B packed in panels: [n / panel][k][panel], zero padded, as in Goto & van de Geijn,
// "Anatomy of High-Performance Matrix Multiplication" (2008). A is read in place.
import { IDENTITY } from '../opcodes.ts';
import { Gemm, at } from '../operands.ts';
import { gemmRow, gemmTile } from './gemm-tile.ts';
import { NARROW_MAX, narrowGemm } from './narrow-gemm.ts';
import { copyFloats } from './patches.ts';
import { scratch } from './scratch.ts';
import { turn } from './turn.ts';
import { unary } from './unary.ts';

const TILE_ROWS: i32 = 6;
/** Rows of A and C at work at a time: within the second-level cache. */
const BLOCK_BYTES: i32 = 262144;
const BLOCK_ROWS_MIN: i32 = 24;
/** Longer sums are cut, so that a panel's slice stays in the first-level cache. */
const K_BLOCK: i32 = 512;
const K_WHOLE_MAX: i32 = 1024;

/** Only wide panels have room for what narrow-gemm.ts reads. */
const NARROW_PANEL: i32 = 16;
const ROW_COLUMNS: i32 = 32;
const ZEROS: usize = memory.data(128, 16);
const BIAS_TAIL: usize = 384; // behind the 6 x 16 tile in scratch

/** C = activation(A · B + bias + residual), some rows at a time, so that what the activation reads is still in the cache. */
export function activatedGemm(o: Gemm): void {
  const lda = <usize>o.lda << 2, ldc = <usize>o.ldc << 2, ldr = <usize>o.ldr << 2;
  const fitting = BLOCK_BYTES / (o.k + o.n << 2) / TILE_ROWS * TILE_ROWS;
  const rows = max(BLOCK_ROWS_MIN, fitting);
  let a = at(o.a), c = at(o.c), r = at(o.residual);
  for (let left = o.m; left > 0; left -= rows) {
    const m = min(rows, left);
    gemm(a, lda, at(o.b), c, ldc, m, o.n, o.k, o.panel, at(o.bias), r, ldr, o.low, o.high);
    activate(o.kind, c, ldc, m, o.n, o.alpha, o.beta);
    a += lda * rows;
    c += ldc * rows;
    if (r) r += ldr * rows;
  }
}

/** Strides in bytes. `bias` and `r` (residual) may be 0 for none; `c` may be `r`. */
export function gemm(
  a: usize, lda: usize, b: usize, c: usize, ldc: usize, m: i32, n: i32, k: i32, panel: i32,
  bias: usize, r: usize, ldr: usize, low: f32, high: f32,
): void {
  if (k <= K_WHOLE_MAX || m == 1) return block(a, lda, b, k, k, 1, 0, c, ldc, m, n, panel, bias, r, ldr, low, high);
  block(a, lda, b, k, K_BLOCK, 1, 0, c, ldc, m, n, panel, bias, r, ldr, -Infinity, Infinity);
  for (let done = K_BLOCK; done < k; done += K_BLOCK) {
    const size = min(K_BLOCK, k - done);
    const last = done + size == k;
    const slice = b + <usize>(done * panel) * 4;
    block(a + (<usize>done << 2), lda, slice, k, size, 1, 0, c, ldc, m, n, panel, 0, c, ldc, last ? low : -Infinity, last ? high : Infinity);
  }
}

/** A row of A has `segments` of k floats, with `gap` bytes between them. */
export function segmentedGemm(
  a: usize, lda: usize, segments: i32, gap: usize, b: usize, c: usize, ldc: usize, m: i32, n: i32, k: i32, panel: i32,
  bias: usize, r: usize, ldr: usize, low: f32, high: f32,
): void {
  block(a, lda, b, k * segments, k, segments, gap, c, ldc, m, n, panel, bias, r, ldr, low, high);
}

/** `size` times `segments` of the `k` rows of B. */
function block(
  a: usize, lda: usize, b: usize, k: i32, size: i32, segments: i32, gap: usize, c: usize, ldc: usize, m: i32, n: i32, panel: i32,
  bias: usize, r: usize, ldr: usize, low: f32, high: f32,
): void {
  const panelBytes = <usize>k * (<usize>panel << 2);
  let j = 0;
  if (m == 1 && segments == 1)
    for (; j + ROW_COLUMNS <= n; j += ROW_COLUMNS) {
      const offset = <usize>j << 2;
      const panels = b + <usize>j * (<usize>k << 2);
      gemmRow(panel, a, size, panels, panelBytes, bias ? bias + offset : ZEROS, r ? r + offset : 0, c + offset, low, high);
    }
  b += <usize>j * (<usize>k << 2);
  const hasColumns = panel == NARROW_PANEL && (k & 7) == 0 && (size & 7) == 0;
  for (; j < n; j += panel) {
    const offset = <usize>j << 2, width = min(panel, n - j);
    const biasHere = bias ? bias + offset : 0, residual = r ? r + offset : 0;
    if (hasColumns && width <= NARROW_MAX)
      narrowGemm(a, lda, b, size, segments, gap, c + offset, ldc, m, width, biasHere, residual, ldr, low, high);
    else strip(a, lda, b, size, segments, gap, c + offset, ldc, m, width, panel, biasHere, residual, ldr, low, high);
    b += panelBytes;
  }
}

/** All rows times `width` columns, at most one panel. Eight columns are computed where they suffice. */
function strip(
  a: usize, lda: usize, b: usize, k: i32, segments: i32, gap: usize, c: usize, ldc: usize, m: i32, width: i32, panel: i32,
  bias: usize, r: usize, ldr: usize, low: f32, high: f32,
): void {
  const columns = width <= 8 ? 8 : panel;
  const step = <usize>panel << 2;
  if (width < columns) return tail(a, lda, b, step, k, segments, gap, c, ldc, m, width, columns, bias, r, ldr, low, high);
  if (bias == 0) bias = ZEROS;
  for (let left = m; left > 0; ) {
    const rows = rowsOfTile(left);
    const tile = gemmTile(rows, columns, r != 0);
    tile(a, lda, b, step, k, segments, gap, bias, r, ldr, c, ldc, low, high);
    a += lda * rows;
    c += ldc * rows;
    if (r) r += ldr * rows;
    left -= rows;
  }
}

/** The last seven to nine rows are halved: a tile of one or two would wait for its own sums. */
// @ts-ignore: decorator
@inline
function rowsOfTile(left: i32): i32 {
  return left > TILE_ROWS && left < 10 ? left + 1 >> 1 : min(TILE_ROWS, left);
}

/** Columns that fill no vector: computed whole in scratch, then only `width` of them are stored. */
function tail(
  a: usize, lda: usize, b: usize, step: usize, k: i32, segments: i32, gap: usize, c: usize, ldc: usize, m: i32, width: i32, columns: i32,
  bias: usize, r: usize, ldr: usize, low: f32, high: f32,
): void {
  const stride = <usize>columns << 2;
  let wholeBias = ZEROS;
  if (bias) {
    wholeBias = scratch + BIAS_TAIL;
    copyFloats(wholeBias, bias, width);
  }
  for (let i = 0, rows = 0; i < m; i += rows) {
    rows = rowsOfTile(m - i);
    if (r) for (let row = 0; row < rows; row++) copyFloats(scratch + <usize>row * stride, r + <usize>(i + row) * ldr, width);
    const tile = gemmTile(rows, columns, r != 0);
    tile(a + <usize>i * lda, lda, b, step, k, segments, gap, wholeBias, r ? scratch : 0, stride, scratch, stride, low, high);
    for (let row = 0; row < rows; row++) copyFloats(c + <usize>(i + row) * ldc, scratch + <usize>row * stride, width);
  }
}

/** Applies a kind of UNARY to rows of `n` floats, in place. */
export function activate(kind: i32, c: usize, ldc: usize, m: i32, n: i32, alpha: f32, beta: f32): void {
  if (kind == IDENTITY) return;
  if (ldc == <usize>n << 2) return unary(kind, c, c, m * n, alpha, beta);
  for (let i = 0; i < m; i++) {
    unary(kind, c, c, n, alpha, beta);
    c += ldc;
  }
}

/** One whole panel of B's rows; returns how many rows of the panel are done. */
function packRows(source: usize, rowStride: usize, target: usize, k: i32, panel: i32): i32 {
  for (let p = 0; p < k; p++) {
    for (let q: usize = 0; q < <usize>panel << 2; q += 32) {
      const low = v128.load(source + q), high = v128.load(source + q, 16);
      v128.store(target + q, low);
      v128.store(target + q, high, 16);
    }
    source += rowStride;
    target += <usize>panel << 2;
  }
  return k;
}

/** The same where B's columns lie one behind the other: four rows of the panel at a time. */
function packTurned(source: usize, columnStride: usize, target: usize, k: i32, panel: i32): i32 {
  const step = <usize>panel << 2;
  let p = 0;
  for (; p + 4 <= k; p += 4) {
    for (let q = 0; q < panel; q += 4) turn(source + <usize>q * columnStride, columnStride, target + (<usize>q << 2), step);
    source += 16;
    target += step << 2;
  }
  return p;
}

/** Packs columns [begin, end) of B [k, n] (`transposed`: B is [n, k]); begin is a multiple of the panel. */
export function packMatrix(b: usize, packed: usize, k: i32, n: i32, transposed: bool, panel: i32, begin: i32, end: i32, from: i32, to: i32): void {
  const rowStride: usize = transposed ? 4 : <usize>n << 2;
  const columnStride: usize = transposed ? <usize>k << 2 : 4;
  const rows = to - from;
  for (let j = begin; j < end; j += panel) {
    const width = min(panel, n - j), start = packed + (<usize>j * k + <usize>(from * panel) << 2);
    let target = start, source = b + <usize>j * columnStride + <usize>from * rowStride;
    let p = 0;
    if (width == panel) {
      p = transposed ? packTurned(source, columnStride, target, rows, panel) : packRows(source, rowStride, target, rows, panel);
      target += <usize>(p * panel) << 2;
      source += <usize>p * rowStride;
    }
    for (; p < rows; p++) {
      let column = source;
      for (let q = 0; q < width; q++) {
        store<f32>(target + (<usize>q << 2), load<f32>(column));
        column += columnStride;
      }
      for (let q = width; q < panel; q++) store<f32>(target + (<usize>q << 2), 0);
      target += <usize>panel << 2;
      source += rowStride;
    }
    if (panel == NARROW_PANEL && width <= NARROW_MAX && (k & 7) == 0) repeatColumns(start, rows, width);
  }
}

/** Columns of a narrow panel once more, as narrow-gemm.ts reads them. */
function repeatColumns(packed: usize, k: i32, width: i32): void {
  for (let row: usize = 0; row < <usize>k; row++)
    for (let column: usize = 0; column < <usize>width; column++)
      store<f32>(packed + ((row & ~7) + column) * 64 + 32 + (row & 7) * 4, load<f32>(packed + row * 64 + column * 4));
}
