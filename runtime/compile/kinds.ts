/** The names that the compiler uses → the constants that the kernels know. */
import * as op from '../../assembly/opcodes.ts';
import type { DataType } from '../engine/tensor.ts';
import type { BinaryName, CompareName, QuantizedType, ReduceName, UnaryName } from './instructions.ts';
import type { CastMode } from './minifloat.ts';

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
  asin: op.ASIN,
  acos: op.ACOS,
  atan: op.ATAN,
  sinh: op.SINH,
  cosh: op.COSH,
  asinh: op.ASINH,
  acosh: op.ACOSH,
  atanh: op.ATANH,
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
  mod: op.MOD,
  fmod: op.FMOD,
  and: op.AND,
  or: op.OR,
  xor: op.XOR,
  shiftLeft: op.SHIFT_LEFT,
  shiftRight: op.SHIFT_RIGHT,
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
export const elementTypes: Record<DataType, number> = {
  float32: op.FLOAT32,
  int32: op.INT32,
  int64: op.INT64,
  uint8: op.UINT8,
  int8: op.INT8,
  bool: op.BOOL,
  int16: op.INT16,
  uint16: op.UINT16,
  uint32: op.UINT32,
  uint64: op.UINT64,
  float64: op.FLOAT64,
  float16: op.FLOAT16,
  bfloat16: op.BFLOAT16,
  float8e4m3fn: op.FLOAT8E4M3FN,
  float8e4m3fnuz: op.FLOAT8E4M3FNUZ,
  float8e5m2: op.FLOAT8E5M2,
  float8e5m2fnuz: op.FLOAT8E5M2FNUZ,
  float8e8m0: op.FLOAT8E8M0,
  float4e2m1: op.FLOAT4E2M1,
  uint4: op.UINT4,
  int4: op.INT4,
  uint2: op.UINT2,
  int2: op.INT2,
};
export const quantizedTypes: Record<QuantizedType, { code: number; bytes: number }> = {
  int8: { code: op.INT8, bytes: 1 },
  uint8: { code: op.UINT8, bytes: 1 },
  int16: { code: op.INT16, bytes: 2 },
  uint16: { code: op.UINT16, bytes: 2 },
  int32: { code: op.INT32, bytes: 4 },
};

/** The word of CAST that says how it limits and rounds. */
export function castMode({ saturate, round }: CastMode): number {
  const rounding = { up: op.CAST_ROUND_UP, down: op.CAST_ROUND_DOWN, nearest: op.CAST_ROUND_NEAREST }[round];
  return rounding | (saturate ? op.CAST_SATURATE : 0);
}

/** A kind with the type of the elements that it reckons with. */
export function typedKind(kind: number, type: DataType): number {
  return kind | (elementTypes[type] << 8);
}
