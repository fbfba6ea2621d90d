/** Graph messages → checked graph: names resolve, nodes are in execution order, every tensor has its data. */
import type { Tensor, ValueDescription } from '../engine/tensor.ts';
import type { StringTensor } from '../engine/value.ts';
import type { AttributeValue, Graph, GraphNode } from './graph.ts';
import { NODES_MAX } from './limits.ts';
import type { AttributeMessage, GraphMessage, NodeMessage, TypeMessage, ValueMessage } from './messages.ts';
import { sparseTensorOf } from './sparse-tensor.ts';
import { type TensorFiles, tensorOf, typeName } from './tensor-data.ts';

interface Context extends TensorFiles {
  readonly opsets: Readonly<Record<string, number>>;
}

/** `ai.onnx` is another way to write the default domain (IR.md, "Operator Sets"). */
export function plainDomain(domain: string): string {
  return domain === 'ai.onnx' ? '' : domain;
}

/** Names that a graph can see, its own first. */
interface Scope {
  readonly names: ReadonlySet<string>;
  readonly outer?: Scope;
}

function sees(scope: Scope | undefined, name: string): boolean {
  for (let level = scope; level; level = level.outer) if (level.names.has(name)) return true;
  return false;
}

/** Checks the main graph and all its subgraphs. */
export function buildGraph(message: GraphMessage, context: Context): Graph {
  const count = countNodes(message);
  if (count > NODES_MAX) throw new Error(`model file: expected at most ${NODES_MAX} nodes, got ${count}`);
  return build(message, context, undefined);
}

function countNodes(graph: GraphMessage): number {
  let count = graph.nodes.length;
  for (const node of graph.nodes) for (const subgraph of subgraphsOf(node)) count += countNodes(subgraph);
  return count;
}

function* subgraphsOf(node: NodeMessage): Generator<GraphMessage> {
  for (const attribute of node.attributes) {
    if (attribute.graph) yield attribute.graph;
    yield* attribute.graphs;
  }
}

function build(message: GraphMessage, context: Context, outer: Scope | undefined): Graph {
  const place = `graph "${message.name}"`;
  const initializers = buildInitializers(message, context, place);
  const nodes = nameNodes(message.nodes);
  const names = definedNames(message, initializers, nodes, outer, place);
  const scope: Scope = { names, outer };
  const ordered = order(nodes, scope, place);
  for (const output of message.outputs) {
    if (!sees(scope, output.name))
      throw new Error(`${place}, output "${output.name}": nothing in the graph gives this value`);
  }
  return {
    name: message.name,
    inputs: message.inputs.filter(({ name }) => !initializers.has(name)).map((value) => describeValue(value, place)),
    outputs: message.outputs.map((value) => describeValue(value, place)),
    initializers,
    nodes: ordered.map((node) => buildNode(node, context, scope)),
  };
}

function buildInitializers(message: GraphMessage, context: Context, place: string): Map<string, Tensor | StringTensor> {
  const initializers = new Map<string, Tensor | StringTensor>();
  const add = (name: string, tensor: Tensor | StringTensor): void => {
    if (name === '') throw new Error(`${place}: initializer ${initializers.size} has no name`);
    if (initializers.has(name)) throw new Error(`${place}: there are two initializers "${name}"`);
    initializers.set(name, tensor);
  };
  for (const tensor of message.initializers) {
    add(tensor.name, tensorOf(tensor, context, `${place}, initializer "${tensor.name}"`));
  }
  for (const sparse of message.sparseInitializers) {
    const name = sparse.values?.name ?? '';
    add(name, sparseTensorOf(sparse, context, `${place}, initializer "${name}"`));
  }
  return initializers;
}

interface NamedNode {
  readonly name: string;
  readonly place: string;
  readonly message: NodeMessage;
}

