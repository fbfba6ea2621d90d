/** Builds kernel graphs: infers shapes, folds constants, drops operations that do nothing, shares equal ones. */
import { type DataType, elementBytes, elementCount, type Tensor, type TypedArray } from '../engine/tensor.ts';
import { KEPT_BYTES_MAX } from '../onnx/limits.ts';
import { isDataType } from '../onnx/tensor-data.ts';
import { evaluate, tensorOf } from './evaluate.ts';
import type { Constant, KernelGraph, Node, Operation, Value } from './graph.ts';
import { isHalf } from './half.ts';
import { inferOutputs, type TypeAndDims } from './infer.ts';
import type { BinaryName, ReduceName, UnaryName } from './instructions.ts';
import { FOLDED_ELEMENTS_MAX, KERNEL_NODES_MAX, SPACE_BYTES_MAX } from './limits.ts';
import { lower, reckons } from './lower.ts';
import type { CastMode } from './minifloat.ts';
import { NotStaticError, UnsupportedError } from './program.ts';
import { composePerms, keepsOrder, sameDims } from './strides.ts';

/**
 * Short names for derived constants. One table a model, so that all its programs give equal contents equal names.
 * A table that replaces another is of another generation: its names differ from those of the older ones.
 */
export class ConstantKeys {
  readonly #names = new Map<string, string>();
  readonly #generation: number;

  constructor(generation = 0) {
    this.#generation = generation;
  }

  get size(): number {
    return this.#names.size;
  }

  derive(description: string): string {
    let name = this.#names.get(description);
    if (name === undefined) {
      name = `derived ${this.#generation}.${this.#names.size}`;
      this.#names.set(description, name);
    }
    return name;
  }

  /** What they describe, and names, but for the first `count`. */
  since(count: number): (readonly [string, string])[] {
    return [...this.#names].slice(count);
  }

  /** Takes over what another table of this generation has named. */
  learn(names: Iterable<readonly [string, string]>): void {
    for (const [description, name] of names) this.#names.set(description, name);
  }
}

/**
 * A constant that is computed when it is read: a program whose weights are packed already never asks. Large contents are not kept
 * longer than they are of use: folding a network's normalisations into its weights would else hold each of them several times over.
 */
export class DerivedTensor implements Tensor {
  readonly type: DataType;
  readonly dims: readonly number[];
  readonly #operands: readonly Tensor[];
  readonly #compute: () => TypedArray;
  /** Constants derived from this one that were not computed yet. */
  #readers = 0;
  #wasComputed = false;
  #data: TypedArray | undefined;

  constructor(type: DataType, dims: readonly number[], operands: readonly Tensor[], compute: () => TypedArray) {
    this.type = type;
    this.dims = dims;
    this.#operands = operands;
    this.#compute = compute;
    for (const operand of operands) if (operand instanceof DerivedTensor) operand.#readers++;
  }

