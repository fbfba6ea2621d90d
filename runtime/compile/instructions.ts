/**
 * What the engine's kernels can do, as the compiler sees it. The compiler calls these methods in execution order;
 * the assembler (`assembler.ts`) turns each call into one or more flat instructions, cutting long work into tiles
 * so that a run can be suspended between them.
 *
 * Every tensor is dense, row-major and, for images, NHWC. All addresses are byte offsets that are multiples of 16; those of `gemm` and
 * `packMatrix` may be multiples of 4, since the matrices of a batch lie one behind the other.
 */
import type { DataType } from '../engine/tensor.ts';
import type { CastMode } from './minifloat.ts';
import type { KernelTraits } from './traits.ts';

/**
 * Where a tensor lies: a byte offset below 1 GiB, with its space in the top two bits. Programs hold no absolute
 * pointer, so several runs share one program, and all programs of a model share one set of weights.
 *   00 the run's arena · 01 the model's packed weights · 10 the program's own tables (constants that depend on shapes)
 */
export type Address = number;

export const SPACE_ARENA = 0;
export const SPACE_WEIGHTS = 1;
export const SPACE_TABLES = 2;
/** Scratch memory of the core that executes: the arena's own, or that of a further core. Its last offset is the absent address. */
export const SPACE_LANE = 3;
export const NO_ADDRESS: Address = 0xffffffff;

export function address(space: number, offset: number): Address {
  return ((space << 30) | offset) >>> 0;
}

/** Element-wise function fused behind a Gemm or Conv. Applied after bias and residual. */
export type Activation =
  | { readonly kind: 'none' }
  | { readonly kind: 'clip'; readonly min: number; readonly max: number } // Relu = clip(0, Infinity)
  | { readonly kind: 'leakyRelu'; readonly alpha: number }
  | { readonly kind: 'sigmoid' }
  | { readonly kind: 'silu' }
  | { readonly kind: 'hardSigmoid'; readonly alpha: number; readonly beta: number }
  | { readonly kind: 'hardSwish'; readonly alpha: number; readonly beta: number } // x * hardSigmoid(x)
  | { readonly kind: 'tanh' }
  | { readonly kind: 'gelu' }
  | { readonly kind: 'geluTanh' };

export type UnaryName =
  | 'relu'
  | 'leakyRelu' // alpha
  | 'clip' // alpha = min, beta = max
  | 'sigmoid'
  | 'silu'
  | 'hardSigmoid' // alpha, beta
  | 'hardSwish' // alpha, beta
  | 'tanh'
  | 'exp'
  | 'log'
  | 'sqrt'
  | 'reciprocal'
  | 'neg'
  | 'abs'
  | 'sign'
  | 'floor'
  | 'ceil'
  | 'round' // half to even
  | 'erf'
  | 'gelu' // exact, with erf
  | 'geluTanh'
  | 'softplus'
  | 'softsign'
  | 'elu' // alpha
  | 'selu' // alpha, beta = gamma
  | 'sin'
  | 'cos'
  | 'scale' // alpha * x + beta
  | 'square'
  | 'asin'
  | 'acos'
  | 'atan'
  | 'sinh'
  | 'cosh'
  | 'asinh'
  | 'acosh'
  | 'atanh';

export type BinaryName =
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'pow'
  | 'min'
  | 'max'
  | 'prelu' // b is the slope
  | 'mod' // the sign is that of b
  | 'fmod' // the sign is that of a
  // of the bits of integers, and of bool
  | 'and'
  | 'or'
  | 'xor'
  | 'shiftLeft'
  | 'shiftRight';

/** Comparison of two tensors of one type to a bool tensor (one byte an element). */
export type CompareName = 'equal' | 'less' | 'lessOrEqual' | 'greater' | 'greaterOrEqual';

export type ReduceName = 'sum' | 'mean' | 'max' | 'min' | 'prod' | 'sumSquare' | 'l1' | 'l2';

export interface Window2d {
  readonly kernel: readonly [height: number, width: number];
  readonly strides: readonly [height: number, width: number];
  readonly dilations: readonly [height: number, width: number];
  readonly pads: readonly [top: number, left: number, bottom: number, right: number];
}

export interface ConvShape extends Window2d {
  readonly batch: number;
  readonly inputHeight: number;
  readonly inputWidth: number;
  readonly inputChannels: number;
  readonly outputHeight: number;
  readonly outputWidth: number;
  readonly outputChannels: number;
  readonly group: number;
}

/** (x - mean) / sqrt(variance + epsilon) · scale + bias for each row; `uncentred` takes the mean for 0. */
export interface LayerNormCall {
  readonly x: Address;
  readonly y: Address;
  readonly rows: number;
  readonly size: number;
  readonly scale: Address;
  readonly bias: Address;
  readonly epsilon: number;
  readonly uncentred?: boolean;
}

export interface BinaryPlaces {
  /** Elements from one row of y's innermost axis to the next, when they are more than it has. */
  readonly yPixelStride?: number;
  /** Where in a and b the first element of y finds its operands; 0 when absent. */
  readonly aOffset?: number;
  readonly bOffset?: number;
}

