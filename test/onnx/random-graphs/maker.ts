/** What recipes build random graphs with: values to choose from, new inputs and constants, nodes. */
import { tensorOf } from '../../../runtime/compile/evaluate.ts';
import { type DataType, elementCount, type Tensor } from '../../../runtime/engine/tensor.ts';
import type { Random } from '../../random.ts';
import type { Attributes, GraphValue, RandomGraph, RandomNode } from './graph.ts';

/** Odd ones, so that every kernel has a remainder; ones, so that broadcasting and views are met. */
const sizes = [1, 1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 31, 33];
const ELEMENTS_MAX = 6000;
/** Beyond, float32 has no digits left that could be compared. */
const BOUND_MAX = 1e4;

export type Filter = (value: GraphValue) => boolean;
/** Name of the operator → adds it to a graph, with inputs that suit it. */
export type Recipes = Readonly<Record<string, (maker: Maker) => void>>;

export interface OutputSpec {
  readonly dims: readonly number[];
  readonly type?: DataType;
  readonly low?: number;
  readonly high?: number;
}

export class Maker {
  readonly random: Random;
  readonly opset: number;
  readonly nodes: RandomNode[] = [];
  readonly #inputs: Record<string, Tensor> = {};
  readonly #constants: Record<string, Tensor> = {};
  readonly #values: GraphValue[] = [];
  #names = 0;

  constructor(random: Random, opset: number) {
    this.random = random;
    this.opset = opset;
  }

  chance(share: number): boolean {
    return this.random.next() < share;
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.random.below(high - low + 1);
  }

  size(): number {
    return this.random.pick(sizes);
  }

  dims(rank: number): number[] {
    const dims = Array.from({ length: rank }, () => this.size());
    while (elementCount(dims) > ELEMENTS_MAX) dims[dims.indexOf(Math.max(...dims))] = this.between(1, 4);
    return dims;
  }

  axis(rank: number): number {
    return this.between(-rank, rank - 1);
  }

  /** Some axes, each once, counted from either end. */
  axes(rank: number, count = this.between(1, rank)): number[] {
    return this.random
      .shuffled(rank)
      .slice(0, count)
      .map((axis) => (this.chance(0.3) ? axis - rank : axis));
  }

  constant(type: DataType, dims: readonly number[], values: readonly number[]): GraphValue {
    const name = `c${this.#names++}`;
    this.#constants[name] = tensorOf(type, dims, values);
    return { name, type, dims, low: Math.min(...values), high: Math.max(...values) };
  }

  integers(values: readonly number[]): GraphValue {
    return this.constant('int64', [values.length], values);
  }

