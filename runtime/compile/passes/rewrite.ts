/** Rebuilding a graph node by node: what every pass does. */
import { Builder, type ConstantKeys, prune } from '../builder.ts';
import { countUses, type KernelGraph, type Node, type Operation, type Value } from '../graph.ts';

/** A graph that gives the same outputs, with less work. */
export type Pass = (graph: KernelGraph, keys: ConstantKeys) => KernelGraph;

export interface Visit {
  readonly builder: Builder;
  readonly node: Node;
  /** The node's inputs in the new graph. */
  readonly inputs: readonly (Value | undefined)[];
  /** Whether this node alone reads its input `index`, so that whatever made it need not stay. */
  isOnlyReader(index: number): boolean;
}

/** Copies a node; transpositions and reshapes join with those before them. */
function copy({ builder, node, inputs }: Visit): readonly Value[] {
  const { operation } = node;
  const x = inputs[0] as Value;
  if (operation.kind === 'transpose') return [builder.transpose(x, operation.perm)];
  if (operation.kind === 'reshape') return [builder.reshape(x, operation.dims)];
  return builder.addAll(operation, inputs);
}

/** Builds the graph anew. `visit` gives a node's output in the new graph, or `undefined` to copy the node. */
export function rewrite(
  graph: KernelGraph,
  keys: ConstantKeys,
  visit: (visit: Visit) => Value | undefined,
): KernelGraph {
  const builder = new Builder(keys);
  const uses = countUses(graph);
  const renewed = new Map<Value, Value>();
  const inNew = (value: Value): Value => renewed.get(value) ?? value;
  for (const node of graph.nodes) {
    builder.origin = node.origin;
    const inputs = node.inputs.map((value) => value && inNew(value));
    const isOnlyReader = (index: number): boolean => uses.get(node.inputs[index] as Value) === 1;
    const seen: Visit = { builder, node, inputs, isOnlyReader };
    const result = visit(seen);
    const outputs = result ? [result] : copy(seen);
    node.outputs.forEach((output, index) => {
      renewed.set(output, outputs[index] as Value);
    });
  }
  const outputs = graph.outputs.map(({ name, value }) => ({ name, value: inNew(value) }));
  return prune({ inputs: graph.inputs, outputs, nodes: builder.nodes });
}

export type OperationOf<Kind extends Operation['kind']> = Extract<Operation, { kind: Kind }>;

/** The operation that gives `value`, when it is of this kind, with the operation's inputs. */
export function madeBy<Kind extends Operation['kind']>(
  builder: Builder,
  value: Value | undefined,
  kind: Kind,
): { readonly operation: OperationOf<Kind>; readonly inputs: readonly (Value | undefined)[] } | undefined {
  const node = builder.producerOf(value);
  if (node?.operation.kind !== kind) return undefined;
  return { operation: node.operation as OperationOf<Kind>, inputs: node.inputs };
}

/** The number that a constant of one element holds. */
export function scalarOf(value: Value | undefined): number | undefined {
  if (!value?.constant || value.type !== 'float32' || value.dims.some((size) => size !== 1)) return undefined;
  return Number(value.constant.tensor.data[0]);
}
