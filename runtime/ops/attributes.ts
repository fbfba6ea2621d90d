/** A node's attributes, read with the type that an operator expects. */
import { UnsupportedError } from '../compile/program.ts';
import type { DataType, Tensor } from '../engine/tensor.ts';
import type { StringTensor } from '../engine/value.ts';
import type { AttributeValue, Graph, GraphNode } from '../onnx/graph.ts';
import { isDataType, typeName } from '../onnx/tensor-data.ts';

/** Every reader throws an Error that names the attribute when it is of another type. */
export class Attributes {
  readonly node: GraphNode;

  constructor(node: GraphNode) {
    this.node = node;
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

  string(name: string, otherwise?: string): string {
    const value = this.#attribute(name) ?? otherwise;
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
    if (typeof value !== 'object' || !('dims' in value) || value.type === 'string')
      throw wrongAttribute(name, 'a tensor of numbers', value);
    return value;
  }

  /** Of numbers or of texts; must be there. */
  anyAttributeTensor(name: string): Tensor | StringTensor {
    const value = this.#attribute(name);
    if (typeof value !== 'object' || !('dims' in value)) throw wrongAttribute(name, 'a tensor', value);
    return value;
  }

  has(name: string): boolean {
    return this.#attribute(name) !== undefined;
  }

  graph(name: string): Graph {
    const value = this.#attribute(name);
    if (typeof value !== 'object' || !('nodes' in value)) throw wrongAttribute(name, 'a graph', value);
    return value;
  }

  anyText(name: string): string {
    const value = this.#attribute(name);
    if (typeof value !== 'string') throw wrongAttribute(name, 'a text', value);
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
