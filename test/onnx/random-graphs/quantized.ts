/** Recipes: integers in place of floats, and the sandwiches that the integer pass takes apart. */
import { elementCount } from '../../../runtime/engine/tensor.ts';
import type { Attributes, GraphValue } from './graph.ts';
import type { Maker, Recipes } from './maker.ts';

type Integer = 'uint8' | 'int8';

function rangeOf(type: Integer): readonly [number, number] {
  return type === 'uint8' ? [0, 255] : [-128, 127];
}

function zeroPoint(maker: Maker, type: Integer): GraphValue {
  const [low, high] = rangeOf(type);
  return maker.constant(type, [], [maker.chance(0.4) ? Math.max(low, 0) : maker.between(low, high)]);
}

/** No power of two: what lies between two steps then does so by chance only. */
function scale(maker: Maker, least = 0.01): GraphValue {
  return maker.constant('float32', [], [Math.fround(least * (1 + 3 * maker.random.next()))]);
}

function integers(maker: Maker, type: Integer, dims: readonly number[], constant?: boolean): GraphValue {
  return maker.fresh(type, dims, ...rangeOf(type), constant);
}

function quantize(maker: Maker, x: GraphValue, type = maker.random.pick(['uint8', 'int8'] as const)): GraphValue[] {
  const step = scale(maker, 0.02);
  const zero = zeroPoint(maker, type);
  const [low, high] = rangeOf(type);
  const q = maker.node('QuantizeLinear', [x, step, zero], {}, { dims: x.dims, type, low, high });
  return [q, step, zero];
}

function dequantize(maker: Maker, [q, step, zero]: readonly GraphValue[], axis?: number): GraphValue {
  const [values, by] = [q as GraphValue, step as GraphValue];
  const most = 256 * Math.max(Math.abs(by.low), Math.abs(by.high));
  const attributes: Attributes = axis === undefined ? {} : { axis: { int: axis } };
  const inputs = zero ? [values, by, zero] : [values, by];
  return maker.node('DequantizeLinear', inputs, attributes, {
    dims: values.dims,
    type: 'float32',
    low: -most,
    high: most,
  });
}

function quantizeAlone(maker: Maker): void {
  quantize(maker, maker.float(1));
}

function dequantizeAlone(maker: Maker): void {
  const type = maker.random.pick(['uint8', 'int8'] as const);
  const q = integers(maker, type, maker.dims(maker.between(1, 4)));
  if (maker.chance(0.6)) {
    dequantize(maker, [q, scale(maker), ...(maker.chance(0.7) ? [zeroPoint(maker, type)] : [])]);
    return;
  }
  const axis = maker.random.below(q.dims.length);
  const count = q.dims[axis] as number;
  const steps = maker.fresh('float32', [count], 0.01, 0.2, true);
  dequantize(maker, [q, steps, maker.fresh(type, [count], 0, 9, true)], axis);
}

function throughIntegers(maker: Maker, x: GraphValue): GraphValue {
  return dequantize(maker, quantize(maker, x));
}

/** Weights as training tools store them: int8 without a zero point, a scale for all or for each output. */
function weights(maker: Maker, dims: readonly number[], axis: number): GraphValue {
  const w = integers(maker, 'int8', dims, true);
  if (maker.chance(0.5)) return dequantize(maker, [w, scale(maker), maker.constant('int8', [], [0])]);
  const count = dims[axis] as number;
  const steps = maker.fresh('float32', [count], 0.005, 0.03, true);
  return dequantize(maker, [w, steps, maker.constant('int8', [count], new Array(count).fill(0))], axis);
}

function sandwichConv(maker: Maker): void {
  const [channels, outputs] = [maker.random.pick([1, 3, 4, 8, 16]), maker.random.pick([1, 3, 8, 16])];
  const depthwise = maker.chance(0.3);
  const size = maker.random.pick([1, 3]);
  const x = maker.fresh('float32', [1, channels, maker.between(3, 9), maker.between(3, 9)], -2, 2, false);
  const count = depthwise ? channels : outputs;
  const w = weights(maker, [count, depthwise ? 1 : channels, size, size], 0);
  const pad = maker.random.below(2);
  const stride = maker.between(1, 2);
  const attributes: Attributes = {
    pads: { ints: [pad, pad, pad, pad] },
    strides: { ints: [stride, stride] },
    group: { int: depthwise ? channels : 1 },
  };
  const spatial = x.dims.slice(2).map((length) => Math.floor((length + 2 * pad - size) / stride) + 1);
  const dims = [1, count, ...spatial];
  const y = maker.node('Conv', [throughIntegers(maker, x), w], attributes, { dims, low: -1e3, high: 1e3 });
  throughIntegers(maker, maker.chance(0.5) ? maker.node('Relu', [y], {}, { dims, low: 0, high: 1e3 }) : y);
}

