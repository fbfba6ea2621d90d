/** Losses, as models carry them that were exported while they were trained. */
import type { Value } from '../compile/graph.ts';
import { elementCount } from '../engine/tensor.ts';
import type { Build, OperatorContext } from './context.ts';
import { alongAxis } from './positions.ts';

/** x [n, c, ...] of log probabilities, target [n, ...]. Source: ONNX NegativeLogLikelihoodLoss-22. */
function likelihoodLoss(node: OperatorContext, x: Value, target: Value, weight: Value | undefined): Value {
  const { builder } = node;
  const [n = 0, , ...rest] = x.dims;
  const zero = builder.literal(x.type, [], [0]);
  const compare = (name: 'equal', a: Value, b: Value): Value => builder.add({ kind: 'compare', name }, [a, b]);
  const wide = builder.cast(builder.reshape(target, [n, 1, ...rest]), 'int64');
  const isTarget = compare('equal', alongAxis(builder, x.dims, 1), wide);
  const classes = x.dims.map((size, axis) => (axis === 1 ? size : 1));
  const each = weight ? builder.reshape(weight, classes) : builder.literal(x.type, [], [1]);
  const ignored = 'ignore_index' in node.node.attributes ? [node.int('ignore_index')] : undefined;
  const given = builder.reduce('sum', builder.add({ kind: 'where' }, [isTarget, each, zero]), [1]);
  const weights = ignored
    ? builder.add({ kind: 'where' }, [compare('equal', wide, builder.literal('int64', [], ignored)), zero, given])
    : given;
  const likelihood = builder.reduce('sum', builder.add({ kind: 'where' }, [isTarget, x, zero]), [1]);
  const loss = builder.unary('neg', builder.binary('mul', likelihood, weights));
  const all = loss.dims.map((_, axis) => axis);
  const total = (value: Value): Value => builder.reshape(builder.reduce('sum', value, all), []);
  switch (node.text('reduction', ['none', 'sum', 'mean'], 'mean')) {
    case 'none':
      return builder.reshape(loss, [n, ...rest]);
    case 'sum':
      return total(loss);
    case 'mean':
      return builder.binary('div', total(loss), total(weights));
  }
}

export const negativeLogLikelihoodLoss: Build = (node) =>
  likelihoodLoss(node, node.input(0), node.input(1), node.optional(2));

/** The scores become log probabilities first; with more than eight axes between, those behind the classes count as one. */
export const softmaxCrossEntropyLoss: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const [n = 0, classes = 0, ...rest] = x.dims;
  const flat = builder.reshape(x, [n, classes, elementCount(rest)]);
  const logs = builder.add({ kind: 'softmax', axis: 1, log: true }, [flat]);
  const loss = likelihoodLoss(node, builder.reshape(logs, x.dims), node.input(1), node.optional(2));
  return [loss, builder.reshape(logs, x.dims)];
};
