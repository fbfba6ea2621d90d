/** Operators that make, cut, join and move data. */
import { numbersOf, tensorOf } from '../compile/evaluate.ts';
import type { Value } from '../compile/graph.ts';
import type { CastMode } from '../compile/minifloat.ts';
import { type DataType, elementBytes, isSmallInteger } from '../engine/tensor.ts';
import type { Build, OperatorContext } from './context.ts';

export const constant: Build = (node) => {
  const { builder } = node;
  // The reader has made a sparse one dense.
  const tensor = node.attributeTensor('value') ?? node.attributeTensor('sparse_value');
  // The node's own name is unique in its graph, and the path makes it so among all graphs.
  if (tensor) return builder.constant(tensor, `node ${builder.origin}`);
  const ints = node.ints('value_ints');
  if (ints) return builder.literal('int64', [ints.length], ints);
  const floats = node.floats('value_floats');
  if (floats) return builder.literal('float32', [floats.length], floats);
  if ('value_int' in node.node.attributes) return builder.literal('int64', [], [node.int('value_int')]);
  if ('value_float' in node.node.attributes) return builder.literal('float32', [], [node.float('value_float', 0)]);
  throw node.unsupported('a constant that is no tensor of numbers');
};

export const constantOfShape: Build = (node) => {
  const value = node.attributeTensor('value') ?? tensorOf('float32', [1], [0]);
  return node.builder.expand(
    node.builder.reshape(node.builder.constant(value, `node ${node.builder.origin}`), []),
    node.numbers(0),
  );
};

export const range: Build = (node) => {
  const [start = 0, limit = 0, delta = 1] = [0, 1, 2].map((index) => node.numbers(index)[0] as number);
  const count = Math.max(Math.ceil((limit - start) / delta), 0);
  if (!(count <= 2 ** 24)) throw new Error(`expected a range of at most ${2 ** 24} numbers, got ${count}`);
  const values = Array.from({ length: count }, (_, i) => start + i * delta);
  return node.builder.literal(node.input(0).type, [count], values);
};

/** How Cast and CastLike limit and round to 8-bit floats; the usual mode is left out, so that equal casts are shared. */
function modeOf(node: OperatorContext): CastMode | undefined {
  const mode = {
    saturate: node.flag('saturate', true),
    round: node.text('round_mode', ['up', 'down', 'nearest'], 'up'),
  };
  return mode.saturate && mode.round === 'up' ? undefined : mode;
}

export const cast: Build = (node) => node.builder.cast(node.input(0), node.dataType(node.int('to')), modeOf(node));

function bitsOf(type: DataType): number {
  if (type === 'float4e2m1' || isSmallInteger(type)) return type.endsWith('2') ? 2 : 4;
  return 8 * elementBytes(type);
}

export const bitCast: Build = (node) => {
  const [x, to] = [node.input(0), node.dataType(node.int('to'))];
  if (bitsOf(x.type) !== bitsOf(to)) throw new Error(`expected a type as wide as ${x.type}, got ${to}`);
  // Signed integers of few bits lie in memory with their sign before them, so only a cast of integers gives the others.
  if (!isSmallInteger(x.type) && !isSmallInteger(to)) return node.builder.add({ kind: 'bitCast', to }, [x]);
  const bits = x.type === 'float4e2m1' ? node.builder.add({ kind: 'bitCast', to: 'uint4' }, [x]) : x;
  if (to !== 'float4e2m1') return node.builder.cast(bits, to);
  return node.builder.add({ kind: 'bitCast', to }, [node.builder.cast(bits, 'uint4')]);
};

export const castLike: Build = (node) => node.builder.cast(node.input(0), node.input(1).type, modeOf(node));

