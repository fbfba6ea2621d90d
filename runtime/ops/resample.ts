/** Resizing as one matrix product an axis: for filters wider than two pixels, for more than two axes, and for crops. Source: ONNX Resize-19. */
import type { Value } from '../compile/graph.ts';
import { RESIZED_MAX } from '../compile/limits.ts';
import type { OperatorContext } from './context.ts';

export interface Filter {
  readonly kind: 'nearest' | 'linear' | 'cubic';
  /** Coefficient "a" of R. Keys, Cubic convolution interpolation, 1981. */
  readonly cubicCoefficient: number;
  readonly antialias: boolean;
  /** Pixels outside do not count, instead of being those at the border. */
  readonly excludeOutside: boolean;
  /** Chooses a pixel for `nearest`. */
  round(source: number): number;
}

export interface ResampledAxis {
  readonly size: number;
  readonly resized: number;
  readonly scale: number;
  /** Where each output pixel lies in the input. */
  readonly sources: readonly number[];
  /** Pixels that lie outside become this, if given. */
  readonly outside?: number;
}

function weightAt({ kind, cubicCoefficient: a }: Filter, distance: number): number {
  const x = Math.abs(distance);
  if (kind === 'linear') return Math.max(1 - x, 0);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/** Weights of all input pixels for one output pixel. */
function fillRow(row: Float64Array, source: number, { size, scale }: ResampledAxis, filter: Filter): void {
  const clamp = (index: number): number => Math.min(Math.max(index, 0), size - 1);
  const add = (index: number, weight: number): void => {
    row[index] = (row[index] as number) + weight;
  };
  if (filter.kind === 'nearest') {
    add(clamp(filter.round(source)), 1);
    return;
  }
  // Downwards the filter widens, so that every input pixel counts.
  const narrow = filter.antialias ? Math.min(scale, 1) : 1;
  const reach = (filter.kind === 'linear' ? 1 : 2) / narrow;
  for (let index = Math.ceil(source - reach); index <= Math.floor(source + reach); index++) {
    const isInside = index >= 0 && index < size;
    if (isInside || !filter.excludeOutside) add(clamp(index), weightAt(filter, (index - source) * narrow));
  }
  const sum = row.reduce((total, weight) => total + weight, 0);
  for (let index = 0; index < size; index++) row[index] = (row[index] as number) / sum;
}

/** One axis of x, brought to the front of a product [resized, size] · [..., size, rest]. */
export function resampleAxis(
  node: OperatorContext,
  x: Value,
  axis: number,
  along: ResampledAxis,
  filter: Filter,
): Value {
  const { builder } = node;
  const { size, resized, sources } = along;
  if (resized > RESIZED_MAX || resized * size > RESIZED_MAX * 16)
    throw node.unsupported(`resizing an axis from ${size} to ${resized} with this filter`);
  if (size === 0) throw new Error(`expected pixels to resize, got shape [${x.dims.join(', ')}]`);
  const weights = new Float64Array(resized * size);
  sources.forEach((source, i) => {
    fillRow(weights.subarray(i * size, (i + 1) * size), source, along, filter);
  });
  const matrix = builder.literal('float32', [resized, size], Array.from(weights));
  const product = (dims: readonly number[]): number => dims.reduce((total, each) => total * each, 1);
  const [outer, inner] = [x.dims.slice(0, axis), x.dims.slice(axis + 1)];
  const wide = builder.cast(builder.reshape(x, [product(outer), size, product(inner)]), 'float32');
  const result = builder.reshape(builder.matMul(matrix, wide), [...outer, resized, ...inner]);
  return builder.cast(crop(node, result, axis, along), x.type);
}

function crop({ builder }: OperatorContext, x: Value, axis: number, along: ResampledAxis): Value {
  const { outside, sources, size } = along;
  const isOutside = sources.map((source) => (source < 0 || source > size - 1 ? 1 : 0));
  if (outside === undefined || !isOutside.includes(1)) return x;
  const dims = x.dims.map((_, i) => (i === axis ? sources.length : 1));
  const mask = builder.literal('bool', dims, isOutside);
  return builder.add({ kind: 'where' }, [mask, builder.scalar(outside), x]);
}
