/** Recipes: elements are moved, picked, repeated and put together, none is computed. */
import { type DataType, elementCount } from '../../../runtime/engine/tensor.ts';
import type { Attributes, GraphValue } from './graph.ts';
import { type Maker, plain, type Recipes } from './maker.ts';

const types: readonly DataType[] = ['float32', 'float32', 'float32', 'int32', 'int64', 'uint8', 'float16', 'bool'];

function bounds({ low, high }: GraphValue, ...more: number[]) {
  return { low: Math.min(low, ...more), high: Math.max(high, ...more) };
}

/** Sizes with the same product. */
function otherDims(maker: Maker, count: number): number[] {
  const dims: number[] = [];
  let left = count;
  for (let i = maker.between(0, 3); i > 0; i--) {
    const divisors = [1, 2, 3, 4, 5, 7, 8, 13].filter((size) => left % size === 0);
    const size = maker.random.pick(divisors);
    dims.push(size);
    left /= size;
  }
  return [...dims, left];
}

function reshape(maker: Maker): void {
  const x = maker.anyOf(types);
  const dims = otherDims(maker, elementCount(x.dims));
  const target = [...dims];
  if (maker.chance(0.4)) target[maker.random.below(dims.length)] = -1;
  else if (dims[0] === x.dims[0] && maker.chance(0.5)) target[0] = 0;
  maker.node('Reshape', [x, maker.integers(target)], {}, { dims, ...bounds(x) });
}

function flatten(maker: Maker): void {
  const x = maker.float(1);
  const axis = maker.between(-x.dims.length, x.dims.length);
  const cut = plain(axis, x.dims.length);
  const dims = [elementCount(x.dims.slice(0, cut)), elementCount(x.dims.slice(cut))];
  maker.node('Flatten', [x], { axis: { int: axis } }, { dims, ...bounds(x) });
}

function unsqueeze(maker: Maker): void {
  const x = maker.anyOf(types, 0, 4);
  const rank = x.dims.length + maker.between(1, 2);
  const axes = maker.axes(rank, rank - x.dims.length);
  const added = new Set(axes.map((axis) => plain(axis, rank)));
  const rest = [...x.dims];
  const dims = Array.from({ length: rank }, (_, axis) => (added.has(axis) ? 1 : (rest.shift() as number)));
  maker.node('Unsqueeze', [x, maker.integers(axes)], {}, { dims, ...bounds(x) });
}

function squeeze(maker: Maker): void {
  const dims = maker.dims(maker.between(2, 4)).map((size) => (maker.chance(0.4) ? 1 : size));
  dims[0] = 1;
  const x = maker.pick(
    (value) => value.type === 'float32' && value.dims.includes(1),
    () => maker.fresh('float32', dims),
  );
  const ones = x.dims.flatMap((size, axis) => (size === 1 ? [axis] : []));
  if (maker.chance(0.3)) {
    maker.node('Squeeze', [x], {}, { dims: x.dims.filter((size) => size !== 1), ...bounds(x) });
    return;
  }
  const axis = maker.random.pick(ones);
  const axes = maker.integers([maker.chance(0.3) ? axis - x.dims.length : axis]);
  maker.node('Squeeze', [x, axes], {}, { dims: x.dims.toSpliced(axis, 1), ...bounds(x) });
}

function transpose(maker: Maker): void {
  const x = maker.anyOf(types, 1);
  const perm = maker.chance(0.2)
    ? x.dims.map((_, axis) => x.dims.length - 1 - axis)
    : maker.random.shuffled(x.dims.length);
  const dims = perm.map((axis) => x.dims[axis] as number);
  const attributes: Attributes = maker.chance(0.1) ? {} : { perm: { ints: perm } };
  const reversed = x.dims.toReversed();
  maker.node('Transpose', [x], attributes, { dims: 'perm' in attributes ? dims : reversed, ...bounds(x) });
}

