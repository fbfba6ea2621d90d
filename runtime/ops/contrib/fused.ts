/** Operators of com.microsoft that onnxruntime's optimiser writes for several of ONNX. Source: onnxruntime, docs/ContribOperators.md. */
import type { Value } from '../../compile/graph.ts';
import type { Build, OperatorContext } from '../context.ts';
import { conv } from '../conv.ts';
import { gemm } from '../matrix.ts';

/** The activation by its ONNX name, with the parameters of that operator in order. */
function activated(node: OperatorContext, x: Value, parameters: readonly (number | undefined)[]): Value {
  const { builder } = node;
  const [alpha, beta] = parameters;
  const name = node.text('activation', ['', 'Relu', 'Tanh', 'Sigmoid', 'LeakyRelu', 'Clip', 'HardSigmoid'], '');
  switch (name) {
    case '':
      return x;
    case 'Relu':
      return builder.unary('relu', x);
    case 'Tanh':
      return builder.unary('tanh', x);
    case 'Sigmoid':
      return builder.unary('sigmoid', x);
    case 'LeakyRelu':
      return builder.unary('leakyRelu', x, alpha ?? 0.01);
    case 'Clip':
      return builder.unary('clip', x, alpha ?? -Infinity, beta ?? Infinity);
    case 'HardSigmoid':
      return builder.unary('hardSigmoid', x, alpha ?? 0.2, beta ?? 0.5);
  }
}

/** A convolution, plus input 3, then the activation. */
export const fusedConv: Build = (node) => {
  const y = conv(node) as Value;
  const residual = node.optional(3);
  const sum = residual ? node.builder.binary('add', y, residual) : y;
  return activated(node, sum, node.floats('activation_params') ?? []);
};

export const fusedGemm: Build = (node) => {
  const parameter = (name: string): number | undefined =>
    name in node.node.attributes ? node.float(name, 0) : undefined;
  return activated(node, gemm(node) as Value, [parameter('activation_alpha'), parameter('activation_beta')]);
};

/** The last two axes swapped; with `batch`, the rows are the first axis and the batch lies between them and the columns. */
function turned(node: OperatorContext, x: Value, transpose: boolean, batch: boolean): Value {
  const rank = x.dims.length;
  if (rank < 2) return x;
  const axes = x.dims.map((_, axis) => axis);
  // transBatch: [rows, batch …, columns] stands for [batch …, rows, columns].
  const perm = batch ? [...axes.slice(1, -1), 0, rank - 1] : axes;
  if (transpose) perm.push(...(perm.splice(-2).reverse() as number[]));
  return node.builder.transpose(x, perm);
}

/** alpha · A · B, either turned before. */
export const fusedMatMul: Build = (node) => {
  const { builder } = node;
  const [a, b] = [node.input(0), node.input(1)];
  if (a.dims.length < 2 || b.dims.length < 2) throw node.unsupported('a vector');
  const left = turned(node, a, node.flag('transA'), node.flag('transBatchA'));
  const right = turned(node, b, node.flag('transB'), node.flag('transBatchB'));
  return builder.scale(builder.matMul(left, right), node.float('alpha', 1), 0);
};

function biased(node: OperatorContext): Value {
  const bias = node.optional(1);
  return bias ? node.builder.binary('add', node.input(0), bias) : node.input(0);
}

export const biasGelu: Build = (node) => node.builder.unary('gelu', biased(node));

export const fastGelu: Build = (node) => node.builder.unary('geluTanh', biased(node));

/** x · sigmoid(alpha · x) */
export const quickGelu: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  return builder.binary('mul', x, builder.unary('sigmoid', builder.scale(x, node.float('alpha', 1.702), 0)));
};

/** The first half of the features times the GELU of the second. */
export const biasSplitGelu: Build = (node) => {
  const { builder } = node;
  const x = biased(node);
  const [axis, width] = [x.dims.length - 1, x.dims.at(-1) ?? 0];
  const [first, second] = [builder.sliceAxis(x, axis, 0, width / 2), builder.sliceAxis(x, axis, width / 2, width)];
  return builder.binary('mul', first, builder.unary('gelu', second));
};
