/** What the classifiers and regressors of ai.onnx.ml share: labels, and what is done to scores at the end. */
import type { Value } from '../../compile/graph.ts';
import type { OperatorContext } from '../context.ts';

export const transforms = ['NONE', 'SOFTMAX', 'LOGISTIC', 'SOFTMAX_ZERO', 'PROBIT'] as const;
export type Transform = (typeof transforms)[number];

export function transformOf(node: OperatorContext): Transform {
  return node.text('post_transform', transforms, 'NONE');
}

/** Scores of numbers of any type as float32, which is what these operators reckon with but for float64. */
export function asFloat(node: OperatorContext, x: Value): Value {
  return node.builder.cast(x, 'float32');
}

/** One row of features an example; a single example may come as a vector. */
export function asRows(node: OperatorContext, x: Value): Value {
  if (x.dims.length === 2) return x;
  if (x.dims.length === 1) return node.builder.reshape(x, [1, x.dims[0] as number]);
  throw new Error(`expected [examples, features], got [${x.dims.join(', ')}]`);
}

/** Column `index` of [n, columns] as [n, 1]. */
export function column(node: OperatorContext, x: Value, index: number): Value {
  return node.builder.sliceAxis(x, 1, index, index + 1);
}

export function isNumber(node: OperatorContext, x: Value): Value {
  return node.builder.add({ kind: 'compare', name: 'equal' }, [x, x]);
}

export function exceeds(node: OperatorContext, x: Value, limit: number): Value {
  return node.builder.add({ kind: 'compare', name: 'greater' }, [x, node.builder.literal(x.type, [], [limit])]);
}

export function choose(node: OperatorContext, condition: Value, a: Value, b: Value): Value {
  return node.builder.add({ kind: 'where' }, [condition, a, b]);
}

/** Numbers that stand for the classes, from the attribute of that name. */
export function labelsOf(node: OperatorContext, name: string): number[] {
  if ((node.texts('classlabels_strings') ?? []).length > 0) throw node.unsupported('class labels of text');
  const labels = node.ints(name) ?? [];
  if (labels.length === 0) throw new Error(`attribute "${name}": expected class labels, found none`);
  return labels;
}

/** int64 places → the labels that stand there. */
export function named(node: OperatorContext, places: Value, labels: readonly number[]): Value {
  if (labels.every((label, place) => label === place)) return places;
  return node.builder.gather(node.builder.literal('int64', [labels.length], labels), places, 0);
}

/** The place of the first largest score of each row, as [n]. */
export function largest(node: OperatorContext, scores: Value): Value {
  const places = node.builder.add({ kind: 'argMax', axis: 1, least: false, last: false }, [scores]);
  return node.builder.reshape(places, [scores.dims[0] as number]);
}

/** Winitzki's approximation of the inverse of erf, which the operators' reference uses for the quantile of the normal distribution. */
function probit(node: OperatorContext, x: Value): Value {
  const { builder } = node;
  const number = (value: number): Value => builder.literal(x.type, [], [value]);
  const y = builder.scale(x, 2, -1);
  const product = builder.binary('mul', builder.scale(y, -1, 1), builder.scale(y, 1, 1));
  const log = builder.unary('log', product);
  const a = 0.147;
  const half = builder.scale(log, 0.5, 2 / (Math.PI * a));
  const root = builder.unary(
    'sqrt',
    builder.binary('sub', builder.unary('square', half), builder.scale(log, 1 / a, 0)),
  );
  const size = builder.unary('sqrt', builder.binary('sub', root, half));
  const isNegative = builder.add({ kind: 'compare', name: 'less' }, [y, number(0)]);
  return builder.scale(choose(node, isNegative, builder.unary('neg', size), size), Math.SQRT2, 0);
}

/** Softmax over the scores that are not zero; those stay zero. */
function softmaxZero(node: OperatorContext, x: Value): Value {
  const { builder } = node;
  const most = builder.reduce('max', x, [1]);
  const isZero = builder.add({ kind: 'compare', name: 'lessOrEqual' }, [
    builder.unary('abs', x),
    builder.literal(x.type, [], [1e-7]),
  ]);
  const scaled = builder.binary('mul', x, builder.unary('exp', builder.unary('neg', most)));
  const parts = choose(node, isZero, scaled, builder.unary('exp', builder.binary('sub', x, most)));
  return builder.binary('div', parts, builder.reduce('sum', parts, [1]));
}

/** Scores [n, classes] after the transform. */
export function transformed(node: OperatorContext, scores: Value, transform: Transform): Value {
  switch (transform) {
    case 'NONE':
      return scores;
    case 'SOFTMAX':
      return node.builder.add({ kind: 'softmax', axis: 1, log: false }, [scores]);
    case 'LOGISTIC':
      return node.builder.unary('sigmoid', scores);
    case 'SOFTMAX_ZERO':
      return softmaxZero(node, scores);
    case 'PROBIT':
      return probit(node, scores);
  }
}

/** Two scores from the one of the second class: the logistics of -s and s, or else 1 - s and s for a probability, -s and s for others. */
export function bothClasses(node: OperatorContext, score: Value, isProbability: boolean, transform: Transform): Value {
  const { builder } = node;
  if (transform === 'PROBIT') throw node.unsupported('PROBIT of a single score of two classes');
  if (transform === 'LOGISTIC')
    return builder.unary('sigmoid', builder.concat([builder.unary('neg', score), score], 1));
  return builder.concat([isProbability ? builder.scale(score, -1, 1) : builder.unary('neg', score), score], 1);
}
