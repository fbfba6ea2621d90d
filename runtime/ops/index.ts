/** The one operator table: ONNX name → since which opset version → how it is composed of kernel operations. */
import { UnsupportedError } from '../compile/program.ts';
import type { GraphNode, OnnxModel } from '../onnx/graph.ts';
import * as attention from './attention.ts';
import { placeOf } from './attributes.ts';
import { type Build, entryFor, type Versions } from './context.ts';
import { simplifiedLayerNormalization } from './contrib/norm.ts';
import { contribOperators } from './contrib/table.ts';
import * as control from './control.ts';
import * as conv from './conv.ts';
import * as data from './data.ts';
import { einsum } from './einsum.ts';
import { gradient } from './gradient.ts';
import * as indexing from './indexing.ts';
import { broadcastByAttributes, slopePerChannel } from './legacy.ts';
import * as linear from './linear-attention.ts';
import * as loop from './loop.ts';
import * as loss from './loss.ts';
import * as math from './math.ts';
import * as matrix from './matrix.ts';
import { mlOperators } from './ml/table.ts';
import * as norm from './norm.ts';
import * as pool from './pool.ts';
import * as positions from './positions.ts';
import * as quantize from './quantize.ts';
import * as random from './random.ts';
import * as recurrent from './recurrent.ts';
import * as reduce from './reduce.ts';
import * as resize from './resize.ts';
import { rotaryEmbedding } from './rotary.ts';
import * as sampling from './sampling.ts';
import * as shape from './shape.ts';
import * as signal from './signal.ts';
import * as training from './training.ts';
import * as steps from './two-steps.ts';

const hardSigmoid = math.unaryWith('hardSigmoid', ['alpha', 0.2], ['beta', 0.5]);
const selu = math.unaryWith('selu', ['alpha', 1.6732631921768188], ['gamma', 1.0507010221481323]);

