/** The table of operators that run in JavaScript: domain → name → since which opset version → how. */
import type { GraphNode, OnnxModel } from '../../onnx/graph.ts';
import type { HostBuild } from './host-context.ts';

/** Ascending; the last entry not above the model's opset version holds. */
type Versions = readonly (readonly [since: number, build: HostBuild])[];

/**
 * A node runs here when its operator has no entry in the kernels' table (runtime/ops/index.ts), or when one of its inputs
 * or its constant is a value that kernels cannot hold: then Identity, Reshape, Gather, Equal and so on mean these.
 */
export const hostOperators: Readonly<Record<string, Readonly<Record<string, Versions>>>> = {
  '': {},
  'ai.onnx.ml': {},
};

/** How a node runs on whole values, or `undefined` when it does not. */
export function findHostOperator(node: GraphNode, opsets: OnnxModel['opsets']): HostBuild | undefined {
  const known = Object.hasOwn(hostOperators, node.domain) ? hostOperators[node.domain] : undefined;
  const versions = known && Object.hasOwn(known, node.operator) ? known[node.operator] : undefined;
  const opset = opsets[node.domain] ?? 0;
  return versions?.findLast(([since]) => since <= opset)?.[1];
}
