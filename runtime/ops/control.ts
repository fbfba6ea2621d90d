/** Operators that choose or pass on. */
import type { Build } from './context.ts';

export const identity: Build = (node) => node.input(0);

/** Does nothing outside training; a mask is only given by the oldest opsets and all true. */
export const dropout: Build = (node) => {
  const training = node.optional(2);
  if (training && Number(node.contentsOf(training, 'input 2').data[0]) !== 0) {
    // In training a share of the elements is dropped by lot; none of them is a share that needs no lots.
    const ratio = node.optionalNumbers(1)?.[0] ?? 0.5;
    if (ratio !== 0) throw node.unsupported('training mode');
  }
  const x = node.input(0);
  if (!node.isUsed(1)) return x;
  return [x, node.builder.expand(node.builder.literal(node.opset < 10 ? 'float32' : 'bool', [], [1]), x.dims)];
};

/** The branch is chosen at compile time. */
export const branch: Build = (node) => {
  const chosen = Number(node.tensor(0).data[0]) === 0 ? 'else_branch' : 'then_branch';
  return node.inline(node.graph(chosen), chosen);
};
