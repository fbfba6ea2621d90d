/** What a model file says about itself, for the registry and `models show`. */
import { elementCount, type Tensor, type ValueDescription } from '../engine/tensor.ts';
import type { Graph, OnnxModel } from './graph.ts';

export interface ModelDescription {
  readonly inputs: readonly ValueDescription[];
  readonly outputs: readonly ValueDescription[];
  /** Version of the default operator set, 0 when the file uses other domains only. */
  readonly opset: number;
  /** How often each operator occurs, subgraphs included; those outside ai.onnx as `domain:Operator`. */
  readonly operators: Readonly<Record<string, number>>;
  readonly producer: string;
  /** Number of elements of all initializers and constants. */
  readonly parameters: number;
}

export function describeModel(model: OnnxModel): ModelDescription {
  const operators = new Map<string, number>();
  let parameters = 0;
  for (const graph of allGraphs(model.graph)) {
    for (const node of graph.nodes) {
      const name = node.domain === '' ? node.operator : `${node.domain}:${node.operator}`;
      operators.set(name, (operators.get(name) ?? 0) + 1);
      const { value } = node.attributes;
      if (name === 'Constant' && isTensor(value)) parameters += elementCount(value.dims);
    }
    for (const tensor of graph.initializers.values()) parameters += elementCount(tensor.dims);
  }
  return {
    inputs: model.graph.inputs,
    outputs: model.graph.outputs,
    opset: model.opsets[''] ?? 0,
    operators: Object.fromEntries([...operators].sort(([a], [b]) => (a < b ? -1 : 1))),
    producer: model.producer,
    parameters,
  };
}

/** The graph and all its subgraphs. */
export function* allGraphs(graph: Graph): Generator<Graph> {
  yield graph;
  for (const node of graph.nodes) {
    for (const value of Object.values(node.attributes)) {
      for (const inner of Array.isArray(value) ? value : [value]) if (isGraph(inner)) yield* allGraphs(inner);
    }
  }
}

function isTensor(value: unknown): value is Tensor {
  return typeof value === 'object' && value !== null && 'data' in value;
}

function isGraph(value: unknown): value is Graph {
  return typeof value === 'object' && value !== null && 'nodes' in value;
}
