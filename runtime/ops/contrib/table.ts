/** The operators of com.microsoft, which onnxruntime's own optimisers and quantisers write. */
import type { Versions } from '../context.ts';
import { gelu } from '../math.ts';
import { trilu } from '../positions.ts';
import { dequantizeLinear, quantizeLinear } from '../quantize.ts';
import * as attention from './attention.ts';
import * as fused from './fused.ts';
import { contribRotaryEmbedding, groupQueryAttention } from './group-query.ts';
import { matMulNBits } from './nbits.ts';
import * as norm from './norm.ts';
import * as quantized from './quantized.ts';

export const contribOperators: Readonly<Record<string, Versions>> = {
  Attention: [[1, attention.attention]],
  BiasGelu: [[1, fused.biasGelu]],
  BiasSplitGelu: [[1, fused.biasSplitGelu]],
  DequantizeLinear: [[1, dequantizeLinear]],
  DynamicQuantizeMatMul: [[1, quantized.dynamicQuantizeMatMul]],
  EmbedLayerNormalization: [[1, norm.embedLayerNormalization]],
  FastGelu: [[1, fused.fastGelu]],
  FusedConv: [[1, fused.fusedConv]],
  FusedGemm: [[1, fused.fusedGemm]],
  FusedMatMul: [[1, fused.fusedMatMul]],
  Gelu: [[1, gelu]],
  GroupQueryAttention: [[1, groupQueryAttention]],
  MatMulIntegerToFloat: [[1, quantized.matMulIntegerToFloat]],
  MatMulNBits: [[1, matMulNBits]],
  MultiHeadAttention: [[1, attention.multiHeadAttention]],
  QGemm: [[1, quantized.qGemm]],
  QLinearAdd: [[1, quantized.qLinearBinary('add')]],
  QLinearAveragePool: [[1, quantized.qLinearAveragePool]],
  QLinearConcat: [[1, quantized.qLinearConcat]],
  QLinearGlobalAveragePool: [[1, quantized.qLinearGlobalAveragePool]],
  QLinearLeakyRelu: [[1, quantized.qLinearLeakyRelu]],
  QLinearMul: [[1, quantized.qLinearBinary('mul')]],
  QLinearSigmoid: [[1, quantized.qLinearSigmoid]],
  QLinearSoftmax: [[1, quantized.qLinearSoftmax]],
  QuantizeLinear: [[1, quantizeLinear]],
  QuickGelu: [[1, fused.quickGelu]],
  RotaryEmbedding: [[1, contribRotaryEmbedding]],
  SkipLayerNormalization: [[1, norm.skipLayerNormalization]],
  SkipSimplifiedLayerNormalization: [[1, norm.skipSimplifiedLayerNormalization]],
  Trilu: [[1, trilu]],
};