function sandwichProduct(maker: Maker): void {
  const [m, k, n] = [maker.between(1, 9), maker.size(), maker.size()];
  const x = maker.fresh('float32', [m, k], -2, 2, false);
  const y = maker.node(
    'MatMul',
    [throughIntegers(maker, x), weights(maker, [k, n], 1)],
    {},
    { dims: [m, n], low: -2e3, high: 2e3 },
  );
  throughIntegers(maker, y);
}

function sandwichOther(maker: Maker): void {
  const x = maker.fresh('float32', [1, maker.between(1, 9), maker.between(2, 9), maker.between(2, 9)], -2, 2, false);
  const a = throughIntegers(maker, x);
  const dims = a.dims;
  const how = maker.random.below(5);
  if (how < 2) {
    const b = throughIntegers(maker, maker.fresh('float32', dims, -2, 2, false));
    throughIntegers(maker, maker.node(how === 0 ? 'Add' : 'Mul', [a, b], {}, { dims, low: -50, high: 50 }));
  } else if (how === 2) throughIntegers(maker, maker.node('Sigmoid', [a], {}, { dims, low: 0, high: 1 }));
  else if (how === 3) {
    const pooled = [...dims.slice(0, 2), 1, 1];
    throughIntegers(maker, maker.node('GlobalAveragePool', [a], {}, { dims: pooled, low: -20, high: 20 }));
  } else {
    const flat = [1, elementCount(dims)];
    throughIntegers(maker, maker.node('Reshape', [a, maker.integers([1, -1])], {}, { dims: flat, low: -20, high: 20 }));
  }
}

function dynamicQuantize(maker: Maker): void {
  const x = maker.float(1);
  const scalar = { dims: [], low: 0, high: 255 };
  maker.node(
    'DynamicQuantizeLinear',
    [x],
    {},
    { dims: x.dims, type: 'uint8', low: 0, high: 255 },
    { ...scalar, type: 'float32' },
    { ...scalar, type: 'uint8' },
  );
}

function matMulInteger(maker: Maker): void {
  const [m, k, n] = [maker.between(1, 9), maker.size(), maker.size()];
  const a = integers(maker, 'uint8', [m, k]);
  const type = maker.random.pick(['uint8', 'int8'] as const);
  const inputs = [a, integers(maker, type, [k, n])];
  if (maker.chance(0.6)) inputs.push(zeroPoint(maker, 'uint8'), zeroPoint(maker, type));
  maker.node('MatMulInteger', inputs, {}, { dims: [m, n], type: 'int32', low: -1e7, high: 1e7 });
}

function qLinearMatMul(maker: Maker): void {
  const [m, k, n] = [maker.between(1, 9), maker.size(), maker.size()];
  const type = maker.random.pick(['uint8', 'int8'] as const);
  const a = [integers(maker, type, [m, k]), scale(maker), zeroPoint(maker, type)];
  const b = [integers(maker, type, [k, n]), scale(maker), zeroPoint(maker, type)];
  const [low, high] = rangeOf(type);
  maker.node(
    'QLinearMatMul',
    [...a, ...b, scale(maker, 0.5), zeroPoint(maker, type)],
    {},
    { dims: [m, n], type, low, high },
  );
}

function qLinearConv(maker: Maker): void {
  const [channels, outputs, size] = [maker.between(1, 8), maker.between(1, 8), maker.random.pick([1, 3])];
  const x = [integers(maker, 'uint8', [1, channels, 7, 5]), scale(maker), zeroPoint(maker, 'uint8')];
  const type = maker.random.pick(['uint8', 'int8'] as const);
  const w = [integers(maker, type, [outputs, channels, size, size], true), scale(maker), zeroPoint(maker, type)];
  const inputs = [...x, ...w, scale(maker, 0.5), zeroPoint(maker, 'uint8')];
  const dims = [1, outputs, 8 - size, 6 - size];
  maker.node('QLinearConv', inputs, {}, { dims, type: 'uint8', low: 0, high: 255 });
}

export const quantized: Recipes = {
  QuantizeLinear: quantizeAlone,
  DequantizeLinear: dequantizeAlone,
  DynamicQuantizeLinear: dynamicQuantize,
  MatMulInteger: matMulInteger,
  QLinearMatMul: qLinearMatMul,
  QLinearConv: qLinearConv,
  sandwichConv,
  sandwichProduct,
  sandwichOther,
};
