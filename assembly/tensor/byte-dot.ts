// Products of bytes, four neighbours along the sum in one step: i32x4.relaxed_dot_i8x16_i7x16_add_s. The proposal leaves open what its
// second operand is where its highest bits are set, and whether sums of two products saturate; processors with an instruction for it
// (vpdpbusd, sdot) are exact, and take that operand either for unsigned or for signed bytes. Which of them this one does is tried out,
// and programs are made for that (runtime/compile/traits.ts).
// Source: https://github.com/WebAssembly/relaxed-simd/blob/main/proposals/relaxed-simd/Overview.md

import { BYTE_DOT_NONE, BYTE_DOT_SIGNED, BYTE_DOT_UNSIGNED } from '../opcodes.ts';
import { copyBytes } from './quantized.ts';
import { scratch } from './scratch.ts';

/**
 * sums + four products in each lane, of int8 weights and of x, whose bytes are what `byteDot` says. The plain build reckons it out of
 * int16 products, for unsigned x: right, but slower than products of int16.
 */
// @ts-ignore: decorator
@inline
export function dot(weights: v128, x: v128, sums: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.relaxed_dot_i8x16_i7x16_add_s(weights, x, sums);
  const low = i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(weights), i16x8.extend_low_i8x16_u(x));
  const high = i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(weights), i16x8.extend_high_i8x16_u(x));
  const even = v128.shuffle<i32>(low, high, 0, 2, 4, 6), odd = v128.shuffle<i32>(low, high, 1, 3, 5, 7);
  return i32x4.add(sums, i32x4.add(even, odd));
}

// Weights, bytes of x, and sums, in pairs, so that the fused form is tried as well: products whose sums do not fit in int16, and sums at
// the ends of int32.
const TRIAL_BYTES: i32 = 96;
const TRIAL: usize = memory.data<i8>([
  -128, -128, -128, -128, 127, 127, 127, 127, -128, 127, -128, 127, 1, -1, 2, -3,
  127, -128, 0, 5, -128, -128, 127, 127, 77, -99, 101, -13, 127, 127, -128, -128,
  -1, -1, -1, -1, -1, -1, -1, -1, -1, -2, -3, -4, -128, -56, 127, -127,
  -128, -128, -1, 0, -127, -126, -125, -124, -6, 3, -65, -34, -1, -1, -1, -128,
  0, 0, 0, -128, -1, -1, -1, 127, 0, 0, 0, 0, -1, -1, -1, -1,
  16, 39, 0, 0, -16, -40, -1, -1, 7, 0, 0, 0, -16, -1, -1, 127,
]);

/** Sums in place of those at p + 64. The pointer must be no constant: of pairs at constants V8 13.6 was seen to fuse the wrong ones. */
function reckon(p: usize): void {
  const w0 = v128.load(p), w1 = v128.load(p, 16);
  const x0 = v128.load(p, 32), x1 = v128.load(p, 48);
  const s0 = v128.load(p, 64), s1 = v128.load(p, 80);
  const first = dot(w0, x0, s0), second = dot(w1, x1, s1);
  v128.store(p, first, 64);
  v128.store(p, second, 80);
}

function agrees<T>(p: usize): bool {
  for (let lane: usize = 0; lane < 32; lane += 4) {
    let sum = load<i32>(TRIAL + lane, 64);
    for (let i = lane; i < lane + 4; i++) sum += <i32>load<i8>(TRIAL + i) * <i32>load<T>(TRIAL + i, 32);
    if (sum != load<i32>(p + lane, 64)) return false;
  }
  return true;
}

/** What `dot` takes x for on this machine, if it is exact there and worth it. */
export function byteDot(): i32 {
  if (!ASC_FEATURE_RELAXED_SIMD) return BYTE_DOT_NONE;
  copyBytes(scratch, TRIAL, TRIAL_BYTES);
  reckon(scratch);
  if (agrees<u8>(scratch)) return BYTE_DOT_UNSIGNED;
  return agrees<i8>(scratch) ? BYTE_DOT_SIGNED : BYTE_DOT_NONE;
}
