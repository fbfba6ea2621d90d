/** A part of an ONNX graph + concrete input shapes → kernel graph: looks up each node's operator and lets it build its part. */
import { elementCount, type Tensor } from '../engine/tensor.ts';
import type { StringTensor } from '../engine/value.ts';
import type { Graph, GraphNode, OnnxModel } from '../onnx/graph.ts';
import { isDataType } from '../onnx/tensor-data.ts';
import { placeOf } from '../ops/attributes.ts';
import { type Build, OperatorContext, type Surroundings } from '../ops/context.ts';
import type { BatchLayout } from './batch-axes.ts';
import { Builder, type ConstantKeys, prune } from './builder.ts';
import { isInteger } from './evaluate.ts';
import type { KernelGraph, NamedValue, Value } from './graph.ts';
import { RANK_MAX, SPECIALISED_ELEMENTS_MAX, SPECIALISED_FLOATS_MAX, SUBGRAPH_DEPTH_MAX } from './limits.ts';
import { NotStaticError, UnsupportedError } from './program.ts';

/** A concrete input. With a `value` the program is made for that value alone and does not read the input any more. */
export interface InputShape {
  readonly type: Tensor['type'];
  readonly dims: readonly number[];
  readonly value?: Tensor;
}

/** What a name stands for at the start of a part: a tensor of the run, a constant, or what kernels cannot hold. */
export type Known = InputShape | { readonly constant: Value } | 'host';

/** Shapes or branches depend on the contents of small inputs: compile again with their values. */
export class NeedsValueError extends Error {
  override readonly name = 'NeedsValueError';
  readonly inputs: readonly string[];

  constructor(inputs: readonly string[], place: string) {
    super(`${place} depends on the value of ${inputs.map((name) => `"${name}"`).join(' and ')}`);
    this.inputs = inputs;
  }
}

/** Finds the operator for a node, or throws an UnsupportedError (a NotStaticError when it is not for the kernels). */
export type FindOperator = (node: GraphNode, opsets: OnnxModel['opsets']) => Build;

/** Names in sight, own before outer. */
interface Scope {
  readonly values: Map<string, Value | 'host'>;
  readonly outer?: Scope;
  /** Makes names of constants unique among all subgraphs. */
  readonly path: string;
  readonly depth: number;
}

/** A constant whose key names its contents among all graphs of a model. Texts are not for the kernels. */
export function initializerValue(tensor: Tensor | StringTensor, path: string, name: string): Value | 'host' {
  if (tensor.type === 'string') return 'host';
  return { type: tensor.type, dims: tensor.dims, constant: { tensor, key: `file ${path}${name}` } };
}

class Tracer {
  readonly builder: Builder;
  readonly #opsets: OnnxModel['opsets'];
  readonly #find: FindOperator;
  /** Inputs that the program could be specialised to. */
  readonly #specialisable = new Map<Value, string>();
  /** The part consists of one node so far, and could not end before it. */
  atStart = true;

  constructor(opsets: OnnxModel['opsets'], keys: ConstantKeys, find: FindOperator) {
    this.builder = new Builder(keys);
    this.#opsets = opsets;
    this.#find = find;
  }

  addInput(name: string, input: InputShape): Value {
    if (!isDataType(input.type)) throw new UnsupportedError(`input "${name}": type ${input.type} is not supported`);
    if (input.value) return this.builder.constant(input.value);
    const value = this.builder.input(input.type, input.dims);
    const most = isInteger(input.type) ? SPECIALISED_ELEMENTS_MAX : SPECIALISED_FLOATS_MAX;
    if (elementCount(input.dims) <= most) this.#specialisable.set(value, name);
    return value;
  }

