/** Quantisation, and operators on quantised integers. */
import type { Value } from '../compile/graph.ts';
import type { QuantizedType } from '../compile/instructions.ts';
import { type DataType, isByteFloat, isSmallInteger, smallRanges } from '../engine/tensor.ts';
import type { Build, OperatorContext } from './context.ts';
import { kernelOf, pictureOf, windowOf } from './window.ts';

const quantizedTypes: ReadonlySet<DataType> = new Set([...(['uint8', 'int8', 'uint16', 'int16', 'int32'] as const)]);

/** Integers of 4 and 2 bits are reckoned with as bytes, in which they are stored. */
function asBytes(node: OperatorContext, x: Value): Value {
  if (!isSmallInteger(x.type)) return x;
  return node.builder.add({ kind: 'bitCast', to: x.type.startsWith('u') ? 'uint8' : 'int8' }, [x]);
}

/** A zero point as float32, in which those of up to 16 bits are exact; 0 where the model gives none. */
function zeroOf(node: OperatorContext, index: number): Value {
  const { builder } = node;
  const zero = node.optional(index);
  if (!zero) return builder.scalar(0);
  if (isByteFloat(zero.type)) return builder.cast(zero, 'float32');
  return builder.add({ kind: 'dequantize' }, [asBytes(node, zero), builder.scalar(1), builder.scalar(0)]);
}

function scaleOf(node: OperatorContext, index: number): Value {
  return node.builder.cast(node.input(index), 'float32');
}

/** One number for the whole tensor, one an index of `axis`, or one a block of `block` along it: made to broadcast to `x`. */
function spread(node: OperatorContext, parameter: Value, x: Value, axis: number, block: number): Value {
  const { builder } = node;
  if (parameter.dims.length <= 1 && parameter.dims.every((size) => size === 1)) return builder.reshape(parameter, []);
  if (block === 0)
    return builder.reshape(
      parameter,
      x.dims.map((_, i) => (i === axis ? (parameter.dims[0] as number) : 1)),
    );
  const blocks = parameter.dims[axis] ?? 0;
  const size = x.dims[axis] as number;
  if (parameter.dims.length !== x.dims.length || blocks !== Math.ceil(size / block))
    throw new Error(`expected a scale for each ${block} of axis ${axis}, got shape [${parameter.dims.join(', ')}]`);
  const [before, behind] = [parameter.dims.slice(0, axis), parameter.dims.slice(axis + 1)];
  const split = builder.reshape(parameter, [...before, blocks, 1, ...behind]);
  const repeated = builder.expand(split, [...before, blocks, block, ...behind]);
  return builder.sliceAxis(builder.reshape(repeated, [...before, blocks * block, ...behind]), axis, 0, size);
}

/** Scale and zero point (inputs 1 and 2), made to broadcast to x. */
function parametersOf(node: OperatorContext, x: Value): [scale: Value, zero: Value] {
  const block = node.int('block_size', 0);
  const scale = scaleOf(node, 1);
  const perTensor = scale.dims.length <= 1 && scale.dims.every((size) => size === 1);
  const axis = perTensor ? 0 : node.axis(node.int('axis', 1), x.dims.length);
  return [spread(node, scale, x, axis, block), spread(node, zeroOf(node, 2), x, axis, block)];
}

/** To what the attribute `output_dtype`, or else the zero point, says. */
function wantedType(node: OperatorContext): DataType {
  const wanted = node.int('output_dtype', 0);
  return wanted === 0 ? (node.optional(2)?.type ?? 'uint8') : node.dataType(wanted);
}

