/** Numbers that are the same in every run: contenders must see the same, and two runs of the benchmark as well. */

/** Uniform in [-0.5, 0.5): Marsaglia's xorshift with the shifts 13, 17, 5 (doi:10.18637/jss.v008.i14). */
export function randomValues(count: number, seed = 1): Float32Array {
  let state = (seed * 0x9e3779b9) | 1;
  return Float32Array.from({ length: count }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32 - 0.5;
  });
}

/** Whole numbers below a limit (Park and Miller, Random number generators: good ones are hard to find, 1988). */
export function randomFrom(seed: number): (limit: number) => number {
  let state = (seed % 2_147_483_646) + 1;
  return (limit) => {
    state = (state * 48_271) % 2_147_483_647;
    return Math.floor((state / 2_147_483_647) * limit);
  };
}