  /** A graph input or an initializer of random elements, whole numbers now and then. */
  fresh(type: DataType, dims: readonly number[], low = -2, high = 2, constant = this.chance(0.4)): GraphValue {
    const whole = !type.startsWith('float') || this.chance(0.15);
    const element = () => {
      const value = low + this.random.next() * (high - low);
      return whole ? Math.min(high, Math.max(low, Math.round(value))) : value;
    };
    const tensor = tensorOf(type, dims, Array.from({ length: elementCount(dims) }, element));
    const name = `${constant ? 'w' : 'x'}${this.#names++}`;
    (constant ? this.#constants : this.#inputs)[name] = tensor;
    const value = { name, type, dims, low, high };
    this.#values.push(value);
    return value;
  }

  /** A value that is there already and suits, or a new one. Later ones are likelier, so that graphs grow deep. */
  pick(filter: Filter, make: () => GraphValue): GraphValue {
    const found = this.#values.filter(filter);
    if (found.length === 0 || this.chance(0.2)) return make();
    return found[found.length - 1 - Math.floor(this.random.next() ** 2 * found.length)] as GraphValue;
  }

  /** Float32 of a rank within bounds, never without elements unless said so. */
  float(least = 0, most = 5, filter: Filter = () => true): GraphValue {
    const suits = (value: GraphValue) =>
      value.type === 'float32' && isTame(value) && hasRank(value, least, most) && !isEmpty(value) && filter(value);
    return this.pick(suits, () => this.fresh('float32', this.dims(this.between(least, Math.min(most, 4)))));
  }

  /** As `float`, of elements from `low` to `high`: what lies outside is brought there by Clip. */
  floatWithin(low: number, high: number, least = 0, most = 5): GraphValue {
    const x = this.float(least, most);
    if (x.low >= low && x.high <= high) return x;
    const bounds = [this.constant('float32', [], [low]), this.constant('float32', [], [high])];
    return this.node('Clip', [x, ...bounds], {}, { dims: x.dims, low, high });
  }

  anyOf(types: readonly DataType[], least = 0, most = 5): GraphValue {
    const type = this.random.pick(types);
    if (type === 'float32') return this.float(least, most);
    return this.pick(
      (value) => value.type === type && isTame(value) && hasRank(value, least, most) && !isEmpty(value),
      () => {
        const [low, high] = type === 'bool' ? [0, 1] : type.startsWith('uint') ? [0, 9] : [-9, 9];
        return this.fresh(type, this.dims(this.between(least, Math.min(most, 4))), low, high);
      },
    );
  }

  /** Something that broadcasts with `x` to its shape or, now and then, to a larger one. */
  partner(x: GraphValue, low = -2, high = 2): GraphValue {
    const suits = (value: GraphValue) =>
      value.type === x.type && value.low >= low && value.high <= high && !!tryBroadcast(value.dims, x.dims);
    return this.pick(suits, () => {
      const dims = x.dims.map((size) => (this.chance(0.3) ? 1 : size));
      const cut = this.chance(0.3) ? this.random.below(dims.length + 1) : 0;
      return this.fresh(x.type, dims.slice(cut), low, high);
    });
  }

  node(
    operator: string,
    inputs: readonly (GraphValue | undefined)[],
    attributes: Attributes,
    output: OutputSpec,
    ...more: OutputSpec[]
  ): GraphValue {
    const outputs = [output, ...more].map(({ dims, type, low = -1e30, high = 1e30 }) => {
      const resolved = type ?? inputs[0]?.type ?? 'float32';
      return { name: `v${this.#names++}`, type: resolved, dims, low, high };
    });
    this.nodes.push({ operator, inputs: inputs.map((each) => each?.name ?? ''), outputs, attributes });
    this.#values.push(...outputs);
    return outputs[0] as GraphValue;
  }

  /** Everything that nothing reads comes out, and now and then something that is read, too. */
  finish(): RandomGraph {
    const read = new Set(this.nodes.flatMap(({ inputs }) => inputs));
    const made = this.nodes.flatMap(({ outputs }) => outputs);
    const outputs = made.filter(({ name }) => !read.has(name) || this.chance(0.15));
    const unused = (tensors: Record<string, Tensor>) =>
      Object.fromEntries(Object.entries(tensors).filter(([name]) => read.has(name)));
    return {
      opset: this.opset,
      inputs: unused(this.#inputs),
      constants: unused(this.#constants),
      nodes: this.nodes,
      outputs,
    };
  }
}

export function isTame({ low, high }: GraphValue): boolean {
  return low >= -BOUND_MAX && high <= BOUND_MAX;
}

function hasRank({ dims }: GraphValue, least: number, most: number): boolean {
  return dims.length >= least && dims.length <= most;
}

export function isEmpty({ dims }: GraphValue): boolean {
  return dims.includes(0);
}

/** The common shape, or nothing. Source: ONNX, "Broadcasting in ONNX". */
function commonShape(shapes: readonly (readonly number[])[]): number[] | undefined {
  const rank = Math.max(...shapes.map((dims) => dims.length));
  const result: number[] = [];
  for (let axis = 1; axis <= rank; axis++) {
    const found = shapes.map((dims) => dims.at(-axis) ?? 1).filter((size) => size !== 1);
    if (found.some((size) => size !== found[0])) return undefined;
    result.unshift(found[0] ?? 1);
  }
  return result;
}

/** The common shape, or nothing where there is none or it is large. */
export function tryBroadcast(...shapes: (readonly number[])[]): number[] | undefined {
  const result = commonShape(shapes);
  return result && elementCount(result) <= ELEMENTS_MAX ? result : undefined;
}

export function broadcast(...shapes: (readonly number[])[]): number[] {
  const result = commonShape(shapes);
  if (!result) throw new Error(`assertion: ${JSON.stringify(shapes)} do not broadcast`);
  return result;
}

/** Index of an axis that may be counted from the end. */
export function plain(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}
