/** Sliding windows of Conv, ConvTranspose and the pools: attributes → explicit sizes, always two-dimensional. */
import type { Size2d, Value } from '../compile/graph.ts';
import { slidingSize } from '../compile/infer.ts';
import type { Window2d } from '../compile/instructions.ts';
import type { OperatorContext } from './context.ts';

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

/** One number a spatial axis → a pair; the height of a flat picture takes `fill`. */
export function pair(
  node: OperatorContext,
  name: string,
  spatialRank: number,
  fill: number,
  least: number,
): readonly [number, number] {
  const values = node.ints(name) ?? new Array<number>(spatialRank).fill(fill);
  if (values.length !== spatialRank || !values.every((value) => value >= least && value < 2 ** 30))
    throw new Error(`attribute "${name}": expected ${spatialRank} numbers of ${least} or more, got [${values}]`);
  return spatialRank === 1 ? [fill, values[0] as number] : [values[0] as number, values[1] as number];
}

/** ONNX lists all begins, then all ends. */
function padsOf(node: OperatorContext, spatialRank: number): Window2d['pads'] {
  const pads = node.ints('pads') ?? new Array<number>(2 * spatialRank).fill(0);
  if (pads.length !== 2 * spatialRank || !pads.every((pad) => pad >= 0 && pad < 2 ** 30))
    throw new Error(`attribute "pads": expected ${2 * spatialRank} numbers of 0 or more, got [${pads}]`);
  const [a = 0, b = 0, c = 0, d = 0] = pads;
  return spatialRank === 1 ? [0, a, 0, b] : [a, b, c, d];
}

export const autoPads = ['NOTSET', 'VALID', 'SAME_UPPER', 'SAME_LOWER'] as const;

/** Splits padding between both ends; the odd one goes to the end for SAME_UPPER. */
export function splitPad(total: number, upper: boolean): [begin: number, end: number] {
  const half = Math.floor(total / 2);
  return upper ? [half, total - half] : [total - half, half];
}

/** The window over a picture of `size`, with `auto_pad` resolved. */
export function windowOf(node: OperatorContext, spatialRank: 1 | 2, kernel: Size2d, size: Size2d): Window2d {
  const strides = pair(node, 'strides', spatialRank, 1, 1);
  const dilations = pair(node, 'dilations', spatialRank, 1, 1);
  const auto = node.text('auto_pad', autoPads, 'NOTSET');
  if (auto === 'NOTSET') return { kernel, strides, dilations, pads: padsOf(node, spatialRank) };
  if (auto === 'VALID') return { kernel, strides, dilations, pads: [0, 0, 0, 0] };
  const [vertical, horizontal] = ([0, 1] as const).map((axis) => {
    const reach = (kernel[axis] - 1) * dilations[axis] + 1;
    const windows = Math.ceil(size[axis] / strides[axis]);
    const total = Math.max((windows - 1) * strides[axis] + reach - size[axis], 0);
    return splitPad(total, auto === 'SAME_UPPER');
  }) as [[number, number], [number, number]];
  return { kernel, strides, dilations, pads: [vertical[0], horizontal[0], vertical[1], horizontal[1]] };
}

/** Output size of a pool. With ceil_mode a window may reach beyond the padding, but has to begin before its end. */
export function pooledSize(size: number, window: Window2d, axis: 0 | 1, ceil: boolean): number {
  const steps = slidingSize(size, window, axis, ceil);
  const startsOutside = ceil && (steps - 1) * window.strides[axis] >= size + window.pads[axis];
  const result = startsOutside ? steps - 1 : steps;
  if (result < 0) throw new Error(`expected an input at least as large as the window, got ${size}`);
  return result;
}
