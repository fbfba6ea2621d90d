/** Matrix products, convolutions, pools. */
import { elementCount, type TypedArray } from '../engine/tensor.ts';
import type { Assembler } from './assembler.ts';
import {
  type Emission,
  type Emitter,
  floats,
  inputOf,
  type OperationOf,
  outputOf,
  requireFloat32,
} from './emission.ts';
import { packRuntimeWeights, runtimeWeightBytes } from './emit-weights.ts';
import type { Node, Value } from './graph.ts';
import type { Address, ConvShape, Window2d } from './instructions.ts';
import { MATRICES_MAX } from './limits.ts';
import { roundUp } from './pack.ts';
import { UnsupportedError } from './program.ts';
import { broadcastStrides } from './strides.ts';
import { isWinograd, winogradScratchBytes } from './winograd.ts';

export function shapeOf(node: Node, window: Window2d, group: number): ConvShape {
  const [batch = 0, inputHeight = 0, inputWidth = 0, inputChannels = 0] = inputOf(node, 0).dims;
  const [, outputHeight = 0, outputWidth = 0, outputChannels = 0] = outputOf(node).dims;
  return { ...window, batch, inputHeight, inputWidth, inputChannels, outputHeight, outputWidth, outputChannels, group };
}

/** Where a bias lies, padded as the kernels want it; zeros when there is none. */
function biasAddress({ assembler, node, at, packed, table }: Emission, bias: Value | undefined, n: number): Address {
  if (!bias) return table(inputOf(node, 1), () => assembler.packBias(undefined, n));
  return bias.constant ? packed(bias, 'bias', (data) => assembler.packBias(floats(data), n)) : at(bias);
}

/** Packed weights depend on kernel, channels and groups, never on the size of the picture. */
export function form(kind: string, { kernel, group }: ConvShape): string {
  return `${kind} ${kernel} ${group}`;
}

/** Weights that come during the run would have to be transformed each time. */
function isWinogradNode(node: Node, shape: ConvShape, { traits }: Assembler): boolean {
  return !traits.direct && inputOf(node, 1).constant !== undefined && isWinograd(shape);
}

/** Scratch of the convolution itself; run-time weights lie behind it. */
function patchBytes(assembler: Assembler, shape: ConvShape): number {
  return roundUp(assembler.convScratchBytes(shape), 64);
}

function columnBytes(assembler: Assembler, shape: ConvShape): number {
  return roundUp(assembler.convTransposeScratchBytes(shape), 64);
}

export const conv: Emitter<OperationOf<'conv'>> = {
  scratchBytes(node, { window, group }, assembler) {
    const shape = shapeOf(node, window, group);
    if (isWinogradNode(node, shape, assembler)) return winogradScratchBytes(shape);
    return patchBytes(assembler, shape) + runtimeWeightBytes(node, shape, false, assembler);
  },
  emit(emission) {
    const { assembler, node, operation, scratch, at, pixelStride, packed } = emission;
    const [x, weights, bias, residual] = node.inputs;
    requireFloat32(node, x, weights, bias, residual);
    const shape = shapeOf(node, operation.window, operation.group);
    const call = {
      x: at(x as Value),
      bias: biasAddress(emission, bias, shape.outputChannels),
      y: at(outputOf(node)),
      scratch,
      shape,
      activation: operation.activation,
      residual: residual && at(residual),
      xPixelStride: pixelStride(x as Value),
      yPixelStride: pixelStride(outputOf(node)),
    };
    if (isWinogradNode(node, shape, assembler)) {
      const pack = (data: TypedArray) => assembler.packWinograd(floats(data), shape);
      assembler.convWinograd({ ...call, weights: packed(weights as Value, form('winograd', shape), pack) });
    } else if (weights?.constant) {
      const pack = (data: TypedArray) => assembler.packConv(floats(data), shape);
      assembler.conv({ ...call, weights: packed(weights, form('conv', shape), pack) });
    } else {
      const room = scratch + patchBytes(assembler, shape);
      assembler.conv({ ...call, weights: packRuntimeWeights(emission, shape, false, room) });
    }
  },
};

export const convTranspose: Emitter<OperationOf<'convTranspose'>> = {
  scratchBytes(node, { window, group }, assembler) {
    const shape = shapeOf(node, window, group);
    return columnBytes(assembler, shape) + runtimeWeightBytes(node, shape, true, assembler);
  },
  emit(emission) {
    const { assembler, node, operation, scratch, at, packed } = emission;
    const [x, weights, bias] = node.inputs;
    requireFloat32(node, x, weights, bias);
    const shape = shapeOf(node, operation.window, operation.group);
    const pack = (data: Parameters<typeof floats>[0]) => assembler.packConvTranspose(floats(data), shape);
    assembler.convTranspose({
      x: at(x as Value),
      weights: weights?.constant
        ? packed(weights, form('convTranspose', shape), pack)
        : packRuntimeWeights(emission, shape, true, scratch + columnBytes(assembler, shape)),
      bias: biasAddress(emission, bias, shape.outputChannels),
      y: at(outputOf(node)),
      scratch,
      shape,
      activation: operation.activation,
    });
  },
};

export const maxPool: Emitter<OperationOf<'maxPool'>> = {
  emit({ assembler, node, operation, at, pixelStride }) {
    const [x, y] = [inputOf(node, 0), outputOf(node)];
    requireFloat32(node, x);
    assembler.maxPool(at(x), at(y), shapeOf(node, operation.window, 1), pixelStride(y));
  },
};

