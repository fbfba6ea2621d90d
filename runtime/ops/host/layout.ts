/** Operators that move elements without looking at them, for tensors of texts. Source: ONNX Operators.md. */
import { elementCount, type Tensor } from '../../engine/tensor.ts';
import type { EngineValue, StringTensor } from '../../engine/value.ts';
import {
  type AnyTensor,
  bools,
  boundedCount,
  broadcastDims,
  broadcastPlaces,
  concatenated,
  int64s,
  pick,
  placesOf,
  reshaped,
  stridesOf,
  texts,
} from './elements.ts';
import type { HostContext } from './host-context.ts';

export function identity(node: HostContext): EngineValue {
  return node.input(0);
}

export function constant(node: HostContext): StringTensor {
  if (node.has('value_string')) return texts([], [node.string('value_string', '')]);
  const list = node.texts('value_strings');
  if (list) return texts([list.length], list);
  const tensor = node.anyAttributeTensor('value');
  if (tensor.type !== 'string') throw new Error('assertion: a constant of numbers is for the kernels');
  return tensor;
}

export function constantOfShape(node: HostContext): StringTensor {
  const dims = node.wholeNumbers(0) ?? [];
  const [text = ''] = node.anyAttributeTensor('value').data as readonly string[];
  return texts(dims, Array<string>(boundedCount(dims)).fill(text));
}

/** An attribute until some version, an input from it on. */
function axesGiven(node: HostContext): number[] | undefined {
  return node.ints('axes') ?? node.wholeNumbers(1);
}

function inShape(source: AnyTensor, dims: readonly number[]): AnyTensor {
  if (elementCount(dims) !== elementCount(source.dims))
    throw new Error(`expected a shape of as many elements as [${source.dims}] has, got [${dims}]`);
  return reshaped(source, dims);
}

export function reshape(node: HostContext): AnyTensor {
  const source = node.anyTensor(0);
  const wanted = node.ints('shape') ?? node.wholeNumbers(1) ?? [];
  const zeroStays = node.flag('allowzero');
  const dims = wanted.map((dim, axis) => (dim === 0 && !zeroStays ? (source.dims[axis] ?? 0) : dim));
  const free = dims.indexOf(-1);
  if (dims.some((dim, axis) => dim < 0 && axis !== free))
    throw new Error(`expected a shape with at most one -1, got [${wanted}]`);
  if (free < 0) return inShape(source, dims);
  const others = elementCount(dims.with(free, 1));
  return inShape(source, dims.with(free, others === 0 ? 0 : elementCount(source.dims) / others));
}

export function flatten(node: HostContext): AnyTensor {
  const source = node.anyTensor(0);
  const rank = source.dims.length;
  const given = node.int('axis', 1);
  const axis = given === rank ? rank : node.axis(given, rank);
  return inShape(source, [elementCount(source.dims.slice(0, axis)), elementCount(source.dims.slice(axis))]);
}

export function squeeze(node: HostContext): AnyTensor {
  const source = node.anyTensor(0);
  const axes = axesGiven(node)?.map((axis) => node.axis(axis, source.dims.length));
  const wrong = axes?.find((axis) => source.dims[axis] !== 1);
  if (wrong !== undefined) throw new Error(`expected size 1 in axis ${wrong}, got [${source.dims}]`);
  return inShape(
    source,
    source.dims.filter((dim, axis) => (axes ? !axes.includes(axis) : dim !== 1)),
  );
}

export function unsqueeze(node: HostContext): AnyTensor {
  const source = node.anyTensor(0);
  const given = axesGiven(node) ?? [];
  const rank = source.dims.length + given.length;
  const axes = new Set(given.map((axis) => node.axis(axis, rank)));
  if (axes.size !== given.length) throw new Error(`expected axes that differ, got [${given}]`);
  const rest = source.dims.values();
  return inShape(
    source,
    Array.from({ length: rank }, (_, axis) => (axes.has(axis) ? 1 : (rest.next().value as number))),
  );
}

export function shape(node: HostContext): Tensor {
  const { dims } = node.anyTensor(0);
  const part = dims.slice(node.int('start', 0), node.int('end', dims.length));
  return int64s([part.length], part);
}

export function size(node: HostContext): Tensor {
  return int64s([], [elementCount(node.anyTensor(0).dims)]);
}

export function transpose(node: HostContext): AnyTensor {
  const source = node.anyTensor(0);
  const order = node.ints('perm') ?? [...source.dims.keys()].reverse();
  if (order.length !== source.dims.length || [...order].sort((a, b) => a - b).some((axis, i) => axis !== i))
    throw new Error(`expected an order of ${source.dims.length} axes, got [${order}]`);
  const strides = stridesOf(source.dims);
  const permuted = (list: readonly number[]): number[] => order.map((axis) => list[axis] as number);
  const dims = permuted(source.dims);
  return pick(source, dims, placesOf(dims, permuted(strides)));
}

