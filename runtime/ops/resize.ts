/** Resize and Upsample: which input pixel each output row and column comes from. Source: ONNX Resize-19. */
import type { Value } from '../compile/graph.ts';
import { RESIZED_MAX } from '../compile/limits.ts';
import type { Build, OperatorContext } from './context.ts';
import { resampleAxis } from './resample.ts';

const coordinateModes = [
  'half_pixel',
  'half_pixel_symmetric',
  'pytorch_half_pixel',
  'align_corners',
  'asymmetric',
  'tf_half_pixel_for_nn',
  'tf_crop_and_resize',
] as const;
const nearestModes = ['round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil'] as const;

interface Axis {
  readonly size: number;
  readonly resized: number;
  readonly scale: number;
  /** The part that is resized, as fractions of the axis: for crops. */
  readonly part?: readonly [start: number, end: number];
}

function sourceOf(mode: (typeof coordinateModes)[number], { size, resized, scale, part }: Axis, x: number): number {
  switch (mode) {
    case 'half_pixel':
      return (x + 0.5) / scale - 0.5;
    case 'half_pixel_symmetric': {
      // Keeps the picture centred when the scale does not divide the size.
      const adjustment = resized / (size * scale);
      return (size / 2) * (1 - adjustment) + (x + 0.5) / scale - 0.5;
    }
    case 'pytorch_half_pixel':
      return resized > 1 ? (x + 0.5) / scale - 0.5 : 0;
    case 'align_corners': {
      // The standard's own reference and its data take the length before it is rounded down; onnxruntime takes the one after.
      const length = Math.abs(size * scale - resized) < 1e-6 ? resized : size * scale;
      return resized > 1 ? (x * (size - 1)) / (length - 1) : 0;
    }
    case 'asymmetric':
      return x / scale;
    case 'tf_half_pixel_for_nn':
      return (x + 0.5) / scale;
    case 'tf_crop_and_resize': {
      const [start, end] = part ?? [0, 1];
      if (resized <= 1) return 0.5 * (start + end) * (size - 1);
      return start * (size - 1) + (x * (end - start) * (size - 1)) / (resized - 1);
    }
  }
}

function roundNearest(mode: (typeof nearestModes)[number], x: number): number {
  switch (mode) {
    case 'round_prefer_floor':
      return Math.ceil(x - 0.5);
    case 'round_prefer_ceil':
      return Math.floor(x + 0.5);
    case 'floor':
      return Math.floor(x);
    case 'ceil':
      return Math.ceil(x);
  }
}

interface Method {
  readonly mode: 'nearest' | 'linear' | 'cubic';
  readonly coordinates: (typeof coordinateModes)[number];
  readonly nearest: (typeof nearestModes)[number];
}

function sourcesOf(axis: Axis, { mode, coordinates, nearest }: Method): number[] {
  return Array.from({ length: axis.resized }, (_, i) => {
    const exact = sourceOf(coordinates, axis, i);
    const source = mode === 'nearest' ? roundNearest(nearest, exact) : exact;
    return Math.min(Math.max(source, 0), axis.size - 1);
  });
}

/** One or two axes are resized; the others are brought around them as [n, h, w, c]. */
function resizePicture(
  node: OperatorContext,
  axes: readonly Axis[],
  method: Method & { readonly mode: 'nearest' | 'linear' },
): Value {
  const { builder } = node;
  const x = node.input(0);
  const moved = axes.flatMap(({ size, resized, scale }, axis) => (size !== resized || scale !== 1 ? [axis] : []));
  if (moved.length === 0) return x;
  if (moved.length > 2) return resample(node, axes, method);
  const start = moved[0] as number;
  const channel = start > 1 ? 1 : -1;
  const rest = axes.map((_, axis) => axis).filter((axis) => !moved.includes(axis) && axis !== channel);
  const before = rest.filter((axis) => axis < start);
  const after = [...rest.filter((axis) => axis > start), ...(channel === 1 ? [1] : [])];
  const perm = [...before, ...moved, ...after];
  const size = (list: readonly number[]): number =>
    list.reduce((product, axis) => product * (x.dims[axis] as number), 1);
  for (const axis of moved) {
    const { size: from, resized: to } = axes[axis] as Axis;
    if (from === 0 && to > 0) throw new Error(`expected pixels to resize, got shape [${x.dims.join(', ')}]`);
  }
  const [first, second] = moved.length === 2 ? moved : [undefined, moved[0]];
  const inner = [first, second].map((axis) => (axis === undefined ? 1 : (x.dims[axis] as number)));
  const transposed = builder.transpose(x, perm);
  const picture = builder.reshape(transposed, [size(before), ...inner, size(after)]);
  const sources = (axis: number | undefined): number[] =>
    axis === undefined ? [0] : sourcesOf(axes[axis] as Axis, method);
  const operation = { kind: 'resize', mode: method.mode, rows: sources(first), columns: sources(second) } as const;
  const resized = builder.add(operation, [picture]);
  const dims = perm.map((axis) => (axes[axis] as Axis).resized);
  const back = axes.map((_, axis) => perm.indexOf(axis));
  return builder.transpose(builder.reshape(resized, dims), back);
}