const operators: Readonly<Record<string, Versions>> = {
  Abs: [[1, math.unary('abs')]],
  Acos: [[7, math.unary('acos')]],
  Acosh: [[9, math.unary('acosh')]],
  Add: [
    [1, broadcastByAttributes(math.binary('add'))],
    [7, math.binary('add')],
  ],
  AffineGrid: [[20, sampling.affineGrid]],
  And: [
    [1, broadcastByAttributes(math.binary('and'))],
    [7, math.binary('and')],
  ],
  ArgMax: [[1, reduce.argExtreme(false)]],
  ArgMin: [[1, reduce.argExtreme(true)]],
  Asin: [[7, math.unary('asin')]],
  Asinh: [[9, math.unary('asinh')]],
  Atan: [[7, math.unary('atan')]],
  Atanh: [[9, math.unary('atanh')]],
  Attention: [[23, attention.attention]],
  AveragePool: [[1, pool.averagePool]],
  BatchNormalization: [[1, norm.batchNormalization]],
  Bernoulli: [[15, random.bernoulli]],
  BitCast: [[26, data.bitCast]],
  BitShift: [[11, math.bitShift]],
  BitwiseAnd: [[18, math.binary('and')]],
  BitwiseNot: [[18, math.bitwiseNot]],
  BitwiseOr: [[18, math.binary('or')]],
  BitwiseXor: [[18, math.binary('xor')]],
  BlackmanWindow: [[17, signal.cosineWindow(0.42, 0.5, 0.08)]],
  Cast: [[6, data.cast]],
  CastLike: [[15, data.castLike]],
  CausalConvWithState: [[27, linear.causalConvWithState]],
  Ceil: [[1, math.unary('ceil')]],
  Celu: [[12, math.celu]],
  CenterCropPad: [[18, indexing.centerCropPad]],
  Clip: [
    [1, math.clipByAttributes],
    [11, math.clip],
  ],
  Col2Im: [[18, sampling.col2Im]],
  Concat: [[1, data.concat]],
  Constant: [[1, data.constant]],
  ConstantOfShape: [[9, data.constantOfShape]],
  Conv: [[1, conv.conv]],
  ConvInteger: [[10, quantize.convInteger]],
  ConvTranspose: [[1, conv.convTranspose]],
  Cos: [[7, math.unary('cos')]],
  Cosh: [[9, math.unary('cosh')]],
  CumProd: [[26, indexing.cumulate(true)]],
  CumSum: [[11, indexing.cumulate(false)]],
  DFT: [[17, signal.dft]],
  DeformConv: [[19, sampling.deformConv]],
  DepthToSpace: [[1, shape.depthToSpace]],
  DequantizeLinear: [[10, quantize.dequantizeLinear]],
  Det: [[11, sampling.det]],
  Div: [
    [1, broadcastByAttributes(math.binary('div'))],
    [7, math.binary('div')],
  ],
  Dropout: [[1, control.dropout]],
  DynamicQuantizeLinear: [[11, quantize.dynamicQuantizeLinear]],
  Einsum: [[12, einsum]],
  Elu: [[1, math.unaryWith('elu', ['alpha', 1])]],
  Equal: [
    [1, broadcastByAttributes(math.compare('equal'))],
    [7, math.compare('equal')],
  ],
  Erf: [[9, math.unary('erf')]],
  Exp: [[1, math.unary('exp')]],
  Expand: [[8, shape.expand]],
  EyeLike: [[9, positions.eyeLike]],
  Flatten: [[1, shape.flatten]],
  Floor: [[1, math.unary('floor')]],
  GRU: [[7, recurrent.gru]],
  Gather: [[1, data.gather]],
  GatherElements: [[11, indexing.gatherElements]],
  GatherND: [[11, indexing.gatherNd]],
  Gelu: [[20, math.gelu]],
  Gemm: [[1, matrix.gemm]],
  GlobalAveragePool: [[1, pool.globalPool('mean')]],
  GlobalLpPool: [[2, pool.globalLpPool]],
  GlobalMaxPool: [[1, pool.globalPool('max')]],
  Greater: [
    [1, broadcastByAttributes(math.compare('greater'))],
    [7, math.compare('greater')],
  ],
  GreaterOrEqual: [[12, math.compare('greaterOrEqual')]],
  GridSample: [[16, sampling.gridSample]],
  GroupNormalization: [[18, norm.groupNormalization]],
  HammingWindow: [[17, signal.cosineWindow(25 / 46, 21 / 46)]],
  HannWindow: [[17, signal.cosineWindow(0.5, 0.5)]],
  HardSigmoid: [[1, hardSigmoid]],
  HardSwish: [[14, (node) => node.builder.unary('hardSwish', node.input(0), 1 / 6, 0.5)]],
  Hardmax: [[1, positions.hardmax]],
  Identity: [[1, control.identity]],
  If: [[1, control.branch]],
  InstanceNormalization: [[1, norm.instanceNormalization]],
  IsInf: [[10, math.isInf]],
  IsNaN: [[9, math.isNan]],
  LRN: [[1, pool.localResponse]],
  LSTM: [[7, recurrent.lstm]],
  LayerNormalization: [[17, norm.layerNormalization]],
  LeakyRelu: [[1, math.unaryWith('leakyRelu', ['alpha', 0.01])]],
  Less: [
    [1, broadcastByAttributes(math.compare('less'))],
    [7, math.compare('less')],
  ],
  LessOrEqual: [[12, math.compare('lessOrEqual')]],
  LinearAttention: [[27, linear.linearAttention]],
  Log: [[1, math.unary('log')]],
  LogSoftmax: [
    [1, norm.softmaxFlattened(true)],
    [13, norm.softmax(true)],
  ],
  Loop: [[1, loop.loop]],
  LpNormalization: [[1, norm.lpNormalization]],
  LpPool: [[2, pool.lpPool]],
  MatMul: [[1, matrix.matMul]],
  MatMulInteger: [[10, quantize.matMulInteger]],
  Max: [[1, math.variadic('max')]],
  MaxPool: [[1, pool.maxPool]],
  MaxRoiPool: [[1, pool.maxRoiPool]],
  MaxUnpool: [[9, indexing.maxUnpool]],
  Mean: [[1, math.mean]],
  MeanVarianceNormalization: [[9, norm.meanVarianceNormalization]],
  MelWeightMatrix: [[17, signal.melWeightMatrix]],
  Min: [[1, math.variadic('min')]],
  Mish: [[18, math.mish]],
  Mod: [[10, math.mod]],
  Mul: [
    [1, broadcastByAttributes(math.binary('mul'))],
    [7, math.binary('mul')],
  ],
  Multinomial: [[7, random.multinomial]],
  Neg: [[1, math.unary('neg')]],
  NegativeLogLikelihoodLoss: [[12, loss.negativeLogLikelihoodLoss]],
  Not: [[1, math.not]],
  OneHot: [[9, data.oneHot]],
  Or: [
    [1, broadcastByAttributes(math.binary('or'))],
    [7, math.binary('or')],
  ],
  PRelu: [
    [1, slopePerChannel(math.binary('prelu'))],
    [7, math.binary('prelu')],
  ],
  Pad: [[1, data.pad]],
  Pow: [
    [1, broadcastByAttributes(math.pow)],
    [7, math.pow],
  ],
  QLinearConv: [[10, quantize.qLinearConv]],
  QLinearMatMul: [[10, quantize.qLinearMatMul]],
  QuantizeLinear: [[10, quantize.quantizeLinear]],
  RMSNormalization: [[23, norm.rmsNormalization]],
  RNN: [[7, recurrent.rnn]],
  RandomNormal: [[1, random.randomNormal(random.byAttribute)]],
  RandomNormalLike: [[1, random.randomNormal(random.likeInput)]],
  RandomUniform: [[1, random.randomUniform(random.byAttribute)]],
  RandomUniformLike: [[1, random.randomUniform(random.likeInput)]],
  Range: [[11, data.range]],
  Reciprocal: [[1, math.unary('reciprocal')]],
  ReduceL1: [[1, reduce.reduce('l1')]],
  ReduceL2: [[1, reduce.reduce('l2')]],
  ReduceLogSum: [[1, reduce.reduceLogSum]],
  ReduceLogSumExp: [[1, reduce.reduceLogSumExp]],
  ReduceMax: [[1, reduce.reduce('max')]],
  ReduceMean: [[1, reduce.reduce('mean')]],
  ReduceMin: [[1, reduce.reduce('min')]],
  ReduceProd: [[1, reduce.reduce('prod')]],
  ReduceSum: [[1, reduce.reduce('sum')]],
  ReduceSumSquare: [[1, reduce.reduce('sumSquare')]],
  Relu: [[1, math.unary('relu')]],
  Reshape: [[1, shape.reshape]],
  Resize: [
    [10, resize.upsample],
    [11, resize.resize],
  ],
  ReverseSequence: [[10, indexing.reverseSequence]],
  RoiAlign: [[10, sampling.roiAlign]],
  RotaryEmbedding: [[23, rotaryEmbedding]],
  Round: [[11, math.unary('round')]],
  STFT: [[17, signal.stft]],
  Scan: [
    [8, loop.scanBatches],
    [9, loop.scan],
  ],
  Scatter: [[9, indexing.scatterElements]],
  ScatterElements: [[11, indexing.scatterElements]],
  ScatterND: [[11, indexing.scatterNd]],
  Selu: [[1, selu]],
  Shape: [[1, shape.shape]],
  Shrink: [[9, math.shrink]],
  Sigmoid: [[1, math.unary('sigmoid')]],
  Sign: [[9, math.unary('sign')]],
  // onnxruntime writes it into ONNX's own domain.
  SimplifiedLayerNormalization: [[1, simplifiedLayerNormalization]],
  Sin: [[7, math.unary('sin')]],
  Sinh: [[9, math.unary('sinh')]],
  Size: [[1, shape.size]],
  Slice: [[1, data.slice]],
  Softmax: [
    [1, norm.softmaxFlattened(false)],
    [13, norm.softmax(false)],
  ],
  SoftmaxCrossEntropyLoss: [[12, loss.softmaxCrossEntropyLoss]],
  Softplus: [[1, math.unary('softplus')]],
  Softsign: [[1, math.unary('softsign')]],
  SpaceToDepth: [[1, shape.spaceToDepth]],
  Split: [[1, data.split]],
  Sqrt: [[1, math.unary('sqrt')]],
  Squeeze: [[1, shape.squeeze]],
  Sub: [
    [1, broadcastByAttributes(math.binary('sub'))],
    [7, math.binary('sub')],
  ],
  Sum: [[1, math.variadic('add')]],
  SwiGLU: [[28, math.swiGlu]],
  Swish: [[24, math.swish]],
  Tan: [[7, math.tan]],
  Tanh: [[1, math.unary('tanh')]],
  TensorScatter: [[24, indexing.tensorScatter]],
  ThresholdedRelu: [[1, math.thresholdedRelu]],
  Tile: [[6, data.tile]],
  TopK: [[1, indexing.topK]],
  Transpose: [[1, shape.transpose]],
  Trilu: [[14, positions.trilu]],
  Unsqueeze: [[1, shape.unsqueeze]],
  Upsample: [[7, resize.upsample]],
  Where: [[9, math.where]],
  Xor: [
    [1, broadcastByAttributes(math.binary('xor'))],
    [7, math.binary('xor')],
  ],
};

