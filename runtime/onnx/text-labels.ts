/**
 * Classifiers whose classes have texts as labels, in two steps: the kernels find the place of the class, and an operator
 * of ours on the host (runtime/ops/host/labels.ts) gives the label. Source: ONNX Operators-ml.md.
 */
import type { Graph, GraphNode } from './graph.ts';

/** Operator of ai.onnx.ml → the attribute in which it takes whole numbers as labels. */
const classifiers: Readonly<Record<string, string>> = {
  LinearClassifier: 'classlabels_ints',
  SVMClassifier: 'classlabels_ints',
  TreeEnsembleClassifier: 'classlabels_int64s',
};

const TEXTS = 'classlabels_strings';

export function withPlacesForTextLabels(graph: Graph): Graph {
  const nodes = graph.nodes.flatMap(split);
  return nodes.length === graph.nodes.length ? graph : { ...graph, nodes };
}

function split(node: GraphNode): GraphNode[] {
  const labels = node.attributes[TEXTS];
  const numbers = node.domain === 'ai.onnx.ml' ? classifiers[node.operator] : undefined;
  const [label = '', ...scores] = node.outputs;
  if (numbers === undefined || !Array.isArray(labels) || labels.length === 0 || label === '') return [node];
  // The reader has made names of nodes unique; a value of this name could only be meant to be in the way.
  const place = `${node.name} place of ${label}`;
  const { [TEXTS]: _, ...others } = node.attributes;
  const classifier = { ...node, outputs: [place, ...scores], attributes: { ...others, [numbers]: [...labels.keys()] } };
  const naming: GraphNode = {
    name: `${node.name} label`,
    operator: 'ClassLabel',
    domain: 'llmasos',
    inputs: [place],
    outputs: [label],
    attributes: { [TEXTS]: labels },
  };
  return [classifier, naming];
}