function concat(maker: Maker): void {
  const x = maker.anyOf(types, 1);
  const axis = maker.axis(x.dims.length);
  const at = plain(axis, x.dims.length);
  const values = [x];
  const others = (dims: readonly number[]) => dims.toSpliced(at, 1).join();
  for (let more = maker.between(1, 3); more > 0; more--)
    values.push(
      maker.pick(
        ({ type, dims }) => type === x.type && dims.length === x.dims.length && others(dims) === others(x.dims),
        () => maker.fresh(x.type, x.dims.with(at, maker.between(1, 5)), 0, 1),
      ),
    );
  const ordered = maker.random.shuffled(values.length).map((index) => values[index] as GraphValue);
  const dims = x.dims.with(
    at,
    values.reduce((sum, value) => sum + (value.dims[at] as number), 0),
  );
  const most = { low: Math.min(...values.map(({ low }) => low)), high: Math.max(...values.map(({ high }) => high)) };
  maker.node('Concat', ordered, { axis: { int: axis } }, { dims, ...most });
}

function split(maker: Maker): void {
  const x = maker.anyOf(types, 1);
  const axis = maker.axis(x.dims.length);
  const at = plain(axis, x.dims.length);
  const size = x.dims[at] as number;
  const parts: number[] = [];
  for (let left = size; left > 0; ) {
    const part = parts.length === 3 ? left : maker.between(1, left);
    parts.push(part);
    left -= part;
  }
  const [first, ...more] = parts.map((part) => ({ dims: x.dims.with(at, part), ...bounds(x) }));
  if (first) maker.node('Split', [x, maker.integers(parts)], { axis: { int: axis } }, first, ...more);
}

function slice(maker: Maker): void {
  const x = maker.anyOf(types, 1);
  const rank = x.dims.length;
  const axes = maker.axes(rank);
  const dims = [...x.dims];
  const [starts, ends, steps]: [number[], number[], number[]] = [[], [], []];
  for (const axis of axes) {
    const at = plain(axis, rank);
    const size = x.dims[at] as number;
    const step = maker.random.pick([1, 1, 1, 2, 3, -1, -2]);
    const start = maker.random.below(size);
    const length = maker.between(1, Math.ceil((step > 0 ? size - start : start + 1) / Math.abs(step)));
    const end = start + step * length;
    // From the end, or beyond it, where that says the same.
    const far = step > 0 ? 2 ** 40 : -(2 ** 40);
    const isLast = step > 0 ? end >= size : end < 0;
    starts.push(maker.chance(0.3) ? start - size : start);
    ends.push(isLast ? far : maker.chance(0.3) ? end - size : end);
    steps.push(step);
    dims[at] = length;
  }
  const inputs = [x, maker.integers(starts), maker.integers(ends), maker.integers(axes), maker.integers(steps)];
  maker.node('Slice', inputs, {}, { dims, ...bounds(x) });
}

function pad(maker: Maker): void {
  const x = maker.float(1, 4);
  const modes =
    maker.opset >= 19 ? ['constant', 'edge', 'reflect', 'wrap'] : ['constant', 'constant', 'edge', 'reflect'];
  const mode = maker.random.pick(modes);
  const most = (size: number) => (mode === 'reflect' ? Math.min(3, size - 1) : mode === 'wrap' ? Math.min(3, size) : 3);
  const begins = x.dims.map((size) => maker.between(0, most(size)));
  const ends = x.dims.map((size) => maker.between(0, most(size)));
  const dims = x.dims.map((size, axis) => size + (begins[axis] as number) + (ends[axis] as number));
  const value = mode === 'constant' && maker.chance(0.5) ? [maker.constant('float32', [], [maker.between(-2, 2)])] : [];
  const inputs = [x, maker.integers([...begins, ...ends]), ...value];
  maker.node('Pad', inputs, { mode: { text: mode } }, { dims, ...bounds(x, -2, 2) });
}

function tile(maker: Maker): void {
  const x = maker.anyOf(types, 1, 4);
  if (elementCount(x.dims) > 1500) return;
  const repeats = x.dims.map(() => maker.random.pick([1, 1, 2, 3]));
  if (elementCount(repeats) > 6) return;
  const dims = x.dims.map((size, axis) => size * (repeats[axis] as number));
  maker.node('Tile', [x, maker.integers(repeats)], {}, { dims, ...bounds(x) });
}

function expand(maker: Maker): void {
  const x = maker.anyOf(types, 0, 4);
  const dims = x.dims.map((size) => (size === 1 ? maker.between(1, 4) : size));
  if (maker.chance(0.3)) dims.unshift(maker.between(1, 3));
  if (elementCount(dims) > 8000) return;
  // A 1 in the wanted shape keeps the size.
  const wanted = dims.map((size) => (maker.chance(0.2) ? 1 : size));
  const kept = dims.map((size, axis) => (wanted[axis] === 1 ? (x.dims.at(axis - dims.length) ?? 1) : size));
  maker.node('Expand', [x, maker.integers(wanted)], {}, { dims: kept, ...bounds(x) });
}

