/** Operations on types that have no kernel of their own for them, in terms of those that have. */

import { isByteFloat, isSmallInteger } from '../engine/tensor.ts';
import type { Builder } from './builder.ts';
import { isInteger } from './evaluate.ts';
import type { Operation, Value } from './graph.ts';
import { lowerFloat64 } from './lower-float64.ts';
import { UnsupportedError } from './program.ts';

/** Whether an operation reckons with its elements, and does not only move them. */
export function reckons(operation: Operation): boolean {
  switch (operation.kind) {
    case 'reshape':
    case 'transpose':
    case 'slice':
    case 'concat':
    case 'pad':
    case 'expand':
    case 'gather':
      return false;
    default:
      return true;
  }
}

const isUnsigned = (x: Value): boolean => x.type.startsWith('u') || x.type === 'bool';

function integerUnary(builder: Builder, operation: Operation & { kind: 'unary' }, x: Value): Value | undefined {
  const zero = builder.literal(x.type, [], [0]);
  const is = (name: 'less' | 'greater'): Value =>
    builder.cast(builder.add({ kind: 'compare', name }, [x, zero]), x.type);
  switch (operation.name) {
    case 'neg':
      return builder.binary('sub', zero, x);
    case 'abs':
      return isUnsigned(x) ? x : builder.binary('max', x, builder.binary('sub', zero, x));
    case 'sign':
      return isUnsigned(x) ? is('greater') : builder.binary('sub', is('greater'), is('less'));
    case 'relu':
      return isUnsigned(x) ? x : builder.binary('max', x, zero);
    case 'square':
      return builder.binary('mul', x, x);
    case 'floor':
    case 'ceil':
    case 'round':
      return x;
    case 'scale':
      return integerScale(builder, operation, x);
    default:
      return undefined;
  }
}

/** Whole factors only, as those of Gemm are by default. */
function integerScale(builder: Builder, operation: Operation & { kind: 'unary' }, x: Value): Value | undefined {
  const { alpha = 0, beta = 0 } = operation;
  if (!Number.isSafeInteger(alpha) || !Number.isSafeInteger(beta)) return undefined;
  const product = alpha === 1 ? x : builder.binary('mul', x, builder.literal(x.type, [], [alpha]));
  return beta === 0 ? product : builder.binary('add', product, builder.literal(x.type, [], [beta]));
}

/** What is not float32 has a plain kernel, behind which nothing is fused. */
function otherMatMul(
  builder: Builder,
  { transposeB }: Operation & { kind: 'matMul' },
  inputs: readonly (Value | undefined)[],
): Value {
  const [a, b, bias, residual] = inputs;
  const product = builder.add({ kind: 'product', transposeB }, [a, b]);
  const biased = bias ? builder.binary('add', product, bias) : product;
  return residual ? builder.binary('add', biased, residual) : biased;
}

type Pool = Operation & { kind: 'maxPool' | 'averagePool' };

/** Taps of a pixel of which two pools are made: they have fewer, and each pixel of a large window would take too long for one instruction. */
const POOL_TAPS_MAX = 500_000;

function isLargePool({ window: { kernel } }: Pool, { dims }: Value): boolean {
  return kernel[0] > 1 && kernel[1] > 1 && kernel[0] * kernel[1] * (dims[3] ?? 0) > POOL_TAPS_MAX;
}

/** Maxima of maxima are maxima, and averages of averages averages, since how many elements a window has is a product over the axes. */
function poolByAxes(builder: Builder, operation: Pool, x: Value): Value {
  const { window, outputSize } = operation;
  const { kernel, strides, dilations, pads } = window;
  const across: Pool = {
    ...operation,
    window: {
      kernel: [1, kernel[1]],
      strides: [1, strides[1]],
      dilations: [1, dilations[1]],
      pads: [0, pads[1], 0, pads[3]],
    },
    outputSize: [x.dims[1] ?? 0, outputSize[1]],
  };
  const down: Pool = {
    ...operation,
    window: {
      kernel: [kernel[0], 1],
      strides: [strides[0], 1],
      dilations: [dilations[0], 1],
      pads: [pads[0], 0, pads[2], 0],
    },
  };
  return builder.add(down, [builder.add(across, [x])]);
}

/** Types of fewer than 16 bits are stored, moved and cast, no more. */
function refuseStorage(builder: Builder, operation: Operation, inputs: readonly (Value | undefined)[]): void {
  const { kind } = operation;
  const moves = !reckons(operation) || (kind === 'scatter' && operation.name === 'set');
  if (moves || kind === 'cast' || kind === 'bitCast' || kind === 'where') return;
  const stored = inputs.find((value) => value && (isByteFloat(value.type) || isSmallInteger(value.type)));
  if (stored) throw new UnsupportedError(`node "${builder.origin}": ${kind} of ${stored.type} values is not supported`);
}

/** The outputs, or `undefined` for an operation that is left as it is. */
export function lower(
  builder: Builder,
  operation: Operation,
  inputs: readonly (Value | undefined)[],
): readonly Value[] | undefined {
  const [x] = inputs;
  if (!x) return undefined;
  refuseStorage(builder, operation, inputs);
  if (operation.kind === 'unary' && isInteger(x.type)) {
    const result = integerUnary(builder, operation, x);
    return result && [result];
  }
  if (operation.kind === 'matMul' && x.type !== 'float32') return [otherMatMul(builder, operation, inputs)];
  const isPool = operation.kind === 'maxPool' || operation.kind === 'averagePool';
  if (isPool && x.type === 'float32' && isLargePool(operation, x)) return [poolByAxes(builder, operation, x)];
  return x.type === 'float64' ? lowerFloat64(builder, operation, inputs) : undefined;
}
