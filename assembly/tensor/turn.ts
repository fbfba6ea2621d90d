// Blocks of 4 x 4 words, turned in registers.

/** The rows at x, some bytes apart, become columns at y. */
// @ts-ignore: decorator
@inline
export function turn(x: usize, xRow: usize, y: usize, yRow: usize): void {
  const a = v128.load(x), b = v128.load(x + xRow), c = v128.load(x + xRow * 2), d = v128.load(x + xRow * 3);
  const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5), cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
  const abHigh = v128.shuffle<i32>(a, b, 2, 6, 3, 7), cdHigh = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  v128.store(y, v128.shuffle<i64>(ab, cd, 0, 2));
  v128.store(y + yRow, v128.shuffle<i64>(ab, cd, 1, 3));
  v128.store(y + yRow * 2, v128.shuffle<i64>(abHigh, cdHigh, 0, 2));
  v128.store(y + yRow * 3, v128.shuffle<i64>(abHigh, cdHigh, 1, 3));
}