/** [first, second] of what is rearranged between channels and space. */
function blocks(operator: 'DepthToSpace' | 'SpaceToDepth'): Recipes {
  return {
    [operator]: (maker) => {
      const block = maker.between(1, 3);
      const [n, c, h, w] = [maker.between(1, 2), maker.between(1, 4), maker.between(1, 5), maker.between(1, 5)];
      const deep = [n, c * block * block, h, w];
      const wide = [n, c, h * block, w * block];
      const [from, dims] = operator === 'DepthToSpace' ? [deep, wide] : [wide, deep];
      const x = maker.pick(
        (value) => value.type === 'float32' && value.dims.join() === from.join(),
        () => maker.fresh('float32', from),
      );
      const mode: Attributes =
        operator === 'DepthToSpace' && maker.chance(0.6) ? { mode: { text: maker.random.pick(['DCR', 'CRD']) } } : {};
      maker.node(operator, [x], { blocksize: { int: block }, ...mode }, { dims, ...bounds(x) });
    },
  };
}

/** Indices below a size, from the end now and then; a constant, or given to the run. */
function indices(maker: Maker, dims: readonly number[], size: number, negative = true): GraphValue {
  return maker.fresh(maker.random.pick(['int64', 'int32']), dims, negative ? -size : 0, size - 1);
}

function gather(maker: Maker): void {
  const x = maker.anyOf(types, 1, 4);
  const axis = maker.axis(x.dims.length);
  const at = plain(axis, x.dims.length);
  const chosen = indices(
    maker,
    maker.dims(maker.between(0, 2)).map((size) => Math.min(size, 4)),
    x.dims[at] as number,
  );
  const dims = x.dims.toSpliced(at, 1, ...chosen.dims);
  if (elementCount(dims) > 8000) return;
  maker.node('Gather', [x, chosen], { axis: { int: axis } }, { dims, ...bounds(x) });
}

function gatherElements(maker: Maker): void {
  const x = maker.anyOf(types, 1, 4);
  const axis = maker.axis(x.dims.length);
  const at = plain(axis, x.dims.length);
  const dims = x.dims.map((size, i) => (i === at ? maker.between(1, 6) : maker.between(1, size)));
  const chosen = indices(maker, dims, x.dims[at] as number);
  maker.node('GatherElements', [x, chosen], { axis: { int: axis } }, { dims, ...bounds(x) });
}

function gatherNd(maker: Maker): void {
  const x = maker.float(1, 4);
  const depth = maker.between(1, x.dims.length);
  const size = Math.min(...x.dims.slice(0, depth));
  const outer = [maker.between(1, 4)];
  const chosen = maker.fresh('int64', [...outer, depth], -size, size - 1);
  maker.node('GatherND', [x, chosen], {}, { dims: [...outer, ...x.dims.slice(depth)], ...bounds(x) });
}

/** Each place is written once, or the result would depend on the order. */
function scatterElements(maker: Maker): void {
  const x = maker.float(1, 3);
  const axis = maker.random.below(x.dims.length);
  const dims = x.dims.map((size) => maker.between(1, size));
  const taken = maker.random.shuffled(x.dims[axis] as number);
  const inner = elementCount(dims.slice(axis + 1));
  const places = Array.from(
    { length: elementCount(dims) },
    (_, i) => taken[Math.floor(i / inner) % (dims[axis] as number)] as number,
  );
  const updates = maker.fresh('float32', dims);
  const inputs = [x, maker.constant('int64', dims, places), updates];
  const reduction: Attributes = maker.opset >= 16 && maker.chance(0.4) ? { reduction: { text: 'add' } } : {};
  maker.node(
    'ScatterElements',
    inputs,
    { axis: { int: axis }, ...reduction },
    { dims: x.dims, low: x.low - 2, high: x.high + 2 },
  );
}

function scatterNd(maker: Maker): void {
  const x = maker.float(1, 4);
  const rows = maker.random.shuffled(x.dims[0] as number).slice(0, maker.between(1, x.dims[0] as number));
  const updates = maker.fresh('float32', [rows.length, ...x.dims.slice(1)]);
  maker.node(
    'ScatterND',
    [x, maker.constant('int64', [rows.length, 1], rows), updates],
    {},
    { dims: x.dims, ...bounds(x, -2, 2) },
  );
}

