// The operands of each instruction, in word order. An unmanaged class laid over the program's words reads them in place:
// field n is word n + 1 of the instruction. runtime/compile/assembler.ts writes them in the same order.
// Types: Address is resolved with `at`; sizes and strides are in elements unless a name says bytes.

export type Address = u32;

const OFFSET_BITS: u32 = 0x3fffffff;

// Globals belong to the instance, so cores that share one memory do not disturb each other.
let arena: usize = 0;
let weights: usize = 0;
let tables: usize = 0;
let lane: usize = 0;

const ABSENT: Address = 0xffffffff;

/** Takes the three base pointers of a run: arena, weights, tables. Scratch memory is that in the arena. */
export function useBases(bases: usize): void {
  arena = load<u32>(bases);
  weights = load<u32>(bases, 4);
  tables = load<u32>(bases, 8);
  lane = arena;
}

/** Scratch memory of a node, which lies at `scratch` in the arena, is at `pointer` until `useBases` is called again. */
export function useLane(pointer: usize, scratch: usize): void {
  lane = pointer - scratch;
}

/** The pointer that an address stands for; 0 for the absent address. */
export function at(address: Address): usize {
  const offset = address & OFFSET_BITS;
  switch (address >> 30) {
    case 0: return arena + offset;
    case 1: return weights + offset;
    case 2: return tables + offset;
    default: return address == ABSENT ? 0 : lane + offset;
  }
}

/** An activation behind GEMM or DEPTHWISE: first a clip to [low, high], then a kind of UNARY (IDENTITY for none). */
@unmanaged
export class Activation {
  low: f32; high: f32; kind: i32; alpha: f32; beta: f32;
}

/** A convolution or a pool. Images are [batch, height, width, channels]. */
@unmanaged
export class ConvShape {
  batch: i32;
  inputHeight: i32; inputWidth: i32; inputChannels: i32;
  outputHeight: i32; outputWidth: i32; outputChannels: i32;
  kernelHeight: i32; kernelWidth: i32;
  strideHeight: i32; strideWidth: i32;
  dilationHeight: i32; dilationWidth: i32;
  padTop: i32; padLeft: i32;
}

/** `count` chunks and the end: in words from this instruction on. `scratch` is where the node's scratch memory lies in the arena. */
@unmanaged
export class Fork {
  scratch: u32; count: u32; // then count + 1 places
}

@unmanaged
export class Gemm {
  low: f32; high: f32; kind: i32; alpha: f32; beta: f32; // an Activation
  a: Address; lda: i32; b: Address; c: Address; ldc: i32;
  m: i32; n: i32; k: i32; panel: i32;
  bias: Address; residual: Address; ldr: i32;
}

/** int16 times packed int16 gives int32; strides in elements. */
@unmanaged
export class IntegerGemm {
  a: Address; lda: i32; b: Address; c: Address; ldc: i32; m: i32; n: i32; k: i32; panel: i32; bias: Address;
}

/** Packs columns [begin, end) of rows [from, to) of B [k, n] (`transposed`: B is [n, k]); begin is a multiple of the panel, from of 8. */
@unmanaged
export class PackMatrix {
  b: Address; packed: Address; k: i32; n: i32; transposed: i32; panel: i32; begin: i32; end: i32; from: i32; to: i32;
}

/** As Depthwise, of int16 x and weights; bias and y are int32. */
@unmanaged
export class IntegerDepthwise {
  batch: i32; // a ConvShape begins here
  inputHeight: i32; inputWidth: i32; inputChannels: i32;
  outputHeight: i32; outputWidth: i32; outputChannels: i32;
  kernelHeight: i32; kernelWidth: i32;
  strideHeight: i32; strideWidth: i32;
  dilationHeight: i32; dilationWidth: i32;
  padTop: i32; padLeft: i32;
  x: Address; weights: Address; bias: Address; y: Address; begin: i32; end: i32;
}

/** From int32 sums to bytes: limits are distances from the zero point; `flip` is 0x80 for uint8, whose zero point is 128 less then. */
@unmanaged
export class Rescaling {
  low: f32; high: f32; zero: i32; flip: i32;
}

