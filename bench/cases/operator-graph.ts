/** Cases of one operator, or of the few that always come together, as small ONNX files. */

import { elementBytes, type Tensor } from '../../runtime/engine/tensor.ts';
import { toChannelsLast } from '../contenders/channels.ts';
import type { Job, TensorflowTask, Tensors } from '../contenders/contender.ts';
import { type AttributeSpec, attribute, type TensorSpec, writeModel } from '../write-model.ts';
import { randomValues } from './random-values.ts';

type AttributeValue = number | readonly number[] | string;

export interface OperatorNode {
  readonly operator: string;
  /** ONNX's own when absent. */
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  /** Names of inputs, constants or results; '' for one that is left out. */
  readonly inputs: readonly string[];
  readonly output: string;
}

export interface OperatorCase {
  readonly name: string;
  readonly opset?: number;
  readonly inputs: Tensors;
  readonly constants: Tensors;
  /** In order; the last one's output is the result. */
  readonly nodes: readonly OperatorNode[];
}

/** TensorProto.DataType of the types that cases use. */
const typeCodes: Readonly<Record<string, number>> = { float32: 1, uint8: 2, int8: 3, int64: 7 };

function typeCode({ type }: Tensor): number {
  const code = typeCodes[type];
  if (!code) throw new Error(`assertion: no case has tensors of ${type}`);
  return code;
}

/** Attributes that are floats in ONNX whatever their value. */
const FLOATS = ['epsilon', 'alpha', 'beta'];

function attributeOf([name, value]: [string, AttributeValue]): AttributeSpec {
  if (typeof value === 'string') return attribute.text(name, value);
  if (typeof value !== 'number') return attribute.ints(name, value);
  return FLOATS.includes(name) ? attribute.float(name, value) : attribute.int(name, value);
}

function initializer([name, tensor]: [string, Tensor]): TensorSpec {
  const { data, dims } = tensor;
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.length * elementBytes(tensor.type));
  return { name, type: typeCode(tensor), dims, write: (writer) => writer.writeBytesField(9, bytes) };
}

/** The file says nothing about the result's shape: that follows. */
function fileOf({ opset = 17, inputs, constants, nodes }: OperatorCase): Uint8Array {
  const result = nodes.at(-1) as OperatorNode;
  return writeModel({
    opsets: { '': opset, ...Object.fromEntries(nodes.flatMap(({ domain }) => (domain ? [[domain, 1]] : []))) },
    graph: {
      inputs: Object.entries(inputs).map(([name, tensor]) => ({ name, type: typeCode(tensor), dims: tensor.dims })),
      outputs: [{ name: result.output, type: result.operator === 'MatMulInteger' ? 6 : 1 }],
      initializers: Object.entries(constants).map(initializer),
      nodes: nodes.map(({ operator, domain, attributes = {}, inputs: names, output }) => ({
        operator,
        domain,
        inputs: names,
        outputs: [output],
        attributes: Object.entries(attributes).map(attributeOf),
      })),
    },
  });
}

const ofPictures = ['Conv', 'ConvTranspose', 'MaxPool', 'AveragePool', 'GlobalAveragePool', 'Resize'];

/** The case between two transposes; undefined where it has nothing to do with pictures. */
function channelsLast(each: OperatorCase): Job['channelsLast'] {
  const [node] = each.nodes;
  const { x } = each.inputs;
  if (!node || !x || !ofPictures.includes(node.operator) || x.dims.length !== 4) return undefined;
  const inputs = { last: toChannelsLast(x) };
  const nodes: OperatorNode[] = [
    { operator: 'Transpose', attributes: { perm: [0, 3, 1, 2] }, inputs: ['last'], output: 'x' },
    node,
    { operator: 'Transpose', attributes: { perm: [0, 2, 3, 1] }, inputs: [node.output], output: 'turned' },
  ];
  return { model: fileOf({ ...each, inputs, nodes }), inputs };
}

export function jobOf(each: OperatorCase): Job {
  const { name, inputs, constants, nodes } = each;
  const [node] = nodes;
  let tensorflow: TensorflowTask | undefined;
  if (nodes.length === 1 && node) {
    const operands = node.inputs.filter((input) => input !== '').map((input) => constants[input] ?? input);
    tensorflow = {
      kind: 'operator',
      node: { operator: node.operator, attributes: node.attributes ?? {}, inputs: operands },
    };
  }
  return { name, model: fileOf(each), inputs, tensorflow, channelsLast: channelsLast(each) };
}

/** Random numbers; weights are scaled so that sums of `terms` products stay near 1. */
export function random(dims: readonly number[], terms = 1): Tensor {
  const count = dims.reduce((product, size) => product * size, 1);
  const scale = 2 / Math.sqrt(terms);
  return { type: 'float32', dims, data: randomValues(count, count).map((value) => value * scale) };
}

export function int64s(...values: number[]): Tensor {
  return { type: 'int64', dims: [values.length], data: BigInt64Array.from(values, BigInt) };
}
