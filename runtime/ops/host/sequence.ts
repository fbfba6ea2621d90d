/** Sequences and optionals. Source: ONNX Operators.md. */
import type { EngineValue, OptionalValue, SequenceValue } from '../../engine/value.ts';
import {
  type AnyTensor,
  bools,
  concatenated,
  ELEMENTS_MAX,
  int64s,
  pick,
  placesOf,
  reshaped,
  stridesOf,
} from './elements.ts';
import type { HostContext } from './host-context.ts';

function sequenceOf(items: readonly EngineValue[]): SequenceValue {
  const [first] = items;
  for (const item of items) {
    if (item.type !== first?.type)
      throw new Error(`expected a sequence of one type, got ${first?.type} and ${item.type}`);
  }
  return { type: 'sequence', items };
}

export function sequenceEmpty(): SequenceValue {
  return sequenceOf([]);
}

export function sequenceConstruct(node: HostContext): SequenceValue {
  return sequenceOf(node.inputs.map((_, index) => node.anyTensor(index)));
}

/** The optional input that says where, counted from the front. */
function position(node: HostContext, index: number, otherwise: number, length: number, last: number): number {
  const [given = otherwise] = node.wholeNumbers(index) ?? [];
  if (!(given >= -length && given <= last))
    throw new Error(`expected a position from ${-length} to ${last} in a sequence of ${length}, got ${given}`);
  return given < 0 ? given + length : given;
}

export function sequenceAt(node: HostContext): EngineValue {
  const { items } = node.sequence(0);
  if (!node.inputs[1]) throw new Error('expected a position, got none');
  return items[position(node, 1, 0, items.length, items.length - 1)] as EngineValue;
}

export function sequenceInsert(node: HostContext): SequenceValue {
  const { items } = node.sequence(0);
  return sequenceOf(items.toSpliced(position(node, 2, items.length, items.length, items.length), 0, node.input(1)));
}

export function sequenceErase(node: HostContext): SequenceValue {
  const { items } = node.sequence(0);
  return sequenceOf(items.toSpliced(position(node, 1, items.length - 1, items.length, items.length - 1), 1));
}

export function sequenceLength(node: HostContext): AnyTensor {
  return int64s([], [node.sequence(0).items.length]);
}

/** Lengths of the parts along the axis: a scalar `split` gives the length of all but the last. */
function partLengths(split: readonly number[] | undefined, scalar: boolean, whole: number): number[] {
  const [length = 1] = split ?? [];
  if (split && !scalar) {
    if (split.some((part) => part < 0) || split.reduce((sum, part) => sum + part, 0) !== whole)
      throw new Error(`expected lengths of parts that sum up to ${whole}, got [${split}]`);
    return [...split];
  }
  if (!(length > 0)) throw new Error(`expected parts of a length of 1 or more, got ${length}`);
  const count = Math.ceil(whole / length);
  return Array.from({ length: count }, (_, part) => Math.min(length, whole - part * length));
}

export function splitToSequence(node: HostContext): SequenceValue {
  const source = node.anyTensor(0);
  const axis = node.axis(node.int('axis', 0), source.dims.length);
  const split = node.wholeNumbers(1);
  const lengths = partLengths(split, node.inputs[1] ? node.tensor(1).dims.length === 0 : true, source.dims[axis] ?? 0);
  if (lengths.length > ELEMENTS_MAX) throw new Error(`expected at most ${ELEMENTS_MAX} parts, got ${lengths.length}`);
  const strides = stridesOf(source.dims);
  const keep = split !== undefined || node.flag('keepdims', true);
  let start = 0;
  const items = lengths.map((length) => {
    const dims = source.dims.with(axis, length);
    const places = placesOf(dims, strides, start * (strides[axis] as number));
    start += length;
    return pick(source, keep ? dims : dims.toSpliced(axis, 1), places);
  });
  return sequenceOf(items);
}

export function concatFromSequence(node: HostContext): AnyTensor {
  const items = node.sequence(0).items.map((item) => {
    if (!('dims' in item)) throw new Error(`expected a sequence of tensors, got one of ${item.type}`);
    return item;
  });
  const rank = items[0]?.dims.length ?? 0;
  if (!node.flag('new_axis')) return concatenated(items, node.axis(node.int('axis'), rank));
  const axis = node.axis(node.int('axis'), rank + 1);
  return concatenated(
    items.map((item) => reshaped(item, item.dims.toSpliced(axis, 0, 1))),
    axis,
  );
}

export function optional(node: HostContext): OptionalValue {
  return { type: 'optional', value: node.inputs[0] };
}

/** Since version 18 the input may also be what an optional would hold. */
export function optionalGetElement(node: HostContext): EngineValue {
  const value = node.input(0);
  if (value.type !== 'optional') return value;
  if (!value.value) throw new Error('expected an optional that holds a value, got an empty one');
  return value.value;
}

export function optionalHasElement(node: HostContext): AnyTensor {
  const [value] = node.inputs;
  return bools([], [value?.type === 'optional' ? value.value !== undefined : value !== undefined]);
}