export interface GemmCall {
  /** [m, k], row stride `lda` elements. */
  readonly a: Address;
  readonly lda: number;
  /** From `packGemm` (constant), or the output of `packMatrix` (dynamic). */
  readonly packedB: Address;
  /** [m, n], row stride `ldc` elements. */
  readonly c: Address;
  readonly ldc: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** [n], or absent. */
  readonly bias?: Address;
  /** [m, n] with row stride `ldr` (`ldc` when absent; 0 repeats one row), added before the activation. May equal `c`. */
  readonly residual?: Address;
  readonly ldr?: number;
  readonly activation?: Activation;
}

export type ByteType = 'int8' | 'uint8';
export type QuantizedType = 'int8' | 'uint8' | 'int16' | 'uint16' | 'int32';

/** Element strides per axis of `shape`; scale and zero point are float32. */
export interface QuantizeCall {
  /** The type on the integer side. */
  readonly type: QuantizedType;
  readonly x: Address;
  readonly scale: Address;
  readonly zero: Address;
  readonly y: Address;
  readonly shape: readonly number[];
  readonly xStrides: readonly number[];
  readonly scaleStrides: readonly number[];
  readonly zeroStrides: readonly number[];
}

/** int16 times int16 gives int32, which wraps. */
export interface IntegerGemmCall {
  /** [m, k], row stride `lda` elements. */
  readonly a: Address;
  readonly lda: number;
  /** From `packIntegerMatrix` (pack-integer.ts), or the output of `packMatrixInteger`. */
  readonly packedB: Address;
  /** [m, n], row stride `ldc` elements. */
  readonly c: Address;
  readonly ldc: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** int32 [n], or absent. */
  readonly bias?: Address;
}

export interface IntegerConvCall {
  /** int16 [batch, inputHeight, inputWidth, inputChannels] */
  readonly x: Address;
  /** From `packIntegerConv` (pack-integer.ts). */
  readonly weights: Address;
  /** int32 [outputChannels], or absent. */
  readonly bias?: Address;
  /** int32 [batch, outputHeight, outputWidth, outputChannels] */
  readonly y: Address;
  readonly scratch?: Address;
  readonly shape: ConvShape;
}

export interface StridedCopy {
  readonly x: Address;
  readonly y: Address;
  /** Size of an element in bytes: 1, 2, 4 or 8. */
  readonly elementBytes: number;
  /** Sizes of the copied block; the same for both sides. Any rank up to 8; strides and offsets in elements. */
  readonly shape: readonly number[];
  readonly xStrides: readonly number[]; // 0 repeats (Expand); negative walks backwards (Slice with step < 0)
  readonly yStrides: readonly number[];
  readonly xOffset?: number;
  readonly yOffset?: number;
}

/**
 * The kernels. Types are float32 unless a method says or is told otherwise. Inputs and outputs may not overlap, except that
 * `unary`, `binary` and `clip`-like work in place (`y === x` or `y === a`).
 */
export interface Instructions {
  /** What the instructions are made for. */
  readonly traits: KernelTraits;

  // ---- preparation of constants, at compile time
  /** Packs row-major B [k, n] (`transposed`: B is [n, k]) into panels. */
  packGemm(b: Float32Array, k: number, n: number, transposed?: boolean): Float32Array;
  /** Packs ONNX Conv weights [outputChannels, inputChannels/group, kh, kw] for `conv` with the same shape (groups and depthwise included). */
  packConv(weights: Float32Array, shape: ConvShape): Float32Array;
  /** Packs ONNX ConvTranspose weights [inputChannels, outputChannels/group, kh, kw]. */
  packConvTranspose(weights: Float32Array, shape: ConvShape): Float32Array;
  /** Bias padded as the kernels want it; absent bias gives zeros. */
  packBias(bias: Float32Array | undefined, n: number): Float32Array;

  // ---- scratch, in bytes, that a call needs in the arena while it runs
  convScratchBytes(shape: ConvShape): number;
  convTransposeScratchBytes(shape: ConvShape): number;
  /** Size in bytes of a packed [k, n] matrix. */
  packedBytes(k: number, n: number): number;

  // ---- matrix and convolution
  gemm(call: GemmCall): void;
  /** Packs a run-time matrix B ([k, n] row-major, or [n, k] when `transposed`) for `gemm`. */
  packMatrix(b: Address, packed: Address, k: number, n: number, transposed: boolean): void;
  conv(call: {
    x: Address; // [batch, inputHeight, inputWidth, inputChannels]
    weights: Address; // from packConv
    bias: Address; // from packBias
    y: Address; // [batch, outputHeight, outputWidth, outputChannels]
    scratch: Address;
    shape: ConvShape;
    activation?: Activation;
    residual?: Address; // dense [batch, outputHeight, outputWidth, outputChannels], whatever yPixelStride is
    /** Elements between two pixels, where they lie among those of other tensors (Concat without a copy). Of x where the kernel is 1x1. */
    xPixelStride?: number;
    yPixelStride?: number;
  }): void;
  convTranspose(call: {
    x: Address;
    weights: Address; // from packConvTranspose
    bias: Address;
    y: Address;
    scratch: Address;
    shape: ConvShape;
    activation?: Activation;
  }): void;
  maxPool(x: Address, y: Address, shape: ConvShape, yPixelStride?: number): void; // channels alike, group ignored; padding counts as -Infinity
  averagePool(x: Address, y: Address, shape: ConvShape, countIncludePad: boolean, yPixelStride?: number): void;

