/**
 * dequantise → functions of each element, or of each element and its channel → quantise: an 8-bit number has 256 values, so the results
 * of all of them make a table, and what remains is to look up. The table is computed by the same steps, and so holds the same numbers.
 */
import { type DataType, elementCount } from '../../engine/tensor.ts';
import type { Builder } from '../builder.ts';
import { tensorOf } from '../evaluate.ts';
import type { Node, Operation, Value } from '../graph.ts';
import { madeBy, type OperationOf, type Pass, rewrite, scalarOf, type Visit } from './rewrite.ts';

/** A table is worth it when it is looked up this much oftener than it has entries. */
const USES_MIN = 4;
const STEPS_MAX = 16;
const PATTERNS = 256;

/** How one step is done again on a table of values. */
interface Step {
  readonly operation: Operation;
  /** The inputs; `undefined` stands for the table. */
  readonly constants: readonly (Value | undefined)[];
}

interface Chain {
  readonly values: Value;
  readonly steps: readonly Step[];
  /** 1 where all channels share a table. */
  readonly channels: number;
}

/** [1, channels] or [1, 1] when a constant has one number, or one a channel of a value with these dimensions. */
function perChannel(builder: Builder, value: Value | undefined, dims: readonly number[]): Value | undefined {
  if (!value?.constant || value.dims.length > dims.length || value.dims.slice(0, -1).some((size) => size !== 1))
    return undefined;
  const size = elementCount(value.dims);
  return size === 1 || size === dims.at(-1) ? builder.reshape(value, [1, size]) : undefined;
}

const isByte = ({ type }: Value): boolean => type === 'int8' || type === 'uint8';

/** The step that a node does, and which of its inputs goes through it. */
function stepOf(builder: Builder, { operation, inputs, outputs }: Node): { step: Step; x: Value } | undefined {
  const kinds: readonly Operation['kind'][] = ['unary', 'binary', 'dequantize'];
  if (!kinds.includes(operation.kind)) return undefined;
  const { dims } = outputs[0] as Value;
  const at = operation.kind === 'binary' && inputs[0]?.constant ? 1 : 0;
  const x = inputs[at] as Value;
  if (x.constant || x.dims.join() !== dims.join()) return undefined;
  const constants = inputs.map((value, i) => (i === at ? undefined : perChannel(builder, value, dims)));
  if (constants.some((value, i) => i !== at && !value)) return undefined;
  return { step: { operation, constants }, x };
}

/** The steps from 8-bit integers to `value`, the first first. */
function chainOf(builder: Builder, value: Value): Chain | undefined {
  const steps: Step[] = [];
  let x = value;
  while (steps.length < STEPS_MAX) {
    const node = builder.producerOf(x);
    const found = node && stepOf(builder, node);
    if (!found) return undefined;
    steps.unshift(found.step);
    x = found.x;
    if (found.step.operation.kind !== 'dequantize') continue;
    const sizes = steps.flatMap(({ constants }) => constants.map((constant) => constant?.dims[1] ?? 1));
    return isByte(x) ? { values: x, steps, channels: Math.max(...sizes) } : undefined;
  }
  return undefined;
}

/** Every 8-bit number for every channel, in the order of the bit patterns, by which they are looked up. */
function allBytes(builder: Builder, type: DataType, channels: number): Value {
  const dims = [PATTERNS, channels];
  const numbers = Array.from({ length: PATTERNS * channels }, (_, i) => {
    const pattern = Math.floor(i / channels);
    return type === 'int8' && pattern > 127 ? pattern - PATTERNS : pattern;
  });
  return builder.constant(tensorOf(type, dims, numbers), `all ${type} for ${channels}`);
}

/** What `quantise(value)` is as 8-bit integers that were looked up. */
function lookedUp(
  builder: Builder,
  value: Value,
  operation: OperationOf<'quantize'>,
  to: readonly Value[],
): Value | undefined {
  const chain = chainOf(builder, value);
  const target = to.map((each) => perChannel(builder, each, value.dims));
  if (!chain || target.some((each) => !each)) return undefined;
  const channels = Math.max(chain.channels, ...target.map((each) => each?.dims[1] ?? 1));
  if (elementCount(value.dims) < USES_MIN * PATTERNS * channels) return undefined;
  let table = allBytes(builder, chain.values.type, channels);
  for (const step of [...chain.steps, { operation, constants: [undefined, ...target] }])
    table = builder.add(
      step.operation,
      step.constants.map((constant) => constant ?? table),
    );
  return builder.add({ kind: 'lookup' }, [chain.values, table]);
}

function look({ builder, node: { operation }, inputs, isOnlyReader }: Visit): Value | undefined {
  if (operation.kind !== 'quantize' || (operation.to !== 'int8' && operation.to !== 'uint8')) return undefined;
  const [x, ...to] = inputs as [Value, Value, Value];
  const concat = isOnlyReader(0) ? madeBy(builder, x, 'concat') : undefined;
  if (!concat || to.some((each) => scalarOf(each) === undefined)) return lookedUp(builder, x, operation, to);
  const parts = concat.inputs.map((part) => lookedUp(builder, part as Value, operation, to));
  return parts.every((part) => part !== undefined) ? builder.add(concat.operation, parts) : undefined;
}

export const lookUpFunctions: Pass = (graph, keys) => rewrite(graph, keys, look);
