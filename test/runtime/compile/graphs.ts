/** Graphs made by hand, for tests of the compiler. */
import { Builder, ConstantKeys, prune } from '../../../runtime/compile/builder.ts';
import { evaluate } from '../../../runtime/compile/evaluate.ts';
import type { KernelGraph, Value } from '../../../runtime/compile/graph.ts';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import type { StringTensor } from '../../../runtime/engine/value.ts';
import type { AttributeValue, GraphNode, OnnxModel } from '../../../runtime/onnx/graph.ts';
import { Random } from '../../random.ts';
import type { Tensors } from './run-program.ts';

export interface Built {
  readonly graph: KernelGraph;
  readonly inputs: Tensors;
  readonly keys: ConstantKeys;
}

/** A kernel graph whose inputs are filled with random numbers. */
export function build(
  shapes: Readonly<Record<string, readonly number[]>>,
  outputs: (builder: Builder, inputs: readonly Value[], random: Random) => readonly Value[],
  random = new Random(1),
): Built {
  const keys = new ConstantKeys();
  const builder = new Builder(keys);
  const inputs = Object.entries(shapes).map(([name, dims]) => ({ name, value: builder.input('float32', dims) }));
  const results = outputs(
    builder,
    inputs.map(({ value }) => value),
    random,
  );
  const graph = prune({
    inputs,
    outputs: results.map((value, index) => ({ name: `y${index}`, value })),
    nodes: builder.nodes,
  });
  const tensors = Object.fromEntries(Object.entries(shapes).map(([name, dims]) => [name, random.tensor(dims)]));
  return { graph, inputs: tensors, keys };
}

export function kindsOf(graph: KernelGraph): string[] {
  return graph.nodes.map(({ operation }) => ('name' in operation ? operation.name : operation.kind));
}

/** What a graph gives, node by node in double precision, for the operations that can be done on constants. */
export function evaluateGraph(graph: KernelGraph, inputs: Tensors): Record<string, Tensor> {
  const known = new Map<Value, Tensor>(graph.inputs.map(({ name, value }) => [value, inputs[name] as Tensor]));
  const at = (value: Value): Tensor => value.constant?.tensor ?? (known.get(value) as Tensor);
  for (const node of graph.nodes) {
    const result = evaluate(
      node.operation,
      node.inputs.map((value) => at(value as Value)),
    );
    if (!result) throw new Error(`no reference for ${node.operation.kind}`);
    known.set(node.outputs[0] as Value, result);
  }
  return Object.fromEntries(graph.outputs.map(({ name, value }) => [name, at(value)]));
}

/** Whether two float32 tensors hold the same numbers to the last bit. */
export function sameBits(a: Tensor | undefined, b: Tensor | undefined): boolean {
  if (!(a?.data instanceof Float32Array && b?.data instanceof Float32Array)) return false;
  return Buffer.from(a.data.buffer).equals(Buffer.from(b.data.buffer));
}

/** The largest difference, relative to the largest number. */
export function farthest(a: Tensors, b: Tensors): number {
  let error = 0;
  for (const [name, { data, dims }] of Object.entries(b)) {
    const own = a[name] as Tensor;
    if (own.dims.join() !== dims.join()) return Infinity;
    // What cancels to nearly nothing is compared with the size of what it came from.
    let [most, largest] = [0, 1e-2];
    for (let i = 0; i < data.length; i++) {
      const difference = Math.abs(Number(own.data[i]) - Number(data[i]));
      most = Number.isNaN(difference) ? Infinity : Math.max(most, difference);
      largest = Math.max(largest, Math.abs(Number(data[i])));
    }
    error = Math.max(error, most / largest);
  }
  return error;
}

export interface NodeText {
  readonly operator: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  readonly domain?: string;
}

/** An ONNX model as the reader would give it. */
export function onnxModel(parts: {
  readonly nodes: readonly NodeText[];
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly initializers?: Readonly<Record<string, Tensor | StringTensor>>;
  readonly opset?: number;
}): OnnxModel {
  const nodes = parts.nodes.map((node, index): GraphNode => {
    return { name: `${node.operator}_${index}`, domain: '', attributes: {}, ...node };
  });
  const describe = (name: string) => ({ name, type: 'float32', dims: [] });
  const graph = {
    name: 'test',
    nodes,
    inputs: parts.inputs.map(describe),
    outputs: parts.outputs.map(describe),
    initializers: new Map(Object.entries(parts.initializers ?? {})),
  };
  return { irVersion: 8, producer: 'test', opsets: { '': parts.opset ?? 17 }, externalFiles: [], graph };
}
