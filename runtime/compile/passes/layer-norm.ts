/**
 * Normalisations over the last axes that exporters write out: x · 1 / sqrt(mean(x²) + epsilon) (Zhang and Sennrich, "Root Mean
 * Square Layer Normalization", 2019), and where x is something minus its own mean, that of Ba et al., "Layer Normalization", 2016.
 */
import { elementCount } from '../../engine/tensor.ts';
import type { Builder } from '../builder.ts';
import type { Value } from '../graph.ts';
import type { UnaryName } from '../instructions.ts';
import { madeBy, type Pass, rewrite, type Visit } from './rewrite.ts';

interface Mean {
  readonly x: Value;
  /** All axes from this one on are averaged. */
  readonly first: number;
}

function meanOverLast(builder: Builder, value: Value | undefined): Mean | undefined {
  const made = madeBy(builder, value, 'reduce');
  const x = made?.inputs[0];
  if (!x || made.operation.name !== 'mean') return undefined;
  const { axes } = made.operation;
  const first = x.dims.length - axes.length;
  return axes.length > 0 && axes.every((axis, i) => axis === first + i) ? { x, first } : undefined;
}

function argumentOf(builder: Builder, value: Value | undefined, name: UnaryName): Value | undefined {
  const made = madeBy(builder, value, 'unary');
  return made?.operation.name === name ? made.inputs[0] : undefined;
}

function squared(builder: Builder, value: Value): Value | undefined {
  const made = madeBy(builder, value, 'binary');
  const product = made?.operation.name === 'mul' && made.inputs[0] === made.inputs[1] ? made.inputs[0] : undefined;
  return argumentOf(builder, value, 'square') ?? product;
}

interface Deviation extends Mean {
  readonly epsilon: number;
}

/** sqrt(mean(x²) + epsilon) */
function deviationOf(builder: Builder, value: Value | undefined): Deviation | undefined {
  const root = argumentOf(builder, value, 'sqrt');
  const shifted = madeBy(builder, root, 'unary');
  const isShift = shifted?.operation.name === 'scale' && shifted.operation.alpha === 1;
  const mean = meanOverLast(builder, isShift ? shifted.inputs[0] : root);
  const x = mean && squared(builder, mean.x);
  return mean && x && { x, first: mean.first, epsilon: isShift ? (shifted.operation.beta ?? 0) : 0 };
}

/** What `value` is the distance from the mean of. */
function centredOf(builder: Builder, value: Value, first: number): Value | undefined {
  const made = madeBy(builder, value, 'binary');
  if (made?.operation.name !== 'sub') return undefined;
  const [x, mean] = made.inputs as [Value, Value];
  const found = meanOverLast(builder, mean);
  return found?.x === x && found.first === first ? x : undefined;
}

function normalise(builder: Builder, value: Value, deviation: Deviation | undefined): Value | undefined {
  if (deviation?.x !== value || value.type !== 'float32') return undefined;
  const { first, epsilon } = deviation;
  const centred = centredOf(builder, value, first);
  const x = centred ?? value;
  const size = elementCount(x.dims.slice(first));
  const vector = (each: number): Value => builder.literal('float32', [size], new Array<number>(size).fill(each));
  const rows = builder.reshape(x, [...x.dims.slice(0, first), size]);
  const operation = { kind: 'layerNorm', epsilon, ...(centred ? {} : { uncentred: true }) } as const;
  return builder.reshape(builder.add(operation, [rows, vector(1), vector(0)]), x.dims);
}

function join({ builder, node: { operation }, inputs }: Visit): Value | undefined {
  if (operation.kind !== 'binary') return undefined;
  const [a, b] = inputs as [Value, Value];
  const byReciprocal = (x: Value, factor: Value): Value | undefined =>
    normalise(builder, x, deviationOf(builder, argumentOf(builder, factor, 'reciprocal')));
  if (operation.name === 'div') return normalise(builder, a, deviationOf(builder, b));
  return operation.name === 'mul' ? (byReciprocal(a, b) ?? byReciprocal(b, a)) : undefined;
}

export const joinLayerNorm: Pass = (graph, keys) => rewrite(graph, keys, join);
