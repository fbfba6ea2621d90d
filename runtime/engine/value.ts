/** What an ONNX value can be besides a tensor of numbers. Kernels compute with tensors only; the rest lives in JavaScript. */
import type { Tensor } from './tensor.ts';

/** Texts, row-major as in every tensor. Source: onnx.proto3, TensorProto.DataType STRING (UTF-8). */
export interface StringTensor {
  readonly type: 'string';
  readonly dims: readonly number[];
  readonly data: readonly string[];
}

/** Tensors, or values of one other kind, in order. */
export interface SequenceValue {
  readonly type: 'sequence';
  readonly items: readonly EngineValue[];
}

/** A value or none. */
export interface OptionalValue {
  readonly type: 'optional';
  readonly value: EngineValue | undefined;
}

/** As ai.onnx.ml's operators know it: from a label to a number or a text. */
export interface MapValue {
  readonly type: 'map';
  readonly valueType: 'float32' | 'float64' | 'int64' | 'string';
  /** All keys are texts, or all are numbers. */
  readonly entries: ReadonlyMap<string | bigint, number | string>;
}

/** What the kernels cannot hold. */
export type HostValue = StringTensor | SequenceValue | OptionalValue | MapValue;

export type EngineValue = Tensor | HostValue;

export function isHostValue(value: EngineValue): value is HostValue {
  return value.type === 'string' || value.type === 'sequence' || value.type === 'optional' || value.type === 'map';
}

/** Values that have to be tensors of numbers. Throws an Error that names the first that is none. */
export function tensorsOf(values: Readonly<Record<string, EngineValue>>): Readonly<Record<string, Tensor>> {
  for (const [name, value] of Object.entries(values))
    if (isHostValue(value)) throw new Error(`"${name}": expected a tensor of numbers, got a ${value.type}`);
  return values as Readonly<Record<string, Tensor>>;
}