/** From version 10 on, the bounds are inputs. */
export function slice(node: HostContext): AnyTensor {
  const source = node.anyTensor(0);
  const starts = node.ints('starts') ?? node.wholeNumbers(1) ?? [];
  const ends = node.ints('ends') ?? node.wholeNumbers(2) ?? [];
  const axes = node.ints('axes') ?? node.wholeNumbers(3) ?? [...starts.keys()];
  const steps = node.wholeNumbers(4) ?? starts.map(() => 1);
  const dims = [...source.dims];
  const strides = stridesOf(dims);
  let origin = 0;
  for (const [index, given] of axes.entries()) {
    const axis = node.axis(given, dims.length);
    const [length, step] = [source.dims[axis] as number, steps[index] ?? 0];
    const [low, high] = step < 0 ? [-1, length - 1] : [0, length];
    const bound = (at: number, least: number): number => Math.min(Math.max(at < 0 ? at + length : at, least), high);
    if (step === 0) throw new Error('expected steps other than 0');
    const start = bound(starts[index] ?? 0, 0);
    dims[axis] = Math.max(0, Math.ceil((bound(ends[index] ?? 0, low) - start) / step));
    origin += start * (strides[axis] as number);
    strides[axis] = (strides[axis] as number) * step;
  }
  return pick(source, dims, placesOf(dims, strides, origin));
}

export function gather(node: HostContext): AnyTensor {
  const source = node.anyTensor(0);
  const axis = node.axis(node.int('axis', 0), source.dims.length);
  const length = source.dims[axis] as number;
  const indices = (node.wholeNumbers(1) ?? []).map((index) => {
    if (!(index >= -length && index < length))
      throw new Error(`expected indices from ${-length} to ${length - 1}, got ${index}`);
    return index < 0 ? index + length : index;
  });
  const dims = source.dims.toSpliced(axis, 1, ...node.tensor(1).dims);
  const inner = elementCount(source.dims.slice(axis + 1));
  const places = new Int32Array(boundedCount(dims));
  let at = 0;
  for (let outer = 0; outer < elementCount(source.dims.slice(0, axis)); outer++) {
    for (const index of indices) {
      const start = (outer * length + index) * inner;
      for (let i = 0; i < inner; i++) places[at++] = start + i;
    }
  }
  return pick(source, dims, places);
}

export function concat(node: HostContext): AnyTensor {
  const parts = node.inputs.map((_, index) => node.anyTensor(index));
  return concatenated(parts, node.axis(node.int('axis', 1), parts[0]?.dims.length ?? 0));
}

export function expand(node: HostContext): AnyTensor {
  const source = node.anyTensor(0);
  const dims = broadcastDims(source.dims, node.wholeNumbers(1) ?? []);
  return pick(source, dims, broadcastPlaces(source.dims, dims));
}

export function tile(node: HostContext): AnyTensor {
  const source = node.anyTensor(0);
  const repeats = node.wholeNumbers(1) ?? [];
  if (repeats.length !== source.dims.length || repeats.some((count) => count < 0))
    throw new Error(`expected a count of 0 or more for each axis of [${source.dims}], got [${repeats}]`);
  const strides = stridesOf(source.dims);
  const places = placesOf(
    source.dims.flatMap((dim, axis) => [repeats[axis] as number, dim]),
    strides.flatMap((stride) => [0, stride]),
  );
  return pick(
    source,
    source.dims.map((dim, axis) => dim * (repeats[axis] as number)),
    places,
  );
}

export function where(node: HostContext): AnyTensor {
  const [condition, yes, no] = [node.tensor(0), node.anyTensor(1), node.anyTensor(2)];
  if (yes.type !== no.type) throw new Error(`expected choices of one type, got ${yes.type} and ${no.type}`);
  const dims = broadcastDims(condition.dims, yes.dims, no.dims);
  const [which, fromYes, fromNo] = [condition, yes, no].map((tensor) => broadcastPlaces(tensor.dims, dims));
  // Both in one list, so that one place names an element of either.
  const both = concatenated([reshaped(yes, [elementCount(yes.dims)]), reshaped(no, [elementCount(no.dims)])], 0);
  const places = fromYes?.map((place, i) =>
    condition.data[which?.[i] ?? 0] ? place : elementCount(yes.dims) + (fromNo?.[i] ?? 0),
  );
  return pick(both, dims, places ?? []);
}

export function equal(node: HostContext): Tensor {
  const [a, b] = [node.strings(0), node.strings(1)];
  const dims = broadcastDims(a.dims, b.dims);
  const [fromA, fromB] = [broadcastPlaces(a.dims, dims), broadcastPlaces(b.dims, dims)];
  return bools(
    dims,
    Array.from(fromA, (place, i) => a.data[place] === b.data[fromB[i] ?? 0]),
  );
}