  // ---- element-wise
  unary(
    name: UnaryName,
    x: Address,
    y: Address,
    count: number,
    alpha?: number,
    beta?: number,
    type?: 'float32' | 'float64',
  ): void;
  /**
   * Numpy broadcasting, given by element strides per axis of the output `shape` (0 = repeated). Rank up to 8. Here and below `type` is
   * any but float16 and bfloat16. Integers wrap around; one divided by zero is zero.
   */
  binary(
    name: BinaryName,
    a: Address,
    b: Address,
    y: Address,
    shape: readonly number[],
    aStrides: readonly number[],
    bStrides: readonly number[],
    type?: DataType,
    places?: BinaryPlaces,
  ): void;
  compare(
    name: CompareName,
    a: Address,
    b: Address,
    y: Address,
    shape: readonly number[],
    aStrides: readonly number[],
    bStrides: readonly number[],
    type?: DataType,
  ): void;
  /** y = condition ? a : b; condition is bool, elements have 1, 2, 4 (if not said) or 8 bytes. */
  where(
    condition: Address,
    a: Address,
    b: Address,
    y: Address,
    shape: readonly number[],
    conditionStrides: readonly number[],
    aStrides: readonly number[],
    bStrides: readonly number[],
    elementBytes?: number,
  ): void;
  /** Any type to any; truncation and saturation as ONNX Cast says. */
  cast(x: Address, from: DataType, y: Address, to: DataType, count: number, mode?: CastMode): void;

  // ---- reductions and normalisation over the middle axis of [outer, axis, inner]
  reduce(name: ReduceName, x: Address, y: Address, outer: number, axis: number, inner: number, type?: DataType): void;
  softmax(x: Address, y: Address, outer: number, axis: number, inner: number, log?: boolean): void;
  /** y int64 = index of the first largest element, or as `choice` says. */
  argMax(
    x: Address,
    y: Address,
    outer: number,
    axis: number,
    inner: number,
    type?: DataType,
    choice?: ExtremeChoice,
  ): void;
  /** Rows of `size` elements: (x - mean) / sqrt(variance + epsilon) * scale + bias; scale and bias are [size]. */
  layerNorm(call: LayerNormCall): void;

  // ---- moving data
  copy(call: StridedCopy): void;
  fill(y: Address, count: number, value: number): void;
  /** x [outer, axis, inner bytes], indices int64 or int32 [count], negative ones counted from the end → y [outer, count, inner bytes]. A bad index faults the run. */
  gather(
    x: Address,
    indices: Address,
    indexType: 'int32' | 'int64',
    y: Address,
    outer: number,
    axis: number,
    count: number,
    innerBytes: number,
  ): void;
  /** NHWC. Source coordinates per output row and column are computed by the compiler (ONNX Resize's modes differ only there). */
  resizeNearest(call: ResizeCall & { rows: Address; columns: Address }): void; // int32 source indices [outputHeight], [outputWidth]
  /** Rows and columns: pairs of (int32 lower index, float32 weight of the upper neighbour); the upper neighbour is min(lower + 1, size - 1). */
  resizeLinear(call: ResizeCall & { rows: Address; columns: Address }): void;

  // ---- integers
  /** y = limit(round(x / scale) + zero), x float32; ties go to even. */
  quantize(call: QuantizeCall): void;
  /** y = limit(round(x · scale) + zero), x int32, y int8 or uint8; limits lie in its range. */
  requantize(call: QuantizeCall, limits: readonly [low: number, high: number]): void;
  /** y = (x - zero) · scale, y float32. */
  dequantize(call: QuantizeCall): void;
  /** y = x - zero, x int8 or uint8, y int16. The scale is not read. */
  center(call: QuantizeCall): void;
  gemmInteger(call: IntegerGemmCall): void;
  packMatrixInteger(b: Address, packed: Address, k: number, n: number, transposed: boolean): void;
  convInteger(call: IntegerConvCall): void;
}

/** Which of the extreme elements: the least instead of the largest, the last instead of the first of equal ones. */
export interface ExtremeChoice {
  readonly least: boolean;
  readonly last: boolean;
}

export interface ResizeCall {
  readonly x: Address;
  readonly y: Address;
  /** Elements between two pixels; as many as there are channels when absent. */
  readonly xPixelStride?: number;
  readonly yPixelStride?: number;
  readonly batch: number;
  readonly inputHeight: number;
  readonly inputWidth: number;
  readonly outputHeight: number;
  readonly outputWidth: number;
  readonly channels: number;
}
