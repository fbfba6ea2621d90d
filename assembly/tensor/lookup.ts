// Functions of 8-bit numbers as tables of their 256 results.

/** y[i] = table[x[i]], or (`width` tables side by side) table[x[i]][i], for `count` bytes; four at a time, since a step of the loop costs as much as a byte. */
// @ts-ignore: decorator
@inline
function lookupRow(x: usize, table: usize, y: usize, count: usize, width: usize, isShared: bool): void {
  const next: usize = isShared ? 0 : 1, end = y + count;
  for (; y + 4 <= end; x += 4, y += 4, table += 4 * next) {
    const a = load<u8>(table + <usize>load<u8>(x) * width), b = load<u8>(table + next + <usize>load<u8>(x, 1) * width);
    const c = load<u8>(table + 2 * next + <usize>load<u8>(x, 2) * width), d = load<u8>(table + 3 * next + <usize>load<u8>(x, 3) * width);
    store<u8>(y, a);
    store<u8>(y, b, 1);
    store<u8>(y, c, 2);
    store<u8>(y, d, 3);
  }
  for (; y < end; x++, y++, table += next) store<u8>(y, load<u8>(table + <usize>load<u8>(x) * width));
}

/** y[r][c] = table[x[r][c]][c] for rows of `channels` bytes. */
export function lookup(x: usize, table: usize, y: usize, rows: i32, channels: i32): void {
  const width = <usize>channels;
  if (channels == 1) return lookupRow(x, table, y, rows, 1, true);
  for (; rows > 0; rows--) {
    lookupRow(x, table, y, width, width, false);
    x += width;
    y += width;
  }
}
