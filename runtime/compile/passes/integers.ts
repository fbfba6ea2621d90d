/**
 * Dequantise → convolution or matrix product → quantise becomes the product of the integers themselves, summed up exactly, and one
 * step to the scale of the result. Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
 * Integer-Arithmetic-Only Inference" (2018), section 2.2; the factor between the scales stays a float32 here.
 */
import { elementCount } from '../../engine/tensor.ts';
import type { Builder } from '../builder.ts';
import { numbersOf } from '../evaluate.ts';
import type { Quantized, Value } from '../graph.ts';
import { madeBy, type OperationOf, type Pass, rewrite, scalarOf, type Visit } from './rewrite.ts';

/** Products of this many 8-bit numbers, each up to 255 from its zero point, add up to less than 2^31. */
const SUM_LENGTH_MAX = 32_768;

const ranges: { readonly [type: string]: readonly [low: number, high: number] } = {
  int8: [-128, 127],
  uint8: [0, 255],
};

/** What lies before `x`, when that is a limit which quantisation to `to` brings about in any case. */
function withoutLimit(builder: Builder, x: Value, to: OperationOf<'quantize'>, step: number, zero: number): Value {
  const unary = madeBy(builder, x, 'unary');
  const [low, high] = ranges[to.to] as readonly [number, number];
  const limits = { relu: [0, Infinity], clip: [unary?.operation.alpha ?? 0, unary?.operation.beta ?? 0] };
  const name = unary?.operation.name;
  if (name !== 'relu' && name !== 'clip') return x;
  const [least, most] = limits[name] as [number, number];
  const harmless = Math.round(least / step) + zero <= low && Math.round(most / step) + zero >= high;
  return harmless ? (unary?.inputs[0] as Value) : x;
}

interface Product {
  readonly operation: OperationOf<'conv'> | OperationOf<'matMul'>;
  readonly x: Quantized;
  readonly weights: Quantized;
  readonly bias: Value | undefined;
  /** The axis of the weights that stands for output channels. */
  readonly axis: number;
}

function productOf(builder: Builder, value: Value): Product | undefined {
  const maker = madeBy(builder, value, 'conv') ?? madeBy(builder, value, 'matMul');
  if (!maker) return undefined;
  const { operation, inputs } = maker;
  const [x, w, bias, residual] = inputs as [Value, Value, Value?, Value?];
  const source = madeBy(builder, x, 'dequantize');
  const weights = w.constant?.quantized;
  if (!source || !weights || operation.activation || residual || (bias && !bias.constant)) return undefined;
  const [values, scale, zero] = source.inputs as [Value, Value, Value];
  if (![values, weights.values].every(({ type }) => type in ranges)) return undefined;
  if (scalarOf(scale) === undefined || scalarOf(zero) === undefined) return undefined;
  const axis = operation.kind === 'conv' ? 0 : operation.transposeB ? 0 : 1;
  const perChannel = weights.scale.dims.length === w.dims.length;
  const fits = weights.scale.dims.every((size, i) => size === 1 || (perChannel && i === axis));
  const channels = w.dims[axis] as number;
  if (!fits || (operation.kind === 'matMul' && w.dims.length !== 2)) return undefined;
  if (elementCount(w.dims) / channels > SUM_LENGTH_MAX) return undefined;
  return { operation, x: { values, scale, zero }, weights, bias, axis };
}

/** The bias in units of the sums, or nothing when it does not fit. */
function integerBias(builder: Builder, bias: Value, unit: Value): Value | undefined {
  const sums = builder.unary('round', builder.binary('div', bias, unit));
  const most = numbersOf((sums.constant as NonNullable<Value['constant']>).tensor).every(
    (each) => Math.abs(each) < 2 ** 30,
  );
  return most ? builder.cast(sums, 'int32') : undefined;
}

function useIntegers({ builder, node, inputs, isOnlyReader }: Visit): Value | undefined {
  const { operation } = node;
  if (operation.kind !== 'quantize' || !(operation.to in ranges) || !isOnlyReader(0)) return undefined;
  const [given, scale, zero] = inputs as [Value, Value, Value];
  const [step, offset] = [scalarOf(scale), scalarOf(zero)];
  if (step === undefined || offset === undefined) return undefined;
  const product = productOf(builder, withoutLimit(builder, given, operation, step, offset));
  if (!product) return undefined;
  const { x, weights } = product;
  const perChannel = builder.reshape(
    weights.scale,
    elementCount(weights.scale.dims) === 1 ? [] : [elementCount(weights.scale.dims)],
  );
  const unit = builder.binary('mul', builder.reshape(x.scale, []), perChannel);
  const bias = product.bias && integerBias(builder, product.bias, unit);
  if (product.bias && !bias) return undefined;
  const operands = [
    builder.add({ kind: 'center' }, [x.values, x.zero]),
    builder.add({ kind: 'center' }, [weights.values, weights.zero]),
    ...(bias ? [bias] : []),
  ];
  const sums =
    product.operation.kind === 'conv'
      ? builder.add({ kind: 'convInteger', window: product.operation.window, group: product.operation.group }, operands)
      : builder.add({ kind: 'matMulInteger', transposeB: product.operation.transposeB }, operands);
  const factor = builder.binary('div', unit, builder.reshape(scale, []));
  return builder.add({ kind: 'requantize', to: operation.to }, [sums, factor, builder.reshape(zero, [])]);
}

export const multiplyIntegers: Pass = (graph, keys) => rewrite(graph, keys, useIntegers);