export const quantizeLinear: Build = (node) => {
  const { builder } = node;
  const to = wantedType(node);
  const x = builder.cast(node.input(0), 'float32');
  const [scale, zero] = parametersOf(node, x);
  if (isByteFloat(to)) {
    const scaled = builder.binary('add', builder.binary('div', x, scale), zero);
    return builder.cast(scaled, to, { saturate: node.flag('saturate', true), round: 'up' });
  }
  if (!isSmallInteger(to)) {
    if (!quantizedTypes.has(to)) throw node.unsupported(`quantisation to type ${to}`);
    return builder.add({ kind: 'quantize', to: to as QuantizedType }, [x, scale, zero]);
  }
  const byte = to.startsWith('u') ? 'uint8' : 'int8';
  const bound = (value: number): Value => builder.literal(byte, [], [value]);
  const [least, most] = smallRanges[to] as readonly [number, number];
  const whole = builder.add({ kind: 'quantize', to: byte }, [x, scale, zero]);
  const limited = builder.binary('max', builder.binary('min', whole, bound(most)), bound(least));
  return builder.add({ kind: 'bitCast', to }, [limited]);
};

export const dequantizeLinear: Build = (node) => {
  const { builder } = node;
  const wanted = node.int('output_dtype', 0);
  const to = wanted === 0 ? node.input(1).type : node.dataType(wanted);
  const x = asBytes(node, node.input(0));
  const [scale, zero] = parametersOf(node, x);
  if (isByteFloat(x.type)) {
    const centred = builder.binary('sub', builder.cast(x, 'float32'), zero);
    return builder.cast(builder.binary('mul', centred, scale), to);
  }
  if (!quantizedTypes.has(x.type)) throw node.unsupported(`type ${x.type}`);
  return builder.cast(builder.add({ kind: 'dequantize' }, [x, scale, zero]), to);
};

/** The range of x, with 0 in it, over the 256 steps of uint8. Source: ONNX DynamicQuantizeLinear-11. */
export const dynamicQuantizeLinear: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const axes = x.dims.map((_, axis) => axis);
  const [low, high] = (['min', 'max'] as const).map((name) =>
    builder.binary(name, builder.reshape(builder.reduce(name, x, axes), []), builder.scalar(0)),
  ) as [Value, Value];
  const range = builder.binary('sub', high, low);
  // Zeros only: any scale will do, but for 0.
  const isFlat = builder.add({ kind: 'compare', name: 'equal' }, [range, builder.scalar(0)]);
  const step = builder.binary('div', range, builder.scalar(255));
  const scale = builder.add({ kind: 'where' }, [isFlat, builder.scalar(1), step]);
  const offset = builder.unary('neg', low);
  const zero = builder.add({ kind: 'quantize', to: 'uint8' }, [offset, scale, builder.scalar(0)]);
  const zeroFloat = builder.cast(zero, 'float32');
  return [builder.add({ kind: 'quantize', to: 'uint8' }, [x, scale, zeroFloat]), scale, zero];
};

/** x - zero point as int16, which is what the integer kernels multiply. */
function centered(node: OperatorContext, x: Value, zero: Value): Value {
  if (x.type !== 'int8' && x.type !== 'uint8') throw node.unsupported(`type ${x.type}`);
  return node.builder.add({ kind: 'center' }, [x, zero]);
}

interface IntegerConv {
  /** int32 sums [n, h, w, m] */
  readonly sums: Value;
  restore(y: Value): Value;
}

/** x, weights and their zero points by the index of their input. */
function integerConv(
  node: OperatorContext,
  x: number,
  w: number,
  xZero: number,
  wZero: number,
  bias?: Value,
): IntegerConv {
  const { builder } = node;
  const kernel = kernelOf(node, node.input(w));
  const [m = 0, , height = 0, width = 0] = kernel.dims;
  if (kernel.dims.length !== 4) throw node.unsupported(`a kernel of rank ${kernel.dims.length}`);
  const { x: image, spatialRank, restore } = pictureOf(node, node.input(x));
  const [, h = 0, wide = 0] = image.dims;
  const zero = zeroOf(node, wZero);
  const weights = centered(
    node,
    kernel,
    builder.reshape(zero, zero.dims.every((size) => size === 1) ? [] : [m, 1, 1, 1]),
  );
  const pixels = centered(node, image, builder.reshape(zeroOf(node, xZero), []));
  const window = windowOf(node, spatialRank, [height, width], [h, wide]);
  const operation = { kind: 'convInteger', window, group: node.int('group', 1) } as const;
  return { sums: builder.add(operation, bias ? [pixels, weights, bias] : [pixels, weights]), restore };
}