export const gather: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const indices = node.input(1);
  const axis = node.axis(node.int('axis', 0), x.dims.length);
  const size = x.dims[axis] as number;
  // One known index is a slice, which moves less and lets the layout change around it.
  if (indices.constant && indices.dims.every((each) => each === 1)) {
    const [index = 0] = node.integers(1);
    if (index < -size || index >= size) throw new Error(`expected an index from ${-size} to ${size - 1}, got ${index}`);
    const start = index < 0 ? index + size : index;
    const part = builder.sliceAxis(x, axis, start, start + 1);
    return builder.reshape(part, [...x.dims.slice(0, axis), ...indices.dims, ...x.dims.slice(axis + 1)]);
  }
  return builder.gather(x, indices, axis);
};

interface Cut {
  readonly axis: number;
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

/** Source: ONNX Slice-13, how starts and ends are clamped. */
function sliceBy(node: OperatorContext, cuts: readonly Cut[]): Value {
  const x = node.input(0);
  const starts = x.dims.map(() => 0);
  const steps = x.dims.map(() => 1);
  const sizes = [...x.dims];
  for (const { axis, start, end, step } of cuts) {
    const size = x.dims[axis] as number;
    if (step === 0) throw new Error('expected steps other than 0');
    const [least, most] = step > 0 ? [0, size] : [-1, size - 1];
    const clamp = (index: number, low: number): number =>
      Math.min(Math.max(index < 0 ? index + size : index, low), most);
    const from = clamp(start, Math.max(least, 0));
    const to = clamp(end, least);
    starts[axis] = from;
    steps[axis] = step;
    sizes[axis] = Math.max(Math.ceil((to - from) / step), 0);
  }
  return node.builder.add({ kind: 'slice', starts, steps, sizes }, [x]);
}

/** Starts, ends, axes and steps are inputs from opset 10 on. */
export const slice: Build = (node) => {
  const rank = node.input(0).dims.length;
  const starts = node.ints('starts') ?? node.integers(1);
  const ends = node.ints('ends') ?? node.integers(2);
  const axes = node.ints('axes') ?? node.optionalIntegers(3) ?? starts.map((_, axis) => axis);
  const steps = node.optionalIntegers(4) ?? starts.map(() => 1);
  if ([ends, axes, steps].some((list) => list.length !== starts.length))
    throw new Error(`expected as many ends, axes and steps as starts (${starts.length})`);
  return sliceBy(
    node,
    starts.map((start, i) => ({
      axis: node.axis(axes[i] as number, rank),
      start,
      end: ends[i] as number,
      step: steps[i] as number,
    })),
  );
};

/** Sizes are an attribute before opset 13; `num_outputs` gives equal parts but for the last. */
export const split: Build = (node) => {
  const x = node.input(0);
  const axis = node.axis(node.int('axis', 0), x.dims.length);
  const size = x.dims[axis] as number;
  const parts = node.outputCount;
  if (node.int('num_outputs', parts) !== parts)
    throw new Error(`attribute "num_outputs": expected ${parts}, the number of outputs`);
  const each = Math.ceil(size / parts);
  const equal = Array.from({ length: parts }, (_, i) => Math.max(Math.min(each, size - i * each), 0));
  const sizes = node.ints('split') ?? node.optionalIntegers(1) ?? equal;
  if (sizes.some((part) => part < 0) || sizes.reduce((sum, part) => sum + part, 0) !== size)
    throw new Error(`expected parts that add up to ${size}, got [${sizes}]`);
  let start = 0;
  return sizes.map((part) => {
    start += part;
    return node.builder.sliceAxis(x, axis, start - part, start);
  });
};

export const concat: Build = (node) => {
  const values = node.inputs.map((_, index) => node.input(index));
  const rank = values[0]?.dims.length ?? 0;
  const axis = node.axis(node.int('axis', 1), rank);
  // Empty parts come from exporters that build shapes piece by piece.
  const filled = values.filter((value) => value.dims[axis] !== 0);
  return node.builder.concat(filled.length > 0 ? filled : values.slice(0, 1), axis);
};

export const pad: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const rank = x.dims.length;
  const given = node.ints('pads') ?? node.ints('paddings') ?? node.integers(1);
  const fill = node.optional(2);
  const value = fill ? (numbersOf(node.contentsOf(fill, 'input 2'))[0] ?? 0) : node.float('value', 0);
  const axes = node.optionalIntegers(3)?.map((axis) => node.axis(axis, rank)) ?? x.dims.map((_, axis) => axis);
  if (given.length !== 2 * axes.length) throw new Error(`expected ${2 * axes.length} pads, got [${given}]`);
  const begins = x.dims.map(() => 0);
  const ends = x.dims.map(() => 0);
  axes.forEach((axis, i) => {
    begins[axis] = given[i] as number;
    ends[axis] = given[i + axes.length] as number;
  });
  // Negative padding cuts.
  const starts = begins.map((begin) => Math.max(-begin, 0));
  const sizes = x.dims.map((size, axis) => size - (starts[axis] as number) - Math.max(-(ends[axis] as number), 0));
  const inside = builder.add({ kind: 'slice', starts, steps: x.dims.map(() => 1), sizes }, [x]);
  const positive = (pads: number[]): number[] => pads.map((each) => Math.max(each, 0));
  const mode = node.text('mode', ['constant', 'reflect', 'edge', 'wrap'], 'constant');
  const operation = { kind: 'pad', mode, begins: positive(begins), ends: positive(ends), value } as const;
  return builder.add(mode === 'constant' ? operation : { ...operation, value: 0 }, [inside]);
};

