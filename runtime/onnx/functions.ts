/** Puts the bodies of a model's own functions in the place of the nodes that call them. Source: ONNX IR.md, "Functions". */
import { FUNCTION_DEPTH_MAX, NODES_MAX } from './limits.ts';
import type { AttributeMessage, FunctionMessage, GraphMessage, ModelMessage, NodeMessage } from './messages.ts';

/** Characters of a name that are kept inside a body: a small file may ask for very many copies of it. */
const INNER_NAME_LENGTH_MAX = 200;

/** Whether an operator is known without its function. `domain` '' is ai.onnx. */
export type HasOperator = (domain: string, operator: string, opset: number) => boolean;

/** What names and attribute references of a body stand for in one call. */
interface Frame {
  /** Name inside the body → name in the graph. */
  readonly names: Map<string, string>;
  readonly prefix: string;
  readonly attributes: ReadonlyMap<string, AttributeMessage>;
}

const plain = (domain: string): string => (domain === 'ai.onnx' ? '' : domain);
const keyOf = (domain: string, name: string, overload: string): string => `${plain(domain)}:${name}:${overload}`;

class Inliner {
  readonly #functions = new Map<string, FunctionMessage>();
  /** Names of the file and those made here. */
  readonly #taken = new Set<string>();
  readonly #calls: string[] = [];
  #instances = 0;
  #nodes = 0;

