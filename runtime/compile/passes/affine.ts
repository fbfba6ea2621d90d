/**
 * Scales and shifts by constants move into the weights and bias of the convolution, matrix product or layer
 * normalisation before them; where an activation stands between, into the convolution behind them. Batch normalisation
 * arrives here as one of each.
 */
import { elementCount } from '../../engine/tensor.ts';
import type { Builder } from '../builder.ts';
import type { Node, Value } from '../graph.ts';
import { sameDims } from '../strides.ts';
import { madeBy, type Pass, rewrite, scalarOf, type Visit } from './rewrite.ts';

/** x · factor + shift, each a constant with one element or one a channel. */
interface Affine {
  readonly x: number;
  readonly factor?: Value;
  readonly shift?: Value;
}

/** A constant that is the same for all elements of a channel, the last axis. */
function isPerChannel(value: Value | undefined, output: Value): boolean {
  if (!value?.constant || value.type !== 'float32') return false;
  const channels = output.dims.at(-1);
  return value.dims.every((size, axis) => size === 1 || (axis === value.dims.length - 1 && size === channels));
}

/** What the node does to its one input that is no constant, as a scale and a shift. */
function affineOf(
  builder: Builder,
  { operation, outputs }: Node,
  inputs: readonly (Value | undefined)[],
): Affine | undefined {
  const output = outputs[0] as Value;
  if (operation.kind === 'unary' && operation.name === 'scale') {
    const { alpha = 1, beta = 0 } = operation;
    return {
      x: 0,
      factor: alpha === 1 ? undefined : builder.scalar(alpha),
      shift: beta === 0 ? undefined : builder.scalar(beta),
    };
  }
  if (operation.kind !== 'binary') return undefined;
  const x = inputs[0]?.constant ? 1 : 0;
  const constant = inputs[1 - x];
  if (!constant || !isPerChannel(constant, output) || !sameDims((inputs[x] as Value).dims, output.dims))
    return undefined;
  switch (operation.name) {
    case 'add':
      return { x, shift: constant };
    case 'mul':
      return { x, factor: constant };
    case 'sub':
      return x === 0
        ? { x, shift: builder.unary('neg', constant) }
        : { x, factor: builder.scalar(-1), shift: constant };
    case 'div':
      return x === 0 ? { x, factor: builder.unary('reciprocal', constant) } : undefined;
    default:
      return undefined;
  }
}

/** A per-channel constant shaped to broadcast along `axis` of the weights. */
function along(builder: Builder, value: Value, axis: number, rank: number): Value {
  const dims = new Array<number>(rank).fill(1);
  dims[axis] = elementCount(value.dims);
  return builder.reshape(value, dims);
}

/** The axis of the weights that stands for output channels, when a scale can go into them. */
function channelAxis({ operation, inputs }: Node): number | undefined {
  switch (operation.kind) {
    case 'conv':
    case 'layerNorm':
      return 0;
    case 'convTranspose':
      return operation.group === 1 ? 1 : undefined;
    case 'matMul': {
      const b = inputs[1] as Value;
      if (!b.constant || b.dims.length !== 2) return undefined;
      return operation.transposeB ? 0 : 1;
    }
    default:
      return undefined;
  }
}

const withBias: ReadonlySet<string> = new Set(['conv', 'convTranspose', 'matMul', 'layerNorm']);

function fold({ builder, node, inputs, isOnlyReader }: Visit): Value | undefined {
  const affine = affineOf(builder, node, inputs);
  const maker = affine && builder.producerOf(inputs[affine.x]);
  if (!affine || !maker || !withBias.has(maker.operation.kind) || !isOnlyReader(affine.x)) return undefined;
  const { factor, shift } = affine;
  const finished = 'activation' in maker.operation && maker.operation.activation !== undefined;
  const axis = channelAxis(maker);
  if (finished || maker.inputs[3] || (factor && axis === undefined)) return undefined;
  const channels = (node.outputs[0] as Value).dims.at(-1) as number;
  let [x, weights, bias] = maker.inputs as [Value, Value, Value?];
  builder.origin = maker.origin;
  const vector = (value: Value): Value => builder.expand(along(builder, value, 0, 1), [channels]);
  if (factor) {
    weights = builder.binary('mul', weights, along(builder, factor, axis as number, weights.dims.length));
    bias &&= builder.binary('mul', bias, along(builder, factor, 0, 1));
  }
  if (shift) bias = bias ? builder.binary('add', bias, along(builder, shift, 0, 1)) : vector(shift);
  return builder.add(maker.operation, bias ? [x, weights, bias] : [x, weights]);
}

export const foldAffine: Pass = (graph, keys) => rewrite(graph, keys, fold);

/** W · (alpha · x + beta) + b = (alpha · W) · x + (b + beta · ΣW), unless zeros of the padding stand among the x. */
export const foldIntoNext: Pass = (graph, keys) =>
  rewrite(graph, keys, ({ builder, node: { operation }, inputs, isOnlyReader }) => {
    if (operation.kind !== 'conv' || !isOnlyReader(0)) return undefined;
    const scale = madeBy(builder, inputs[0], 'unary');
    if (scale?.operation.name !== 'scale') return undefined;
    const { alpha = 1, beta = 0 } = scale.operation;
    if (beta !== 0 && operation.window.pads.some((pad) => pad !== 0)) return undefined;
    const [, weights, bias, residual] = inputs as [Value, Value, Value?, Value?];
    const sums = builder.reshape(builder.reduce('sum', weights, [1, 2, 3]), [weights.dims[0] as number]);
    const shift = builder.scale(sums, beta, 0);
    const shifted = beta === 0 ? bias : bias ? builder.binary('add', bias, shift) : shift;
    return builder.add(operation, [scale.inputs[0], builder.scale(weights, alpha, 0), shifted, residual]);
  });

/** Arithmetic with one number becomes alpha · x + beta, and such steps join. */
export const joinScales: Pass = (graph, keys) =>
  rewrite(graph, keys, ({ builder, node, inputs, isOnlyReader }) => {
    const affine = affineOf(builder, node, inputs);
    const [factor, shift] = [affine?.factor ? scalarOf(affine.factor) : 1, affine?.shift ? scalarOf(affine.shift) : 0];
    if (!affine || factor === undefined || shift === undefined) return undefined;
    const x = inputs[affine.x] as Value;
    const before = builder.producerOf(x);
    // A product with the reciprocal may be off by a last digit, and a single number gains nothing by it where no matrix product
    // takes the factor in. It may be the step of DynamicQuantizeLinear, whose zero point lies between two integers when a tensor
    // is symmetric: that digit decides it.
    const isDivision = node.operation.kind === 'binary' && node.operation.name === 'div';
    if (isDivision && elementCount(x.dims) === 1 && before?.operation.kind !== 'matMul') return undefined;
    if (before?.operation.kind !== 'unary' || before.operation.name !== 'scale' || !isOnlyReader(affine.x))
      return builder.scale(x, factor, shift);
    const { alpha = 1, beta = 0 } = before.operation;
    // 6 · (1 / 6) is 1 as far as a float32 can tell.
    const joined = Math.fround(factor * alpha);
    return builder.scale(before.inputs[0] as Value, joined, Math.fround(factor * beta + shift));
  });
