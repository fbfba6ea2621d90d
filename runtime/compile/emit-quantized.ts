/** Convolutions from bytes to bytes. */
import type { TypedArray } from '../engine/tensor.ts';
import { quantizedConvScratchBytes } from './assemble-quantized.ts';
import { type Emitter, inputOf, type OperationOf, outputOf } from './emission.ts';
import { form, shapeOf } from './emit-matrix.ts';
import type { Value } from './graph.ts';
import type { ByteType } from './instructions.ts';
import { isDepthwise, roundUp } from './pack.ts';
import { packIntegerConv, packIntegerPairs } from './pack-integer.ts';

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

export const conv: Emitter<OperationOf<'convQuantized'>> = {
  scratchBytes: (node, { window, group }) => quantizedConvScratchBytes(shapeOf(node, window, group)),
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
    const pack = isDepthwise(shape) ? packIntegerPairs : packIntegerConv;
    assembler.convQuantized({
      x: at(x),
      xType: x.type as ByteType,
      xZero,
      weights: packed(weights, form('convQuantized', shape), (data) => pack(typed(data, Int16Array), shape)),
      bias: packed(bias, `padded ${outputChannels}`, (data) => padded(typed(data, Int32Array), outputChannels)),
      factor: packed(factor, `padded ${outputChannels}`, (data) => padded(typed(data, Float32Array), outputChannels)),
      y: at(outputOf(node)),
      to: { type: to, zero, limits },
      scratch,
      shape,
    });
  },
};