  get data(): TypedArray {
    this.#data ??= this.#compute();
    if (this.#wasComputed) return this.#data;
    this.#wasComputed = true;
    for (const operand of this.#operands)
      if (operand instanceof DerivedTensor) {
        operand.#readers--;
        if (operand.#readers === 0) operand.forget();
      }
    return this.#data;
  }

  /** Drops large contents; they are computed again should somebody ask. */
  forget(): void {
    if (this.#data && this.#data.byteLength > KEPT_BYTES_MAX) this.#data = undefined;
  }
}

/** A text that equal operations share. JSON knows no infinities, so they are written as words. */
function describe(operation: Operation): string {
  return JSON.stringify(operation, (_, value) => (typeof value === 'number' ? String(value) : value));
}

export class Builder {
  readonly nodes: Node[] = [];
  /** Name of the ONNX node that the next operations come from. */
  origin = '';
  readonly keys: ConstantKeys;
  readonly #numbers = new Map<Value, number>();
  readonly #known = new Map<string, readonly Value[]>();
  readonly #producers = new Map<Value, Node>();
  /** Half-precision results → the float32 values that they were rounded from. */
  readonly #unrounded = new Map<Value, Value>();

  constructor(keys: ConstantKeys) {
    this.keys = keys;
  }

  producerOf(value: Value | undefined): Node | undefined {
    return value && this.#producers.get(value);
  }

  constant(tensor: Tensor, key?: string): Value {
    return { type: tensor.type, dims: tensor.dims, constant: { tensor, key } };
  }

  /** A small constant given by the compiler itself. */
  literal(type: DataType, dims: readonly number[], values: readonly number[]): Value {
    const key =
      values.length > 16
        ? undefined
        : `literal ${type} [${dims}] ${values.map((value) => (Object.is(value, -0) ? '-0' : value))}`;
    return this.constant(tensorOf(type, dims, values), key);
  }

  scalar(value: number): Value {
    return this.literal('float32', [], [value]);
  }

  input(type: DataType, dims: readonly number[]): Value {
    return checked({ type, dims });
  }

  /** Adds an operation of one output. */
  add(operation: Operation, inputs: readonly (Value | undefined)[]): Value {
    return this.addAll(operation, inputs)[0] as Value;
  }

  addAll(operation: Operation, inputs: readonly (Value | undefined)[]): readonly Value[] {
    const unchanged = withoutEffect(operation, inputs);
    if (unchanged) return [unchanged];
    const adapted = this.#inFloat32(operation, inputs) ?? lower(this, operation, inputs);
    if (adapted) return adapted;
    const text = describe(operation);
    const known = `${text} ${inputs.map((value) => value && this.#number(value))}`;
    const before = this.#known.get(known);
    if (before) return before;
    const results = inferOutputs(operation, inputs);
    const folded = this.#fold(operation, text, inputs, results);
    const outputs = folded ? [folded] : results.map(({ type, dims }) => checked({ type, dims }));
    this.#known.set(known, outputs);
    if (!folded) this.#addNode({ origin: this.origin, operation, inputs, outputs });
    return outputs;
  }

  /**
   * Half-precision floats are storage: what reckons with them works in float32, and what follows reads its unrounded results.
   * Nothing that is not read remains, so in a half-precision model only inputs and outputs are converted.
   */
  #inFloat32(operation: Operation, inputs: readonly (Value | undefined)[]): readonly Value[] | undefined {
    const half = inputs.find((value) => value && isHalf(value.type))?.type;
    if (half === undefined || operation.kind === 'cast' || operation.kind === 'bitCast') return undefined;
    if (!reckons(operation) && !inputs.some((value) => value && this.#unrounded.has(value))) return undefined;
    const widened = inputs.map((value) => {
      if (!value || !isHalf(value.type)) return value;
      return this.#unrounded.get(value) ?? this.cast(value, 'float32');
    });
    return this.addAll(operation, widened).map((result) => {
      if (result.type !== 'float32') return result;
      const rounded = this.cast(result, half);
      this.#unrounded.set(rounded, result);
      return rounded;
    });
  }

  #addNode(node: Node): void {
    if (this.nodes.length === KERNEL_NODES_MAX)
      throw new NotStaticError(`a program of more than ${KERNEL_NODES_MAX} operations is not supported`);
    this.nodes.push(node);
    for (const output of node.outputs) this.#producers.set(output, node);
  }

  #number(value: Value): number {
    let number = this.#numbers.get(value);
    if (number === undefined) {
      number = this.#numbers.size;
      this.#numbers.set(value, number);
    }
    return number;
  }

  #fold(
    operation: Operation,
    text: string,
    inputs: readonly (Value | undefined)[],
    results: readonly TypeAndDims[],
  ): Value | undefined {
    const [result] = results;
    const constants = inputs.map((input) => input?.constant);
    if (!result || results.length > 1 || !foldable(operation) || constants.some((constant) => !constant))
      return undefined;
    const operands = constants as Constant[];
    const given = operands.reduce((sum, { tensor }) => sum + elementCount(tensor.dims), 0);
    // A constant blown up (Expand of a scalar) would only waste memory; the kernels repeat it at run time.
    if (elementCount(result.dims) > Math.max(FOLDED_ELEMENTS_MAX, given)) return undefined;
    checked(result);
    const tensors = operands.map((operand) => operand.tensor);
    const compute = (): TypedArray => {
      const tensor = evaluate(operation, tensors);
      if (!tensor) throw new Error(`assertion: ${operation.kind} was said to be foldable`);
      return tensor.data;
    };
    const keys = operands.map(({ key }) => key);
    const key = keys.includes(undefined) ? undefined : this.keys.derive(`${text} ${JSON.stringify(keys)}`);
    const tensor = new DerivedTensor(result.type, result.dims, tensors, compute);
    if (operation.kind !== 'dequantize') return this.constant(tensor, key);
    const [values, scale, zero] = inputs as [Value, Value, Value];
    return { ...result, constant: { tensor, key, quantized: { values, scale, zero } } };
  }

  // ---- the operations that operators and passes are mostly made of

  unary(name: UnaryName, x: Value, alpha?: number, beta?: number): Value {
    return this.add({ kind: 'unary', name, alpha, beta }, [x]);
  }

  /** alpha · x + beta */
  scale(x: Value, alpha: number, beta: number): Value {
    return this.unary('scale', x, alpha, beta);
  }

  binary(name: BinaryName, a: Value, b: Value): Value {
    return this.add({ kind: 'binary', name }, [a, b]);
  }

  /** The mode is that of 8-bit floats, when it is not the usual one. */
  cast(x: Value, to: DataType, mode?: CastMode): Value {
    return this.add({ kind: 'cast', to, mode }, [x]);
  }

  matMul(a: Value, b: Value, transposeB = false, bias?: Value): Value {
    return this.add({ kind: 'matMul', transposeB }, bias ? [a, b, bias] : [a, b]);
  }

  reduce(name: ReduceName, x: Value, axes: readonly number[]): Value {
    return this.add({ kind: 'reduce', name, axes: [...axes].sort((a, b) => a - b) }, [x]);
  }

  reshape(x: Value, dims: readonly number[]): Value {
    const source = this.producerOf(x);
    if (source?.operation.kind === 'reshape') return this.reshape(source.inputs[0] as Value, dims);
    return this.add({ kind: 'reshape', dims }, [x]);
  }

  transpose(x: Value, perm: readonly number[]): Value {
    if (keepsOrder(x.dims, perm))
      return this.reshape(
        x,
        perm.map((axis) => x.dims[axis] as number),
      );
    const source = this.producerOf(x);
    if (source?.operation.kind === 'transpose')
      return this.transpose(source.inputs[0] as Value, composePerms(source.operation.perm, perm));
    return this.add({ kind: 'transpose', perm }, [x]);
  }

  /** The part [start, end) of one axis. */
  sliceAxis(x: Value, axis: number, start: number, end: number): Value {
    return this.add(
      {
        kind: 'slice',
        starts: x.dims.map((_, i) => (i === axis ? start : 0)),
        steps: x.dims.map(() => 1),
        sizes: x.dims.map((size, i) => (i === axis ? end - start : size)),
      },
      [x],
    );
  }

  concat(values: readonly Value[], axis: number): Value {
    return this.add({ kind: 'concat', axis }, values);
  }

  expand(x: Value, dims: readonly number[]): Value {
    return this.add({ kind: 'expand', dims }, [x]);
  }

  gather(x: Value, indices: Value, axis: number): Value {
    return this.add({ kind: 'gather', axis }, [x, indices]);
  }
}

function checked(value: TypeAndDims): Value {
  if (!isDataType(value.type)) throw new UnsupportedError(`values of type ${value.type} are not supported`);
  const bytes = elementCount(value.dims) * elementBytes(value.type);
  const whole = value.dims.every((size) => Number.isSafeInteger(size) && size >= 0);
  // A zero among huge dimensions gives no bytes, but its parts must not overflow either.
  if (!whole || bytes >= SPACE_BYTES_MAX || value.dims.some((size) => size >= SPACE_BYTES_MAX))
    throw new Error(
      `expected a tensor of less than ${SPACE_BYTES_MAX} bytes, got ${value.type} [${value.dims.join(', ')}]`,
    );
  return value;
}

const unaryNotFolded: ReadonlySet<UnaryName> = new Set([
  ...(['silu', 'hardSigmoid', 'hardSwish', 'erf', 'gelu', 'geluTanh', 'softplus', 'softsign', 'elu', 'selu'] as const),
]);

function foldable(operation: Operation): boolean {
  switch (operation.kind) {
    case 'unary':
      return !unaryNotFolded.has(operation.name);
    case 'quantize':
      return operation.to === 'int8' || operation.to === 'uint8';
    case 'binary':
    case 'cast':
    case 'bitCast':
    case 'compare':
    case 'where':
    case 'reduce':
    case 'reshape':
    case 'transpose':
    case 'slice':
    case 'concat':
    case 'expand':
    case 'gather':
    case 'dequantize':
    case 'center':
    case 'wrapIndices':
      return true;
    default:
      return false;
  }
}

/** The input itself when the operation would only copy it. */
function withoutEffect(operation: Operation, inputs: readonly (Value | undefined)[]): Value | undefined {
  const x = inputs[0] as Value;
  switch (operation.kind) {
    case 'cast':
    case 'bitCast':
      return operation.to === x.type ? x : undefined;
    case 'reshape':
    case 'expand':
      return sameDims(operation.dims, x.dims) ? x : undefined;
    case 'transpose':
      return operation.perm.every((axis, i) => axis === i) ? x : undefined;
    case 'slice':
      return sameDims(operation.sizes, x.dims) && operation.steps.every((step) => step === 1) ? x : undefined;
    case 'concat':
      return inputs.length === 1 ? x : undefined;
    case 'pad':
      return [...operation.begins, ...operation.ends].every((size) => size === 0) ? x : undefined;
    case 'reduce':
      return operation.axes.length === 0 && !['sumSquare', 'l1', 'l2'].includes(operation.name) ? x : undefined;
    case 'unary':
      return operation.name === 'scale' && operation.alpha === 1 && operation.beta === 0 ? x : undefined;
    default:
      return undefined;
  }
}

/** Drops nodes that no output depends on. */
export function prune(graph: KernelGraph): KernelGraph {
  const needed = new Set(graph.outputs.map(({ value }) => value));
  const kept: Node[] = [];
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((output) => needed.has(output))) continue;
    for (const input of node.inputs) if (input) needed.add(input);
    kept.push(node);
  }
  return { ...graph, nodes: kept.reverse() };
}
