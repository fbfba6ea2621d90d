/**
 * Long filters over one signal whose taps mirror each other, as the cosines and sines of a Fourier transform by convolution do: inputs
 * that meet equal factors are added first, or subtracted where the signs differ, so that half the products remain (the folded form of
 * linear-phase filters: A. Oppenheim, R. Schafer, "Discrete-Time Signal Processing", chapter 6).
 */
import type { Builder } from '../builder.ts';
import type { Value } from '../graph.ts';
import { type OperationOf, type Pass, rewrite, type Visit } from './rewrite.ts';

/** Shorter windows are not worth the sums. */
const TAPS_MIN = 32;
/** Differences this small beside the largest tap are float32's rounding of the same number. */
const TOLERANCE = 2 ** -22;

/** Filters [0, evens) are alike on both sides, the others differ in sign; tap `first` + i mirrors tap `taps` - 1 - i. */
interface Symmetry {
  readonly first: 0 | 1;
  readonly evens: number;
}

/** How many rows of [rows, taps] from `begin` on mirror themselves with that sign. */
function countMirrored(weights: ArrayLike<number>, taps: number, first: number, begin: number, sign: 1 | -1): number {
  const rows = weights.length / taps;
  let largest = 0;
  for (let i = 0; i < weights.length; i++) largest = Math.max(largest, Math.abs(weights[i] as number));
  const mirrors = (row: number): boolean => {
    const from = row * taps;
    // Of an odd number of taps that count, the one in the middle mirrors itself; a tap before the first has nothing to mirror.
    if (first === 1 && Math.abs(weights[from] as number) > TOLERANCE * largest) return false;
    for (let low = first, high = taps - 1; low <= high; low++, high--) {
      const difference = (weights[from + low] as number) - sign * (weights[from + high] as number);
      if (!(Math.abs(difference) <= TOLERANCE * largest)) return false;
    }
    return true;
  };
  let count = 0;
  while (begin + count < rows && mirrors(begin + count)) count++;
  return count;
}

function symmetryOf(weights: ArrayLike<number>, taps: number): Symmetry | undefined {
  const rows = weights.length / taps;
  for (const first of [1, 0] as const) {
    if (countMirrored(weights, taps, first, 0, -1) === rows) return { first, evens: 0 };
    const evens = countMirrored(weights, taps, first, 0, 1);
    if (evens > 0 && evens + countMirrored(weights, taps, first, evens, -1) === rows) return { first, evens };
  }
  return undefined;
}

/** Taps of a window that slides along the one axis of a signal, without padding. */
function tapsOf({ window, group }: OperationOf<'conv'>, x: Value): number | undefined {
  const [, height = 0, width = 0, channels] = x.dims;
  const along = height === 1 ? 1 : 0;
  const isSignal = channels === 1 && group === 1 && (height === 1 || width === 1) && window.kernel[1 - along] === 1;
  const taps = window.kernel[along];
  const isDense = window.dilations[along] === 1 && !window.pads.some(Boolean);
  return isSignal && isDense && taps % 2 === 0 && taps >= TAPS_MIN ? taps : undefined;
}

/** The first of each pair of taps; one that mirrors itself meets its input twice. */
function halved(builder: Builder, weights: Value, taps: number, first: number, begin: number, end: number): Value {
  const rows = builder.sliceAxis(builder.reshape(weights, [weights.dims[0] as number, taps]), 0, begin, end);
  const half = builder.sliceAxis(rows, 1, first, first + taps / 2);
  if (first === 0) return half;
  const factors = new Float32Array(taps / 2).fill(1);
  factors[taps / 2 - 1] = 0.5;
  return builder.binary('mul', half, builder.constant({ type: 'float32', dims: [taps / 2], data: factors }));
}

function fold({ builder, node, inputs }: Visit): Value | undefined {
  const { operation } = node;
  const [x, weights, bias, residual] = inputs as [Value, Value, Value?, Value?];
  if (operation.kind !== 'conv' || operation.activation || residual || x.type !== 'float32') return undefined;
  const taps = tapsOf(operation, x);
  const symmetry = taps && weights.constant && symmetryOf(weights.constant.tensor.data as Float32Array, taps);
  if (!taps || !symmetry) return undefined;
  const { first, evens } = symmetry;
  const [batch = 0, height = 0, width = 0] = x.dims;
  const length = height * width;
  const signal = builder.reshape(x, [batch, length]);
  const reversal = { kind: 'slice', starts: [0, length - 1], steps: [1, -1], sizes: [batch, length] } as const;
  const reversed = builder.add(reversal, [signal]);
  const step = operation.window.strides[height === 1 ? 1 : 0];
  const parts = [
    { name: 'add', begin: 0, end: evens },
    { name: 'sub', begin: evens, end: weights.dims[0] as number },
  ] as const;
  const products = parts
    .filter(({ begin, end }) => begin < end)
    .map(({ name, begin, end }) => {
      const pairs = builder.add({ kind: 'pairOpposites', taps, step, first, name }, [signal, reversed]);
      const factors = halved(builder, weights, taps, first, begin, end);
      return builder.matMul(pairs, factors, true, bias && builder.sliceAxis(bias, 0, begin, end));
    });
  const all = products.length === 1 ? (products[0] as Value) : builder.concat(products, 2);
  return builder.reshape(all, (node.outputs[0] as Value).dims);
}

export const foldSymmetry: Pass = (graph, keys) => rewrite(graph, keys, fold);
