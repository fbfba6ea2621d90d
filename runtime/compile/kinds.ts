/** The names that the compiler uses → the constants that the kernels know. */
import * as op from '../../assembly/opcodes.ts';
import type { BinaryName, CastType, CompareName, QuantizedType, ReduceName, UnaryName } from './instructions.ts';

export const unaryKinds: Record<UnaryName, number> = {
  relu: op.RELU,
  leakyRelu: op.LEAKY_RELU,
  clip: op.CLIP,
  sigmoid: op.SIGMOID,
  silu: op.SILU,
  hardSigmoid: op.HARD_SIGMOID,
  hardSwish: op.HARD_SWISH,
  tanh: op.TANH,
  exp: op.EXP,
  log: op.LOG,
  sqrt: op.SQRT,
  reciprocal: op.RECIPROCAL,
  neg: op.NEG,
  abs: op.ABS,
  sign: op.SIGN,
  floor: op.FLOOR,
  ceil: op.CEIL,
  round: op.ROUND,
  erf: op.ERF,
  gelu: op.GELU,
  geluTanh: op.GELU_TANH,
  softplus: op.SOFTPLUS,
  softsign: op.SOFTSIGN,
  elu: op.ELU,
  selu: op.SELU,
  sin: op.SIN,
  cos: op.COS,
  scale: op.SCALE,
  square: op.SQUARE,
};
export const binaryKinds: Record<BinaryName, number> = {
  add: op.ADD,
  sub: op.SUB,
  mul: op.MUL,
  div: op.DIV,
  pow: op.POW,
  min: op.MIN,
  max: op.MAX,
  prelu: op.PRELU,
};
export const compareKinds: Record<CompareName, number> = {
  equal: op.EQUAL,
  less: op.LESS,
  lessOrEqual: op.LESS_OR_EQUAL,
  greater: op.GREATER,
  greaterOrEqual: op.GREATER_OR_EQUAL,
};
export const reduceKinds: Record<ReduceName, number> = {
  sum: op.REDUCE_SUM,
  mean: op.REDUCE_MEAN,
  max: op.REDUCE_MAX,
  min: op.REDUCE_MIN,
  prod: op.REDUCE_PROD,
  sumSquare: op.REDUCE_SUM_SQUARE,
  l1: op.REDUCE_L1,
  l2: op.REDUCE_L2,
};
export const castTypes: Record<CastType, { code: number; bytes: number }> = {
  float32: { code: op.FLOAT32, bytes: 4 },
  int32: { code: op.INT32, bytes: 4 },
  int64: { code: op.INT64, bytes: 8 },
  uint8: { code: op.UINT8, bytes: 1 },
  int8: { code: op.INT8, bytes: 1 },
  bool: { code: op.BOOL, bytes: 1 },
};
export const quantizedTypes: Record<QuantizedType, { code: number; bytes: number }> = {
  int8: { code: op.INT8, bytes: 1 },
  uint8: { code: op.UINT8, bytes: 1 },
  int16: { code: op.INT16, bytes: 2 },
  uint16: { code: op.UINT16, bytes: 2 },
  int32: { code: op.INT32, bytes: 4 },
};
