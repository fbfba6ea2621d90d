/** Quantisation and integer arithmetic. */
import { elementBytes, elementCount, type TypedArray } from '../engine/tensor.ts';
import { integerConvScratchBytes } from './assemble-integer.ts';
import type { Emission, Emitter, OperationOf } from './emission.ts';
import { inputOf, outputOf } from './emission.ts';
import { form, productOf, shapeOf } from './emit-matrix.ts';
import type { Node, Value } from './graph.ts';
import type { Address, ConvShape, QuantizeCall, QuantizedType } from './instructions.ts';
import { quantizedTypes } from './kinds.ts';
import { DEPTHWISE_BLOCK, isDepthwise, patchLength, roundUp } from './pack.ts';
import { packedIntegers, packIntegerConv, packIntegerMatrix } from './pack-integer.ts';
import { UnsupportedError } from './program.ts';
import { broadcastStrides, joinAxes, stridesOf } from './strides.ts';

function requireType(node: Node, value: Value, ...types: readonly string[]): void {
  if (!types.includes(value.type))
    throw new UnsupportedError(`node "${node.origin}": ${node.operation.kind} of ${value.type} is not supported`);
}

function quantizedType(node: Node, type: string): QuantizedType {
  if (!Object.hasOwn(quantizedTypes, type))
    throw new UnsupportedError(`node "${node.origin}": ${node.operation.kind} with type ${type} is not supported`);
  return type as QuantizedType;
}

/** x, scale and zero point, walked together. */
function callOf({ node, at }: Emission, type: QuantizedType, scale: Value, zero: Value): QuantizeCall {
  const [x, y] = [inputOf(node, 0), outputOf(node)];
  requireType(node, scale, 'float32');
  requireType(node, zero, 'float32');
  const { shape, strides } = joinAxes(
    y.dims,
    [x, scale, zero].map((each) => broadcastStrides(each.dims, y.dims)),
  );
  const [xStrides, scaleStrides, zeroStrides] = strides as [number[], number[], number[]];
  const places = { x: at(x), scale: at(scale), zero: at(zero), y: at(y) };
  return { type, ...places, shape, xStrides, scaleStrides, zeroStrides };
}

export const quantize: Emitter<OperationOf<'quantize'>> = {
  emit(emission) {
    const { assembler, node, operation } = emission;
    requireType(node, inputOf(node, 0), 'float32');
    if (operation.to === 'int32')
      throw new UnsupportedError(`node "${node.origin}": quantisation to int32 is not supported`);
    assembler.quantize(callOf(emission, operation.to, inputOf(node, 1), inputOf(node, 2)));
  },
};

export const requantize: Emitter<OperationOf<'requantize'>> = {
  emit(emission) {
    const { assembler, node, operation } = emission;
    requireType(node, inputOf(node, 0), 'int32');
    requireType(node, outputOf(node), 'int8', 'uint8');
    assembler.requantize(callOf(emission, operation.to, inputOf(node, 1), inputOf(node, 2)), operation.limits);
  },
};

export const dequantize: Emitter<OperationOf<'dequantize'>> = {
  emit(emission) {
    const { assembler, node } = emission;
    const type = quantizedType(node, inputOf(node, 0).type);
    assembler.dequantize(callOf(emission, type, inputOf(node, 1), inputOf(node, 2)));
  },
};

export const center: Emitter<OperationOf<'center'>> = {
  emit(emission) {
    const { assembler, node } = emission;
    const x = inputOf(node, 0);
    requireType(node, x, 'int8', 'uint8');
    assembler.center(callOf(emission, quantizedType(node, x.type), inputOf(node, 1), inputOf(node, 1)));
  },
};

/** A constant as the int16 array that the packing functions take. */
function shorts(data: TypedArray): Int16Array {
  if (!(data instanceof Int16Array)) throw new Error(`assertion: expected int16 weights, got ${data.constructor.name}`);
  return data;
}

interface ConvScratch {
  readonly patches: Address;
  /** Weights that are known only during the run: [m, kh, kw, c / group], then packed. */
  readonly ordered: Address;
  readonly packed: Address;
  readonly end: Address;
}

function layScratch(base: Address, weights: Value, shape: ConvShape, patchBytes: number): ConvScratch {
  const aligned = (bytes: number): number => Math.ceil(bytes / 16) * 16;
  const ordered = base + aligned(patchBytes);
  if (weights.constant) return { patches: base, ordered, packed: ordered, end: ordered };
  const packed = ordered + aligned(elementCount(weights.dims) * 2);
  const { kernel, outputChannels, group } = shape;
  const size = isDepthwise(shape)
    ? roundUp(outputChannels, DEPTHWISE_BLOCK) * kernel[0] * kernel[1]
    : group * packedIntegers(patchLength(shape), outputChannels / group);
  return { patches: base, ordered, packed, end: packed + aligned(size * 2) };
}