  #traceSubgraph(graph: Graph, scope: Scope): readonly Value[] {
    for (const [name, tensor] of graph.initializers) {
      scope.values.set(name, initializerValue(tensor, scope.path, name));
    }
    for (const node of graph.nodes) this.traceNode(node, scope);
    return graph.outputs.map(({ name }) => resolve(scope, name, `the graph "${graph.name}"`));
  }

  traceNode(node: GraphNode, scope: Scope): void {
    const place = placeOf(node);
    const inputs = node.inputs.map((name) => (name === '' ? undefined : resolve(scope, name, place)));
    const surroundings: Surroundings = {
      builder: this.builder,
      opset: this.#opsets[node.domain] ?? 0,
      contents: (value, what) => this.#contents(value, `${place}, ${what}`),
      named: (name) => {
        if (!isInSight(scope, name)) throw new Error(`expected the name of a value before this node, got "${name}"`);
        return resolve(scope, name, place);
      },
      inline: (graph, branch, inner) => {
        if (scope.depth === SUBGRAPH_DEPTH_MAX)
          throw new Error(`expected at most ${SUBGRAPH_DEPTH_MAX} graphs inside each other`);
        const path = subgraphPath(scope.path, node, branch);
        if (inner.length !== graph.inputs.length)
          throw new Error(`${branch}: expected a graph of ${inner.length} inputs, got ${graph.inputs.length}`);
        const values = new Map(graph.inputs.map(({ name }, index) => [name, inner[index] as Value]));
        const results = this.#traceSubgraph(graph, { values, outer: scope, path, depth: scope.depth + 1 });
        this.builder.origin = scope.path + node.name;
        return results;
      },
    };
    const build = this.#find(node, this.#opsets);
    try {
      this.builder.origin = scope.path + node.name;
      const built = build(new OperatorContext(node, inputs, surroundings));
      this.#define(node, Array.isArray(built) ? built : [built as Value], scope);
    } catch (error) {
      if (error instanceof UnsupportedError || error instanceof NeedsValueError || error instanceof NodeError)
        throw error;
      throw new NodeError(`${place}: ${error instanceof Error ? error.message : error}`, { cause: error });
    }
  }

  #define(node: GraphNode, outputs: readonly Value[], scope: Scope): void {
    node.outputs.forEach((name, index) => {
      const value = outputs[index];
      if (name === '') return;
      if (!value) throw new UnsupportedError(`${placeOf(node)}: output ${index} is not supported`);
      if (value.dims.length > RANK_MAX)
        throw new UnsupportedError(
          `${placeOf(node)}: ${value.dims.length} dimensions are not supported, at most ${RANK_MAX}`,
        );
      scope.values.set(name, value);
    });
  }

  /**
   * What is computed from small integers (shapes) is folded, for each of their values. Floats change from run to run:
   * what is computed from them is computed, and only what follows is made for its value.
   */
  #contents(value: Value, place: string): Tensor {
    if (value.constant) return value.constant.tensor;
    const inputs = this.#inputsBehind(value);
    const names = inputs.map((input) => this.#specialisable.get(input));
    const isShape = this.atStart || inputs.every((input) => input === value || isInteger(input.type));
    if (names.length > 0 && names.every((name) => name !== undefined) && isShape)
      throw new NeedsValueError(names, place);
    throw new NotStaticError(`${place}: values that are known only during the run are not supported here`);
  }

  /** The inputs that a value is computed from. */
  #inputsBehind(value: Value): Value[] {
    const seen = new Set([value]);
    for (const each of seen) {
      for (const input of this.builder.producerOf(each)?.inputs ?? []) if (input && !input.constant) seen.add(input);
    }
    return [...seen].filter((each) => !this.builder.producerOf(each));
  }
}

/** Already says which node it is about. */
export class NodeError extends Error {}

/** Begins the names of what lies in a subgraph. */
export function subgraphPath(path: string, node: GraphNode, branch: string): string {
  return `${path}${node.name}/${branch}/`;
}

function isInSight(scope: Scope | undefined, name: string): boolean {
  return scope !== undefined && (scope.values.has(name) || isInSight(scope.outer, name));
}