export const tile: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const repeats = node.integers(1);
  if (repeats.length !== x.dims.length || repeats.some((times) => times < 0))
    throw new Error(`expected ${x.dims.length} repeats, got [${repeats}]`);
  // An axis of size 1 repeats by broadcasting; others need an axis of their own for the repetition.
  const spread = x.dims.flatMap((size, axis) => (repeats[axis] === 1 || size === 1 ? [size] : [1, size]));
  const wide = x.dims.flatMap((size, axis) => {
    const times = repeats[axis] as number;
    return times === 1 ? [size] : size === 1 ? [times] : [times, size];
  });
  return builder.reshape(
    builder.expand(builder.reshape(x, spread), wide),
    x.dims.map((size, axis) => size * (repeats[axis] as number)),
  );
};

/** The table has about twice as many elements as the square of this. */
const ONE_HOT_DEPTH_MAX = 1024;

/** An index from -depth to depth - 1 chooses the one place that is `on`; any other leaves all `off`. Source: ONNX OneHot-11. */
export const oneHot: Build = (node) => {
  const { builder } = node;
  const depth = node.numbers(1)[0] as number;
  const [off = 0, on = 0] = node.numbers(2);
  if (!(depth >= 1 && depth <= ONE_HOT_DEPTH_MAX)) throw node.unsupported(`a depth of ${depth}`);
  // A row for every index from the last one that is too small to the first one that is too large, both all `off`.
  const least = -depth - 1;
  const values = Array.from({ length: 2 * depth + 2 }, (_, row) => {
    const index = row + least;
    const place = index < 0 ? index + depth : index;
    return Array.from({ length: depth }, (_, i) => (i === place ? on : off));
  });
  const table = builder.literal(node.input(2).type, [values.length, depth], values.flat());
  // The kernels clip float32 only, in which whole numbers are exact far beyond any depth.
  const indices = builder.cast(builder.cast(node.input(0), 'int64'), 'float32');
  const row = builder.scale(builder.unary('clip', indices, least, depth), 1, -least);
  const rows = builder.gather(table, builder.cast(row, 'int64'), 0);
  const last = rows.dims.length - 1;
  const axis = node.axis(node.int('axis', -1), rows.dims.length);
  const perm = rows.dims.map((_, i) => (i === axis ? last : i > axis ? i - 1 : i));
  return builder.transpose(rows, perm);
};
