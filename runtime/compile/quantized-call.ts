/** A convolution from bytes to bytes, however its bytes are multiplied. */
import type { Address, ByteType, ConvShape } from './instructions.ts';
import type { ByteDot } from './traits.ts';
import { floatWord } from './writer.ts';

/** From int32 sums to bytes: limit(round(sum · factor) + zero). */
export interface Rescaling {
  readonly type: ByteType;
  readonly zero: number;
  readonly limits: readonly [low: number, high: number];
}

export interface QuantizedConvCall {
  /** [batch, inputHeight, inputWidth, inputChannels] */
  readonly x: Address;
  readonly xType: ByteType;
  readonly xZero: number;
  /** From `packByteConv` (pack-bytes.ts) with a `byteDot`, else `packIntegerConv`, or `packIntegerPairs` for depthwise ones (pack-integer.ts). */
  readonly weights: Address;
  /** int32 and float32 [outputChannels], and up to 16 more that are read. */
  readonly bias: Address;
  readonly factor: Address;
  readonly y: Address;
  readonly to: Rescaling;
  readonly scratch: Address;
  /** The machine's product of bytes, where it is used. */
  readonly byteDot?: ByteDot;
  readonly shape: ConvShape;
}

/** The words of a `Rescaling` (assembly/operands.ts). */
export function rescalingWords({ type, zero, limits }: Rescaling): number[] {
  // The kernel narrows to int8; uint8 lies 128 further.
  const shift = type === 'uint8' ? 128 : 0;
  return [floatWord(limits[0] - zero), floatWord(limits[1] - zero), zero - shift, shift];
}
