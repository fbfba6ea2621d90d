/** Normalisation and softmax. */
import type { Value } from '../compile/graph.ts';
import type { Build, OperatorContext } from './context.ts';

/** The least positive float32 that is not denormal. */
const FLOAT32_LEAST = 2 ** -126;

/** A vector over the channels, shaped to broadcast against [n, c, ...]. */
function perChannel(node: OperatorContext, vector: Value, rank: number): Value {
  const channels = vector.dims[0] ?? 1;
  return node.builder.reshape(vector, [channels, ...new Array<number>(Math.max(rank - 2, 0)).fill(1)]);
}

/** Two operations, scale and shift, which a later pass moves into the convolution before them. */
export const batchNormalization: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  if (node.flag('training_mode')) return trainingNormalization(node);
  if (node.isUsed(1) || (node.opset < 7 && !node.flag('is_test')))
    throw node.unsupported('training mode before opset 14');
  if (!node.flag('spatial', true)) throw node.unsupported('"spatial" = 0');
  const [gamma, beta, mean, variance] = [1, 2, 3, 4].map((index) => node.input(index)) as [Value, Value, Value, Value];
  const deviation = builder.unary('sqrt', builder.scale(variance, 1, node.float('epsilon', 1e-5)));
  const factor = builder.binary('div', gamma, deviation);
  const shift = builder.binary('sub', beta, builder.binary('mul', mean, factor));
  const rank = x.dims.length;
  return builder.binary('add', builder.binary('mul', x, perChannel(node, factor, rank)), perChannel(node, shift, rank));
};

/** By the statistics of the batch; the running ones move towards them. */
function trainingNormalization(node: OperatorContext): readonly Value[] {
  const { builder } = node;
  const x = node.input(0);
  const axes = x.dims.map((_, axis) => axis).filter((axis) => axis !== 1);
  const momentum = node.float('momentum', 0.9);
  const mean = builder.reduce('mean', x, axes);
  const centred = builder.binary('sub', x, mean);
  const variance = builder.reduce('mean', builder.unary('square', centred), axes);
  const deviation = builder.unary('sqrt', builder.scale(variance, 1, node.float('epsilon', 1e-5)));
  const scaled = builder.binary(
    'mul',
    builder.binary('div', centred, deviation),
    perChannel(node, node.input(1), x.dims.length),
  );
  const moved = (running: Value, current: Value): Value => {
    const own = builder.scale(builder.reshape(current, running.dims), 1 - momentum, 0);
    return builder.binary('add', builder.scale(running, momentum, 0), own);
  };
  return [
    builder.binary('add', scaled, perChannel(node, node.input(2), x.dims.length)),
    moved(node.input(3), mean),
    moved(node.input(4), variance),
  ];
}

/** (x - mean) / sqrt(variance + epsilon) over the given axes. */
function standardise(node: OperatorContext, x: Value, axes: readonly number[], epsilon: number): Value {
  const { builder } = node;
  const centred = builder.binary('sub', x, builder.reduce('mean', x, axes));
  const variance = builder.reduce('mean', builder.unary('square', centred), axes);
  return builder.binary('div', centred, builder.unary('sqrt', builder.scale(variance, 1, epsilon)));
}

export const instanceNormalization: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const rank = x.dims.length;
  const axes = x.dims.map((_, axis) => axis).slice(2);
  const standard = standardise(node, x, axes, node.float('epsilon', 1e-5));
  const scaled = builder.binary('mul', standard, perChannel(node, node.input(1), rank));
  return builder.binary('add', scaled, perChannel(node, node.input(2), rank));
};

/** Scale and bias are per group before opset 21 and per channel since. */
export const groupNormalization: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const [n = 0, channels = 0, ...spatial] = x.dims;
  const groups = node.int('num_groups');
  if (groups < 1 || channels % groups !== 0)
    throw new Error(`attribute "num_groups": expected a divisor of ${channels} channels, got ${groups}`);
  const grouped = builder.reshape(x, [
    n,
    groups,
    (channels / groups) * spatial.reduce((product, size) => product * size, 1),
  ]);
  const standard = standardise(node, grouped, [2], node.float('epsilon', 1e-5));
  const byGroup = node.opset < 21;
  const shaped = byGroup ? standard : builder.reshape(standard, x.dims);
  const rank = byGroup ? 3 : x.dims.length;
  const scaled = builder.binary('mul', shaped, perChannel(node, node.input(1), rank));
  return builder.reshape(builder.binary('add', scaled, perChannel(node, node.input(2), rank)), x.dims);
};

