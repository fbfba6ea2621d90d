/** A checked ONNX graph: names resolve, nodes are in execution order, sizes are bounded. Source: onnx.proto3 and ONNX IR spec. */
import type { Tensor, ValueDescription } from '../engine/tensor.ts';
import type { StringTensor } from '../engine/value.ts';

export type AttributeValue =
  | number
  | string
  | Tensor
  | StringTensor
  | Graph
  | readonly number[]
  | readonly string[]
  | readonly (Tensor | StringTensor)[]
  | readonly Graph[];

export interface GraphNode {
  /** The file's name, or `OpType_index` where the file gives none. */
  readonly name: string;
  readonly operator: string;
  /** '' is ai.onnx. */
  readonly domain: string;
  /** '' stands for an absent optional input. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, AttributeValue>>;
}

export interface Graph {
  readonly name: string;
  /** Without initializers. */
  readonly inputs: readonly ValueDescription[];
  readonly outputs: readonly ValueDescription[];
  /** Decoded on access; large ones are views of the file. */
  readonly initializers: ReadonlyMap<string, Tensor | StringTensor>;
  readonly nodes: readonly GraphNode[];
}

export interface OnnxModel {
  readonly irVersion: number;
  readonly producer: string;
  /** Domain → opset version; '' is ai.onnx. */
  readonly opsets: Readonly<Record<string, number>>;
  readonly graph: Graph;
  /** Files beside the model that hold weights, relative to its folder. */
  readonly externalFiles: readonly string[];
}
