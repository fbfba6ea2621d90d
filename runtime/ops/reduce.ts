/** Reductions. */
import type { Value } from '../compile/graph.ts';
import type { ReduceName } from '../compile/instructions.ts';
import type { Build, OperatorContext } from './context.ts';

/** Axes are an attribute in older opsets and an input in newer ones. Returns axes and whether they stay. */
function reducedAxes(node: OperatorContext): { axes: number[]; keep: boolean } {
  const rank = node.input(0).dims.length;
  const given = node.ints('axes') ?? node.optionalIntegers(1) ?? [];
  const all = given.length === 0 && !node.flag('noop_with_empty_axes');
  const axes = all ? node.input(0).dims.map((_, axis) => axis) : node.axes(given, rank);
  return { axes, keep: node.flag('keepdims', true) };
}

function dropAxes(node: OperatorContext, reduced: Value, axes: readonly number[], keep: boolean): Value {
  if (keep) return reduced;
  return node.builder.reshape(
    reduced,
    reduced.dims.filter((_, axis) => !axes.includes(axis)),
  );
}

export function reduce(name: ReduceName): Build {
  return (node) => {
    const { axes, keep } = reducedAxes(node);
    return dropAxes(node, node.builder.reduce(name, node.input(0), axes), axes, keep);
  };
}

export const reduceLogSum: Build = (node) => {
  const { axes, keep } = reducedAxes(node);
  const sum = node.builder.unary('log', node.builder.reduce('sum', node.input(0), axes));
  return dropAxes(node, sum, axes, keep);
};

/** The largest element is taken out first, so that exp cannot overflow. */
export const reduceLogSumExp: Build = (node) => {
  const { builder } = node;
  const { axes, keep } = reducedAxes(node);
  const x = node.input(0);
  const most = builder.reduce('max', x, axes);
  const sum = builder.reduce('sum', builder.unary('exp', builder.binary('sub', x, most)), axes);
  return dropAxes(node, builder.binary('add', builder.unary('log', sum), most), axes, keep);
};

export function argExtreme(least: boolean): Build {
  return (node) => {
    const x = node.input(0);
    const axis = node.axis(node.int('axis', 0), x.dims.length);
    const found = node.builder.add({ kind: 'argMax', axis, least, last: node.flag('select_last_index') }, [x]);
    return dropAxes(node, found, [axis], node.flag('keepdims', true));
  };
}
