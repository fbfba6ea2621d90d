/** Sliding windows of Conv, ConvTranspose and the pools: attributes → explicit sizes. The kernels know two axes. */
import type { Size2d, Value } from '../compile/graph.ts';
import type { Window2d } from '../compile/instructions.ts';
import type { OperatorContext } from './context.ts';

/** A window along one axis. */
export interface Slide {
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  /** Padding before and behind. */
  readonly begin: number;
  readonly end: number;
}

/** Along an axis that a window does not slide over. */
export const still: Slide = { kernel: 1, stride: 1, dilation: 1, begin: 0, end: 0 };

/** An image as the kernels want it, and the way back to the axes of the model. */
export interface Picture {
  /** [n, h, w, c] */
  readonly x: Value;
  readonly spatialRank: 1 | 2;
  /** From [n, h, w, c] to ONNX's [n, c, w] or [n, c, h, w]. */
  restore(y: Value): Value;
}

/** Brings [n, c, w] or [n, c, h, w] to NHWC; one spatial axis becomes a picture of height 1. */
export function pictureOf(node: OperatorContext, x: Value): Picture {
  const { builder } = node;
  const [n, c, ...spatial] = x.dims as [number, number, ...number[]];
  if (spatial.length !== 1 && spatial.length !== 2) throw node.unsupported(`an input of rank ${x.dims.length}`);
  if (spatial.includes(0))
    throw new Error(`expected a picture of at least one pixel, got shape [${x.dims.join(', ')}]`);
  const flat = spatial.length === 1;
  const image = flat ? builder.reshape(x, [n, c, 1, spatial[0] as number]) : x;
  return {
    x: builder.transpose(image, [0, 2, 3, 1]),
    spatialRank: flat ? 1 : 2,
    restore(y) {
      const back = builder.transpose(y, [0, 3, 1, 2]);
      const [batch, channels, , width] = back.dims as [number, number, number, number];
      return flat ? builder.reshape(back, [batch, channels, width]) : back;
    },
  };
}

/** Kernels [m, c, w] as [m, c, 1, w]. */
export function kernelOf(node: OperatorContext, weights: Value): Value {
  const [m, c, ...spatial] = weights.dims as [number, number, ...number[]];
  return spatial.length === 1 ? node.builder.reshape(weights, [m, c, 1, spatial[0] as number]) : weights;
}

/** [n, c, ...] → [n, ..., c] */
export function channelsLast(node: OperatorContext, x: Value): Value {
  return node.builder.transpose(x, [0, ...x.dims.map((_, axis) => axis).slice(2), 1].slice(0, x.dims.length));
}

/** [n, ..., c] → [n, c, ...] */
export function channelsFirst(node: OperatorContext, x: Value): Value {
  const last = x.dims.length - 1;
  return node.builder.transpose(x, [0, last, ...x.dims.map((_, axis) => axis).slice(1, last)]);
}

/** An attribute of one number a spatial axis (of two for `pads`), all `fill` when it is absent. */
export function listOf(node: OperatorContext, name: string, length: number, fill: number, least: number): number[] {
  const values = node.ints(name) ?? new Array<number>(length).fill(fill);
  if (values.length !== length || !values.every((value) => value >= least && value < 2 ** 30))
    throw new Error(`attribute "${name}": expected ${length} numbers of ${least} or more, got [${values}]`);
  return values;
}

export const autoPads = ['NOTSET', 'VALID', 'SAME_UPPER', 'SAME_LOWER'] as const;

/** Splits padding between both ends; the odd one goes to the end for SAME_UPPER. */
export function splitPad(total: number, upper: boolean): [begin: number, end: number] {
  const half = Math.floor(total / 2);
  return upper ? [half, total - half] : [total - half, half];
}

/** Elements that a window spans. */
export function reachOf({ kernel, dilation }: Slide): number {
  return (kernel - 1) * dilation + 1;
}

/** The window over axes of `size`, with `auto_pad` resolved. */
export function slidesOf(node: OperatorContext, kernel: readonly number[], size: readonly number[]): Slide[] {
  const rank = size.length;
  if (kernel.length !== rank || kernel.includes(0))
    throw new Error(`expected a kernel of at least one element along ${rank} axes, got [${kernel}]`);
  const strides = listOf(node, 'strides', rank, 1, 1);
  const dilations = listOf(node, 'dilations', rank, 1, 1);
  const auto = node.text('auto_pad', autoPads, 'NOTSET');
  // ONNX lists all begins, then all ends.
  const pads = auto === 'NOTSET' ? listOf(node, 'pads', 2 * rank, 0, 0) : new Array<number>(2 * rank).fill(0);
  return size.map((each, axis) => {
    const [stride, dilation] = [strides[axis] as number, dilations[axis] as number];
    const [begin, end] = [pads[axis] as number, pads[axis + rank] as number];
    const slide = { kernel: kernel[axis] as number, stride, dilation, begin, end };
    if (!auto.startsWith('SAME')) return slide;
    const total = Math.max((Math.ceil(each / stride) - 1) * stride + reachOf(slide) - each, 0);
    const [before, behind] = splitPad(total, auto === 'SAME_UPPER');
    return { ...slide, begin: before, end: behind };
  });
}

export function window2d(rows: Slide, columns: Slide): Window2d {
  return {
    kernel: [rows.kernel, columns.kernel],
    strides: [rows.stride, columns.stride],
    dilations: [rows.dilation, columns.dilation],
    pads: [rows.begin, columns.begin, rows.end, columns.end],
  };
}

/** The window over a picture of `size`; one of a single spatial axis has height 1. */
export function windowOf(node: OperatorContext, spatialRank: 1 | 2, kernel: Size2d, size: Size2d): Window2d {
  const slides = slidesOf(node, kernel.slice(-spatialRank), size.slice(-spatialRank));
  return window2d(slides.at(-2) ?? still, slides.at(-1) as Slide);
}

/** Output size of a pool. With ceil_mode a window may reach beyond the padding, but has to begin before its end. */
export function pooledSize(size: number, slide: Slide, ceil: boolean): number {
  const steps = (size + slide.begin + slide.end - reachOf(slide)) / slide.stride;
  const count = (ceil ? Math.ceil(steps) : Math.floor(steps)) + 1;
  const startsOutside = ceil && (count - 1) * slide.stride >= size + slide.begin;
  const result = startsOutside ? count - 1 : count;
  if (result < 0) throw new Error(`expected an input at least as large as the window, got ${size}`);
  return result;
}