export const averagePool: Emitter<OperationOf<'averagePool'>> = {
  emit({ assembler, node, operation, at, pixelStride }) {
    const [x, y] = [inputOf(node, 0), outputOf(node)];
    requireFloat32(node, x);
    const shape = shapeOf(node, operation.window, 1);
    assembler.averagePool(at(x), at(y), shape, operation.countIncludePad, pixelStride(y));
  },
};

interface Product {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** One entry a product: which matrix of a and of b it takes. */
  readonly pairs: readonly { readonly a: number; readonly b: number }[];
}

/** One product when b is a single matrix: all rows of a, whatever the batch. */
export function productOf(node: Node): Product {
  const [a, b, y] = [inputOf(node, 0), inputOf(node, 1), outputOf(node)];
  const [rows = 0, k = 0] = a.dims.slice(-2);
  const n = y.dims.at(-1) ?? 0;
  const aBatch = a.dims.slice(0, -2);
  const bBatch = b.dims.slice(0, -2);
  const batch = y.dims.slice(0, -2);
  if (elementCount(bBatch) === 1 && elementCount(aBatch) === elementCount(batch))
    return { m: rows * elementCount(batch), n, k, pairs: [{ a: 0, b: 0 }] };
  if (elementCount(batch) > MATRICES_MAX)
    throw new UnsupportedError(
      `node "${node.origin}": a batch of ${elementCount(batch)} matrices is not supported, at most ${MATRICES_MAX}`,
    );
  const aStrides = broadcastStrides(aBatch, batch);
  const bStrides = broadcastStrides(bBatch, batch);
  const pairs = Array.from({ length: elementCount(batch) }, (_, index) => {
    let [rest, aIndex, bIndex] = [index, 0, 0];
    for (let axis = batch.length - 1; axis >= 0; axis--) {
      const at = rest % (batch[axis] as number);
      rest = (rest - at) / (batch[axis] as number);
      aIndex += at * (aStrides[axis] as number);
      bIndex += at * (bStrides[axis] as number);
    }
    return { a: aIndex, b: bIndex };
  });
  return { m: rows, n, k, pairs };
}

interface ProductScratch {
  readonly packed: Address;
  readonly a: Address;
  readonly b: Address;
  readonly c: Address;
  readonly end: Address;
}

/** Whether matrices of `count` floats, one behind the other, all begin at a multiple of 16 bytes. */
function isAligned(count: number): boolean {
  return count % 4 === 0;
}

/** Room for the packed b of a run-time matrix, and for matrices of a batch that begin where the kernels cannot read them. */
function layScratch(base: Address, node: Node, assembler: Assembler): ProductScratch {
  const { m, n, k, pairs } = productOf(node);
  const moved = (count: number): number => (pairs.length > 1 && !isAligned(count) ? Math.ceil(count / 4) * 16 : 0);
  const a = base + (inputOf(node, 1).constant ? 0 : assembler.packedBytes(k, n));
  const b = a + moved(m * k);
  const c = b + moved(k * n);
  return { packed: base, a, b, c, end: c + moved(m * n) };
}

/** Matrix `index` of a batch: where it lies, or a copy of it at `room`. */
function fetch(assembler: Assembler, base: Address, index: number, count: number, room: Address): Address {
  if (index === 0 || isAligned(count)) return base + index * count * 4;
  const block = { elementBytes: 4, shape: [count], xStrides: [1], yStrides: [1] };
  assembler.copy({ ...block, x: base, y: room, xOffset: index * count });
  return room;
}

/** All matrices of a constant, packed one behind the other. */
function packBatch(assembler: Assembler, b: Float32Array, k: number, n: number, transposed: boolean): Float32Array {
  if (b.length === k * n) return assembler.packGemm(b, k, n, transposed);
  const each = assembler.packedBytes(k, n) / 4;
  const packed = new Float32Array((each * b.length) / (k * n));
  for (let i = 0; i * k * n < b.length; i++)
    packed.set(assembler.packGemm(b.subarray(i * k * n, (i + 1) * k * n), k, n, transposed), i * each);
  return packed;
}

export const matMul: Emitter<OperationOf<'matMul'>> = {
  scratchBytes: (node, _, assembler) => layScratch(0, node, assembler).end,
  emit(emission) {
    const { assembler, node, operation, at, packed } = emission;
    const [a, b, y] = [inputOf(node, 0), inputOf(node, 1), outputOf(node)];
    const [, , bias, residual] = node.inputs;
    requireFloat32(node, a, b, bias, residual);
    const { m, n, k, pairs } = productOf(node);
    const { transposeB, activation } = operation;
    const scratch = layScratch(emission.scratch, node, assembler);
    const constantB =
      b.constant &&
      packed(b, `matMul ${transposeB} ${k} ${n}`, (data) => packBatch(assembler, floats(data), k, n, transposeB));
    const biased = bias && biasAddress(emission, bias, n);
    pairs.forEach((pair, index) => {
      const left = fetch(assembler, at(a), pair.a, m * k, scratch.a);
      if (constantB === undefined)
        assembler.packMatrix(fetch(assembler, at(b), pair.b, k * n, scratch.b), scratch.packed, k, n, transposeB);
      const right = constantB === undefined ? scratch.packed : constantB + pair.b * assembler.packedBytes(k, n);
      const inPlace = index === 0 || isAligned(m * n);
      const c = inPlace ? at(y) + index * m * n * 4 : scratch.c;
      const from = residual && at(residual) + index * m * n * 4;
      assembler.gemm({ a: left, lda: k, packedB: right, c, ldc: n, m, n, k, bias: biased, residual: from, activation });
      if (inPlace) return;
      const block = { elementBytes: 4, shape: [m * n], xStrides: [1], yStrides: [1] };
      assembler.copy({ ...block, x: c, y: at(y), yOffset: index * m * n });
    });
  },
};
