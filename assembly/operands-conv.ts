// The operands of convolutions in float32; operands.ts says how they are read. Each begins with the words of a ConvShape.
import { Address } from './operands.ts';

/** Rows [begin, end) of the patch matrix [batch * outputHeight * outputWidth, kernelHeight * kernelWidth * channels]. */
@unmanaged
export class Im2col {
  batch: i32; // a ConvShape begins here
  inputHeight: i32; inputWidth: i32; inputChannels: i32;
  outputHeight: i32; outputWidth: i32; outputChannels: i32;
  kernelHeight: i32; kernelWidth: i32;
  strideHeight: i32; strideWidth: i32;
  dilationHeight: i32; dilationWidth: i32;
  padTop: i32; padLeft: i32;
  x: Address; columns: Address; channelBegin: i32; channels: i32; begin: i32; end: i32;
}

/** Adds rows [begin, end) of columns [pixels of x, kernelHeight * kernelWidth * channels] to y; the shape is the ConvTranspose's. */
@unmanaged
export class Col2im {
  batch: i32; // a ConvShape begins here
  inputHeight: i32; inputWidth: i32; inputChannels: i32;
  outputHeight: i32; outputWidth: i32; outputChannels: i32;
  kernelHeight: i32; kernelWidth: i32;
  strideHeight: i32; strideWidth: i32;
  dilationHeight: i32; dilationWidth: i32;
  padTop: i32; padLeft: i32;
  columns: Address; y: Address; channelBegin: i32; channels: i32; begin: i32; end: i32;
}

/** Output rows [begin, end) of batch * outputHeight, all of one image; without `room` no pixel lies outside. Strides in elements. */
@unmanaged
export class ConvRows {
  batch: i32; // a ConvShape begins here
  inputHeight: i32; inputWidth: i32; inputChannels: i32;
  outputHeight: i32; outputWidth: i32; outputChannels: i32;
  kernelHeight: i32; kernelWidth: i32;
  strideHeight: i32; strideWidth: i32;
  dilationHeight: i32; dilationWidth: i32;
  padTop: i32; padLeft: i32;
  low: f32; high: f32; kind: i32; alpha: f32; beta: f32; // an Activation
  x: Address; weights: Address; bias: Address; y: Address; yPixelStride: i32; residual: Address; room: Address; panel: i32; begin: i32; end: i32;
}

/** Input rows [begin, end) of batch * inputHeight; `room` as convTransposeRows says. */
@unmanaged
export class ConvTransposeRows {
  batch: i32; // a ConvShape begins here
  inputHeight: i32; inputWidth: i32; inputChannels: i32;
  outputHeight: i32; outputWidth: i32; outputChannels: i32;
  kernelHeight: i32; kernelWidth: i32;
  strideHeight: i32; strideWidth: i32;
  dilationHeight: i32; dilationWidth: i32;
  padTop: i32; padLeft: i32;
  low: f32; high: f32; kind: i32; alpha: f32; beta: f32; // an Activation
  x: Address; weights: Address; bias: Address; y: Address; room: Address; panel: i32; begin: i32; end: i32;
}

/** Tiles [begin, end) of all images, transformed; `room` and `patch` as winogradInput says, `plane` in elements. */
@unmanaged
export class WinogradInput {
  batch: i32; // a ConvShape begins here
  inputHeight: i32; inputWidth: i32; inputChannels: i32;
  outputHeight: i32; outputWidth: i32; outputChannels: i32;
  kernelHeight: i32; kernelWidth: i32;
  strideHeight: i32; strideWidth: i32;
  dilationHeight: i32; dilationWidth: i32;
  padTop: i32; padLeft: i32;
  x: Address; y: Address; plane: i32; room: Address; patch: Address; begin: i32; end: i32;
}

/** Back again, into the pixels of y; strides of planes and pixels in elements. */
@unmanaged
export class WinogradOutput {
  batch: i32; // a ConvShape begins here
  inputHeight: i32; inputWidth: i32; inputChannels: i32;
  outputHeight: i32; outputWidth: i32; outputChannels: i32;
  kernelHeight: i32; kernelWidth: i32;
  strideHeight: i32; strideWidth: i32;
  dilationHeight: i32; dilationWidth: i32;
  padTop: i32; padLeft: i32;
  low: f32; high: f32; kind: i32; alpha: f32; beta: f32; // an Activation
  x: Address; plane: i32; y: Address; yPixelStride: i32; bias: Address; residual: Address; room: Address; begin: i32; end: i32;
}

/** Output rows [begin, end) of batch * outputHeight. Weights are [channels / 8][taps][8]; strides of pixels in elements. */
@unmanaged
export class Depthwise {
  batch: i32; // a ConvShape begins here
  inputHeight: i32; inputWidth: i32; inputChannels: i32;
  outputHeight: i32; outputWidth: i32; outputChannels: i32;
  kernelHeight: i32; kernelWidth: i32;
  strideHeight: i32; strideWidth: i32;
  dilationHeight: i32; dilationWidth: i32;
  padTop: i32; padLeft: i32;
  low: f32; high: f32; kind: i32; alpha: f32; beta: f32; // an Activation
  x: Address; weights: Address; bias: Address; y: Address; yPixelStride: i32; residual: Address; begin: i32; end: i32;
}