/** [channels, taps] → [channels / 8][taps][8]; lanes beyond the last channel are never read. */
function packDepthwise({ assembler, node, at }: Emission, { outputChannels, kernel }: ConvShape, y: Address): void {
  const taps = kernel[0] * kernel[1];
  const whole = outputChannels - (outputChannels % DEPTHWISE_BLOCK);
  const call = { x: at(inputOf(node, 1)), y, elementBytes: 2, yStrides: [DEPTHWISE_BLOCK * taps, DEPTHWISE_BLOCK, 1] };
  const xStrides = [DEPTHWISE_BLOCK * taps, 1, taps];
  assembler.copy({ ...call, xStrides, shape: [whole / DEPTHWISE_BLOCK, taps, DEPTHWISE_BLOCK] });
  const offset = whole * taps;
  assembler.copy({ ...call, xStrides, shape: [1, taps, outputChannels - whole], xOffset: offset, yOffset: offset });
}

/** Brings weights [m, c / group, kh, kw] to the order of patches and packs them, group by group. */
function packPatches(emission: Emission, shape: ConvShape, { ordered, packed }: ConvScratch): void {
  const { assembler, node, at } = emission;
  const weights = inputOf(node, 1);
  const [m = 0, c = 0, height = 0, width = 0] = weights.dims;
  const strides = stridesOf(weights.dims) as [number, number, number, number];
  const dims = [m, height, width, c];
  const xStrides = [strides[0], strides[2], strides[3], strides[1]];
  assembler.copy({ x: at(weights), y: ordered, elementBytes: 2, shape: dims, xStrides, yStrides: stridesOf(dims) });
  const [k, n] = [patchLength(shape), m / shape.group];
  for (let group = 0; group < shape.group; group++) {
    const [from, to] = [ordered + group * k * n * 2, packed + group * packedIntegers(k, n) * 2];
    assembler.packMatrixInteger(from, to, k, n, true);
  }
}

export const conv: Emitter<OperationOf<'convInteger'>> = {
  scratchBytes(node, { window, group }) {
    const shape = shapeOf(node, window, group);
    return layScratch(0, inputOf(node, 1), shape, integerConvScratchBytes(shape)).end;
  },
  emit(emission) {
    const { assembler, node, operation, at, packed } = emission;
    const [x, weights, bias] = [inputOf(node, 0), inputOf(node, 1), node.inputs[2]];
    requireType(node, x, 'int16');
    requireType(node, weights, 'int16');
    const shape = shapeOf(node, operation.window, operation.group);
    const scratch = layScratch(emission.scratch, weights, shape, integerConvScratchBytes(shape));
    if (!weights.constant && isDepthwise(shape)) packDepthwise(emission, shape, scratch.packed);
    else if (!weights.constant) packPatches(emission, shape, scratch);
    assembler.convInteger({
      x: at(x),
      weights: weights.constant
        ? packed(weights, form('convInteger', shape), (data) => packIntegerConv(shorts(data), shape))
        : scratch.packed,
      bias: bias && at(bias),
      y: at(outputOf(node)),
      scratch: scratch.patches,
      shape,
    });
  },
};

/** The packed b of a run-time matrix. */
function packedBytes(node: Node): number {
  const { k, n } = productOf(node);
  return inputOf(node, 1).constant ? 0 : packedIntegers(k, n) * elementBytes('int16');
}

/** All matrices of a constant, packed one behind the other. */
function packBatch(b: Int16Array, k: number, n: number, transposed: boolean): Int16Array {
  const each = packedIntegers(k, n);
  const packed = new Int16Array((each * b.length) / (k * n));
  for (let i = 0; i * k * n < b.length; i++)
    packed.set(packIntegerMatrix(b.subarray(i * k * n, (i + 1) * k * n), k, n, transposed), i * each);
  return packed;
}

export const matMul: Emitter<OperationOf<'matMulInteger'>> = {
  scratchBytes: packedBytes,
  emit({ assembler, node, operation, scratch, at, packed }) {
    const [a, b, y, bias] = [inputOf(node, 0), inputOf(node, 1), outputOf(node), node.inputs[2]];
    requireType(node, a, 'int16');
    requireType(node, b, 'int16');
    const { m, n, k, pairs } = productOf(node);
    if (elementCount(b.dims) === 0)
      throw new UnsupportedError(`node "${node.origin}": empty matrices are not supported`);
    const { transposeB } = operation;
    const constantB =
      b.constant &&
      packed(b, `matMulInteger ${transposeB} ${k} ${n}`, (data) => packBatch(shorts(data), k, n, transposeB));
    pairs.forEach((pair, index) => {
      if (constantB === undefined) assembler.packMatrixInteger(at(b) + pair.b * k * n * 2, scratch, k, n, transposeB);
      const packedB: Address = constantB === undefined ? scratch : constantB + pair.b * packedIntegers(k, n) * 2;
      const c = at(y) + index * m * n * 4;
      assembler.gemmInteger({
        a: at(a) + pair.a * m * k * 2,
        lda: k,
        packedB,
        c,
        ldc: n,
        m,
        n,
        k,
        bias: bias && at(bias),
      });
    });
  },
};
