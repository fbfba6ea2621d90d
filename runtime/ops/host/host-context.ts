/**
 * Operators on values that the kernels cannot hold (texts, sequences, optionals, maps, encoded pictures) run in JavaScript
 * between two programs of a run. They get whole values and give whole values.
 */
import type { Tensor } from '../../engine/tensor.ts';
import {
  type EngineValue,
  isHostValue,
  type MapValue,
  type SequenceValue,
  type StringTensor,
} from '../../engine/value.ts';
import type { GraphNode } from '../../onnx/graph.ts';
import { Attributes } from '../attributes.ts';

/** Computes a node's outputs, in order; `undefined` for one that the node does not use. */
export type HostBuild = (node: HostContext) => EngineValue | readonly (EngineValue | undefined)[];

/** Made by an operator from a node's attributes alone. */
const tables = new WeakMap<GraphNode, unknown>();

export class HostContext extends Attributes {
  /** Version of the operator set of the node's domain. */
  readonly opset: number;
  readonly inputs: readonly (EngineValue | undefined)[];

  constructor(node: GraphNode, opset: number, inputs: readonly (EngineValue | undefined)[]) {
    super(node);
    this.opset = opset;
    this.inputs = inputs;
  }

  input(index: number): EngineValue {
    const value = this.inputs[index];
    if (!value) throw new Error(`expected an input ${index}, found none`);
    return value;
  }

  tensor(index: number): Tensor {
    const value = this.input(index);
    if (isHostValue(value)) throw new Error(`input ${index}: expected a tensor of numbers, got a ${value.type}`);
    return value;
  }

  /** A tensor, of numbers or of texts. */
  anyTensor(index: number): Tensor | StringTensor {
    const value = this.input(index);
    if (value.type !== 'string' && isHostValue(value))
      throw new Error(`input ${index}: expected a tensor, got a ${value.type}`);
    return value;
  }

  /** The whole numbers of an input, or nothing where the node leaves it out. */
  wholeNumbers(index: number): number[] | undefined {
    if (!this.inputs[index]) return undefined;
    const tensor = this.tensor(index);
    if (tensor.type !== 'int64' && tensor.type !== 'int32')
      throw new Error(`input ${index}: expected int64 or int32, got ${tensor.type}`);
    return Array.from(tensor.data, Number);
  }

  strings(index: number): StringTensor {
    const value = this.input(index);
    if (value.type !== 'string') throw new Error(`input ${index}: expected a tensor of strings, got ${value.type}`);
    return value;
  }

  sequence(index: number): SequenceValue {
    const value = this.input(index);
    if (value.type !== 'sequence') throw new Error(`input ${index}: expected a sequence, got ${value.type}`);
    return value;
  }

  map(index: number): MapValue {
    const value = this.input(index);
    if (value.type !== 'map') throw new Error(`input ${index}: expected a map, got ${value.type}`);
    return value;
  }

  /** What follows from the attributes alone, such as a table: made once for a node, not for every run. */
  once<Table>(make: () => Table): Table {
    if (!tables.has(this.node)) tables.set(this.node, make());
    return tables.get(this.node) as Table;
  }
}
