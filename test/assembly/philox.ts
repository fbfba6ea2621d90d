/** Philox 4x32-10 word by word (J. Salmon et al., SC 2011, section 3.3), in arithmetic without bounds. */

const multipliers = [0xd2511f53n, 0xcd9e8d57n] as const;
const weyl = [0x9e3779b9n, 0xbb67ae85n] as const;
const WORD = 0xffffffffn;

type Four = readonly [number, number, number, number];

export function philox(counter: Four, key: readonly [number, number]): Four {
  let [a, b, c, d] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
  for (let round = 0n; round < 10n; round++) {
    const [k0, k1] = [0, 1].map((i) => (BigInt(key[i] as number) + round * (weyl[i] as bigint)) & WORD) as [
      bigint,
      bigint,
    ];
    const [left, right] = [a * multipliers[0], c * multipliers[1]];
    [a, b, c, d] = [(right >> 32n) ^ b ^ k0, right & WORD, (left >> 32n) ^ d ^ k1, left & WORD];
  }
  return [a, b, c, d].map(Number) as unknown as Four;
}
