/** Pools over any number of spatial axes. */
import type { Operation, Size2d, Value } from '../compile/graph.ts';
import type { ReduceName, Window2d } from '../compile/instructions.ts';
import { stridesOf } from '../compile/strides.ts';
import { elementCount } from '../engine/tensor.ts';
import type { Build, OperatorContext } from './context.ts';
import {
  channelsFirst,
  channelsLast,
  listOf,
  pictureOf,
  pooledSize,
  reachOf,
  type Slide,
  slidesOf,
  still,
  window2d,
} from './window.ts';

/** Places that are listed for output "Indices": elements of all windows of a plane. */
const PLACES_MAX = 2 ** 22;

interface Pooling {
  readonly slides: readonly Slide[];
  readonly outputSize: readonly number[];
}

function poolingOf(node: OperatorContext): Pooling {
  const size = node.input(0).dims.slice(2);
  if (size.length === 0 || size.includes(0))
    throw new Error(`expected pictures of at least one pixel, got shape [${node.input(0).dims.join(', ')}]`);
  const slides = slidesOf(node, listOf(node, 'kernel_shape', size.length, 1, 1), size);
  const ceil = node.flag('ceil_mode');
  return { slides, outputSize: size.map((each, axis) => pooledSize(each, slides[axis] as Slide, ceil)) };
}

type Pool2d = (window: Window2d, outputSize: Size2d) => Operation;

/**
 * Maxima of maxima are maxima, and averages of averages averages, since how many elements a window has is a product over
 * the axes: the last two axes are pooled in one step, then each axis before them, as the rows of a picture of one column.
 */
function pool(node: OperatorContext, x: Value, { slides, outputSize }: Pooling, operation: Pool2d): Value {
  const { builder } = node;
  const [columns, rows = still] = slides.toReversed() as [Slide, Slide?];
  const planeSize = [outputSize.at(-2) ?? 1, outputSize.at(-1) as number] as const;
  const lastOperation = operation(window2d(rows, columns), planeSize);
  if (slides.length <= 2) {
    const { x: picture, restore } = pictureOf(node, x);
    return restore(builder.add(lastOperation, [picture]));
  }
  const [n = 0, c = 0, ...size] = x.dims;
  const planes = [n * elementCount(size.slice(0, -2)), ...size.slice(-2), c];
  let y = builder.add(lastOperation, [builder.reshape(channelsLast(node, x), planes)]);
  for (let axis = size.length - 3; axis >= 0; axis--) {
    const before = n * elementCount(size.slice(0, axis));
    const behind = elementCount(outputSize.slice(axis + 1)) * c;
    const columnOf = builder.reshape(y, [before, size[axis] as number, 1, behind]);
    y = builder.add(operation(window2d(slides[axis] as Slide, still), [outputSize[axis] as number, 1]), [columnOf]);
  }
  return channelsFirst(node, builder.reshape(y, [n, ...outputSize, c]));
}

export const averagePool: Build = (node) => {
  const countIncludePad = node.flag('count_include_pad');
  return pool(node, node.input(0), poolingOf(node), (window, outputSize) => ({
    kind: 'averagePool',
    ...{ window, outputSize, countIncludePad },
  }));
};

export const maxPool: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const pooling = poolingOf(node);
  // Eight bits fit into a float.
  const isByte = x.type === 'int8' || x.type === 'uint8';
  const floats = isByte ? builder.cast(x, 'float32') : x;
  const y = pool(node, floats, pooling, (window, outputSize) => ({ kind: 'maxPool', window, outputSize }));
  const values = isByte ? builder.cast(y, x.type) : y;
  return node.isUsed(1) ? [values, maxPlaces(node, floats, pooling)] : values;
};

/** Padded so that every window lies inside. */
function padWhole({ builder }: OperatorContext, x: Value, { slides, outputSize }: Pooling, value: number): Value {
  const size = x.dims.slice(2);
  const begins = [0, 0, ...slides.map(({ begin }) => begin)];
  const ends = slides.map((slide, axis) => {
    const needed = ((outputSize[axis] as number) - 1) * slide.stride + reachOf(slide);
    return Math.max(0, needed - slide.begin - (size[axis] as number));
  });
  return builder.add({ kind: 'pad', mode: 'constant', begins, ends: [0, 0, ...ends], value }, [x]);
}

