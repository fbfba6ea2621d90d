/** Normalisation of com.microsoft. Source: onnxruntime, docs/ContribOperators.md. */
import type { Value } from '../../compile/graph.ts';
import type { Build, OperatorContext } from '../context.ts';

function layerNorm(node: OperatorContext, x: Value, scale: Value, shift: Value | undefined, epsilon: number): Value {
  const size = x.dims.at(-1) ?? 0;
  const zeros = node.builder.literal('float32', [size], new Array<number>(size).fill(0));
  return node.builder.add({ kind: 'layerNorm', epsilon }, [x, scale, shift ?? zeros]);
}

/** 1 / sqrt(mean(x²) + epsilon) over the last axis. */
function inverseRoot(node: OperatorContext, x: Value, epsilon: number): Value {
  const { builder } = node;
  const power = builder.reduce('mean', builder.unary('square', x), [x.dims.length - 1]);
  return builder.unary('reciprocal', builder.unary('sqrt', builder.scale(power, 1, epsilon)));
}

function withSkip(node: OperatorContext, bias: Value | undefined): Value {
  const sum = node.builder.binary('add', node.input(0), node.input(1));
  return bias ? node.builder.binary('add', sum, bias) : sum;
}

/** Mean and 1 / sqrt(variance + epsilon) over the last axis. */
function statisticsOf(node: OperatorContext, x: Value, epsilon: number): [mean: Value, deviation: Value] {
  const mean = node.builder.reduce('mean', x, [x.dims.length - 1]);
  return [mean, inverseRoot(node, node.builder.binary('sub', x, mean), epsilon)];
}

/** Input, skip, scale, shift?, bias? → normalised, mean, deviation, the sum before. */
export const skipLayerNormalization: Build = (node) => {
  const sum = withSkip(node, node.optional(4));
  const epsilon = node.float('epsilon', 1e-12);
  const y = layerNorm(node, sum, node.input(2), node.optional(3), epsilon);
  return [y, ...statisticsOf(node, sum, epsilon), sum];
};

function rms(node: OperatorContext, x: Value, scale: Value, epsilon: number): Value {
  const { builder } = node;
  return builder.binary('mul', builder.binary('mul', x, inverseRoot(node, x, epsilon)), scale);
}

/** Input, skip, scale, bias?, as above but by the root of the mean square. */
export const skipSimplifiedLayerNormalization: Build = (node) => {
  const sum = withSkip(node, node.optional(3));
  const epsilon = node.float('epsilon', 1e-12);
  const [mean] = statisticsOf(node, sum, epsilon);
  return [rms(node, sum, node.input(2), epsilon), mean, inverseRoot(node, sum, epsilon), sum];
};

export const simplifiedLayerNormalization: Build = (node) => {
  const x = node.input(0);
  const epsilon = node.float('epsilon', 1e-5);
  if (node.axis(node.int('axis', -1), x.dims.length) !== x.dims.length - 1)
    throw node.unsupported('another axis than the last');
  return [rms(node, x, node.input(1), epsilon), inverseRoot(node, x, epsilon)];
};

/** Word, position and segment embeddings added and normalised; how many of each row's words the mask keeps; the sum. */
export const embedLayerNormalization: Build = (node) => {
  const { builder } = node;
  const words = node.input(0);
  const [batch = 0, length = 0] = words.dims;
  const given = node.optional(8);
  const table = node.input(3);
  const positions = given
    ? builder.gather(table, given, 0)
    : builder.reshape(builder.sliceAxis(table, 0, 0, length), [1, length, table.dims[1] as number]);
  const sum = builder.binary('add', builder.gather(node.input(2), words, 0), positions);
  const segments = node.optional(1);
  const all = segments ? builder.binary('add', sum, builder.gather(node.input(4), segments, 0)) : sum;
  const y = layerNorm(node, all, node.input(5), node.input(6), node.float('epsilon', 1e-12));
  const mask = node.optional(7);
  const count = mask
    ? builder.reshape(builder.reduce('sum', mask, [1]), [batch])
    : builder.literal('int32', [batch], new Array<number>(batch).fill(0));
  return [y, count, all];
};