/** Gives every node a name of its own: names are optional, and nothing in a file makes them differ. */
function nameNodes(messages: readonly NodeMessage[]): NamedNode[] {
  const taken = new Set<string>();
  return messages.map((message, index) => {
    const wanted = message.name || `${message.operator}_${index}`;
    const name = taken.has(wanted) ? `${wanted}_${index}` : wanted;
    taken.add(name);
    if (message.operator === '') throw new Error(`node "${name}": expected an operator (op_type), found none`);
    return { name, place: `node "${name}" (${message.operator})`, message };
  });
}

/** All names that the graph itself defines. Each may be defined once (IR.md, "Static single assignment"). */
function definedNames(
  message: GraphMessage,
  initializers: ReadonlyMap<string, Tensor | StringTensor>,
  nodes: readonly NamedNode[],
  outer: Scope | undefined,
  place: string,
): Set<string> {
  const names = new Set(initializers.keys());
  const inputs = new Set<string>();
  for (const { name } of message.inputs) {
    if (name === '') throw new Error(`${place}: expected every input to have a name`);
    if (inputs.has(name)) throw new Error(`${place}: there are two inputs "${name}"`);
    inputs.add(name);
    names.add(name);
  }
  for (const node of nodes) {
    for (const output of node.message.outputs) {
      if (output === '') continue;
      if (names.has(output) || sees(outer, output))
        throw new Error(`${node.place}, output "${output}": a value of this name exists already`);
      names.add(output);
    }
  }
  return names;
}

/** Values that the node takes from the graph: its inputs, and what its subgraphs use from outside. */
function valuesUsed(message: NodeMessage): Set<string> {
  const used = new Set(message.inputs);
  for (const subgraph of subgraphsOf(message)) for (const name of valuesCaptured(subgraph)) used.add(name);
  used.delete('');
  return used;
}

function valuesCaptured(graph: GraphMessage): Set<string> {
  const captured = new Set(graph.outputs.map(({ name }) => name));
  for (const node of graph.nodes) for (const name of valuesUsed(node)) captured.add(name);
  for (const node of graph.nodes) for (const name of node.outputs) captured.delete(name);
  for (const { name } of [...graph.inputs, ...graph.initializers]) captured.delete(name);
  for (const sparse of graph.sparseInitializers) captured.delete(sparse.values?.name ?? '');
  return captured;
}

/** Nodes in execution order: as the file has them where that is one (IR.md says it must be), sorted otherwise. */
function order(nodes: readonly NamedNode[], scope: Scope, place: string): NamedNode[] {
  const producers = new Map<string, NamedNode>();
  for (const node of nodes) for (const output of node.message.outputs) producers.set(output, node);
  const sources = nodes.map((node) => {
    const names = [...valuesUsed(node.message)];
    const unknown = names.find((name) => !sees(scope, name));
    if (unknown !== undefined) {
      throw new Error(`${node.place}, input "${unknown}": no input, initializer or node of the graph has this name`);
    }
    return new Set(names.flatMap((name) => producers.get(name) ?? []));
  });
  const done = new Set<NamedNode>();
  const inOrder = nodes.every((node, index) => {
    const ready = sources[index]?.isSubsetOf(done);
    done.add(node);
    return ready;
  });
  return inOrder ? [...nodes] : sort(nodes, sources, place);
}

/** Kahn's algorithm. */
function sort(nodes: readonly NamedNode[], sources: readonly Set<NamedNode>[], place: string): NamedNode[] {
  const missing = new Map(nodes.map((node, index) => [node, sources[index]?.size ?? 0]));
  const users = new Map<NamedNode, NamedNode[]>(nodes.map((node) => [node, []]));
  nodes.forEach((node, index) => {
    for (const source of sources[index] ?? []) users.get(source)?.push(node);
  });
  const ordered = nodes.filter((node) => missing.get(node) === 0);
  for (const node of ordered) {
    for (const user of users.get(node) ?? []) {
      const left = (missing.get(user) ?? 0) - 1;
      missing.set(user, left);
      if (left === 0) ordered.push(user);
    }
  }
  const stuck = nodes.find((node) => missing.get(node) !== 0);
  if (stuck)
    throw new Error(`${place}: ${stuck.place} needs, through other nodes, its own output; a graph may have no cycle`);
  return ordered;
}