/** Of the first largest element of every window: its number in the whole tensor, counted as `storage_order` says. */
function maxPlaces(node: OperatorContext, x: Value, { slides, outputSize }: Pooling): Value {
  const { builder } = node;
  const [n = 0, c = 0, ...size] = x.dims;
  const listed = elementCount(outputSize) * elementCount(slides.map(({ kernel }) => kernel));
  if (listed > PLACES_MAX) throw node.unsupported(`output "Indices" of windows with ${listed} elements in all`);
  const wide = padWhole(node, x, { slides, outputSize }, -Infinity);
  const wideSize = wide.dims.slice(2);
  const taps = slides.map(({ kernel }) => kernel);
  const strides = slides.map(({ stride }) => stride);
  const dilations = slides.map(({ dilation }) => dilation);
  const wideTaps = offsets(taps, dilations, stridesOf(wideSize), 0);
  const wideWindows = offsets(outputSize, strides, stridesOf(wideSize), 0);
  const places = wideTaps.flatMap((tap) => wideWindows.map((window) => tap + window));
  const rows = builder.reshape(wide, [n * c, elementCount(wideSize)]);
  const windows = builder.gather(rows, builder.literal('int64', [wideTaps.length, wideWindows.length], places), 1);
  const tap = builder.add({ kind: 'argMax', axis: 1, least: false, last: false }, [windows]);
  const order = node.flag('storage_order') ? stridesOf(size.toReversed()).reverse() : stridesOf(size);
  const corner = slides.reduce((sum, { begin }, axis) => sum - begin * (order[axis] as number), 0);
  const ownTaps = builder.literal('int64', [wideTaps.length], offsets(taps, dilations, order, 0));
  const ownWindows = builder.literal('int64', [wideWindows.length], offsets(outputSize, strides, order, corner));
  const planes = builder.literal(
    'int64',
    [n * c, 1, 1],
    Array.from({ length: n * c }, (_, i) => i * elementCount(size)),
  );
  const inPlane = builder.binary('add', builder.gather(ownTaps, tap, 0), ownWindows);
  return builder.reshape(builder.binary('add', inPlane, planes), [n, c, ...outputSize]);
}

/** What every position of `counts` adds to an element's number, going `steps` along each axis. */
function offsets(
  counts: readonly number[],
  steps: readonly number[],
  strides: readonly number[],
  start: number,
): number[] {
  return counts.reduce(
    (all, count, axis) => {
      const step = (steps[axis] as number) * (strides[axis] as number);
      return all.flatMap((offset) => Array.from({ length: count }, (_, i) => offset + i * step));
    },
    [start],
  );
}

export const maxRoiPool: Build = (node) => {
  const [x, rois] = [node.input(0), node.input(1)];
  const [height = 0, width = 0] = listOf(node, 'pooled_shape', 2, 0, 1);
  const operation = { kind: 'maxRoiPool', outputSize: [height, width], scale: node.float('spatial_scale', 1) } as const;
  return channelsFirst(node, node.builder.add(operation, [channelsLast(node, x), rois]));
};

/** (sum of |x|^p)^(1/p) over windows; what lies outside counts as 0. Averages of whole windows are sums but for a factor. */
export const lpPool: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const p = node.float('p', 2);
  const { slides, outputSize } = poolingOf(node);
  const padded = padWhole(node, powerOf(node, x, p), { slides, outputSize }, 0);
  const whole = slides.map((slide) => ({ ...slide, begin: 0, end: 0 }));
  const averages = pool(node, padded, { slides: whole, outputSize }, (window, wanted) => ({
    kind: 'averagePool',
    ...{ window, outputSize: wanted, countIncludePad: false },
  }));
  return rootOf(node, builder.scale(averages, elementCount(slides.map(({ kernel }) => kernel)), 0), p);
};

/** |x|^p */
function powerOf({ builder }: OperatorContext, x: Value, p: number): Value {
  if (p === 2) return builder.unary('square', x);
  const size = builder.unary('abs', x);
  return p === 1 ? size : builder.binary('pow', size, builder.literal(x.type, [], [p]));
}

function rootOf({ builder }: OperatorContext, x: Value, p: number): Value {
  if (p === 1) return x;
  return p === 2 ? builder.unary('sqrt', x) : builder.binary('pow', x, builder.literal(x.type, [], [1 / p]));
}

/** Over all axes behind batch and channels. */
export function globalPool(name: ReduceName): Build {
  return (node) => {
    const x = node.input(0);
    return node.builder.reduce(name, x, x.dims.map((_, axis) => axis).slice(2));
  };
}

export const globalLpPool: Build = (node) => {
  const p = node.float('p', 2);
  const powers = powerOf(node, node.input(0), p);
  return rootOf(node, node.builder.reduce('sum', powers, powers.dims.map((_, axis) => axis).slice(2)), p);
};

/**
 * x / (bias + alpha / size · sum of squares of `size` neighbouring channels) ^ beta. The channels are the rows of a picture of
 * one column, whose own channels are the pixels. Source: ONNX LRN; A. Krizhevsky et al., 2012, 3.3.
 */
export const localResponse: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const [n = 0, c = 0, ...spatial] = x.dims;
  const size = node.int('size');
  if (!(size >= 1 && size <= 2 ** 20)) throw new Error(`attribute "size": expected 1 or more channels, got ${size}`);
  const begin = Math.floor((size - 1) / 2);
  const window = window2d({ ...still, kernel: size, begin, end: size - 1 - begin }, still);
  const squares = builder.reshape(builder.unary('square', x), [n, c, 1, elementCount(spatial)]);
  const operation = { kind: 'averagePool', window, outputSize: [c, 1], countIncludePad: true } as const;
  const averages = builder.reshape(builder.add(operation, [squares]), x.dims);
  const base = builder.scale(averages, node.float('alpha', 1e-4), node.float('bias', 1));
  // A power by way of logarithms, which have fast kernels.
  const factor = builder.unary('exp', builder.scale(builder.unary('log', base), -node.float('beta', 0.75), 0));
  return builder.binary('mul', x, factor);
};