/** Over the last axes, beginning with `axis`. */
export const layerNormalization: Build = (node) => {
  const y = normalised(node);
  return node.isUsed(1) || node.isUsed(2) ? [y, ...statistics(node)] : y;
};

/** Mean, and one by the standard deviation. */
function statistics(node: OperatorContext): readonly [Value, Value] {
  const { builder } = node;
  const x = node.input(0);
  const first = node.axis(node.int('axis', -1), x.dims.length);
  const axes = x.dims.map((_, axis) => axis).slice(first);
  const mean = builder.reduce('mean', x, axes);
  const variance = builder.reduce('mean', builder.unary('square', builder.binary('sub', x, mean)), axes);
  const deviation = builder.unary('sqrt', builder.scale(variance, 1, node.float('epsilon', 1e-5)));
  return [mean, builder.unary('reciprocal', deviation)];
}

function normalised(node: OperatorContext): Value {
  const { builder } = node;
  const x = node.input(0);
  const axis = node.axis(node.int('axis', -1), x.dims.length);
  const inner = x.dims.slice(axis);
  const size = inner.reduce((product, each) => product * each, 1);
  const epsilon = node.float('epsilon', 1e-5);
  const [scale, bias] = [node.input(1), node.optional(2)];
  const fits = (value: Value): boolean => value.dims.reduce((product, each) => product * each, 1) === size;
  if (!fits(scale) || (bias && !fits(bias))) {
    const axes = x.dims.map((_, index) => index).slice(axis);
    const scaled = builder.binary('mul', standardise(node, x, axes, epsilon), scale);
    return bias ? builder.binary('add', scaled, bias) : scaled;
  }
  const rows = builder.reshape(x, [...x.dims.slice(0, axis), size]);
  const shift = bias ? builder.reshape(bias, [size]) : builder.literal(x.type, [size], new Array(size).fill(0));
  const normal = builder.add({ kind: 'layerNorm', epsilon }, [rows, builder.reshape(scale, [size]), shift]);
  return builder.reshape(normal, x.dims);
}

export const rmsNormalization: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const axis = node.axis(node.int('axis', -1), x.dims.length);
  const axes = x.dims.map((_, index) => index).slice(axis);
  const power = builder.reduce('mean', builder.unary('square', x), axes);
  const root = builder.unary('sqrt', builder.scale(power, 1, node.float('epsilon', 1e-5)));
  return builder.binary('mul', builder.binary('div', x, root), node.input(1));
};

export const meanVarianceNormalization: Build = (node) => {
  const x = node.input(0);
  return standardise(node, x, node.axes(node.ints('axes') ?? [0, 2, 3], x.dims.length), 1e-9);
};

export const lpNormalization: Build = (node) => {
  const x = node.input(0);
  const axis = node.axis(node.int('axis', -1), x.dims.length);
  const norm = node.builder.reduce(node.int('p', 2) === 1 ? 'l1' : 'l2', x, [axis]);
  // A vector of zeros stays one.
  return node.builder.binary(
    'div',
    x,
    node.builder.binary('max', norm, node.builder.literal(x.type, [], [FLOAT32_LEAST])),
  );
};

export function softmax(log: boolean): Build {
  return (node) => {
    const x = node.input(0);
    const axis = node.axis(node.int('axis', -1), x.dims.length);
    return node.builder.add({ kind: 'softmax', axis, log }, [x]);
  };
}

/** Before opset 13 the axes from `axis` on count as one. */
export function softmaxFlattened(log: boolean): Build {
  return (node) => {
    const { builder } = node;
    const x = node.input(0);
    const given = node.int('axis', 1);
    const axis = given === x.dims.length ? given : node.axis(given, x.dims.length);
    const size = x.dims.slice(axis).reduce((product, each) => product * each, 1);
    const outer = x.dims.slice(0, axis);
    // Over the last axis alone nothing is flattened, which keeps the layout free to change.
    if (axis === x.dims.length - 1) return builder.add({ kind: 'softmax', axis, log }, [x]);
    if (x.dims.slice(axis + 1).every((each) => each === 1)) return builder.add({ kind: 'softmax', axis, log }, [x]);
    const flat = builder.reshape(x, [...outer, size]);
    return builder.reshape(builder.add({ kind: 'softmax', axis: outer.length, log }, [flat]), x.dims);
  };
}
