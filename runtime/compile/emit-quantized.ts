/** Convolutions from bytes to bytes. */
import type { TypedArray } from '../engine/tensor.ts';
import { byteConvScratchBytes, fitsBytes } from './assemble-bytes.ts';
import { quantizedConvScratchBytes } from './assemble-quantized.ts';
import { type Emitter, inputOf, type OperationOf, outputOf } from './emission.ts';
import { form, shapeOf } from './emit-matrix.ts';
import type { Node, Value } from './graph.ts';
import type { ByteType, ConvShape } from './instructions.ts';
import { isDepthwise, roundUp } from './pack.ts';
import { packByteConv } from './pack-bytes.ts';
import { packIntegerConv, packIntegerPairs } from './pack-integer.ts';
import type { ByteDot, KernelTraits } from './traits.ts';

/** Panels are read whole, from wherever a group begins. */
const SLACK = 16;

/** One number a channel, repeated where there is only one, and zeros behind the last. */
function padded<Data extends Int32Array | Float32Array>(data: Data, channels: number): Data {
  const values = new (data.constructor as new (size: number) => Data)(roundUp(channels, SLACK) + SLACK);
  if (data.length === 1) values.fill(data[0] as number, 0, channels);
  else values.set(data);
  return values;
}

function typed<Data extends TypedArray>(data: TypedArray, type: new (size: number) => Data): Data {
  if (!(data instanceof type)) throw new Error(`assertion: expected ${type.name}, got ${data.constructor.name}`);
  return data;
}

type Conv = OperationOf<'convQuantized'>;

/** The machine's product of bytes, where weights and what padding means are bytes. */
function byteDotFor(node: Node, { xZero }: Conv, shape: ConvShape, { byteDot }: KernelTraits): ByteDot | undefined {
  const [x, weights] = [inputOf(node, 0), inputOf(node, 1)];
  const low = x.type === 'int8' ? -128 : 0;
  const isByte = weights.type === 'int8' && xZero >= low && xZero <= low + 255;
  return isByte && fitsBytes(shape) ? byteDot : undefined;
}

export const conv: Emitter<Conv> = {
  scratchBytes(node, operation, { traits }) {
    const shape = shapeOf(node, operation.window, operation.group);
    const byteDot = byteDotFor(node, operation, shape, traits);
    if (byteDot) return byteConvScratchBytes(shape, inputOf(node, 0).type as ByteType, byteDot);
    return quantizedConvScratchBytes(shape);
  },
  emit({ assembler, node, operation, scratch, at, packed }) {
    const [x, weights, bias, factor] = [0, 1, 2, 3].map((index) => inputOf(node, index)) as [
      Value,
      Value,
      Value,
      Value,
    ];
    const { window, group, to, xZero, zero, limits } = operation;
    const shape = shapeOf(node, window, group);
    const { outputChannels } = shape;
    const byteDot = byteDotFor(node, operation, shape, assembler.traits);
    const packShorts = isDepthwise(shape) ? packIntegerPairs : packIntegerConv;
    const pack = (data: TypedArray): ArrayBufferView =>
      byteDot ? packByteConv(typed(data, Int8Array), shape) : packShorts(data as Int8Array | Int16Array, shape);
    assembler.convQuantized({
      x: at(x),
      xType: x.type as ByteType,
      xZero,
      weights: packed(weights, `${form('convQuantized', shape)} ${byteDot ?? ''}`, pack),
      bias: packed(bias, `padded ${outputChannels}`, (data) => padded(typed(data, Int32Array), outputChannels)),
      factor: packed(factor, `padded ${outputChannels}`, (data) => padded(typed(data, Float32Array), outputChannels)),
      y: at(outputOf(node)),
      to: { type: to, zero, limits },
      scratch,
      byteDot,
      shape,
    });
  },
};
