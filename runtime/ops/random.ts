/**
 * Operators that draw lots. All of them rest on even numbers from a counter (assembly/tensor/philox.ts): the key is the
 * node's seed, or its name where it has none, and the counter goes up with every run of the model. So one run differs
 * from the next, a model that is loaded anew begins again, and nodes of one seed draw alike, as the standard asks.
 */
import type { Value } from '../compile/graph.ts';
import type { DataType } from '../engine/tensor.ts';
import { elementCount } from '../engine/tensor.ts';
import type { Build, OperatorContext } from './context.ts';

/** FNV-1a, by G. Fowler, L. Noll and P. Vo. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** float32 in [0, 1). */
export function uniform(node: OperatorContext, dims: readonly number[]): Value {
  const { builder } = node;
  const seed = node.float('seed', Number.NaN);
  const isSeeded = !Number.isNaN(seed);
  const key = isSeeded ? new Uint32Array(Float32Array.of(seed).buffer)[0] : hashOf(builder.origin);
  // One count a node, shared by all programs of the model.
  const draws = { type: 'uint64', dims: [1], data: new BigUint64Array(1) } as const;
  const counter = builder.constant(draws, `draws of ${builder.origin}`);
  return builder.add({ kind: 'uniform', dims, key: [key as number, isSeeded ? 1 : 0] }, [counter]);
}

/** Mean 0, variance 1, two from each pair of even numbers (G. Box, M. Muller, 1958). */
function normal(node: OperatorContext, dims: readonly number[]): Value {
  const { builder } = node;
  const count = elementCount(dims);
  const pairs = uniform(node, [2, Math.ceil(count / 2)]);
  const [first, second] = [builder.sliceAxis(pairs, 0, 0, 1), builder.sliceAxis(pairs, 0, 1, 2)];
  // 1 - u lies in (0, 1], where the logarithm is finite.
  const logarithm = builder.unary('log', builder.scale(first, -1, 1));
  const radius = builder.unary('sqrt', builder.scale(logarithm, -2, 0));
  const angle = builder.scale(second, 2 * Math.PI, 0);
  const parts = (['cos', 'sin'] as const).map((name) => builder.binary('mul', radius, builder.unary(name, angle)));
  const both = builder.concat(parts, 1);
  return builder.reshape(builder.sliceAxis(both, 1, 0, count), dims);
}

type Shape = (node: OperatorContext) => { dims: readonly number[]; type: DataType };

function typeOf(node: OperatorContext, otherwise: DataType): DataType {
  return 'dtype' in node.node.attributes ? node.dataType(node.int('dtype')) : otherwise;
}

export const byAttribute: Shape = (node) => {
  const dims = node.ints('shape');
  if (!dims?.every((size) => size >= 0)) throw new Error(`attribute "shape": expected sizes, got [${dims}]`);
  return { dims, type: typeOf(node, 'float32') };
};

export const likeInput: Shape = (node) => {
  const { dims, type } = node.input(0);
  return { dims, type: typeOf(node, type) };
};

export function randomUniform(shapeOf: Shape): Build {
  return (node) => {
    const { dims, type } = shapeOf(node);
    const [low, high] = [node.float('low', 0), node.float('high', 1)];
    return node.builder.cast(node.builder.scale(uniform(node, dims), high - low, low), type);
  };
}

export function randomNormal(shapeOf: Shape): Build {
  return (node) => {
    const { dims, type } = shapeOf(node);
    const y = node.builder.scale(normal(node, dims), node.float('scale', 1), node.float('mean', 0));
    return node.builder.cast(y, type);
  };
}

/** 1 with the probability that the input names. */
export const bernoulli: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const drawn = [uniform(node, x.dims), builder.cast(x, 'float32')];
  return builder.cast(builder.add({ kind: 'compare', name: 'less' }, drawn), typeOf(node, x.type));
};

/** Classes by unnormalised log probabilities [batch, classes]: the largest after Gumbel noise (E. Gumbel, 1954). */
export const multinomial: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const [batch = 0, classes = 0] = x.dims;
  const samples = node.int('sample_size', 1);
  if (x.dims.length !== 2 || samples < 1)
    throw new Error(`expected [batch, classes] and at least one sample, got [${x.dims.join(', ')}] and ${samples}`);
  const depth = builder.unary('neg', builder.unary('log', uniform(node, [batch, samples, classes])));
  const noise = builder.unary('neg', builder.unary('log', depth));
  const scores = builder.binary('add', builder.reshape(builder.cast(x, 'float32'), [batch, 1, classes]), noise);
  const chosen = builder.add({ kind: 'argMax', axis: 2, least: false, last: false }, [scores]);
  return builder.cast(builder.reshape(chosen, [batch, samples]), typeOf(node, 'int32'));
};
