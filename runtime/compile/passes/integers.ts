/**
 * Dequantise → convolution or matrix product → quantise becomes the product of the integers themselves, summed up exactly, and one
 * step to the scale of the result. Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
 * Integer-Arithmetic-Only Inference" (2018), section 2.2; the factor between the scales stays a float32 here.
 */
import { elementCount } from '../../engine/tensor.ts';
import type { Builder } from '../builder.ts';
import { numbersOf } from '../evaluate.ts';
import type { Constant, Quantized, Value } from '../graph.ts';
import { madeBy, type OperationOf, type Pass, rewrite, scalarOf, type Visit } from './rewrite.ts';

const SUM_MAX = 2 ** 31 - 1;
/** Two 8-bit numbers, each as far from its zero point as can be. */
const PRODUCT_MAX = 255 * 255;

const ranges: { readonly [type: string]: readonly [low: number, high: number] } = {
  int8: [-128, 127],
  uint8: [0, 255],
};

interface Limited {
  readonly x: Value;
  /** In steps of the quantised result. */
  readonly limits: readonly [low: number, high: number];
}

/** What lies before a relu or clip, and what this comes to after quantisation: limiting and rounding may change places. */
function limitOf(builder: Builder, x: Value, range: Limited['limits'], scale: Value, zero: number): Limited {
  const unary = madeBy(builder, x, 'unary');
  if (unary?.operation.name !== 'relu' && unary?.operation.name !== 'clip') return { x, limits: range };
  const { name, alpha = 0, beta = 0 } = unary.operation;
  const bounds = name === 'relu' ? [0, Infinity] : [alpha, beta];
  const limits = bounds.map((bound) => {
    const steps = scalarOf(builder.unary('round', builder.binary('div', builder.scalar(bound), scale))) as number;
    return Math.min(Math.max(steps + zero, range[0]), range[1]);
  });
  return { x: unary.inputs[0] as Value, limits: limits as [number, number] };
}

interface Product {
  readonly operation: OperationOf<'conv'> | OperationOf<'matMul'>;
  readonly x: Quantized;
  /** Of x, where it is multiplied. */
  readonly dims: readonly number[];
  readonly weights: Quantized;
  readonly bias: Value | undefined;
  /** How many products make a sum. */
  readonly length: number;
}

function productOf(builder: Builder, value: Value): Product | undefined {
  const maker = madeBy(builder, value, 'conv') ?? madeBy(builder, value, 'matMul');
  if (!maker) return undefined;
  const { operation, inputs } = maker;
  const [x, w, bias, residual] = inputs as [Value, Value, Value?, Value?];
  // One scale for all elements: a reshape of the floats is one of the integers as well.
  const source = madeBy(builder, madeBy(builder, x, 'reshape')?.inputs[0] ?? x, 'dequantize');
  const weights = w.constant?.quantized;
  if (!source || !weights || operation.activation || residual || (bias && !bias.constant)) return undefined;
  const [values, scale, zero] = source.inputs as [Value, Value, Value];
  if (![values, weights.values].every(({ type }) => type in ranges)) return undefined;
  if (scalarOf(scale) === undefined || scalarOf(zero) === undefined) return undefined;
  const axis = operation.kind === 'conv' || operation.transposeB ? 0 : 1;
  const perChannel = weights.scale.dims.length === w.dims.length;
  const fits = weights.scale.dims.every((size, i) => size === 1 || (perChannel && i === axis));
  const channels = w.dims[axis] as number;
  if (!fits || (operation.kind === 'matMul' && w.dims.length !== 2)) return undefined;
  return {
    operation,
    x: { values, scale, zero },
    dims: x.dims,
    weights,
    bias,
    length: elementCount(w.dims) / channels,
  };
}

/** The bias in units of the sums, or nothing when they could overflow. Channels whose scale is 0 have no bias: NaN becomes 0. */
function integerBias(builder: Builder, bias: Value, unit: Value, most: number): Value | undefined {
  const sums = builder.unary('round', builder.binary('div', bias, unit));
  const values = numbersOf((sums.constant as Constant).tensor);
  return values.some((each) => Math.abs(each) > most) ? undefined : builder.cast(sums, 'int32');
}

function useIntegers({ builder, node, inputs, isOnlyReader }: Visit): Value | undefined {
  const { operation } = node;
  const range = operation.kind === 'quantize' ? ranges[operation.to] : undefined;
  if (operation.kind !== 'quantize' || !range || !isOnlyReader(0)) return undefined;
  const [given, scale, zero] = inputs as [Value, Value, Value];
  const [step, offset] = [scalarOf(scale), scalarOf(zero)];
  if (!step || offset === undefined) return undefined;
  const { x: made, limits } = limitOf(builder, given, range, scale, offset);
  const product = productOf(builder, made);
  if (!product || product.length * PRODUCT_MAX > SUM_MAX) return undefined;
  const { x, weights } = product;
  const perChannel = builder.reshape(
    weights.scale,
    elementCount(weights.scale.dims) === 1 ? [] : [elementCount(weights.scale.dims)],
  );
  const unit = builder.binary('mul', builder.reshape(x.scale, []), perChannel);
  const bias = product.bias && integerBias(builder, product.bias, unit, SUM_MAX - product.length * PRODUCT_MAX);
  if (product.bias && !bias) return undefined;
  const operands = [
    builder.reshape(builder.add({ kind: 'center' }, [x.values, x.zero]), product.dims),
    builder.add({ kind: 'center' }, [weights.values, weights.zero]),
    ...(bias ? [bias] : []),
  ];
  const sums =
    product.operation.kind === 'conv'
      ? builder.add({ kind: 'convInteger', window: product.operation.window, group: product.operation.group }, operands)
      : builder.add({ kind: 'matMulInteger', transposeB: product.operation.transposeB }, operands);
  const factor = builder.binary('div', unit, builder.reshape(scale, []));
  return builder.add({ kind: 'requantize', to: operation.to, limits }, [sums, factor, builder.reshape(zero, [])]);
}

export const multiplyIntegers: Pass = (graph, keys) => rewrite(graph, keys, useIntegers);
