// Random numbers from a counter, without state: Philox 4x32 with 10 rounds (J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

const MULTIPLIER_0: u64 = 0xd2511f53;
const MULTIPLIER_1: u64 = 0xcd9e8d57;
const WEYL_0: u32 = 0x9e3779b9;
const WEYL_1: u32 = 0xbb67ae85;
const ROUNDS = 10;
/** The 24 upper bits of a word, as a fraction: all that a float32 in [0, 1) can tell apart evenly. */
const STEP: f32 = 1.0 / 16777216.0;

/**
 * Blocks [begin, end) of four numbers in [0, 1), of which `count` in all are written to y. The counter is (block, 0, draw), so that
 * every draw of every key gives other numbers.
 */
export function uniform(key0: u32, key1: u32, draw: u64, y: usize, count: i32, begin: i32, end: i32): void {
  for (let block = begin; block < end; block++) {
    let a: u32 = block, b: u32 = 0, c = <u32>draw, d = <u32>(draw >> 32);
    let k0 = key0, k1 = key1;
    for (let round = 0; round < ROUNDS; round++) {
      const p0 = MULTIPLIER_0 * <u64>a, p1 = MULTIPLIER_1 * <u64>c;
      a = <u32>(p1 >> 32) ^ b ^ k0;
      c = <u32>(p0 >> 32) ^ d ^ k1;
      b = <u32>p1;
      d = <u32>p0;
      k0 += WEYL_0;
      k1 += WEYL_1;
    }
    const at = y + (<usize>block << 4), left = count - (block << 2);
    store<f32>(at, <f32>(a >> 8) * STEP);
    if (left > 1) store<f32>(at, <f32>(b >> 8) * STEP, 4);
    if (left > 2) store<f32>(at, <f32>(c >> 8) * STEP, 8);
    if (left > 3) store<f32>(at, <f32>(d >> 8) * STEP, 12);
  }
}
