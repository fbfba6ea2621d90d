/** What an operator's `build` function sees of its node: inputs, attributes, and the means to build kernel operations. */
import type { Builder } from '../compile/builder.ts';
import { numbersOf } from '../compile/evaluate.ts';
import type { Value } from '../compile/graph.ts';
import { UnsupportedError } from '../compile/program.ts';
import type { DataType, Tensor } from '../engine/tensor.ts';
import type { AttributeValue, Graph, GraphNode } from '../onnx/graph.ts';
import { isDataType, typeName } from '../onnx/tensor-data.ts';

/** Composes an ONNX node of kernel operations and returns its outputs. */
export type Build = (node: OperatorContext) => Value | readonly Value[];

/** Ascending; the last entry not above the model's opset version holds. */
export type Versions = readonly (readonly [since: number, build: Build])[];

/** What the walk over the whole graph offers to one node. */
export interface Surroundings {
  readonly builder: Builder;
  /** Opset version of the node's domain. */
  readonly opset: number;
  /** The contents of a value; throws NeedsValueError or UnsupportedError when they are not known before the run. */
  contents(value: Value, place: string): Tensor;
  /** Builds a subgraph in place; its names see those outside. `inputs` are what its own inputs stand for. */
  inline(graph: Graph, branch: string, inputs: readonly Value[]): readonly Value[];
}

export class OperatorContext {
  readonly node: GraphNode;
  readonly builder: Builder;
  readonly opset: number;
  readonly #inputs: readonly (Value | undefined)[];
  readonly #surroundings: Surroundings;

  constructor(node: GraphNode, inputs: readonly (Value | undefined)[], surroundings: Surroundings) {
    this.node = node;
    this.builder = surroundings.builder;
    this.opset = surroundings.opset;
    this.#inputs = inputs;
    this.#surroundings = surroundings;
  }

  /** The same node with other inputs. */
  withInputs(inputs: readonly (Value | undefined)[]): OperatorContext {
    return new OperatorContext(this.node, inputs, this.#surroundings);
  }

  get inputs(): readonly (Value | undefined)[] {
    return this.#inputs;
  }

  /** Number of outputs that the node names; trailing ones may be left out. */
  get outputCount(): number {
    return this.node.outputs.length;
  }

  isUsed(output: number): boolean {
    return (this.node.outputs[output] ?? '') !== '';
  }

  input(index: number): Value {
    const value = this.#inputs[index];
    if (!value) throw new Error(`expected an input ${index}, found none`);
    return value;
  }

  optional(index: number): Value | undefined {
    return this.#inputs[index];
  }

  /** An input whose elements must be known at compile time. */
  tensor(index: number): Tensor {
    return this.contentsOf(this.input(index), `input ${index}`);
  }

  contentsOf(value: Value, place: string): Tensor {
    return this.#surroundings.contents(value, place);
  }

  numbers(index: number): number[] {
    return numbersOf(this.tensor(index));
  }

  optionalNumbers(index: number): number[] | undefined {
    return this.#inputs[index] ? this.numbers(index) : undefined;
  }

  /** As `numbers`, for what counts, places or measures. */
  integers(index: number): number[] {
    const values = this.numbers(index);
    const wrong = values.find((value) => !Number.isInteger(value));
    if (wrong !== undefined) throw new Error(`input ${index}: expected whole numbers, got ${wrong}`);
    return values;
  }

  optionalIntegers(index: number): number[] | undefined {
    return this.#inputs[index] ? this.integers(index) : undefined;
  }

  inline(graph: Graph, branch: string, inputs: readonly Value[] = []): readonly Value[] {
    return this.#surroundings.inline(graph, branch, inputs);
  }

  #attribute(name: string): AttributeValue | undefined {
    return Object.hasOwn(this.node.attributes, name) ? this.node.attributes[name] : undefined;
  }

  float(name: string, otherwise: number): number {
    const value = this.#attribute(name) ?? otherwise;
    if (typeof value !== 'number') throw wrongAttribute(name, 'a number', value);
    return value;
  }

  int(name: string, otherwise?: number): number {
    const value = this.#attribute(name) ?? otherwise;
    if (typeof value !== 'number' || !Number.isInteger(value)) throw wrongAttribute(name, 'a whole number', value);
    return value;
  }

  flag(name: string, otherwise = false): boolean {
    return this.int(name, otherwise ? 1 : 0) !== 0;
  }

  text<Choice extends string>(name: string, choices: readonly Choice[], otherwise: NoInfer<Choice>): Choice {
    const value = this.#attribute(name) ?? otherwise;
    if (!choices.includes(value as Choice)) throw wrongAttribute(name, `one of ${choices.join(', ')}`, value);
    return value as Choice;
  }

  string(name: string): string {
    const value = this.#attribute(name);
    if (typeof value !== 'string') throw wrongAttribute(name, 'a text', value);
    return value;
  }

  ints(name: string): number[] | undefined {
    const value = this.#attribute(name);
    if (value === undefined) return undefined;
    if (!Array.isArray(value) || !value.every((item) => Number.isInteger(item)))
      throw wrongAttribute(name, 'whole numbers', value);
    return value as number[];
  }

  floats(name: string): number[] | undefined {
    const value = this.#attribute(name);
    if (value === undefined) return undefined;
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'number'))
      throw wrongAttribute(name, 'numbers', value);
    return value as number[];
  }

  attributeTensor(name: string): Tensor | undefined {
    const value = this.#attribute(name);
    if (value === undefined) return undefined;
    if (typeof value !== 'object' || !('dims' in value)) throw wrongAttribute(name, 'a tensor', value);
    return value;
  }

  graph(name: string): Graph {
    const value = this.#attribute(name);
    if (typeof value !== 'object' || !('nodes' in value)) throw wrongAttribute(name, 'a graph', value);
    return value;
  }

  texts(name: string): string[] | undefined {
    const value = this.#attribute(name);
    if (value === undefined) return undefined;
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'string'))
      throw wrongAttribute(name, 'texts', value);
    return value as string[];
  }

  /** The type that a TensorProto.DataType stands for. */
  dataType(code: number): DataType {
    const type = typeName(code);
    if (!isDataType(type)) throw this.unsupported(type);
    return type;
  }

  /** An axis counted from the front, from one that may be counted from the end. */
  axis(axis: number, rank: number): number {
    if (!(axis >= -rank && axis < rank)) throw new Error(`expected an axis from ${-rank} to ${rank - 1}, got ${axis}`);
    return axis < 0 ? axis + rank : axis;
  }

  axes(axes: readonly number[], rank: number): number[] {
    return axes.map((axis) => this.axis(axis, rank)).sort((a, b) => a - b);
  }

  /** For what the standard allows and we do not do. */
  unsupported(what: string): UnsupportedError {
    return new UnsupportedError(`${placeOf(this.node)}: ${what} is not supported`);
  }
}

function wrongAttribute(name: string, expected: string, value: unknown): Error {
  const got = value === undefined ? 'none' : typeof value === 'object' ? 'something else' : JSON.stringify(value);
  return new Error(`attribute "${name}": expected ${expected}, got ${got}`);
}

/** How errors name a node. */
export function placeOf(node: GraphNode): string {
  const operator = node.domain === '' ? node.operator : `${node.domain}:${node.operator}`;
  return `node "${node.name}" (${operator})`;
}