function buildNode(node: NamedNode, context: Context, scope: Scope): GraphNode {
  const { message, name, place } = node;
  const domain = plainDomain(message.domain);
  if (!Object.hasOwn(context.opsets, domain)) {
    throw new Error(
      `${place}: the file states no opset version for its domain "${domain || 'ai.onnx'}" (opset_import)`,
    );
  }
  const attributes = new Map<string, AttributeValue>();
  for (const attribute of message.attributes) {
    if (attributes.has(attribute.name)) throw new Error(`${place}: there are two attributes "${attribute.name}"`);
    const value = attributeValue(attribute, context, scope, `${place}, attribute "${attribute.name}"`);
    if (value !== undefined) attributes.set(attribute.name, value);
  }
  return {
    name,
    operator: message.operator,
    domain,
    inputs: message.inputs,
    outputs: message.outputs,
    attributes: Object.fromEntries(attributes),
  };
}

/** Source: onnx.proto3, AttributeProto.AttributeType. */
function attributeValue(
  message: AttributeMessage,
  context: Context,
  scope: Scope,
  place: string,
): AttributeValue | undefined {
  switch (message.type) {
    case 1:
      return message.float;
    case 2:
      return message.int;
    case 3:
      return message.text;
    case 4:
      if (!message.tensor) throw new Error(`${place}: expected a tensor, found none`);
      return tensorOf(message.tensor, context, place);
    case 5:
      if (!message.graph) throw new Error(`${place}: expected a graph, found none`);
      return build(message.graph, context, scope);
    case 6:
      return message.floats;
    case 7:
      return message.ints;
    case 8:
      return message.texts;
    case 9:
      return message.tensors.map((tensor) => tensorOf(tensor, context, place));
    case 10:
      return message.graphs.map((graph) => build(graph, context, scope));
    case 11:
      if (!message.sparse) throw new Error(`${place}: expected a sparse tensor, found none`);
      return sparseTensorOf(message.sparse, context, place);
    case 12:
    case 13:
    case 14:
      return undefined; // lists of sparse tensors, and types: only operators on sequences and optionals have them
    default:
      throw new Error(`${place}: expected an attribute type from 1 to 14, got ${message.type}`);
  }
}

function describeValue(value: ValueMessage, place: string): ValueDescription {
  const dims = value.type?.dims ?? [];
  return {
    name: value.name,
    type: typeText(value.type),
    dims: dims.map((dim) => describeDim(dim, `${place}, value "${value.name}"`)),
  };
}

function describeDim(dim: number | string | null, place: string): number | string | null {
  if (dim === '' || dim === -1) return null; // -1 for "any size" is not in the specification, but exporters write it
  if (typeof dim === 'number' && !(dim >= 0 && dim <= Number.MAX_SAFE_INTEGER))
    throw new Error(`${place}: expected a dimension of 0 or more, got ${dim}`);
  return dim;
}

/** `float32` for a tensor; what holds other values as ONNX writes it: `seq(tensor(float32))`, `map(int64,tensor(float32))`. */
function typeText(type: TypeMessage | undefined): string {
  return type?.kind === 'tensor' ? typeName(type.elementType) : nestedTypeText(type);
}

function nestedTypeText(type: TypeMessage | undefined): string {
  switch (type?.kind) {
    case 'tensor':
    case 'sparse_tensor':
      return `${type.kind}(${typeName(type.elementType)})`;
    case 'map':
      return `map(${typeName(type.elementType)},${nestedTypeText(type.inner)})`;
    case 'sequence':
      return `seq(${nestedTypeText(type.inner)})`;
    case 'optional':
      return `optional(${nestedTypeText(type.inner)})`;
    default:
      return type?.kind ?? 'unknown';
  }
}