function oneHot(maker: Maker): void {
  const depth = maker.between(1, 6);
  const chosen = maker.fresh(
    'int64',
    maker.dims(maker.between(1, 2)).map((size) => Math.min(size, 8)),
    -depth,
    depth - 1,
  );
  const axis = maker.axis(chosen.dims.length + 1);
  const dims = chosen.dims.toSpliced(plain(axis, chosen.dims.length + 1), 0, depth);
  const values = maker.constant('float32', [2], [-1, 3]);
  const inputs = [chosen, maker.constant('int64', [], [depth]), values];
  maker.node('OneHot', inputs, { axis: { int: axis } }, { dims, type: 'float32', low: -1, high: 3 });
}

function shape(maker: Maker): void {
  const x = maker.anyOf(types, 1);
  maker.node('Shape', [x], {}, { dims: [x.dims.length], type: 'int64', low: 0, high: 1e4 });
}

function size(maker: Maker): void {
  const x = maker.anyOf(types, 0);
  maker.node('Size', [x], {}, { dims: [], type: 'int64', low: 0, high: 1e4 });
}

function trilu(maker: Maker): void {
  const x = maker.float(2, 4);
  const upper = { upper: { int: maker.random.below(2) } };
  const inputs = maker.chance(0.5) ? [x, maker.constant('int64', [], [maker.between(-3, 3)])] : [x];
  maker.node('Trilu', inputs, upper, { dims: x.dims, ...bounds(x, 0) });
}

function reverseSequence(maker: Maker): void {
  const x = maker.float(2, 4);
  const batch = maker.random.below(2);
  const lengths = maker.fresh('int64', [x.dims[batch] as number], 1, x.dims[1 - batch] as number);
  const attributes = { batch_axis: { int: batch }, time_axis: { int: 1 - batch } };
  maker.node('ReverseSequence', [x, lengths], attributes, { dims: x.dims, ...bounds(x) });
}

function eyeLike(maker: Maker): void {
  const x = maker.float(2, 2);
  maker.node('EyeLike', [x], { k: { int: maker.between(-3, 3) } }, { dims: x.dims, low: 0, high: 1 });
}

/** Exporters reach shapes so: the shape of a value, a part of it, and Reshape to what comes out. */
function reshapeByShape(maker: Maker): void {
  const x = maker.float(2, 4);
  const rank = x.dims.length;
  const whole = maker.node('Shape', [x], {}, { dims: [rank], type: 'int64', low: 0, high: 1e4 });
  const part = maker.node(
    'Slice',
    [whole, maker.integers([0]), maker.integers([1])],
    {},
    { dims: [1], type: 'int64', low: 0, high: 1e4 },
  );
  const target = maker.node('Concat', [part, maker.integers([-1])], { axis: { int: 0 } }, { dims: [2], type: 'int64' });
  const dims = [x.dims[0] as number, elementCount(x.dims.slice(1))];
  maker.node('Reshape', [x, target], {}, { dims, ...bounds(x) });
}

/** No elements at all, which the standard allows. */
function empty(maker: Maker): void {
  const dims = maker.dims(maker.between(1, 3));
  const x = maker.fresh('float32', dims.with(maker.random.below(dims.length), 0));
  const operator = maker.random.pick(['Relu', 'Exp', 'Neg', 'Identity', 'Floor']);
  maker.node(operator, [x], {}, { dims: x.dims });
}

export const arranging: Recipes = {
  Reshape: reshape,
  Flatten: flatten,
  Unsqueeze: unsqueeze,
  Squeeze: squeeze,
  Transpose: transpose,
  Concat: concat,
  Split: split,
  Slice: slice,
  Pad: pad,
  Tile: tile,
  Expand: expand,
  ...blocks('DepthToSpace'),
  ...blocks('SpaceToDepth'),
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherNd,
  ScatterElements: scatterElements,
  ScatterND: scatterNd,
  OneHot: oneHot,
  Shape: shape,
  Size: size,
  Trilu: trilu,
  ReverseSequence: reverseSequence,
  EyeLike: eyeLike,
  reshapeByShape,
  empty,
};
