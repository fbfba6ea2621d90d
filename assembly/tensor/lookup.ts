// Functions of 8-bit numbers as tables of their 256 results.

/** y = table[x] for `count` bytes. */
function lookupAll(x: usize, table: usize, y: usize, count: usize): void {
  for (let i: usize = 0; i < count; i++) store<u8>(y + i, load<u8>(table + load<u8>(x + i)));
}

/** y[r][c] = table[x[r][c]][c] for rows of `channels` bytes. */
export function lookup(x: usize, table: usize, y: usize, rows: i32, channels: i32): void {
  const width = <usize>channels;
  if (channels == 1) return lookupAll(x, table, y, rows);
  for (; rows > 0; rows--) {
    for (let c: usize = 0; c < width; c++) store<u8>(y + c, load<u8>(table + load<u8>(x + c) * width + c));
    x += width;
    y += width;
  }
}
