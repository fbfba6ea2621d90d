/** Weights of convolutions that are known only during the run: brought to the kernels' order and packed there. */
import { elementCount } from '../engine/tensor.ts';
import type { Assembler } from './assembler.ts';
import { type Emission, inputOf } from './emission.ts';
import type { Node } from './graph.ts';
import type { Address, ConvShape } from './instructions.ts';
import { DEPTHWISE_BLOCK, isDepthwise, patchLength, roundUp } from './pack.ts';
import { stridesOf } from './strides.ts';

/** A matrix a group, [k, n] or transposed. */
interface Matrices {
  readonly k: number;
  readonly n: number;
  readonly transposed: boolean;
}

function matricesOf(shape: ConvShape, isTransposed: boolean): Matrices {
  const outputs = shape.outputChannels / shape.group;
  const taps = shape.kernel[0] * shape.kernel[1];
  if (isTransposed) return { k: shape.inputChannels / shape.group, n: taps * outputs, transposed: false };
  return { k: patchLength(shape), n: outputs, transposed: true };
}

interface Room {
  readonly ordered: Address;
  readonly packed: Address;
  readonly end: Address;
}

/** Ordered weights behind `base`, one group at a multiple of 16 bytes, then the packed ones. */
function lay(base: Address, shape: ConvShape, isTransposed: boolean, assembler: Assembler): Room {
  const taps = shape.kernel[0] * shape.kernel[1];
  if (!isTransposed && isDepthwise(shape))
    return { ordered: base, packed: base, end: base + roundUp(shape.outputChannels, DEPTHWISE_BLOCK) * taps * 4 };
  const { k, n } = matricesOf(shape, isTransposed);
  const packed = base + roundUp(shape.group * roundUp(k * n, 4) * 4, 64);
  return { ordered: base, packed, end: packed + shape.group * assembler.packedBytes(k, n) };
}

/** Bytes that the weights take behind the scratch of the convolution itself. */
export function runtimeWeightBytes(node: Node, shape: ConvShape, isTransposed: boolean, assembler: Assembler): number {
  return inputOf(node, 1).constant ? 0 : lay(0, shape, isTransposed, assembler).end;
}

/** [channels, taps] → [channels / 8][taps][8]; lanes beyond the last channel are never stored. */
function packDepthwise({ assembler, node, at }: Emission, { outputChannels, kernel }: ConvShape, y: Address): void {
  const taps = kernel[0] * kernel[1];
  const whole = outputChannels - (outputChannels % DEPTHWISE_BLOCK);
  const call = { x: at(inputOf(node, 1)), y, elementBytes: 4, yStrides: [DEPTHWISE_BLOCK * taps, DEPTHWISE_BLOCK, 1] };
  const xStrides = [DEPTHWISE_BLOCK * taps, 1, taps];
  assembler.copy({ ...call, xStrides, shape: [whole / DEPTHWISE_BLOCK, taps, DEPTHWISE_BLOCK] });
  const offset = whole * taps;
  assembler.copy({ ...call, xStrides, shape: [1, taps, outputChannels - whole], xOffset: offset, yOffset: offset });
}

/** Weights [rows, channels, kh, kw] → [rows, kh, kw, channels], group by group, packed. Returns where they lie. */
export function packRuntimeWeights(
  emission: Emission,
  shape: ConvShape,
  isTransposed: boolean,
  base: Address,
): Address {
  const { assembler, node, at } = emission;
  const { ordered, packed } = lay(base, shape, isTransposed, assembler);
  if (!isTransposed && isDepthwise(shape)) {
    packDepthwise(emission, shape, packed);
    return packed;
  }
  const weights = inputOf(node, 1);
  const [rows = 0, channels = 0, height = 0, width = 0] = weights.dims;
  const strides = stridesOf(weights.dims) as [number, number, number, number];
  const dims = [rows / shape.group, height, width, channels];
  const xStrides = [strides[0], strides[2], strides[3], strides[1]];
  const { k, n, transposed } = matricesOf(shape, isTransposed);
  const each = roundUp(k * n, 4);
  for (let group = 0; group < shape.group; group++) {
    const xOffset = group * elementCount(dims);
    const call = { x: at(weights), y: ordered, elementBytes: 4, xOffset, yOffset: group * each };
    assembler.copy({ ...call, shape: dims, xStrides, yStrides: stridesOf(dims) });
    assembler.packMatrix(ordered + group * each * 4, packed + group * assembler.packedBytes(k, n), k, n, transposed);
  }
  return packed;
}