/** As IntegerGemm, with `lda` even; c is bytes, `ldy` apart. Bias (int32) and factor (float32) have 16 elements more than needed. */
@unmanaged
export class QuantizedGemm {
  low: f32; high: f32; zero: i32; flip: i32; // a Rescaling
  a: Address; lda: i32; b: Address; y: Address; ldy: i32; m: i32; n: i32; k: i32; panel: i32; bias: Address; factor: Address;
}

/**
 * Bytes (as `dot` takes them: byte-dot.ts) less `xZero`, times packed bytes; strides in bytes. Bias and factor as of QuantizedGemm.
 */
@unmanaged
export class ByteGemm {
  low: f32; high: f32; zero: i32; flip: i32; // a Rescaling
  a: Address; lda: i32; xZero: i32; b: Address; y: Address; ldy: i32; m: i32; n: i32; k: i32; panel: i32; bias: Address; factor: Address;
}

/** As Im2col, of bytes; each is changed by an exclusive or with `flip`. What lies outside is `fill`, which is changed already. */
@unmanaged
export class ByteGather {
  batch: i32; // a ConvShape begins here
  inputHeight: i32; inputWidth: i32; inputChannels: i32;
  outputHeight: i32; outputWidth: i32; outputChannels: i32;
  kernelHeight: i32; kernelWidth: i32;
  strideHeight: i32; strideWidth: i32;
  dilationHeight: i32; dilationWidth: i32;
  padTop: i32; padLeft: i32;
  flip: i32; fill: i32; direct: i32; x: Address; columns: Address; channelBegin: i32; channels: i32; begin: i32; end: i32;
}

/** Output rows [begin, end) of batch * outputHeight; x is changed by an exclusive or with `xFlip`, `scratch` as depthwiseBytes says. */
@unmanaged
export class ByteDepthwise {
  batch: i32; // a ConvShape begins here
  inputHeight: i32; inputWidth: i32; inputChannels: i32;
  outputHeight: i32; outputWidth: i32; outputChannels: i32;
  kernelHeight: i32; kernelWidth: i32;
  strideHeight: i32; strideWidth: i32;
  dilationHeight: i32; dilationWidth: i32;
  padTop: i32; padLeft: i32;
  low: f32; high: f32; toZero: i32; flip: i32; // a Rescaling
  xFlip: i32; xZero: i32; fours: i32; panel: i32; x: Address; weights: Address; bias: Address; factor: Address; y: Address;
  scratch: Address; outsideBytes: i32; shared: i32; begin: i32; end: i32;
}

/** As Im2col, of the type `kind`; see gatherQuantized. */
@unmanaged
export class QuantizedGather {
  batch: i32; // a ConvShape begins here
  inputHeight: i32; inputWidth: i32; inputChannels: i32;
  outputHeight: i32; outputWidth: i32; outputChannels: i32;
  kernelHeight: i32; kernelWidth: i32;
  strideHeight: i32; strideWidth: i32;
  dilationHeight: i32; dilationWidth: i32;
  padTop: i32; padLeft: i32;
  kind: i32; zero: i32; direct: i32; x: Address; columns: Address; channelBegin: i32; channels: i32; begin: i32; end: i32;
}

/** Output rows [begin, end) of batch * outputHeight; x is of the type `kind`, `ring` as depthwiseQuantized says. */
@unmanaged
export class QuantizedDepthwise {
  batch: i32; // a ConvShape begins here
  inputHeight: i32; inputWidth: i32; inputChannels: i32;
  outputHeight: i32; outputWidth: i32; outputChannels: i32;
  kernelHeight: i32; kernelWidth: i32;
  strideHeight: i32; strideWidth: i32;
  dilationHeight: i32; dilationWidth: i32;
  padTop: i32; padLeft: i32;
  low: f32; high: f32; toZero: i32; flip: i32; // a Rescaling
  kind: i32; zero: i32; pairs: i32; x: Address; weights: Address; bias: Address; factor: Address; y: Address; ring: Address; begin: i32; end: i32;
}

/** Output rows [begin, end) of batch * outputHeight; strides of pixels in elements; padBottom and padRight count for the padded average only. */
@unmanaged
export class Pool {
  batch: i32; // a ConvShape begins here
  inputHeight: i32; inputWidth: i32; inputChannels: i32;
  outputHeight: i32; outputWidth: i32; outputChannels: i32;
  kernelHeight: i32; kernelWidth: i32;
  strideHeight: i32; strideWidth: i32;
  dilationHeight: i32; dilationWidth: i32;
  padTop: i32; padLeft: i32;
  kind: i32; x: Address; y: Address; yPixelStride: i32; padBottom: i32; padRight: i32; begin: i32; end: i32;
}