function resample(node: OperatorContext, axes: readonly Axis[], method: Method): Value {
  const { mode, coordinates, nearest } = method;
  const filter = {
    kind: mode,
    cubicCoefficient: node.float('cubic_coeff_a', -0.75),
    antialias: node.flag('antialias'),
    excludeOutside: node.flag('exclude_outside'),
    round: (source: number): number => roundNearest(nearest, source),
  };
  const outside = coordinates === 'tf_crop_and_resize' ? node.float('extrapolation_value', 0) : undefined;
  return axes.reduce((x, axis, index) => {
    if (axis.size === axis.resized && axis.scale === 1 && !axis.part) return x;
    const sources = Array.from({ length: axis.resized }, (_, i) => sourceOf(coordinates, axis, i));
    return resampleAxis(node, x, index, { ...axis, sources, outside }, filter);
  }, node.input(0));
}

/** Two axes by two neighbours have kernels of their own. */
function resizeBy(node: OperatorContext, axes: readonly Axis[], method: Method): Value {
  for (const { size, resized, scale } of axes)
    if ((size !== resized || scale !== 1) && !(resized <= RESIZED_MAX))
      throw node.unsupported(`resizing an axis to ${resized}`);
  const { mode, coordinates } = method;
  const isPlain = mode !== 'cubic' && coordinates !== 'tf_crop_and_resize' && !node.flag('antialias');
  if (isPlain && !node.flag('exclude_outside')) return resizePicture(node, axes, { ...method, mode });
  return resample(node, axes, method);
}

function axesFromScales(dims: readonly number[], scales: readonly number[]): Axis[] {
  if (scales.length !== dims.length || !scales.every((scale) => scale > 0))
    throw new Error(`expected ${dims.length} scales above 0, got [${scales}]`);
  return dims.map((size, axis) => {
    const scale = scales[axis] as number;
    return { size, scale, resized: Math.floor(size * scale) };
  });
}

/** Opset 7 has scales as attribute, 9 as input. Upsample-9 and Resize-10 reckon with asymmetric coordinates. */
export const upsample: Build = (node) => {
  const scales = node.floats('scales') ?? node.numbers(1);
  const mode = node.text('mode', ['nearest', 'linear', 'bilinear'], 'nearest');
  const axes = axesFromScales(node.input(0).dims, scales);
  const method = {
    mode: mode === 'nearest' ? 'nearest' : 'linear',
    coordinates: 'asymmetric',
    nearest: 'floor',
  } as const;
  return resizeBy(node, axes, method);
};

/** Sizes for some axes, scales for the others; source: ONNX Resize-18, keep_aspect_ratio_policy. */
function axesFromSizes(node: OperatorContext, sizes: readonly number[], chosen: readonly number[]): Axis[] {
  const { dims } = node.input(0);
  if (sizes.length !== chosen.length || !sizes.every((each) => each >= 0))
    throw new Error(`expected ${chosen.length} sizes, got [${sizes}]`);
  const policy = node.text('keep_aspect_ratio_policy', ['stretch', 'not_larger', 'not_smaller'], 'stretch');
  const scales = sizes.map((each, i) => each / (dims[chosen[i] as number] as number));
  const common = policy === 'not_larger' ? Math.min(...scales) : Math.max(...scales);
  return dims.map((size, axis) => {
    const at = chosen.indexOf(axis);
    if (at < 0) return { size, scale: 1, resized: size };
    if (policy === 'stretch') return { size, scale: scales[at] as number, resized: sizes[at] as number };
    return { size, scale: common, resized: Math.floor(size * common + 0.5) };
  });
}

export const resize: Build = (node) => {
  const x = node.input(0);
  const mode = node.text('mode', ['nearest', 'linear', 'cubic'], 'nearest');
  const coordinates = node.text('coordinate_transformation_mode', coordinateModes, 'half_pixel');
  const chosen = node.ints('axes')?.map((axis) => node.axis(axis, x.dims.length)) ?? x.dims.map((_, axis) => axis);
  const scales = node.optional(2) && node.numbers(2);
  const axes = scales?.length
    ? axesFromScales(
        x.dims,
        x.dims.map((_, axis) => scales[chosen.indexOf(axis)] ?? 1),
      )
    : axesFromSizes(node, node.integers(3), chosen);
  const nearest = node.text('nearest_mode', nearestModes, 'round_prefer_floor');
  if (coordinates !== 'tf_crop_and_resize') return resizeBy(node, axes, { mode, coordinates, nearest });
  const roi = node.numbers(1);
  if (roi.length !== 2 * chosen.length)
    throw new Error(`expected a region of ${2 * chosen.length} numbers, got [${roi}]`);
  const cropped = axes.map((axis, index): Axis => {
    const at = chosen.indexOf(index);
    return at < 0 ? axis : { ...axis, part: [roi[at] as number, roi[at + chosen.length] as number] };
  });
  return resizeBy(node, cropped, { mode, coordinates, nearest });
};
