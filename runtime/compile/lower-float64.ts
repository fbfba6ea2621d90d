/** Operations on float64 in terms of those that have kernels for it: models that ask for it are rare, and small. */
import type { Builder } from './builder.ts';
import type { OperationOf } from './emission.ts';
import type { Operation, Value } from './graph.ts';
import { lowerRecurrent } from './lower-recurrent.ts';
import { lowerConv64, lowerPool64 } from './lower-windows.ts';

/** The kernel's parameters are float32, which is not exact enough for bounds and factors that the model gives as float64. */
function unary(builder: Builder, operation: OperationOf<'unary'>, x: Value): Value | undefined {
  const { name, alpha = 0, beta = 0 } = operation;
  const number = (value: number): Value => builder.literal('float64', [], [value]);
  if (Math.fround(alpha) === alpha && Math.fround(beta) === beta) return undefined;
  if (name === 'clip') return builder.binary('min', builder.binary('max', x, number(alpha)), number(beta));
  if (name === 'scale') return builder.binary('add', builder.binary('mul', x, number(alpha)), number(beta));
  return undefined;
}

function softmax(builder: Builder, { axis, log }: OperationOf<'softmax'>, x: Value): Value {
  const shifted = builder.binary('sub', x, builder.reduce('max', x, [axis]));
  const powers = builder.unary('exp', shifted);
  const sum = builder.reduce('sum', powers, [axis]);
  return log ? builder.binary('sub', shifted, builder.unary('log', sum)) : builder.binary('div', powers, sum);
}

function layerNorm(builder: Builder, epsilon: number, x: Value, scale: Value, bias: Value): Value {
  const axes = [x.dims.length - 1];
  const centred = builder.binary('sub', x, builder.reduce('mean', x, axes));
  const variance = builder.reduce('mean', builder.unary('square', centred), axes);
  const deviation = builder.unary('sqrt', builder.scale(variance, 1, epsilon));
  return builder.binary('add', builder.binary('mul', builder.binary('div', centred, deviation), scale), bias);
}

/** The outputs, or `undefined` for an operation that is left as it is. The first input is float64. */
export function lowerFloat64(
  builder: Builder,
  operation: Operation,
  inputs: readonly (Value | undefined)[],
): readonly Value[] | undefined {
  const [x, second, third] = inputs as [Value, Value, Value];
  switch (operation.kind) {
    case 'unary': {
      const result = unary(builder, operation, x);
      return result && [result];
    }
    case 'softmax':
      return [softmax(builder, operation, x)];
    case 'layerNorm':
      return [layerNorm(builder, operation.epsilon, x, second, third)];
    case 'recurrent':
      return lowerRecurrent(builder, operation, inputs);
    case 'conv':
      return [lowerConv64(builder, operation, x, second, third)];
    case 'maxPool':
    case 'averagePool':
      return [lowerPool64(builder, operation, x)];
    default:
      return undefined;
  }
}
