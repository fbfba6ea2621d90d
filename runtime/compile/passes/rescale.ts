/** A product of integers whose sums are brought to their 8-bit scale: from bytes to bytes in one operation, where all is constant but x. */
import { elementCount } from '../../engine/tensor.ts';
import { TAP_PAIRS_MAX, tapPairs } from '../assemble-quantized.ts';
import type { Builder } from '../builder.ts';
import { numbersOf } from '../evaluate.ts';
import type { Constant, Value } from '../graph.ts';
import type { ByteType } from '../instructions.ts';
import { madeBy, type OperationOf, type Pass, rewrite, scalarOf, type Visit } from './rewrite.ts';

/** The bytes that a centred value was, in its shape, and the zero point. */
function bytesOf(builder: Builder, value: Value): { readonly x: Value; readonly zero: number } | undefined {
  const centred = madeBy(builder, madeBy(builder, value, 'reshape')?.inputs[0] ?? value, 'center');
  const [x, zero] = [centred?.inputs[0], scalarOf(centred?.inputs[1])];
  if (!x || x.constant || zero === undefined || !Number.isInteger(zero)) return undefined;
  return { x: builder.reshape(x, value.dims), zero };
}

interface Sums {
  readonly operation: Pick<OperationOf<'convInteger'>, 'window' | 'group'>;
  /** [n, h, w, c] */
  readonly x: Value;
  readonly zero: number;
  /** [m, c / group, kh, kw] */
  readonly weights: Value;
  readonly bias: Value | undefined;
}

/** A matrix product is a convolution of one picture, a row high, with a window of one pixel. */
function sumsOf(builder: Builder, value: Value): Sums | undefined {
  const conv = madeBy(builder, value, 'convInteger');
  const made = conv ?? madeBy(builder, value, 'matMulInteger');
  const [left, weights, bias] = (made?.inputs ?? []) as [Value?, Value?, Value?];
  if (!made || !left || !weights?.constant || (bias && !bias.constant)) return undefined;
  const source = bytesOf(builder, left);
  if (!source) return undefined;
  if (conv) return { operation: conv.operation, ...source, weights, bias };
  if (weights.dims.length !== 2 || elementCount(weights.dims) === 0) return undefined;
  const { transposeB } = made.operation as OperationOf<'matMulInteger'>;
  const rows = transposeB ? weights : builder.transpose(weights, [1, 0]);
  const [m = 0, k = 0] = rows.dims;
  const x = builder.reshape(source.x, [1, 1, elementCount(source.x.dims) / k, k]);
  const window = { kernel: [1, 1], strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0] } as const;
  return { operation: { window, group: 1 }, x, zero: source.zero, weights: builder.reshape(rows, [m, k, 1, 1]), bias };
}

/** Weights that fit in a byte, as nearly all do: half the memory, and some machines multiply them faster. */
function asBytes(builder: Builder, weights: Value): Value {
  const { data } = (weights.constant as Constant).tensor;
  return data.every((weight) => weight >= -128 && weight <= 127) ? builder.cast(weights, 'int8') : weights;
}

function rescale({ builder, node, inputs, isOnlyReader }: Visit): Value | undefined {
  const { operation } = node;
  if (operation.kind !== 'requantize' || !isOnlyReader(0)) return undefined;
  const [sums, factor, offset] = inputs as [Value, Value, Value];
  const zero = scalarOf(offset);
  const found = sumsOf(builder, sums);
  if (!found || zero === undefined || !Number.isInteger(zero) || !factor.constant) return undefined;
  const { window, group } = found.operation;
  const [m = 0] = found.weights.dims;
  const count = elementCount(factor.dims);
  const perChannel = count === 1 || (count === m && factor.dims.at(-1) === m);
  if (!perChannel || elementCount(sums.dims) === 0) return undefined;
  if (!numbersOf(factor.constant.tensor).every(Number.isFinite)) return undefined;
  const isDepthwise = group > 1 && group === m && group === found.x.dims[3];
  if (isDepthwise && tapPairs(window.kernel) > TAP_PAIRS_MAX) return undefined;
  const bias = found.bias ?? builder.literal('int32', [m], new Array<number>(m).fill(0));
  const { limits, to } = operation;
  const y = builder.add({ kind: 'convQuantized', window, group, to: to as ByteType, xZero: found.zero, zero, limits }, [
    found.x,
    asBytes(builder, found.weights),
    bias,
    builder.reshape(factor, [count]),
  ]);
  return builder.reshape(y, sums.dims);
}

export const rescaleInPlace: Pass = (graph, keys) => rewrite(graph, keys, rescale);
