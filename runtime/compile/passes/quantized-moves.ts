/**
 * What only moves elements moves integers as well as floats, a quarter of the bytes: dequantise → move becomes move →
 * dequantise, and where a quantisation with the same scale follows, both vanish.
 */
import type { Builder } from '../builder.ts';
import type { Operation, Value } from '../graph.ts';
import { madeBy, type Pass, rewrite, scalarOf, type Visit } from './rewrite.ts';

interface Dequantized {
  readonly values: Value;
  readonly scale: Value;
  readonly zero: Value;
  readonly factor: number;
  readonly offset: number;
}

/** A value that 8-bit integers of one scale stand behind. */
function dequantized(builder: Builder, value: Value | undefined): Dequantized | undefined {
  const [values, scale, zero] = (madeBy(builder, value, 'dequantize')?.inputs ?? []) as Value[];
  const [factor, offset] = [scalarOf(scale), scalarOf(zero)];
  if (!values || !scale || !zero || !factor || offset === undefined) return undefined;
  if (values.type !== 'int8' && values.type !== 'uint8') return undefined;
  return { values, scale, zero, factor, offset };
}

/** The same movement of the integers, where there is one. */
function onIntegers(operation: Operation, { factor, offset }: Dequantized): Operation | undefined {
  switch (operation.kind) {
    case 'reshape':
    case 'transpose':
    case 'slice':
    case 'expand':
      return operation;
    case 'pad':
      if (operation.mode === 'constant' && operation.value !== 0) return undefined;
      return Number.isInteger(offset) && factor > 0 ? { ...operation, value: offset } : undefined;
    default:
      return undefined;
  }
}

function sameScale(a: Dequantized, b: Dequantized): boolean {
  return a.factor === b.factor && a.offset === b.offset && a.values.type === b.values.type;
}

function moveConcat({ builder, inputs, isOnlyReader }: Visit, operation: Operation): Value | undefined {
  const sources = inputs.map((value, index) => (isOnlyReader(index) ? dequantized(builder, value) : undefined));
  const [first] = sources;
  if (!first || !sources.every((each) => each && sameScale(each, first))) return undefined;
  const joined = builder.add(
    operation,
    sources.map((each) => each?.values),
  );
  return builder.add({ kind: 'dequantize' }, [joined, first.scale, first.zero]);
}

function move(visit: Visit): Value | undefined {
  const { builder, node, inputs, isOnlyReader } = visit;
  const { operation } = node;
  if (operation.kind === 'concat') return moveConcat(visit, operation);
  const source = dequantized(builder, inputs[0]);
  if (!source) return undefined;
  if (operation.kind === 'quantize') {
    const same = scalarOf(inputs[1]) === source.factor && scalarOf(inputs[2]) === source.offset;
    return same && operation.to === source.values.type ? source.values : undefined;
  }
  const moved = isOnlyReader(0) ? onIntegers(operation, source) : undefined;
  if (!moved) return undefined;
  const values =
    moved.kind === 'transpose'
      ? builder.transpose(source.values, moved.perm)
      : moved.kind === 'reshape'
        ? builder.reshape(source.values, moved.dims)
        : builder.add(moved, [source.values]);
  return builder.add({ kind: 'dequantize' }, [values, source.scale, source.zero]);
}

export const moveIntegers: Pass = (graph, keys) => rewrite(graph, keys, move);
