/**
 * Turns the compiler's calls into flat instructions. Operands are written in the order of assembly/operands.ts. Long calls are
 * cut, so that a run can be suspended between the parts.
 */
import { strict as assert } from 'node:assert';
import * as op from '../../assembly/opcodes.ts';
import { type DataType, elementBytes } from '../engine/tensor.ts';
import { argMaxKernel, assembleAlongAxis, reduceKernel, softmaxKernel } from './assemble-along-axis.ts';
import { assembleBroadcast, assembleCopy, assembleGather, assembleLayerNorm } from './assemble-elementwise.ts';
import * as integer from './assemble-integer.ts';
import * as matrix from './assemble-matrix.ts';
import * as picture from './assemble-picture.ts';
import * as quantized from './assemble-quantized.ts';
import * as rare from './assemble-rare.ts';
import * as transposed from './assemble-transposed.ts';
import { castNs, elementNs, elementsFor } from './element-cost.ts';
import type * as contract from './instructions.ts';
import type { Address, ConvShape, Instructions, StridedCopy } from './instructions.ts';
import { binaryKinds, castMode, compareKinds, elementTypes, reduceKinds, typedKind, unaryKinds } from './kinds.ts';
import { USUAL_MODE } from './minifloat.ts';
import * as pack from './pack.ts';
import { PackingRoom } from './packing-room.ts';
import type { QuantizedConvCall } from './quantized-call.ts';
import { assembleRecurrent, type RecurrentCall } from './recurrent.ts';
import { stridesOf } from './strides.ts';
import { assembleSuppress, type SuppressCall } from './suppress.ts';
import type { KernelTraits } from './traits.ts';
import * as winograd from './winograd.ts';
import { type Assembled, behind, checkAligned, checkMatrices, floatWord, Writer } from './writer.ts';

const FOUR_BYTES = 4;

/** Instructions in execution order for one build of the kernels. */
export class Assembler implements Instructions {
  readonly traits: KernelTraits;
  readonly room = new PackingRoom();
  readonly #writer = new Writer();

  constructor(traits: KernelTraits) {
    this.traits = traits;
  }

  /** Marks the node that the following instructions come from. */
  readonly begin: Writer['begin'] = (...node) => this.#writer.begin(...node);
  /** As `Writer.lead`. */
  readonly lead: Writer['lead'] = (emit) => this.#writer.lead(emit);

  /** Places bytes that belong to this program only, at a multiple of 16. */
  table(bytes: ArrayBufferView): Address {
    return this.#writer.table(bytes);
  }

  finish(): Assembled {
    this.room.close();
    return this.#writer.finish(op.END);
  }

  // ---- constants

  packGemm(b: Float32Array, k: number, n: number, transposed = false): Float32Array {
    assert(b.length === k * n, `B has ${b.length} elements: expected ${k} x ${n}`);
    return pack.packGemm(b, k, n, this.traits.panel, transposed, this.room);
  }

  packConv(weights: Float32Array, shape: ConvShape): Float32Array {
    pack.checkConvWeights(weights, shape);
    return pack.packConv(weights, shape, this.traits.panel, this.room);
  }

  packWinograd(weights: Float32Array, shape: ConvShape): Float32Array {
    pack.checkConvWeights(weights, shape);
    return winograd.packWinograd(weights, shape, this.traits.panel, this.room);
  }

  packConvTranspose(weights: Float32Array, shape: ConvShape): Float32Array {
    pack.checkConvWeights(weights, shape);
    return pack.packConvTranspose(weights, shape, this.traits.panel, this.room);
  }

  packBias(bias: Float32Array | undefined, n: number): Float32Array {
    assert(bias === undefined || bias.length === n, `bias has ${bias?.length} elements: expected ${n}`);
    return pack.packBias(bias, n);
  }

  packedBytes(k: number, n: number): number {
    return pack.packedLength(k, n, this.traits.panel) * FOUR_BYTES;
  }

  convScratchBytes(shape: ConvShape): number {
    return matrix.convScratchBytes(shape);
  }

  convTransposeScratchBytes(shape: ConvShape): number {
    return transposed.convTransposeScratchBytes(shape);
  }

  // ---- matrix and convolution