  constructor(model: ModelMessage, isKnown: (domain: string, operator: string) => boolean) {
    for (const each of model.functions) {
      const key = keyOf(each.domain, each.name, each.overload);
      if (each.name === '') throw new Error('model file: expected a name for every function, found none');
      if (this.#functions.has(key)) throw new Error(`model file: there are two functions "${shown(each)}"`);
      this.#functions.set(key, each);
    }
    for (const [key, each] of this.#functions) if (isKnown(plain(each.domain), each.name)) this.#functions.delete(key);
  }

  graph(graph: GraphMessage): GraphMessage {
    for (const name of namesOf(graph)) this.#taken.add(name);
    return { ...graph, nodes: graph.nodes.flatMap((node) => this.#expand(node)) };
  }

  /** `node` carries the graph's own names already. */
  #expand(given: NodeMessage): NodeMessage[] {
    const attributes = given.attributes.map((each) => ({
      ...each,
      graph: each.graph && this.#inside(each.graph),
      graphs: each.graphs.map((graph) => this.#inside(graph)),
    }));
    const node = { ...given, attributes };
    // Calls count too: functions of nothing but calls may be many without a single node.
    this.#nodes++;
    if (this.#nodes > NODES_MAX)
      throw new Error(`model file: expected at most ${NODES_MAX} nodes when functions are put in place`);
    const called = this.#functions.get(keyOf(node.domain, node.operator, node.overload));
    return called ? this.#call(called, node) : [node];
  }

  #inside(graph: GraphMessage): GraphMessage {
    return { ...graph, nodes: graph.nodes.flatMap((node) => this.#expand(node)) };
  }

  #call(called: FunctionMessage, node: NodeMessage): NodeMessage[] {
    const name = shown(called);
    if (this.#calls.includes(name))
      throw new Error(
        `function "${name}": it calls itself (${[...this.#calls, name].join(' → ')}), which ONNX forbids`,
      );
    if (this.#calls.length === FUNCTION_DEPTH_MAX)
      throw new Error(`function "${name}": expected at most ${FUNCTION_DEPTH_MAX} functions inside each other`);
    if (node.inputs.length > called.inputs.length || node.outputs.length > called.outputs.length)
      throw new Error(
        `node "${node.name}": expected at most ${called.inputs.length} inputs and ${called.outputs.length} outputs for function "${name}", got ${node.inputs.length} and ${node.outputs.length}`,
      );
    const given = [...called.defaults, ...node.attributes].map((each) => [each.name, each] as const);
    const prefix = `${called.name.slice(0, INNER_NAME_LENGTH_MAX)}_${this.#instances++}/`;
    const frame: Frame = { names: new Map([['', '']]), prefix, attributes: new Map(given) };
    called.inputs.forEach((input, index) => {
      frame.names.set(input, node.inputs[index] ?? '');
    });
    const copies = this.#bindOutputs(called, node, frame);
    this.#calls.push(name);
    const nodes = called.nodes.flatMap((each) => this.#expand(this.#rename(each, frame)));
    this.#calls.pop();
    return [...nodes, ...copies(frame)];
  }

  /** Outputs that are inputs too, or are listed twice, need a node that copies them. */
  #bindOutputs(called: FunctionMessage, node: NodeMessage, frame: Frame): (frame: Frame) => NodeMessage[] {
    const copied: [from: string, to: string][] = [];
    called.outputs.forEach((output, index) => {
      const target = node.outputs[index] ?? '';
      if (target === '') return;
      if (frame.names.has(output)) copied.push([output, target]);
      else frame.names.set(output, target);
    });
    return ({ names }) =>
      copied.map(([from, to]) => ({
        inputs: [names.get(from) as string],
        outputs: [to],
        name: `${frame.prefix}Identity_${to}`,
        operator: 'Identity',
        domain: '',
        overload: '',
        attributes: [],
      }));
  }

  #name(name: string, frame: Frame): string {
    const known = frame.names.get(name);
    if (known !== undefined) return known;
    let unique = frame.prefix + name.slice(0, INNER_NAME_LENGTH_MAX);
    for (let copy = 1; this.#taken.has(unique); copy++)
      unique = `${frame.prefix}${name.slice(0, INNER_NAME_LENGTH_MAX)}_${copy}`;
    this.#taken.add(unique);
    frame.names.set(name, unique);
    return unique;
  }

  #rename(node: NodeMessage, frame: Frame): NodeMessage {
    const rename = (name: string): string => this.#name(name, frame);
    return {
      ...node,
      name: node.name && frame.prefix + node.name.slice(0, INNER_NAME_LENGTH_MAX),
      inputs: node.inputs.map(rename),
      outputs: node.outputs.map(rename),
      attributes: node.attributes.flatMap((attribute) => this.#attribute(attribute, frame)),
    };
  }

  /** A reference takes what the call gives; where that is nothing, the attribute is absent. */
  #attribute(attribute: AttributeMessage, frame: Frame): AttributeMessage[] {
    if (attribute.reference !== '') {
      const given = frame.attributes.get(attribute.reference);
      return given ? [{ ...given, name: attribute.name }] : [];
    }
    const { graph, graphs } = attribute;
    const renamed = (each: GraphMessage): GraphMessage => this.#renameGraph(each, frame);
    return [{ ...attribute, graph: graph && renamed(graph), graphs: graphs.map(renamed) }];
  }

  #renameGraph(graph: GraphMessage, frame: Frame): GraphMessage {
    const renamed = <T extends { name: string }>(each: T): T => ({ ...each, name: this.#name(each.name, frame) });
    return {
      ...graph,
      nodes: graph.nodes.map((node) => this.#rename(node, frame)),
      initializers: graph.initializers.map(renamed),
      sparseInitializers: graph.sparseInitializers.map((each) => ({
        ...each,
        values: each.values && renamed(each.values),
      })),
      inputs: graph.inputs.map(renamed),
      outputs: graph.outputs.map(renamed),
    };
  }
}

function shown({ domain, name, overload }: FunctionMessage): string {
  return [plain(domain) || 'ai.onnx', name, overload].filter(Boolean).join(':');
}

function* namesOf(graph: GraphMessage): Generator<string> {
  for (const { name } of [...graph.inputs, ...graph.outputs, ...graph.initializers]) yield name;
  for (const { values } of graph.sparseInitializers) yield values?.name ?? '';
  for (const node of graph.nodes) {
    yield* node.outputs;
    for (const { graph: inner, graphs } of node.attributes)
      for (const each of [...(inner ? [inner] : []), ...graphs]) yield* namesOf(each);
  }
}

/**
 * The main graph without calls of the file's functions. A function in one of ONNX's own domains is taken only for an operator
 * that is not known, as it merely spells out what the operator means. Throws an Error for recursion and for too many nodes.
 */
export function inlineFunctions(
  graph: GraphMessage,
  model: ModelMessage,
  opsets: Readonly<Record<string, number>>,
  hasOperator: HasOperator,
): GraphMessage {
  if (model.functions.length === 0) return graph;
  const isKnown = (domain: string, operator: string): boolean =>
    Object.hasOwn(opsets, domain) && hasOperator(domain, operator, opsets[domain] as number);
  return new Inliner(model, isKnown).graph(graph);
}
