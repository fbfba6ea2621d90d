/** a / b rounded up, and 0 below 0: the first tap at or behind the edge of the image, and the first one beyond the other edge. */
// @ts-ignore: decorator
@inline
export function ceilDivide(a: i32, b: i32): i32 {
  return a <= 0 ? 0 : (a + b - 1) / b;
}