  gemm(call: contract.GemmCall): void {
    checkMatrices(call.a, call.packedB, call.c, call.bias, call.residual);
    matrix.assembleGemm(this.#writer, this.traits.panel, { ...call, ldr: call.ldr ?? call.ldc });
  }

  /** As `Writer.inChunks` with chunks of one, which are given scratch memory of the core that executes them. */
  inChunks(count: number, scratch: Address, part: (index: number, scratch: Address) => void): void {
    this.#writer.inChunks(count, 1, 1, (index) => part(index, this.#writer.lane(scratch)));
  }

  packMatrix(b: Address, packed: Address, k: number, n: number, transposed: boolean): void {
    matrix.assemblePackMatrix(this.#writer, this.traits.panel, { b, packed, k, n, transposed });
  }

  conv(call: Parameters<Instructions['conv']>[0]): void {
    matrix.assembleConv(this.#writer, this.traits.panel, call);
  }

  /** As `conv`, with weights from `packWinograd` and scratch for `winogradScratchBytes`. */
  convWinograd(call: Parameters<Instructions['conv']>[0]): void {
    winograd.assembleWinograd(this.#writer, this.traits.panel, call);
  }

  convTranspose(call: Parameters<Instructions['convTranspose']>[0]): void {
    checkAligned(call.x, call.weights, call.bias, call.y, call.scratch);
    if (transposed.isSpread(call.shape)) transposed.assembleSpread(this.#writer, this.traits.panel, call);
    else this.#convTransposeInColumns(call);
  }

  #convTransposeInColumns(call: Parameters<Instructions['convTranspose']>[0]): void {
    const { shape, y, activation } = call;
    const block = [shape.batch * shape.outputHeight * shape.outputWidth, shape.outputChannels];
    this.copy({ x: call.bias, y, elementBytes: 4, shape: block, xStrides: [0, 1], yStrides: stridesOf(block) });
    transposed.assembleConvTranspose(this.#writer, this.traits.panel, call);
    const count = (block[0] as number) * shape.outputChannels;
    if (activation?.kind === 'clip') this.unary('clip', y, y, count, activation.min, activation.max);
    else if (activation && activation.kind !== 'none') {
      const { alpha, beta } = activation as { alpha?: number; beta?: number };
      this.unary(activation.kind, y, y, count, alpha, beta);
    }
  }

  maxPool(x: Address, y: Address, shape: ConvShape, yPixelStride?: number): void {
    picture.assemblePool(this.#writer, op.POOL_MAX, x, y, shape, yPixelStride);
  }

  averagePool(x: Address, y: Address, shape: ConvShape, countIncludePad: boolean, yPixelStride?: number): void {
    const kind = countIncludePad ? op.POOL_AVERAGE_PADDED : op.POOL_AVERAGE;
    picture.assemblePool(this.#writer, kind, x, y, shape, yPixelStride);
  }

  // ---- element-wise

  unary(
    name: contract.UnaryName,
    x: Address,
    y: Address,
    count: number,
    alpha = 0,
    beta = 0,
    type: 'float32' | 'float64' = 'float32',
  ): void {
    checkAligned(x, y);
    const [kind, bytes] = [typedKind(unaryKinds[name], type), elementBytes(type)];
    const part = (begin: number, end: number): void => {
      const [partX, partY] = [behind(x, begin, bytes), behind(y, begin, bytes)];
      this.#writer.emit(op.UNARY, [kind, partX, partY, end - begin, floatWord(alpha), floatWord(beta)]);
    };
    this.#writer.inElements(count, part, elementsFor(elementNs(op.UNARY, kind)));
  }

  binary(
    name: contract.BinaryName,
    a: Address,
    b: Address,
    y: Address,
    shape: readonly number[],
    aStrides: readonly number[],
    bStrides: readonly number[],
    type: DataType = 'float32',
    places: contract.BinaryPlaces = {},
  ): void {
    const bytes = elementBytes(type);
    const operands = { a, b, y, xBytes: bytes, yBytes: bytes, shape, aStrides, bStrides, ...places };
    assembleBroadcast(this.#writer, { opcode: op.BINARY, kind: typedKind(binaryKinds[name], type), ...operands });
  }

  compare(
    name: contract.CompareName,
    a: Address,
    b: Address,
    y: Address,
    shape: readonly number[],
    aStrides: readonly number[],
    bStrides: readonly number[],
    type: DataType = 'float32',
  ): void {
    const operands = { a, b, y, xBytes: elementBytes(type), yBytes: 1, shape, aStrides, bStrides };
    assembleBroadcast(this.#writer, { opcode: op.COMPARE, kind: typedKind(compareKinds[name], type), ...operands });
  }

  where(
    condition: Address,
    a: Address,
    b: Address,
    y: Address,
    shape: readonly number[],
    conditionStrides: readonly number[],
    aStrides: readonly number[],
    bStrides: readonly number[],
    bytes = FOUR_BYTES,
  ): void {
    const operands = { condition, a, b, y, shape, conditionStrides, aStrides, bStrides };
    assembleBroadcast(this.#writer, {
      ...operands,
      opcode: op.WHERE,
      kind: Math.log2(bytes),
      xBytes: bytes,
      yBytes: bytes,
    });
  }

  cast(x: Address, from: DataType, y: Address, to: DataType, count: number, mode = USUAL_MODE): void {
    checkAligned(x, y);
    const types = [elementTypes[from], elementTypes[to]] as const;
    const part = (begin: number, end: number): void => {
      const [partX, partY] = [behind(x, begin, elementBytes(from)), behind(y, begin, elementBytes(to))];
      this.#writer.emit(op.CAST, [partX, partY, ...types, castMode(mode), end - begin]);
    };
    this.#writer.inElements(count, part, elementsFor(castNs(...types)));
  }

  // ---- reductions and normalisation

  reduce(
    name: contract.ReduceName,
    x: Address,
    y: Address,
    outer: number,
    axis: number,
    inner: number,
    type: DataType = 'float32',
  ): void {
    assembleAlongAxis(this.#writer, reduceKernel(typedKind(reduceKinds[name], type), type), {
      x,
      y,
      outer,
      axis,
      inner,
    });
  }

  softmax(x: Address, y: Address, outer: number, axis: number, inner: number, log = false): void {
    assembleAlongAxis(this.#writer, softmaxKernel(log), { x, y, outer, axis, inner });
  }

  argMax(
    x: Address,
    y: Address,
    outer: number,
    axis: number,
    inner: number,
    type: DataType = 'float32',
    { least, last }: contract.ExtremeChoice = { least: false, last: false },
  ): void {
    const kind = (least ? op.ARG_LEAST : 0) | (last ? op.ARG_LAST : 0);
    assembleAlongAxis(this.#writer, argMaxKernel(typedKind(kind, type), type), { x, y, outer, axis, inner });
  }

  layerNorm(call: contract.LayerNormCall): void {
    assembleLayerNorm(this.#writer, call);
  }

  // ---- moving data

  copy(call: StridedCopy): void {
    assembleCopy(this.#writer, call);
  }

  fill(y: Address, count: number, value: number): void {
    checkAligned(y);
    this.#writer.inElements(count, (begin, end) => {
      this.#writer.emit(op.FILL, [behind(y, begin), end - begin, floatWord(value)]);
    });
  }

  gather(
    x: Address,
    indices: Address,
    indexType: 'int32' | 'int64',
    y: Address,
    outer: number,
    axis: number,
    count: number,
    innerBytes: number,
  ): void {
    assembleGather(this.#writer, { x, indices, indexType, y, outer, axis, count, innerBytes });
  }

  resizeNearest(call: Parameters<Instructions['resizeNearest']>[0]): void {
    picture.assembleResize(this.#writer, op.RESIZE_NEAREST, call);
  }

  resizeLinear(call: Parameters<Instructions['resizeLinear']>[0]): void {
    picture.assembleResize(this.#writer, op.RESIZE_LINEAR, call);
  }

  // ---- integers

  quantize(call: contract.QuantizeCall): void {
    integer.assembleQuantize(this.#writer, op.QUANTIZE, call);
  }

  requantize(call: contract.QuantizeCall, limits: readonly [low: number, high: number]): void {
    integer.assembleQuantize(this.#writer, op.REQUANTIZE, call, limits);
  }

  dequantize(call: contract.QuantizeCall): void {
    integer.assembleDequantize(this.#writer, op.DEQUANTIZE, call, FOUR_BYTES);
  }

  center(call: contract.QuantizeCall): void {
    integer.assembleDequantize(this.#writer, op.CENTER, call, 2);
  }

  gemmInteger(call: contract.IntegerGemmCall): void {
    integer.assembleIntegerGemm(this.#writer, this.traits.panel, call);
  }

  packMatrixInteger(b: Address, packed: Address, k: number, n: number, transposed: boolean): void {
    integer.assemblePackInteger(this.#writer, { b, packed, k, n, transposed });
  }

  convInteger(call: contract.IntegerConvCall): void {
    integer.assembleIntegerConv(this.#writer, this.traits.panel, call);
  }

  convQuantized(call: QuantizedConvCall): void {
    quantized.assembleQuantizedConv(this.#writer, this.traits.panel, call);
  }

  recurrent(call: RecurrentCall): void {
    assembleRecurrent(this.#writer, this.traits.panel, call);
  }

  wrapIndices(call: rare.WrapCall): void {
    rare.assembleWrapIndices(this.#writer, call);
  }

  scatter(call: rare.ScatterCall): void {
    rare.assembleScatter(this.#writer, call);
  }

  cumulate(call: rare.CumulateCall): void {
    rare.assembleCumulate(this.#writer, call);
  }

  topK(call: rare.TopKCall): void {
    rare.assembleTopK(this.#writer, call);
  }

  sample(call: rare.SampleCall): void {
    rare.assembleSample(this.#writer, call);
  }

  roiAlign(call: rare.RoiAlignCall): void {
    rare.assembleRoiAlign(this.#writer, call);
  }

  uniform(call: rare.UniformCall): void {
    rare.assembleUniform(this.#writer, call);
  }

  maxRoiPool(call: rare.MaxRoiPoolCall): void {
    rare.assembleMaxRoiPool(this.#writer, call);
  }

  product(call: rare.ProductCall): void {
    rare.assembleProduct(this.#writer, call);
  }

  lookup(call: rare.LookupCall): void {
    rare.assembleLookup(this.#writer, call);
  }

  determinant(call: Parameters<typeof rare.assembleDeterminant>[1]): void {
    rare.assembleDeterminant(this.#writer, call);
  }

  suppress(call: SuppressCall): void {
    assembleSuppress(this.#writer, call);
  }

  trees(call: rare.TreesCall): void {
    rare.assembleTrees(this.#writer, call);
  }

  unpackBlocks(call: rare.UnpackBlocksCall): void {
    rare.assembleUnpackBlocks(this.#writer, this.traits.panel, call);
  }
}
