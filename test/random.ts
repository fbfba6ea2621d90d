/** Repeatable chance for tests: they print their seed, and take another one from the environment. */
import { Chance } from '../fleet/simulator/random.ts';
import { elementCount, type Tensor } from '../runtime/engine/tensor.ts';

/** Numbers that look random; equal seeds give equal numbers. */
export class Random extends Chance {
  /** A whole number below `limit`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
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
