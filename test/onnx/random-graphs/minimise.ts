/** The smallest part of a graph that still shows what the whole shows. */
import { numbersOf, tensorOf } from '../../../runtime/compile/evaluate.ts';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import type { GraphValue, RandomGraph } from './graph.ts';

/** Without nodes, inputs and constants that no output needs. */
function prune(graph: RandomGraph): RandomGraph {
  const needed = new Set(graph.outputs.map(({ name }) => name));
  const nodes = graph.nodes.toReversed().filter(({ inputs, outputs }) => {
    if (!outputs.some(({ name }) => needed.has(name))) return false;
    for (const name of inputs) needed.add(name);
    return true;
  });
  const used = (tensors: RandomGraph['inputs']) =>
    Object.fromEntries(Object.entries(tensors).filter(([name]) => needed.has(name)));
  return { ...graph, nodes: nodes.reverse(), inputs: used(graph.inputs), constants: used(graph.constants) };
}

/** One output less, a node replaced by an input of its results, an input made constant, elements made plain. */
function* smaller(graph: RandomGraph): Generator<RandomGraph> {
  if (graph.outputs.length > 1) for (const output of graph.outputs) yield prune({ ...graph, outputs: [output] });
  for (const node of graph.nodes) {
    const inside = node.outputs.filter((output) => !graph.outputs.includes(output));
    if (inside.length < node.outputs.length) {
      const before = graph.nodes.flatMap(({ outputs }) => outputs).filter(({ name }) => node.inputs.includes(name));
      if (before.length > 0) yield prune({ ...graph, outputs: before });
      continue;
    }
    const given = Object.fromEntries(inside.map((output) => [output.name, stand(output)]));
    const nodes = graph.nodes.filter((other) => other !== node);
    yield prune({ ...graph, nodes, inputs: { ...graph.inputs, ...given } });
  }
  for (const [name, tensor] of Object.entries(graph.inputs)) {
    const plain = tensorOf(tensor.type, tensor.dims, numbersOf(tensor).map(Math.round));
    if (plain.data.some((value, i) => value !== tensor.data[i]))
      yield { ...graph, inputs: { ...graph.inputs, [name]: plain } };
  }
}

/** Elements within the bounds of a value, all different. */
function stand({ type, dims, low, high }: GraphValue): Tensor {
  const [from, to] = [Math.max(low, -2), Math.min(high, 2)];
  const count = dims.reduce((product, size) => product * size, 1);
  const values = Array.from({ length: count }, (_, i) => from + ((i * 0.618034) % 1) * (to - from));
  return tensorOf(type, dims, type.startsWith('float') ? values : values.map(Math.round));
}

/** Applies what keeps `fails` true until nothing does. */
export async function minimise(
  graph: RandomGraph,
  fails: (graph: RandomGraph) => Promise<boolean>,
): Promise<RandomGraph> {
  let best = prune(graph);
  for (let tries = 0; tries < 200; ) {
    let found: RandomGraph | undefined;
    for (const candidate of smaller(best)) {
      tries++;
      if (await fails(candidate)) {
        found = candidate;
        break;
      }
    }
    if (!found) break;
    best = found;
  }
  return best;
}

/** For people: one line a node. */
export function describeGraph({ opset, inputs, constants, nodes, outputs }: RandomGraph): string {
  const tensors = (which: string, all: RandomGraph['inputs']) =>
    Object.entries(all).map(([name, { type, dims, data }]) => {
      const shown = data.length <= 8 ? ` = ${numbersOf({ type, dims, data }).join(' ')}` : '';
      return `  ${which} ${name}: ${type} [${dims}]${shown}`;
    });
  const steps = nodes.map(
    (node) =>
      `  ${node.outputs.map(({ name, dims }) => `${name} [${dims}]`).join(', ')} = ${node.operator}(${node.inputs.join(', ')}) ${JSON.stringify(node.attributes)}`,
  );
  const last = `  outputs ${outputs.map(({ name }) => name).join(', ')}; opset ${opset}`;
  return [...tensors('input', inputs), ...tensors('constant', constants), ...steps, last].join('\n');
}
