/**
 * What is done to every element alike, or to every channel, can as well be done before a reshape, where it meets the convolution or
 * matrix product that made the elements: exporters put reshapes around products of more than two axes and 1-d convolutions.
 */
import type { Builder } from '../builder.ts';
import type { Value } from '../graph.ts';
import type { BinaryName } from '../instructions.ts';
import { sameDims } from '../strides.ts';
import { madeBy, type Pass, rewrite, type Visit } from './rewrite.ts';

const sourceOf = (builder: Builder, x: Value | undefined): Value | undefined =>
  madeBy(builder, x, 'reshape')?.inputs[0];

/** A constant that has one number, or one a channel, as [1] or [channels]. */
function perChannel(builder: Builder, value: Value, channels: number): Value | undefined {
  const inner = value.dims.at(-1) ?? 1;
  if (!value.constant || value.dims.slice(0, -1).some((size) => size !== 1)) return undefined;
  return inner === 1 || inner === channels ? builder.reshape(value, [inner]) : undefined;
}

function ofBinary(builder: Builder, name: BinaryName, inputs: readonly Value[]): Value | undefined {
  const sources = inputs.map((value) => sourceOf(builder, value));
  const [first, second] = sources;
  const [a, b] = inputs as [Value, Value];
  if (first && second && sameDims(a.dims, b.dims) && sameDims(first.dims, second.dims))
    return builder.reshape(builder.binary(name, first, second), a.dims);
  const at = first ? 0 : 1;
  const [shaped, source] = [inputs[at] as Value, sources[at]];
  const constant = source && perChannel(builder, inputs[1 - at] as Value, shaped.dims.at(-1) ?? 1);
  const channels = shaped.dims.at(-1);
  if (!source || !constant || source.dims.length === 0 || (inputs[1 - at]?.dims.length ?? 0) > shaped.dims.length)
    return undefined;
  if (constant.dims[0] !== 1 && source.dims.at(-1) !== channels) return undefined;
  const operands = at === 0 ? ([source, constant] as const) : ([constant, source] as const);
  return builder.reshape(builder.binary(name, ...operands), shaped.dims);
}

function move({ builder, node: { operation }, inputs }: Visit): Value | undefined {
  if (operation.kind === 'binary') return ofBinary(builder, operation.name, inputs as readonly Value[]);
  if (operation.kind !== 'unary') return undefined;
  const source = sourceOf(builder, inputs[0]);
  return source && builder.reshape(builder.add(operation, [source]), (inputs[0] as Value).dims);
}

export const moveBeforeReshapes: Pass = (graph, keys) => rewrite(graph, keys, move);
