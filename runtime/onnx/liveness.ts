/** Which values a graph still needs at a place between two of its nodes. */
import type { AttributeValue, Graph, GraphNode } from './graph.ts';

function isGraph(value: unknown): value is Graph {
  return typeof value === 'object' && value !== null && 'nodes' in value;
}

/** The graphs among a node's attributes. */
export function subgraphsOf(node: GraphNode): Graph[] {
  return Object.values(node.attributes).flatMap((value: AttributeValue): Graph[] => {
    const items: readonly unknown[] = Array.isArray(value) ? value : [value];
    return items.filter(isGraph);
  });
}

/** Names that the nodes from `start` on, graphs inside them and the outputs use, and that no such node gives. */
export function namesNeeded(graph: Graph, start: number): Set<string> {
  const needed = new Set(graph.outputs.map(({ name }) => name));
  for (let index = graph.nodes.length - 1; index >= start; index--) {
    const node = graph.nodes[index] as GraphNode;
    for (const name of node.outputs) needed.delete(name);
    for (const name of node.inputs) needed.add(name);
    for (const inner of subgraphsOf(node)) for (const name of namesCaptured(inner)) needed.add(name);
  }
  needed.delete('');
  return needed;
}

/** Names that a graph takes from those around it. */
function namesCaptured(graph: Graph): Set<string> {
  const captured = namesNeeded(graph, 0);
  for (const { name } of graph.inputs) captured.delete(name);
  for (const name of graph.initializers.keys()) captured.delete(name);
  return captured;
}
