/** Repeatable chance for tests: they print their seed, and take another one from the environment. */
import { elementCount, type Tensor } from '../runtime/engine/tensor.ts';

/** Numbers that look random; equal seeds give equal numbers. Source: Steele et al., SplitMix, 2014 (32-bit variant). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let x = Math.imul(this.#state ^ (this.#state >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return ((x ^ (x >>> 15)) >>> 0) / 2 ** 32;
  }

  /** A whole number below `limit`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  shuffled(count: number): number[] {
    const order = Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [order[i], order[j]] = [order[j] as number, order[i] as number];
    }
    return order;
  }

  /** From -1 to 1. */
  tensor(dims: readonly number[]): Tensor {
    return {
      type: 'float32',
      dims,
      data: Float32Array.from({ length: elementCount(dims) }, () => this.next() * 2 - 1),
    };
  }
}

/** Whole numbers below a limit. */
export function randomFrom(seed: number): (limit: number) => number {
  const random = new Random(seed);
  return (limit) => random.below(limit);
}
