// Matrices of 4-bit numbers that stay so in memory: a few columns at a time are made the floats that gemm.ts takes.
import { UnpackBlocks, at } from '../operands.ts';

const COLUMNS: usize = 16;
const ROW_BYTES: usize = COLUMNS / 2;
const FLOATS_BYTES: usize = COLUMNS * 4;

/** Rows of one block of 16 columns: (number - zero point) · scale. Columns 8 to 15 lie in the high halves of the bytes, and go to `high`. */
function unpackBlock(levels: usize, scales: usize, zeros: usize, low: usize, high: usize, step: usize, rows: i32): void {
  const s0 = v128.load(scales), s1 = v128.load(scales, 16), s2 = v128.load(scales, 32), s3 = v128.load(scales, 48);
  const z0 = v128.load(zeros), z1 = v128.load(zeros, 16), z2 = v128.load(zeros, 32), z3 = v128.load(zeros, 48);
  const mask = i16x8.splat(15);
  for (; rows > 0; rows--) {
    const bytes = v128.load8x8_u(levels);
    const a = v128.and(bytes, mask), b = i16x8.shr_u(bytes, 4);
    const a0 = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(a)), a1 = f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(a));
    const b0 = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(b)), b1 = f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(b));
    v128.store(low, f32x4.mul(f32x4.sub(a0, z0), s0));
    v128.store(low, f32x4.mul(f32x4.sub(a1, z1), s1), 16);
    v128.store(high, f32x4.mul(f32x4.sub(b0, z2), s2));
    v128.store(high, f32x4.mul(f32x4.sub(b1, z3), s3), 16);
    levels += ROW_BYTES;
    low += step;
    high += step;
  }
}

/** As operands.ts says. Packed matrices lie in panels of 16 or 8 columns. */
export function unpackBlocks(o: UnpackBlocks): void {
  const k = <usize>o.k, blocks = <usize>((o.k + o.block - 1) / o.block), zeroStep = <usize>o.zeroStep;
  const step = <usize>o.panel * 4, second = o.panel == 16 ? FLOATS_BYTES / 2 : k * step;
  for (let group = o.begin; group < o.end; group++) {
    let levels = at(o.levels) + <usize>group * k * ROW_BYTES;
    let scales = at(o.scales) + <usize>group * blocks * FLOATS_BYTES;
    let zeros = at(o.zeros) + <usize>group * blocks * zeroStep;
    let y = at(o.y) + <usize>(group - o.begin) * k * FLOATS_BYTES;
    for (let left = o.k; left > 0; left -= o.block) {
      const rows = min(left, o.block);
      unpackBlock(levels, scales, zeros, y, y + second, step, rows);
      levels += <usize>rows * ROW_BYTES;
      scales += FLOATS_BYTES;
      zeros += zeroStep;
      y += <usize>rows * step;
    }
  }
}
