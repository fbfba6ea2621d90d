/** What an operator's `build` function sees of its node: inputs, attributes, and the means to build kernel operations. */
import type { Builder } from '../compile/builder.ts';
import { numbersOf } from '../compile/evaluate.ts';
import type { Value } from '../compile/graph.ts';
import type { Tensor } from '../engine/tensor.ts';
import type { Graph, GraphNode } from '../onnx/graph.ts';
import { Attributes } from './attributes.ts';

/** Composes an ONNX node of kernel operations and returns its outputs. */
export type Build = (node: OperatorContext) => Value | readonly Value[];

/** Ascending; the last entry not above the model's opset version holds. */
export type Versions = readonly (readonly [since: number, build: Build])[];

/** The newest version of the default operator set that the tables were checked against. */
const OPSET_MAX = 28;

/** The entry for a model's opset version; none where that is newer than what the tables know. */
export function entryFor<Entry>(
  versions: readonly (readonly [since: number, build: Entry])[] | undefined,
  opset: number,
): Entry | undefined {
  return opset > OPSET_MAX ? undefined : versions?.findLast(([since]) => since <= opset)?.[1];
}

/** What the walk over the whole graph offers to one node. */
export interface Surroundings {
  readonly builder: Builder;
  /** Opset version of the node's domain. */
  readonly opset: number;
  /** The contents of a value; throws NeedsValueError or UnsupportedError when they are not known before the run. */
  contents(value: Value, place: string): Tensor;
  /** The value that a name in sight stands for. */
  named(name: string): Value;
  /** Builds a subgraph in place; its names see those outside. `inputs` are what its own inputs stand for. */
  inline(graph: Graph, branch: string, inputs: readonly Value[]): readonly Value[];
}

export class OperatorContext extends Attributes {
  readonly builder: Builder;
  readonly opset: number;
  readonly #inputs: readonly (Value | undefined)[];
  readonly #surroundings: Surroundings;

  constructor(node: GraphNode, inputs: readonly (Value | undefined)[], surroundings: Surroundings) {
    super(node);
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

  /** What a name in the node's graph, or in one around it, stands for. */
  named(name: string): Value {
    return this.#surroundings.named(name);
  }

  inline(graph: Graph, branch: string, inputs: readonly Value[] = []): readonly Value[] {
    return this.#surroundings.inline(graph, branch, inputs);
  }
}