const domains: Readonly<Record<string, Readonly<Record<string, Versions>>>> = {
  '': operators,
  'ai.onnx.preview.training': {
    Adagrad: [[1, training.adagrad]],
    Adam: [[1, training.adam]],
    Gradient: [[1, gradient]],
    Momentum: [[1, training.momentum]],
  },
  'ai.onnx.ml': mlOperators,
  'com.microsoft': contribOperators,
  'ai.onnx.preview': { FlexAttention: [[1, attention.flexAttention]] },
  [steps.STEPS]: Object.fromEntries(Object.entries(steps.stepOperators).map(([name, build]) => [name, [[1, build]]])),
};

function find(domain: string, operator: string, opset: number): Build | undefined {
  const known = Object.hasOwn(domains, domain) ? (domains[domain] as typeof operators) : {};
  const versions = Object.hasOwn(known, operator) ? known[operator] : undefined;
  return entryFor(versions, opset);
}

export function hasOperator(domain: string, operator: string, opset: number): boolean {
  return find(domain, operator, opset) !== undefined;
}

/** How to build a node, or `undefined` when the table does not know it. */
export function seekOperator(node: GraphNode, opsets: OnnxModel['opsets']): Build | undefined {
  return find(node.domain, node.operator, opsets[node.domain] ?? 0);
}

/** How to build a node, or an UnsupportedError that names what is not known. */
export function findOperator(node: GraphNode, opsets: OnnxModel['opsets']): Build {
  const build = seekOperator(node, opsets);
  if (build) return build;
  const place = `${placeOf(node)}: our kernels do not know this operator`;
  throw new UnsupportedError(`${place} in opset ${opsets[node.domain] ?? 0} of ${node.domain || 'ai.onnx'}`);
}
