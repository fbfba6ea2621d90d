/** Operators that read and write at places which a tensor names. Each place becomes the number of a row. */
import type { Value } from '../compile/graph.ts';
import type { ScatterName } from '../compile/rare-operations.ts';
import { stridesOf } from '../compile/strides.ts';
import { elementCount } from '../engine/tensor.ts';
import type { Build, OperatorContext } from './context.ts';
import { alongAxis, iota } from './positions.ts';

function number(node: OperatorContext, value: number): Value {
  return node.builder.literal('int64', [], [value]);
}

/** `index` · `stride`, checked against the size of its axis. */
function step(node: OperatorContext, index: Value, size: number, stride: number): Value {
  const { builder } = node;
  const wrapped = builder.add({ kind: 'wrapIndices', size }, [index]);
  return stride === 1 ? wrapped : builder.binary('mul', wrapped, number(node, stride));
}

function sum(node: OperatorContext, parts: readonly Value[]): Value {
  return parts.reduce((total, part) => node.builder.binary('add', total, part));
}

/** Element numbers in a tensor of shape `dims`, where `indices` replaces the position along one axis. */
function elementPositions(node: OperatorContext, indices: Value, dims: readonly number[], axis: number): Value {
  const { builder } = node;
  if (indices.dims.length !== dims.length || indices.dims.some((size, i) => i !== axis && size > (dims[i] as number)))
    throw new Error(`expected indices that fit into [${dims.join(', ')}], got [${indices.dims.join(', ')}]`);
  const strides = stridesOf(dims);
  const others = dims.flatMap((_, i) => {
    if (i === axis || indices.dims[i] === 1) return [];
    return [builder.binary('mul', alongAxis(builder, indices.dims, i), number(node, strides[i] as number))];
  });
  return sum(node, [step(node, indices, dims[axis] as number, strides[axis] as number), ...others]);
}

export const gatherElements: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const axis = node.axis(node.int('axis', 0), x.dims.length);
  const positions = elementPositions(node, node.input(1), x.dims, axis);
  return builder.gather(builder.reshape(x, [elementCount(x.dims)]), positions, 0);
};

const reductions: Record<'none' | 'add' | 'mul' | 'max' | 'min', ScatterName> = {
  none: 'set',
  add: 'add',
  mul: 'mul',
  max: 'max',
  min: 'min',
};

/** Rows of x, taken as [rows, inner], change where `positions` says. */
export function scatterRows(
  node: OperatorContext,
  x: Value,
  positions: Value,
  updates: Value,
  rows: number,
  name: ScatterName,
): Value {
  const { builder } = node;
  const inner = elementCount(x.dims) / Math.max(rows, 1);
  const count = elementCount(positions.dims);
  if (elementCount(updates.dims) !== count * inner)
    throw new Error(`expected ${count} updates of ${inner} elements, got shape [${updates.dims.join(', ')}]`);
  const operands = [
    builder.reshape(x, [rows, inner]),
    builder.reshape(positions, [count]),
    builder.reshape(updates, [count, inner]),
  ];
  return builder.reshape(builder.add({ kind: 'scatter', name }, operands), x.dims);
}

export const scatterElements: Build = (node) => {
  const [x, indices, updates] = [node.input(0), node.input(1), node.input(2)];
  const axis = node.axis(node.int('axis', 0), x.dims.length);
  const positions = elementPositions(node, indices, x.dims, axis);
  const reduction = node.text('reduction', ['none', 'add', 'mul', 'max', 'min'], 'none');
  return scatterRows(node, x, positions, updates, elementCount(x.dims), reductions[reduction]);
};