export const convInteger: Build = (node) => {
  const { sums, restore } = integerConv(node, 0, 1, 2, 3);
  return restore(sums);
};

/** limit(round(sums · xScale · wScale / yScale) + yZero) */
function requantized(node: OperatorContext, sums: Value, scales: [x: Value, w: Value, y: Value], yZero: number): Value {
  const { builder } = node;
  const [x, w, y] = scales;
  const factor = builder.binary('div', builder.binary('mul', x, w), y);
  const zero = node.optional(yZero);
  const to = zero?.type === 'int8' ? 'int8' : 'uint8';
  return builder.add({ kind: 'requantize', to, limits: to === 'int8' ? [-128, 127] : [0, 255] }, [
    sums,
    factor,
    builder.reshape(zeroOf(node, yZero), []),
  ]);
}

function flat(node: OperatorContext, value: Value): Value {
  return value.dims.every((size) => size === 1) ? node.builder.reshape(value, []) : value;
}

/** x, x scale, x zero, w, w scale, w zero, y scale, y zero, bias? */
export const qLinearConv: Build = (node) => {
  const bias = node.optional(8);
  if (bias && bias.type !== 'int32') throw new Error(`expected a bias of int32, got ${bias.type}`);
  const { sums, restore } = integerConv(node, 0, 3, 2, 5, bias);
  const scales = [1, 4, 6].map((index) => flat(node, scaleOf(node, index))) as [Value, Value, Value];
  return restore(requantized(node, sums, scales, 7));
};

/** A parameter of a matrix: one number, one a row (`column` false) or one a column. */
function ofMatrix(node: OperatorContext, value: Value, column: boolean): Value {
  const single = flat(node, value);
  return single.dims.length === 1 && !column ? node.builder.reshape(single, [...single.dims, 1]) : single;
}

/** As numpy.matmul; vectors are matrices of one row or column for as long as they are multiplied. */
function integerProduct(
  node: OperatorContext,
  indices: { a: number; aZero: number; b: number; bZero: number },
): { sums: Value; dims: number[] } {
  const { builder } = node;
  const [a, b] = [node.input(indices.a), node.input(indices.b)];
  if (a.dims.length === 0 || b.dims.length === 0) throw new Error('expected matrices or vectors, got a scalar');
  const left = a.dims.length === 1 ? builder.reshape(a, [1, ...a.dims]) : a;
  const right = b.dims.length === 1 ? builder.reshape(b, [...b.dims, 1]) : b;
  const sums = builder.add({ kind: 'matMulInteger', transposeB: false }, [
    centered(node, left, ofMatrix(node, zeroOf(node, indices.aZero), false)),
    centered(node, right, ofMatrix(node, zeroOf(node, indices.bZero), true)),
  ]);
  const rank = sums.dims.length;
  const dims = sums.dims.filter(
    (_, axis) => !(axis === rank - 2 && a.dims.length === 1) && !(axis === rank - 1 && b.dims.length === 1),
  );
  return { sums, dims };
}

export const matMulInteger: Build = (node) => {
  const { sums, dims } = integerProduct(node, { a: 0, aZero: 2, b: 1, bZero: 3 });
  return node.builder.reshape(sums, dims);
};

/** a, a scale, a zero, b, b scale, b zero, y scale, y zero */
export const qLinearMatMul: Build = (node) => {
  const { sums, dims } = integerProduct(node, { a: 0, aZero: 2, b: 3, bZero: 5 });
  const scales: [Value, Value, Value] = [
    ofMatrix(node, scaleOf(node, 1), false),
    ofMatrix(node, scaleOf(node, 4), true),
    flat(node, scaleOf(node, 6)),
  ];
  return node.builder.reshape(requantized(node, sums, scales, 7), dims);
};