function resolve(scope: Scope, name: string, place: string): Value {
  for (let level: Scope | undefined = scope; level; level = level.outer) {
    const value = level.values.get(name);
    if (value === 'host')
      throw new NotStaticError(`${place}: "${name}" is not of numbers, which is not supported here`);
    if (value) return value;
  }
  throw new Error(`assertion: value "${name}" is not known; the reader checks names`);
}

/** Nodes of a graph from `start` on, as far as they become one program. */
export interface StageRequest {
  readonly graph: Graph;
  readonly start: number;
  /** Begins names in this graph; '' for the main one. */
  readonly path: string;
  /** How many graphs lie around it. */
  readonly depth: number;
  /** All names that the nodes use and do not give themselves. */
  readonly known: ReadonlyMap<string, Known>;
  /** The inputs are those of several runs. */
  readonly batch?: BatchLayout;
  /** What is used behind the nodes before `end`. */
  readonly neededAt: (end: number) => Iterable<string>;
}

export interface TracedStage {
  /** The node that is not part of it any more. */
  readonly end: number;
  /** Why it ends before the graph does. */
  readonly obstacle?: NotStaticError;
  /** Gives the values that are needed behind it, but for those that are inputs or named constants. */
  readonly graph: KernelGraph;
  readonly constants: ReadonlyMap<string, Value>;
  /** Names of outputs that are inputs under another name → those inputs. */
  readonly aliases: ReadonlyMap<string, string>;
}

/**
 * Builds the kernel graph of as many nodes as can be built without contents that only the run has. The whole of a main
 * graph gives all its outputs, others what is needed behind them. Throws UnsupportedError, NeedsValueError, or an Error
 * that names the node that does not fit its inputs.
 */
export function traceStage(
  request: StageRequest,
  opsets: OnnxModel['opsets'],
  keys: ConstantKeys,
  find: FindOperator,
): TracedStage {
  const { graph, start, known, path, depth } = request;
  const tracer = new Tracer(opsets, keys, find);
  const scope: Scope = { values: new Map(), path, depth };
  const inputs: NamedValue[] = [];
  for (const [name, each] of known) {
    const value = each === 'host' ? each : 'constant' in each ? each.constant : tracer.addInput(name, each);
    scope.values.set(name, value);
    if (value !== 'host' && !value.constant) inputs.push({ name, value });
  }
  let end = start;
  let obstacle: NotStaticError | undefined;
  while (end < graph.nodes.length && !obstacle) {
    try {
      tracer.traceNode(graph.nodes[end] as GraphNode, scope);
      end++;
      tracer.atStart = false;
    } catch (error) {
      if (!(error instanceof NotStaticError)) throw error;
      obstacle = error;
    }
  }
  const isWhole =
    path === '' &&
    start === 0 &&
    end === graph.nodes.length &&
    graph.outputs.every(({ name }) => scope.values.get(name) !== 'host');
  const outputs: NamedValue[] = [];
  const constants = new Map<string, Value>();
  const aliases = new Map<string, string>();
  for (const name of isWhole ? graph.outputs.map((output) => output.name) : request.neededAt(end)) {
    const value = scope.values.get(name);
    if (value === undefined || value === 'host' || (known.has(name) && !isWhole)) continue;
    const input = inputs.find((each) => each.value === value);
    if (isWhole) outputs.push({ name, value });
    else if (input) aliases.set(name, input.name);
    else if (value.constant?.key !== undefined) constants.set(name, value);
    else outputs.push({ name, value });
  }
  const pruned = prune({ inputs, outputs, nodes: tracer.builder.nodes });
  const used = new Set(pruned.nodes.flatMap((node) => node.inputs));
  for (const { value } of outputs) used.add(value);
  const kept = inputs.filter(({ value }) => used.has(value));
  return { end, obstacle, graph: { ...pruned, inputs: kept }, constants, aliases };
}
