/** ONNX graph + concrete input shapes → kernel graph: looks up each node's operator and lets it build its part. */
import { elementCount, type Tensor } from '../engine/tensor.ts';
import type { Graph, GraphNode, OnnxModel } from '../onnx/graph.ts';
import { isDataType } from '../onnx/tensor-data.ts';
import { placeOf } from '../ops/attributes.ts';
import { type Build, OperatorContext, type Surroundings } from '../ops/context.ts';
import { Builder, type ConstantKeys, prune } from './builder.ts';
import { isInteger } from './evaluate.ts';
import type { KernelGraph, NamedValue, Value } from './graph.ts';
import { RANK_MAX, SPECIALISED_ELEMENTS_MAX, SPECIALISED_FLOATS_MAX, SUBGRAPH_DEPTH_MAX } from './limits.ts';
import { UnsupportedError } from './program.ts';

/** A concrete input. With a `value` the program is made for that value alone and does not read the input any more. */
export interface InputShape {
  readonly type: Tensor['type'];
  readonly dims: readonly number[];
  readonly value?: Tensor;
}

/** Shapes or branches depend on the contents of small inputs: compile again with their values. */
export class NeedsValueError extends Error {
  override readonly name = 'NeedsValueError';
  readonly inputs: readonly string[];

  constructor(inputs: readonly string[], place: string) {
    super(`${place} depends on the value of ${inputs.map((name) => `"${name}"`).join(' and ')}`);
    this.inputs = inputs;
  }
}

/** Finds the operator for a node, or throws an UnsupportedError. */
export type FindOperator = (node: GraphNode, opsets: OnnxModel['opsets']) => Build;

/** Names in sight, own before outer. */
interface Scope {
  readonly values: Map<string, Value>;
  readonly outer?: Scope;
  /** Makes names of constants unique among all subgraphs. */
  readonly path: string;
  readonly depth: number;
}

class Tracer {
  readonly builder: Builder;
  readonly #opsets: OnnxModel['opsets'];
  readonly #find: FindOperator;
  /** Inputs that the program could be specialised to. */
  readonly #specialisable = new Map<Value, string>();

  constructor(opsets: OnnxModel['opsets'], keys: ConstantKeys, find: FindOperator) {
    this.builder = new Builder(keys);
    this.#opsets = opsets;
    this.#find = find;
  }

  addInput(name: string, input: InputShape): Value {
    if (input.value) return this.builder.constant(input.value);
    const value = this.builder.input(input.type, input.dims);
    const most = isInteger(input.type) ? SPECIALISED_ELEMENTS_MAX : SPECIALISED_FLOATS_MAX;
    if (elementCount(input.dims) <= most) this.#specialisable.set(value, name);
    return value;
  }

  trace(graph: Graph, scope: Scope): readonly Value[] {
    for (const [name, tensor] of graph.initializers)
      scope.values.set(name, this.builder.constant(tensor, `file ${scope.path}${name}`));
    for (const node of graph.nodes) this.#traceNode(node, scope);
    return graph.outputs.map(({ name }) => resolve(scope, name));
  }

  #traceNode(node: GraphNode, scope: Scope): void {
    const inputs = node.inputs.map((name) => (name === '' ? undefined : resolve(scope, name)));
    const surroundings: Surroundings = {
      builder: this.builder,
      opset: this.#opsets[node.domain] ?? 0,
      contents: (value, place) => this.#contents(value, `${placeOf(node)}, ${place}`),
      inline: (graph, branch, inner) => {
        if (scope.depth === SUBGRAPH_DEPTH_MAX)
          throw new Error(`expected at most ${SUBGRAPH_DEPTH_MAX} graphs inside each other`);
        const path = `${scope.path}${node.name}/${branch}/`;
        if (inner.length !== graph.inputs.length)
          throw new Error(`${branch}: expected a graph of ${inner.length} inputs, got ${graph.inputs.length}`);
        const values = new Map(graph.inputs.map(({ name }, index) => [name, inner[index] as Value]));
        const results = this.trace(graph, { values, outer: scope, path, depth: scope.depth + 1 });
        this.builder.origin = scope.path + node.name;
        return results;
      },
    };
    const build = this.#find(node, this.#opsets);
    try {
      this.builder.origin = scope.path + node.name;
      const built = build(new OperatorContext(node, inputs, surroundings));
      const outputs: readonly Value[] = Array.isArray(built) ? built : [built as Value];
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
    } catch (error) {
      if (error instanceof UnsupportedError || error instanceof NeedsValueError || error instanceof NodeError)
        throw error;
      throw new NodeError(`${placeOf(node)}: ${error instanceof Error ? error.message : error}`, { cause: error });
    }
  }

  #contents(value: Value, place: string): Tensor {
    if (value.constant) return value.constant.tensor;
    const inputs = this.#inputsBehind(value);
    const names = inputs.map((input) => this.#specialisable.get(input));
    if (names.length > 0 && names.every((name) => name !== undefined)) throw new NeedsValueError(names, place);
    throw new UnsupportedError(`${place}: values that are known only during the run are not supported here`);
  }

  /** The graph inputs that a value is computed from. */
  #inputsBehind(value: Value): Value[] {
    const seen = new Set([value]);
    for (const each of seen) {
      for (const input of this.builder.producerOf(each)?.inputs ?? []) if (input && !input.constant) seen.add(input);
    }
    return [...seen].filter((each) => !this.builder.producerOf(each));
  }
}

/** Already says which node it is about. */
class NodeError extends Error {}

function resolve(scope: Scope, name: string): Value {
  for (let level: Scope | undefined = scope; level; level = level.outer) {
    const value = level.values.get(name);
    if (value) return value;
  }
  throw new Error(`assertion: value "${name}" is not known; the reader checks names`);
}

/**
 * Builds the kernel graph of a model for concrete input shapes. Inputs that are given by value become constants.
 * Throws UnsupportedError, NeedsValueError, or an Error that names the node that does not fit its inputs.
 */
export function traceModel(
  model: OnnxModel,
  shapes: Readonly<Record<string, InputShape>>,
  keys: ConstantKeys,
  find: FindOperator,
): KernelGraph {
  const tracer = new Tracer(model.opsets, keys, find);
  const scope: Scope = { values: new Map(), path: '', depth: 0 };
  const inputs: NamedValue[] = [];
  for (const { name } of model.graph.inputs) {
    const shape = Object.hasOwn(shapes, name) ? shapes[name] : undefined;
    if (!shape) throw new Error(`input "${name}": expected a type and shape, found none`);
    if (!isDataType(shape.type)) throw new UnsupportedError(`input "${name}": type ${shape.type} is not supported`);
    const value = tracer.addInput(name, shape);
    scope.values.set(name, value);
    if (!value.constant) inputs.push({ name, value });
  }
  const results = tracer.trace(model.graph, scope);
  const outputs = model.graph.outputs.map(({ name }, index) => ({ name, value: results[index] as Value }));
  return prune({ inputs, outputs, nodes: tracer.builder.nodes });
}