/** Row numbers for tuples of indices, which are the last axis of `indices`; `batch` axes stand before what they name. */
function rowPositions(node: OperatorContext, indices: Value, dims: readonly number[], batch: number): Value {
  const { builder } = node;
  const last = indices.dims.length - 1;
  const length = indices.dims[last] ?? 0;
  const named = dims.slice(0, batch + length);
  if (last < batch || length < 1 || batch + length > dims.length)
    throw new Error(`expected tuples of indices into [${dims.join(', ')}], got shape [${indices.dims.join(', ')}]`);
  const strides = stridesOf(named);
  const outer = indices.dims.slice(0, last);
  const parts = Array.from({ length }, (_, i) => {
    const index = builder.reshape(builder.sliceAxis(indices, last, i, i + 1), outer);
    return step(node, index, dims[batch + i] as number, strides[batch + i] as number);
  });
  const offsets = outer
    .slice(0, batch)
    .map((_, axis) => builder.binary('mul', alongAxis(builder, outer, axis), number(node, strides[axis] as number)));
  return sum(node, [...parts, ...offsets]);
}

export const gatherNd: Build = (node) => {
  const { builder } = node;
  const [x, indices] = [node.input(0), node.input(1)];
  const batch = node.int('batch_dims', 0);
  const positions = rowPositions(node, indices, x.dims, batch);
  const named = batch + (indices.dims.at(-1) as number);
  const inner = x.dims.slice(named);
  const rows = builder.reshape(x, [elementCount(x.dims.slice(0, named)), ...inner]);
  return builder.gather(rows, positions, 0);
};

export const scatterNd: Build = (node) => {
  const [x, indices, updates] = [node.input(0), node.input(1), node.input(2)];
  const positions = rowPositions(node, indices, x.dims, 0);
  const rows = elementCount(x.dims.slice(0, indices.dims.at(-1) as number));
  const reduction = node.text('reduction', ['none', 'add', 'mul', 'max', 'min'], 'none');
  return scatterRows(node, x, positions, updates, rows, reductions[reduction]);
};

/** Writes a piece of a sequence into a cache, for each batch at its own place. */
export const tensorScatter: Build = (node) => {
  const { builder } = node;
  const [cache, update] = [node.input(0), node.input(1)];
  const axis = node.axis(node.int('axis', -2), cache.dims.length);
  if (axis === 0) throw new Error('attribute "axis": expected one behind the batch, got 0');
  const size = cache.dims[axis] as number;
  const outer = update.dims.slice(0, axis + 1);
  const batch = outer[0] as number;
  const given = node.optional(2);
  const starts = given
    ? builder.reshape(builder.cast(given, 'int64'), [batch, ...new Array<number>(axis).fill(1)])
    : number(node, 0);
  const place = builder.binary('add', alongAxis(builder, outer, axis), starts);
  const circular = node.text('mode', ['linear', 'circular'], 'linear') === 'circular';
  const index = circular ? builder.binary('mod', place, number(node, size)) : place;
  const strides = stridesOf(cache.dims.slice(0, axis + 1));
  const offsets = outer
    .slice(0, axis)
    .map((_, i) => builder.binary('mul', alongAxis(builder, outer, i), number(node, strides[i] as number)));
  const positions = builder.expand(sum(node, [step(node, index, size, 1), ...offsets]), outer);
  return scatterRows(node, cache, positions, update, elementCount(cache.dims.slice(0, axis + 1)), 'set');
};

/** The inverse of MaxPool: every element goes back to the place that the indices name. */
export const maxUnpool: Build = (node) => {
  const { builder } = node;
  const [x, indices] = [node.input(0), node.input(1)];
  const kernel = node.ints('kernel_shape') ?? [];
  const strides = node.ints('strides') ?? kernel.map(() => 1);
  const pads = node.ints('pads') ?? kernel.flatMap(() => [0, 0]);
  const [n = 0, c = 0, ...spatial] = x.dims;
  const inferred = spatial.map((size, axis) => {
    const padding = (pads[axis] as number) + (pads[axis + spatial.length] as number);
    return (size - 1) * (strides[axis] as number) + (kernel[axis] as number) - padding;
  });
  // Indices count in the picture that the window gives, which lies in the corner of a larger one that is asked for.
  const dims = [n, c, ...inferred];
  const count = elementCount(dims);
  const positions = builder.add({ kind: 'wrapIndices', size: count }, [indices]);
  const zeros = builder.expand(builder.literal(x.type, [], [0]), dims);
  const y = scatterRows(node, zeros, positions, x, count, 'set');
  const wanted = node.optionalIntegers(2);
  if (!wanted) return y;
  const ends = wanted.map((size, axis) => size - (dims[axis] as number));
  if (wanted.length !== dims.length || ends.some((end) => end < 0))
    throw new Error(`expected an output of at least [${dims.join(', ')}], got [${wanted}]`);
  return builder.add({ kind: 'pad', mode: 'constant', begins: ends.map(() => 0), ends, value: 0 }, [y]);
};

