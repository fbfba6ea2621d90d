/**
 * Operators whose results are as large as their data says. Before a graph is compiled each becomes a node that gives a
 * result of the largest size, with how much of it counts, and a node that takes that much: its shape is known once the
 * first has run (runtime/engine/graph-runner.ts).
 */
import type { Builder } from '../compile/builder.ts';
import { numbersOf } from '../compile/evaluate.ts';
import type { Value } from '../compile/graph.ts';
import { elementCount } from '../engine/tensor.ts';
import type { AttributeValue, Graph, GraphNode, OnnxModel } from '../onnx/graph.ts';
import type { Build } from './context.ts';
import { boxIndices, findBoxes } from './suppression.ts';

/** Domain of the nodes that stand for one step. */
export const STEPS = 'llmasos';

type Split = (node: GraphNode, name: (what: string) => string) => readonly GraphNode[];

const step = (node: GraphNode, operator: string, parts: Pick<GraphNode, 'inputs' | 'outputs' | 'attributes'>) => {
  return { name: node.name, operator, domain: STEPS, ...parts };
};

const splitNonZero: Split = (node, name) => [
  step(node, 'FindNonZero', { inputs: node.inputs, outputs: [name('all'), name('count')], attributes: {} }),
  step(node, 'Take', { inputs: [name('all'), name('count')], outputs: node.outputs, attributes: { axis: 1 } }),
];

const splitCompress: Split = (node, name) => {
  const [x = '', condition = ''] = node.inputs;
  const [all, count, chosen] = [name('all'), name('count'), name('chosen')];
  return [
    step(node, 'FindNonZero', { inputs: [condition], outputs: [all, count], attributes: {} }),
    step(node, 'Take', { inputs: [all, count], outputs: [chosen], attributes: { axis: 1 } }),
    step(node, 'Choose', { inputs: [x, chosen], outputs: node.outputs, attributes: node.attributes }),
  ];
};

const splitSuppression: Split = (node, name) => {
  const [all, count, sizes, kept] = [name('all'), name('count'), name('sizes'), name('kept')];
  return [
    step(node, 'FindBoxes', { inputs: node.inputs, outputs: [all, count, sizes], attributes: node.attributes }),
    step(node, 'Take', { inputs: [all, count], outputs: [kept], attributes: { axis: 0 } }),
    step(node, 'BoxIndices', { inputs: [kept, sizes], outputs: node.outputs, attributes: {} }),
  ];
};

const splits: Readonly<Record<string, Split>> = {
  Compress: splitCompress,
  NonMaxSuppression: splitSuppression,
  NonZero: splitNonZero,
};

/** The same model, with steps for nodes that need them. */
export function inTwoSteps(model: OnnxModel): OnnxModel {
  const graph = rewrite(model.graph);
  return graph === model.graph ? model : { ...model, graph, opsets: { ...model.opsets, [STEPS]: 1 } };
}

/** The graph itself when nothing in it changes. */
function rewrite(graph: Graph): Graph {
  const nodes = graph.nodes.flatMap((node): readonly GraphNode[] => {
    const split = node.domain === '' && Object.hasOwn(splits, node.operator) ? splits[node.operator] : undefined;
    if (split) return split(node, (what) => `${STEPS} ${node.name} ${what}`);
    const attributes = Object.entries(node.attributes).map(([key, value]) => [key, rewriteAttribute(value)] as const);
    const changed = attributes.some(([key, value]) => value !== node.attributes[key]);
    return [changed ? { ...node, attributes: Object.fromEntries(attributes) } : node];
  });
  const changed = nodes.length !== graph.nodes.length || nodes.some((node, index) => node !== graph.nodes[index]);
  return changed ? { ...graph, nodes } : graph;
}

function rewriteAttribute(value: AttributeValue): AttributeValue {
  return typeof value === 'object' && 'nodes' in value ? rewrite(value) : value;
}

const integer = (builder: Builder, value: number): Value => builder.literal('int64', [], [value]);

function runningSum(builder: Builder, x: Value): Value {
  return builder.add({ kind: 'cumulate', axis: 0, product: false, exclusive: true, reverse: false }, [x]);
}

/** Row-major places → [rank, count], as numpy.nonzero gives them. A scalar has no axes. */
function coordinates(builder: Builder, places: Value, dims: readonly number[]): Value {
  const count = places.dims[0] as number;
  if (dims.length === 0) return builder.literal('int64', [0, count], []);
  const rows = dims.map((size, axis) => {
    const stride = elementCount(dims.slice(axis + 1));
    const counted = builder.binary('div', places, integer(builder, Math.max(1, stride)));
    return builder.reshape(builder.binary('mod', counted, integer(builder, Math.max(1, size))), [1, count]);
  });
  return builder.concat(rows, 0);
}

/** x → places of the elements that are not 0, in front of as many more as x has elements, and their number [1]. */
const findNonZero: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const size = elementCount(x.dims);
  if (x.constant) {
    const found = numbersOf(x.constant.tensor).flatMap((value, place) => (value === 0 ? [] : [place]));
    const places = builder.literal('int64', [found.length], found);
    return [coordinates(builder, places, x.dims), builder.literal('int64', [1], [found.length])];
  }
  const isZero = builder.add({ kind: 'compare', name: 'equal' }, [
    builder.reshape(x.type === 'bool' ? builder.cast(x, 'uint8') : x, [size]),
    builder.literal(x.type === 'bool' ? 'uint8' : x.type, [], [0]),
  ]);
  const counted = builder.add({ kind: 'where' }, [isZero, integer(builder, 0), integer(builder, 1)]);
  const ordinals = runningSum(builder, builder.expand(integer(builder, 1), [size]));
  // Places of zeros are all written behind the last one, which is cut off.
  const rows = builder.add({ kind: 'where' }, [isZero, integer(builder, size), runningSum(builder, counted)]);
  const room = builder.expand(builder.literal('int64', [1, 1], [0]), [size + 1, 1]);
  const written = builder.add({ kind: 'scatter', name: 'set' }, [room, rows, builder.reshape(ordinals, [size, 1])]);
  const places = builder.reshape(builder.sliceAxis(written, 0, 0, size), [size]);
  return [coordinates(builder, places, x.dims), builder.reduce('sum', counted, [0])];
};

const take: Build = (node) => {
  const x = node.input(0);
  const [count = 0] = node.numbers(1);
  return node.builder.sliceAxis(x, node.int('axis'), 0, count);
};

/** x, places [1, count] on an axis, or among all elements → those. */
const choose: Build = (node) => {
  const { builder } = node;
  const [given, places] = [node.input(0), node.input(1)];
  const flat = !('axis' in node.node.attributes);
  const x = flat ? builder.reshape(given, [elementCount(given.dims)]) : given;
  const axis = flat ? 0 : node.axis(node.int('axis'), x.dims.length);
  return builder.gather(x, builder.reshape(places, [places.dims[1] as number]), axis);
};

export const stepOperators: Readonly<Record<string, Build>> = {
  BoxIndices: boxIndices,
  Choose: choose,
  FindBoxes: findBoxes,
  FindNonZero: findNonZero,
  Take: take,
};
