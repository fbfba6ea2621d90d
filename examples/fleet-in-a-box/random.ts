/** Repeatable chance: the same seed gives the same pictures, sounds and order of messages on every machine. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  between(low: number, high: number): number;
  /** Standard normal, by the Box-Muller transform (Annals of Mathematical Statistics 29, 1958). */
  normal(): number;
  shuffle<T>(items: readonly T[]): T[];
}

/** A Weyl sequence through the 32-bit finaliser of MurmurHash3 (Austin Appleby, public domain). */
export function seededRandom(seed: number): Random {
  let counter = seed >>> 0;
  const next = () => {
    counter = (counter + 0x9e3779b9) >>> 0;
    let bits = counter;
    bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
    bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
    return ((bits ^ (bits >>> 16)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    between: (low, high) => low + (high - low) * next(),
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    shuffle: (items) => {
      const result = [...items];
      for (let last = result.length - 1; last > 0; last--) {
        const other = Math.floor(next() * (last + 1));
        [result[last], result[other]] = [result[other] as (typeof result)[0], result[last] as (typeof result)[0]];
      }
      return result;
    },
  };
}
