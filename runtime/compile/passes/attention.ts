/**
 * softmax(q · kᵀ · scale + mask) · v becomes one operation, which never holds all scores. The scale moves to the queries, where
 * there is less to multiply, and on into the weights that made them.
 */
import type { Builder } from '../builder.ts';
import type { Value } from '../graph.ts';
import { madeBy, type OperationOf, type Pass, rewrite, type Visit } from './rewrite.ts';

interface Scores {
  readonly q: Value;
  readonly k: Value;
  readonly transposeB: boolean;
  readonly scale: number;
  readonly mask: Value | undefined;
}

function isPlain({ activation }: OperationOf<'matMul'>, inputs: readonly (Value | undefined)[]): boolean {
  return activation === undefined && !inputs[2] && !inputs[3];
}

/** A product of matrices that are both known only during the run, times a number. */
function scaledProduct(builder: Builder, value: Value | undefined, scale = 1): Omit<Scores, 'mask'> | undefined {
  const scaled = madeBy(builder, value, 'unary');
  if (scaled?.operation.name === 'scale' && scaled.operation.beta === 0)
    return scaledProduct(builder, scaled.inputs[0], scale * (scaled.operation.alpha ?? 1));
  const product = madeBy(builder, value, 'matMul');
  const [q, k] = product?.inputs ?? [];
  if (!product || !q || !k || k.constant || !isPlain(product.operation, product.inputs)) return undefined;
  return { q, k, transposeB: product.operation.transposeB, scale };
}

function scoresOf(builder: Builder, value: Value): Scores | undefined {
  const plain = scaledProduct(builder, value);
  if (plain) return { ...plain, mask: undefined };
  const sum = madeBy(builder, value, 'binary');
  if (sum?.operation.name !== 'add') return undefined;
  const [a, b] = sum.inputs as [Value, Value];
  for (const [scores, mask] of [
    [a, b],
    [b, a],
  ] as const) {
    const found = scaledProduct(builder, scores);
    // The mask may repeat itself over batches, heads and queries, but has a number of its own for every key.
    if (found && scores.dims.join() === value.dims.join() && mask.dims.at(-1) === value.dims.at(-1))
      return { ...found, mask };
  }
  return undefined;
}

/** Multiplies before the elements are moved, next to what computed them. */
function scaleSource(builder: Builder, x: Value, factor: number): Value {
  const moved = madeBy(builder, x, 'transpose');
  if (moved) return builder.transpose(scaleSource(builder, moved.inputs[0] as Value, factor), moved.operation.perm);
  const shaped = madeBy(builder, x, 'reshape');
  if (shaped) return builder.reshape(scaleSource(builder, shaped.inputs[0] as Value, factor), x.dims);
  const scaled = madeBy(builder, x, 'unary');
  if (scaled?.operation.name === 'scale' && scaled.operation.beta === 0)
    return scaleSource(builder, scaled.inputs[0] as Value, Math.fround(factor * (scaled.operation.alpha ?? 1)));
  return builder.scale(x, factor, 0);
}

function join({ builder, node: { operation }, inputs, isOnlyReader }: Visit): Value | undefined {
  if (operation.kind !== 'matMul' || operation.transposeB || !isPlain(operation, inputs) || !isOnlyReader(0))
    return undefined;
  const [weights, v] = inputs as [Value, Value];
  const softmax = madeBy(builder, weights, 'softmax');
  const x = softmax?.inputs[0];
  if (!x || softmax.operation.log || softmax.operation.axis !== x.dims.length - 1) return undefined;
  if (v.constant || v.type !== 'float32' || x.dims.length < 2) return undefined;
  const scores = scoresOf(builder, x);
  if (!scores) return undefined;
  const { q, k, scale, mask, transposeB } = scores;
  return builder.add({ kind: 'attention', transposeK: transposeB }, [scaleSource(builder, q, scale), k, v, mask]);
}

export const joinAttention: Pass = (graph, keys) => rewrite(graph, keys, join);
