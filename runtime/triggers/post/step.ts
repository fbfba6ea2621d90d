/**
 * What a post-processing step is: a pure function from a model's outputs to a result that JSON can carry.
 * The table of steps is index.ts; each step is one file that exports `options` (zod) and `apply`.
 */
import type * as z from 'zod';
import { fromByteFloat } from '../../compile/minifloat.ts';
import { elementCount, isByteFloat, type Tensor } from '../../engine/tensor.ts';
import { type EngineValue, isHostValue } from '../../engine/value.ts';
import type { Placement } from '../../media/resize.ts';

export interface PostInput {
  readonly outputs: Readonly<Record<string, EngineValue>>;
  /** The tensors the model was fed; steps that compare input and output (anomaly score) read them. */
  readonly inputs?: Readonly<Record<string, Tensor>>;
  /** Where the source picture lies in the model's input; steps that report positions need it. */
  readonly placement?: Placement;
  /** The model's own class names or characters, in index order. A step's `labels` option goes before them. */
  readonly labels?: readonly string[];
  /** For windows of a stream: the first sample of this window, how many are new in it, and the rate in Hz. */
  readonly window?: { readonly start: number; readonly length: number; readonly rate: number };
  /** What this step returned as `state` for the previous message of the same stream; absent at its start. */
  readonly state?: unknown;
}

export interface PostResult {
  /** Plain objects, arrays, numbers, strings, booleans and null only. */
  readonly result: unknown;
  /** To be handed back with the stream's next message; absent for steps that remember nothing. */
  readonly state?: unknown;
}

export interface PostStep<Schema extends z.ZodType = z.ZodType> {
  readonly summary: string;
  /** Validates the options and fills in defaults; `apply` takes what it returns. */
  readonly options: Schema;
  /** Throws an Error that begins with the step's name when an output is missing or has an unexpected shape. */
  apply(input: PostInput, options: z.output<Schema>): PostResult;
}

/** The output called `name`, or the only one when no name is given; it must be a tensor of numbers. */
export function outputOf(step: string, input: PostInput, name?: string): Tensor {
  const names = Object.keys(input.outputs);
  if (name === undefined && names.length !== 1) {
    throw new Error(`${step}: expected option "output" to choose one of ${names.join(', ')}`);
  }
  const tensor = input.outputs[name ?? (names[0] as string)];
  if (!tensor) throw new Error(`${step}: the model has no output "${name}", it has ${names.join(', ')}`);
  if (isHostValue(tensor)) throw new Error(`${step}: expected a tensor of numbers, the output is a ${tensor.type}`);
  return tensor;
}

/** The tensor's elements as float32. A float32 tensor is returned as it is, not copied. */
export function floatsOf(tensor: Tensor): Float32Array {
  const { data, type } = tensor;
  if (data instanceof Float32Array) return data;
  if (type === 'bfloat16') {
    // A bfloat16 is the upper half of a float32.
    const words = Uint32Array.from(data as Uint16Array, (word) => word << 16);
    return new Float32Array(words.buffer);
  }
  if (type === 'float16') {
    const halves = data as Uint16Array;
    return Float32Array.from(new Float16Array(halves.buffer, halves.byteOffset, halves.length));
  }
  if (isByteFloat(type)) return Float32Array.from(data as Uint8Array, (byte) => fromByteFloat(type, byte));
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) return Float32Array.from(data, Number);
  return Float32Array.from(data);
}

/**
 * The tensor's dimensions once leading ones are dropped, so that `rank` are left. Steps look at one item at a time:
 * a batch of several is refused.
 */
export function itemDims(step: string, tensor: Tensor, rank: number): number[] {
  const dims = tensor.dims.slice(Math.max(0, tensor.dims.length - rank));
  if (dims.length < rank || elementCount(dims) !== elementCount(tensor.dims) || tensor.data.length === 0) {
    throw new Error(`${step}: expected one item of ${rank} dimensions, got shape [${tensor.dims.join(', ')}]`);
  }
  return dims;
}

export function placementOf(step: string, input: PostInput): Placement {
  if (input.placement) return input.placement;
  throw new Error(`${step}: expected a model whose input is a picture, this one was fed something else`);
}

/** `labels[index]`, or the index in words when the model came without names. */
export function labelOf(labels: readonly string[] | undefined, index: number): string {
  return labels?.[index] ?? `class ${index}`;
}

/** Rounded to `digits` decimals, so that results stay short on the wire. */
export function rounded(value: number, digits = 4): number {
  const scale = 10 ** digits;
  return Math.round(value * scale) / scale;
}
