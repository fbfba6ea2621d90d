/** Operators that choose or pass on. */
import type { Value } from '../compile/graph.ts';
import type { Build, OperatorContext } from './context.ts';
import { uniform } from './random.ts';

export const identity: Build = (node) => node.input(0);

/** Does nothing outside training, where the mask is all true. */
export const dropout: Build = (node) => {
  // Before opset 7 an attribute said which it is, and training was what it meant without.
  if (node.opset < 7 && !node.flag('is_test')) return dropped(node, ratioOf(node.float('ratio', 0.5)));
  const training = node.optional(2);
  if (training && Number(node.contentsOf(training, 'input 2').data[0]) !== 0) {
    const ratio = ratioOf(node.optionalNumbers(1)?.[0] ?? 0.5);
    if (ratio > 0) return dropped(node, ratio);
  }
  const x = node.input(0);
  if (!node.isUsed(1)) return x;
  return [x, node.builder.expand(node.builder.literal(node.opset < 10 ? 'float32' : 'bool', [], [1]), x.dims)];
};

function ratioOf(ratio: number): number {
  if (!(ratio >= 0 && ratio < 1)) throw new Error(`expected a ratio from 0 to below 1, got ${ratio}`);
  return ratio;
}

/** A share of the elements becomes zero; the others grow, so that the sum is expected to stay. */
function dropped(node: OperatorContext, ratio: number): readonly Value[] {
  const { builder } = node;
  const x = node.input(0);
  const lots = uniform(node, x.dims);
  const kept = builder.add({ kind: 'compare', name: 'greaterOrEqual' }, [lots, builder.scalar(ratio)]);
  const grown = builder.scale(x, 1 / (1 - ratio), 0);
  const y = builder.add({ kind: 'where' }, [kept, grown, builder.literal(x.type, [], [0])]);
  return [y, node.opset < 10 ? builder.cast(kept, 'float32') : kept];
}

/** The branch is chosen at compile time. */
export const branch: Build = (node) => {
  const chosen = Number(node.tensor(0).data[0]) === 0 ? 'else_branch' : 'then_branch';
  return node.inline(node.graph(chosen), chosen);
};
