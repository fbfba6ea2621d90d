/**
 * Operators on values that the kernels cannot hold (texts, sequences, optionals, maps, encoded pictures) run in JavaScript
 * between two programs of a run. They get whole values and give whole values.
 */
import type { Tensor } from '../../engine/tensor.ts';
import { type EngineValue, isHostValue, type SequenceValue, type StringTensor } from '../../engine/value.ts';
import type { GraphNode } from '../../onnx/graph.ts';
import { Attributes } from '../attributes.ts';

/** Computes a node's outputs, in order; `undefined` for one that the node does not use. */
export type HostBuild = (node: HostContext) => EngineValue | readonly (EngineValue | undefined)[];

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
}
