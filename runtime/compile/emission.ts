/** What an emitter sees of its node: where values lie, and the assembler that takes its instructions. */
import type { TypedArray } from '../engine/tensor.ts';
import type { Assembler } from './assembler.ts';
import type { Node, Operation, Value } from './graph.ts';
import type { Address } from './instructions.ts';
import { UnsupportedError } from './program.ts';

export interface Emission<Kind extends Operation = Operation> {
  readonly assembler: Assembler;
  readonly node: Node;
  readonly operation: Kind;
  /** The memory that the emitter asked for. */
  readonly scratch: Address;
  /** The output lies inside the first input already. */
  readonly isView: boolean;
  /** Where a value lies. */
  at(value: Value): Address;
  /** Elements from one pixel of it to the next: as many as it has channels, unless it lies inside a concatenation of them. */
  pixelStride(value: Value): number;
  /** Whether an operand of a concatenation lies in its place already. */
  isInPlace(operand: Value): boolean;
  /** Where a constant lies in the form that `make` gives it; `form` tells the forms of one constant apart. */
  packed(value: Value, form: string, make: (data: TypedArray) => ArrayBufferView): Address;
  /** Where a table of this program lies; `make` is called once for each owner. */
  table(owner: object, make: () => ArrayBufferView): Address;
}

/** Instructions of one kind of operation, and the scratch memory that they need, in bytes. */
export interface Emitter<Kind extends Operation = Operation> {
  readonly scratchBytes?: (node: Node, operation: Kind, assembler: Assembler) => number;
  emit(emission: Emission<Kind>): void;
}

export type OperationOf<Kind extends Operation['kind']> = Extract<Operation, { kind: Kind }>;

export function inputOf(node: Node, index: number): Value {
  const value = node.inputs[index];
  if (!value) throw new Error(`assertion: ${node.operation.kind} without input ${index}`);
  return value;
}

export function outputOf(node: Node): Value {
  return node.outputs[0] as Value;
}

/** Refuses what the kernels cannot reckon with: they know float32. */
export function requireFloat32(node: Node, ...values: (Value | undefined)[]): void {
  const other = values.find((value) => value && value.type !== 'float32');
  if (other)
    throw new UnsupportedError(
      `node "${node.origin}": ${node.operation.kind} of ${other.type} values is not supported`,
    );
}

/** A constant as the float32 array that the packing functions take. */
export function floats(data: TypedArray): Float32Array {
  if (!(data instanceof Float32Array))
    throw new Error(`assertion: expected float32 weights, got ${data.constructor.name}`);
  return data;
}