/** Turns the first `length` time steps of every batch around. */
export const reverseSequence: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const [time, batch] = [node.int('time_axis', 0), node.int('batch_axis', 1)];
  if (time + batch !== 1 || (time !== 0 && time !== 1))
    throw new Error(`expected the axes 0 and 1 for time and batch, got ${time} and ${batch}`);
  const [steps, count] = [x.dims[time] as number, x.dims[batch] as number];
  const at = iota(builder, steps, time === 0 ? [steps, 1] : [1, steps]);
  const lengths = builder.reshape(builder.cast(node.input(1), 'int64'), batch === 0 ? [count, 1] : [1, count]);
  const turned = builder.binary('sub', builder.binary('sub', lengths, number(node, 1)), at);
  const isInside = builder.add({ kind: 'compare', name: 'less' }, [at, lengths]);
  const source = builder.add({ kind: 'where' }, [isInside, turned, at]);
  const rowsOf = (axis: number): number => (axis === 0 ? (x.dims[1] as number) : 1);
  const batches = builder.binary(
    'mul',
    iota(builder, count, batch === 0 ? [count, 1] : [1, count]),
    number(node, rowsOf(batch)),
  );
  const positions = builder.binary('add', step(node, source, steps, rowsOf(time)), batches);
  const rows = builder.reshape(x, [steps * count, ...x.dims.slice(2)]);
  return builder.gather(rows, positions, 0);
};

/** Cuts or pads axes around their middle. */
export const centerCropPad: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const axes = node.ints('axes')?.map((axis) => node.axis(axis, x.dims.length)) ?? x.dims.map((_, axis) => axis);
  const wanted = node.integers(1);
  if (wanted.length !== axes.length || wanted.some((size) => size < 0))
    throw new Error(`expected ${axes.length} sizes, got [${wanted}]`);
  return axes.reduce((y, axis, i) => {
    const [size, target] = [y.dims[axis] as number, wanted[i] as number];
    if (target <= size) {
      const start = Math.floor((size - target) / 2);
      return builder.sliceAxis(y, axis, start, start + target);
    }
    const before = Math.floor((target - size) / 2);
    const at = (value: number): number[] => y.dims.map((_, each) => (each === axis ? value : 0));
    const pads = { begins: at(before), ends: at(target - size - before) };
    return builder.add({ kind: 'pad', mode: 'constant', ...pads, value: 0 }, [y]);
  }, x);
};

export const topK: Build = (node) => {
  const x = node.input(0);
  const axis = node.axis(node.int('axis', -1), x.dims.length);
  const k = node.opset < 10 ? node.int('k') : (node.integers(1)[0] as number);
  return node.builder.addAll({ kind: 'topK', axis, k, largest: node.flag('largest', true) }, [x]);
};

export function cumulate(product: boolean): Build {
  return (node) => {
    const x = node.input(0);
    const axis = node.axis(node.integers(1)[0] as number, x.dims.length);
    const [exclusive, reverse] = [node.flag('exclusive'), node.flag('reverse')];
    return node.builder.add({ kind: 'cumulate', axis, product, exclusive, reverse }, [x]);
  };
}
