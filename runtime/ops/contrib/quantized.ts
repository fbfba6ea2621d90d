/** Operators on 8-bit integers of com.microsoft: dequantise, compute, quantise, which passes turn into integer kernels where they can. */
import type { Value } from '../../compile/graph.ts';
import type { QuantizedType } from '../../compile/instructions.ts';
import type { Build, OperatorContext } from '../context.ts';
import { averagePool } from '../pool.ts';
import { dynamicQuantizeLinear } from '../quantize.ts';

function scalarOf(node: OperatorContext, value: Value | undefined): Value {
  const { builder } = node;
  if (!value) return builder.scalar(0);
  const real =
    value.type === 'float32'
      ? value
      : builder.add({ kind: 'dequantize' }, [value, builder.scalar(1), builder.scalar(0)]);
  return real.dims.every((size) => size === 1) ? builder.reshape(real, []) : real;
}

/** The input at `index`, whose scale and zero point follow it, as floats. */
function real(node: OperatorContext, index: number): Value {
  const [scale, zero] = [scalarOf(node, node.input(index + 1)), scalarOf(node, node.optional(index + 2))];
  return node.builder.add({ kind: 'dequantize' }, [node.input(index), scale, zero]);
}

function eightBits(node: OperatorContext, value: Value): QuantizedType {
  if (value.type !== 'int8' && value.type !== 'uint8') throw node.unsupported(`type ${value.type}`);
  return value.type;
}

/** `y` to the type of `like`, by the scale at `index` and the zero point behind it. */
function quantized(node: OperatorContext, y: Value, index: number, like: Value): Value {
  const [scale, zero] = [scalarOf(node, node.input(index)), scalarOf(node, node.optional(index + 1))];
  return node.builder.add({ kind: 'quantize', to: eightBits(node, like) }, [y, scale, zero]);
}

export function qLinearBinary(name: 'add' | 'mul'): Build {
  return (node) => quantized(node, node.builder.binary(name, real(node, 0), real(node, 3)), 6, node.input(0));
}

/** x, scale, zero, then scale and zero of y. */
function unary(compute: (node: OperatorContext, x: Value) => Value): Build {
  return (node) => quantized(node, compute(node, real(node, 0)), 3, node.input(0));
}

export const qLinearSigmoid = unary((node, x) => node.builder.unary('sigmoid', x));

export const qLinearLeakyRelu = unary((node, x) => node.builder.unary('leakyRelu', x, node.float('alpha', 0.01)));

export const qLinearGlobalAveragePool = unary((node, x) => {
  const last = node.flag('channels_last') ? x.dims.length - 1 : 1;
  return node.builder.reduce(
    'mean',
    x,
    x.dims.map((_, axis) => axis).filter((axis) => axis !== 0 && axis !== last),
  );
});

export const qLinearAveragePool: Build = (node) => {
  const { builder } = node;
  const x = real(node, 0);
  const axes = x.dims.map((_, axis) => axis);
  const isLast = node.flag('channels_last');
  // Averages are taken with the channels first: [n, …, c] → [n, c, …] and back.
  const first = isLast ? builder.transpose(x, [0, axes.length - 1, ...axes.slice(1, -1)]) : x;
  const y = averagePool(node.withInputs([first])) as Value;
  return quantized(node, isLast ? builder.transpose(y, [0, ...axes.slice(2), 1]) : y, 3, node.input(0));
};

export const qLinearSoftmax = unary((node, x) => {
  const axis = node.axis(node.int('axis', -1), x.dims.length);
  // Before opset 13 the axes from `axis` on count as one.
  const flattened = node.int('opset', 13) < 13 && axis !== x.dims.length - 1;
  if (flattened) throw node.unsupported('softmax over several axes');
  return node.builder.add({ kind: 'softmax', axis, log: false }, [x]);
});

/** Scale and zero point of y, then triples of an input, its scale and its zero point. */
export const qLinearConcat: Build = (node) => {
  const count = (node.inputs.length - 2) / 3;
  const parts = Array.from({ length: count }, (_, i) => real(node, 2 + 3 * i));
  const axis = node.axis(node.int('axis'), parts[0]?.dims.length ?? 0);
  return quantized(node, node.builder.concat(parts, axis), 0, node.input(2));
};

/** (a - zero) · (b - zero) as int32; the zero point of b may be one a column. */
function product(node: OperatorContext, a: Value, aZero: Value, b: Value, bZero: Value): Value {
  const { builder } = node;
  const centre = (x: Value, zero: Value): Value => {
    eightBits(node, x);
    return builder.add({ kind: 'center' }, [x, zero]);
  };
  return builder.add({ kind: 'matMulInteger', transposeB: false }, [centre(a, aZero), centre(b, bZero)]);
}

function scaled(node: OperatorContext, sums: Value, factor: Value, bias: Value | undefined): Value {
  const { builder } = node;
  const y = builder.binary('mul', builder.cast(sums, 'float32'), factor);
  return bias ? builder.binary('add', y, bias) : y;
}

/** a, b, scales, zero points?, bias? */
export const matMulIntegerToFloat: Build = (node) => {
  const [aZero, bZero] = [scalarOf(node, node.optional(4)), scalarOf(node, node.optional(5))];
  const sums = product(node, node.input(0), aZero, node.input(1), bZero);
  const factor = node.builder.binary('mul', scalarOf(node, node.input(2)), scalarOf(node, node.input(3)));
  return scaled(node, sums, factor, node.optional(6));
};

/** a (float, quantised by its own range), b, its scale, its zero point?, bias? */
export const dynamicQuantizeMatMul: Build = (node) => {
  const [a, scale, zero] = dynamicQuantizeLinear(node) as [Value, Value, Value];
  const sums = product(node, a, scalarOf(node, zero), node.input(1), scalarOf(node, node.optional(3)));
  return scaled(node, sums, node.builder.binary('mul', scale, scalarOf(node, node.input(2))), node.optional(4));
};

/** a, scale, zero, b, scale, zero, c (int32)?, y scale?, y zero? Without a scale for y the result is float. */
export const qGemm: Build = (node) => {
  const { builder } = node;
  const turn = (x: Value, flag: string): Value => (node.flag(flag) ? builder.transpose(x, [1, 0]) : x);
  const [a, b] = [turn(node.input(0), 'transA'), turn(node.input(3), 'transB')];
  const raw = product(node, a, scalarOf(node, node.input(2)), b, scalarOf(node, node.input(5)));
  const c = node.optional(6);
  const sums = c ? builder.binary('add', raw, c) : raw;
  const scale = builder.binary('mul', scalarOf(node, node.input(1)), scalarOf(node, node.input(4)));
  const y = scaled(node, sums, builder.scale(scale, node.float('alpha', 1), 0), undefined);
  return node.optional(7) ? quantized(node, y, 7, node.input(0)) : y;
};
