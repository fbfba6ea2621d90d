// The one file that knows whether fused multiply-add exists. Everything else is written as pairs of v128 at p and p + 16,
// because V8 can then fuse each pair into one 256-bit operation (--experimental-wasm-revectorize).
// Keep memory.copy and memory.fill out of functions that load pairs: V8 13.6 was seen to fuse two loads and to place the result before
// the memory.copy that they should have seen. Nor write pairs of load8x8: it was seen to fuse them into something else.
// A load between two stores of a pair keeps them apart: load constants first, then store.

/** a * b + c, rounded once in the relaxed build and twice in the plain one. */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(c, f32x4.mul(a, b));
}

/** One float32 of memory in all lanes: unlike f32x4.splat of a constant, V8 does not build it anew in registers each time. */
// @ts-ignore: decorator
@inline
export function splat(p: usize): v128 {
  return v128.load_splat<f32>(p);
}

/** Limits x to [low, high]; NaN stays NaN (pmin and pmax give their first operand when the comparison fails). */
// @ts-ignore: decorator
@inline
export function clip(x: v128, low: v128, high: v128): v128 {
  return f32x4.pmax(f32x4.pmin(x, high), low);
}