@unmanaged
export class Unary {
  kind: i32; x: Address; y: Address; count: i32; alpha: f32; beta: f32;
}

/**
 * Element-wise over up to three broadcast inputs; `axes` outer axes follow the class, outermost first, as
 * [size, a stride, b stride, (WHERE: condition stride)]. Rows [begin, end) of the outer axes taken as one; each row has `count` elements,
 * rows of y begin `yRow` elements apart. The kind of WHERE is the logarithm of the element's bytes.
 */
@unmanaged
export class Broadcast {
  kind: i32; condition: Address; a: Address; b: Address; y: Address;
  count: i32; conditionStep: i32; aStep: i32; bStep: i32; yRow: i32;
  begin: i32; end: i32; axes: i32;
}

/** The mode counts for 8-bit floats only. */
@unmanaged
export class Cast {
  x: Address; y: Address; from: i32; to: i32; mode: i32; count: i32;
}

/**
 * REDUCE: [outer, axis, inner] → [outer, inner]; rows [begin, end) of outer, of each `columns` of inner, and [from, to) of the axis: what
 * does not begin at 0 goes on with what lies in y. SOFTMAX (kind 1: its logarithm) and ARG_MAX have the same operands.
 */
@unmanaged
export class Reduce {
  kind: i32; x: Address; y: Address; axis: i32; inner: i32; begin: i32; end: i32; columns: i32; from: i32; to: i32;
}

@unmanaged
export class LayerNorm {
  x: Address; y: Address; scale: Address; bias: Address; size: i32; epsilon: f32; begin: i32; end: i32; centred: i32;
}

/** `axes` outer axes follow, outermost first, as [size, x stride, y stride] in bytes; each of rows [begin, end) is a [rows, columns] block. */
@unmanaged
export class Copy {
  x: Address; y: Address; xOffsetBytes: i32; yOffsetBytes: i32; elementBytes: i32;
  rows: i32; columns: i32;
  xRowBytes: i32; yRowBytes: i32; xColumnBytes: i32; yColumnBytes: i32;
  begin: i32; end: i32; axes: i32;
}

@unmanaged
export class Fill {
  y: Address; count: i32; value: f32;
}

/** Output rows [begin, end) of outer * count, `bytes` of each. */
@unmanaged
export class Gather {
  x: Address; indices: Address; wide: i32; y: Address; axis: i32; count: i32; innerBytes: i32; begin: i32; end: i32; bytes: i32;
}

/** Output rows [begin, end) of batch * outputHeight; strides of pixels in elements. */
@unmanaged
export class Resize {
  x: Address; xPixelStride: i32; y: Address; yPixelStride: i32; rows: Address; columns: Address;
  inputHeight: i32; inputWidth: i32; outputHeight: i32; outputWidth: i32; channels: i32; begin: i32; end: i32;
}

/**
 * Time steps [begin, end) of `rows` of `batch`, in the direction's order. `part`: 0 for whole steps, 1 or 2 for what follows the first or
 * the second product of a step, which was made before. `second`: c0 of LSTM, packed weights of the new state of GRU,
 * the state's bias of GRU_RESET_AFTER. The room is described in runtime/compile/recurrent.ts.
 */
@unmanaged
export class Recurrent {
  kind: i32; gates: Address; r: Address; h0: Address; second: Address; c: Address; peephole: Address; y: Address; room: Address;
  time: i32; batch: i32; rows: i32; hidden: i32; panel: i32; reverse: i32; begin: i32; end: i32;
  part: i32;
}

@unmanaged
export class WrapIndices {
  x: Address; wide: i32; y: Address; count: i32; size: i32;
}

/** Rows [begin, end) of the updates, `columns` of each; y has `rows` rows. */
@unmanaged
export class Scatter {
  kind: i32; y: Address; positions: Address; updates: Address; rows: i32; inner: i32; begin: i32; end: i32; columns: i32;
}

/** As Reduce, with a y shaped like x; the axis is counted from its end where sums are. */
@unmanaged
export class Cumulate {
  kind: i32; x: Address; y: Address; axis: i32; inner: i32; begin: i32; end: i32; columns: i32; from: i32; to: i32;
}

/** Rows [begin, end) of outer * inner, and of each the steps [from, to); the heap has room for `axis` int32. Kind 1: the largest, 0: the least. */
@unmanaged
export class TopK {
  kind: i32; x: Address; values: Address; indices: Address; heap: Address; axis: i32; inner: i32; k: i32; begin: i32; end: i32;
  from: i32; to: i32;
}

/** Points [begin, end) of batch * points; the grid has `rank` numbers a point, x first. */
@unmanaged
export class Sample {
  x: Address; grid: Address; y: Address; mode: i32; border: i32; aligned: i32; normalised: i32; rank: i32;
  depth: i32; height: i32; width: i32; channels: i32; points: i32; begin: i32; end: i32;
}

/** Bins [begin, end) of regions * outputHeight * outputWidth; a region is [x1, y1, x2, y2]; `images` is int64. */
@unmanaged
export class RoiAlign {
  x: Address; rois: Address; images: Address; y: Address; batch: i32; height: i32; width: i32; channels: i32;
  outputHeight: i32; outputWidth: i32; ratio: i32; scale: f32; offset: f32; largest: i32; begin: i32; end: i32;
}

/** Rows [begin, end) of `channels` bytes; the table is [256, channels]. */
@unmanaged
export class Lookup {
  x: Address; table: Address; y: Address; channels: i32; begin: i32; end: i32;
}

/** Matrices [begin, end) of x, and of each the columns [from, to) of its elimination; the room has size * size + 1 float64. */
@unmanaged
export class Determinant {
  x: Address; y: Address; room: Address; size: i32; begin: i32; end: i32; from: i32; to: i32;
}

/** Blocks [begin, end) of four numbers; `draws` (uint64) counts the draws of all runs, the room (8 bytes) keeps this one's. */
@unmanaged
export class Uniform {
  key0: u32; key1: u32; draws: Address; room: Address; y: Address; count: i32; begin: i32; end: i32;
}

/** Bins [begin, end) of regions * outputHeight * outputWidth, of `count` channels; a region is [image, x1, y1, x2, y2], float32. */
@unmanaged
export class MaxRoiPool {
  x: Address; rois: Address; y: Address; batch: i32; height: i32; width: i32; channels: i32;
  outputHeight: i32; outputWidth: i32; scale: f32; begin: i32; end: i32; count: i32;
}

/** Rows [begin, end) and trees [treeBegin, treeEnd), the first of which makes y; nodes are four int32 (runtime/compile/assemble-rare.ts). */
@unmanaged
export class Trees {
  kind: i32; x: Address; nodes: Address; thresholds: Address; roots: Address; targets: Address; weights: Address; y: Address;
  features: i32; outputs: i32; treeBegin: i32; treeEnd: i32; begin: i32; end: i32;
}

/** Rows [begin, end) of a [m, k] times `columns` of b [k, n] (`transposed`: [n, k]), all dense; terms [from, to), as of Reduce. */
@unmanaged
export class Product {
  type: i32; a: Address; b: Address; c: Address; n: i32; k: i32; transposed: i32; begin: i32; end: i32; columns: i32; from: i32; to: i32;
}

/**
 * Boxes [images, boxCount, 4] and scores [pairs, boxCount] → the places of those that are kept, of each pair (image and class) at
 * most `most`, and their number; `overlap` and `least` are thresholds. The room begins with 64 bytes that are 0.
 */
@unmanaged
export class Suppress {
  boxes: Address; scores: Address; overlap: Address; least: Address; room: Address; places: Address; count: Address;
  pairs: i32; classes: i32; boxCount: i32; most: i32; centred: i32;
}

/**
 * Groups [begin, end) of 16 columns of a matrix of 4-bit numbers, made a packed float matrix in panels of `panel` columns; y takes the first
 * of the groups. For each group: levels [k, 8] bytes, column j in the low half of byte j and column j + 8 in its high half; scales
 * and zero points [blocks of k, 16] float32, or one row of zero points for all (`zeroStep` 0 bytes instead of 64).
 */
@unmanaged
export class UnpackBlocks {
  levels: Address; scales: Address; zeros: Address; y: Address; k: i32; block: i32; zeroStep: i32; panel: i32; begin: i32; end: i32;
}
