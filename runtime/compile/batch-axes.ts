/**
 * Whether several runs can be computed as one, along an axis of the inputs: whether each gets what it would get alone. Every operation is
 * followed with the axis along which its values hold run after run; what is not known to keep runs apart does not. That it is the same
 * computation for any number of runs shows in the graphs for one more, and for one alone.
 */
import { elementCount } from '../engine/tensor.ts';
import type { KernelGraph, Node, Operation, Value } from './graph.ts';
import { UnsupportedError } from './program.ts';

/** Runs that are computed as one. */
export interface BatchLayout {
  readonly runs: number;
  /** By name, the axis along which inputs and outputs hold run after run. Inputs that have none here are the same for all runs. */
  readonly axes: Readonly<Record<string, number>>;
}

/** The layout with the axes of the outputs. `graphOf` traces the model for another number of runs. Throws an UnsupportedError that says where runs would get something else. */
export function followBatch(
  graph: KernelGraph,
  { runs, axes }: BatchLayout,
  graphOf: (runs: number) => KernelGraph,
): BatchLayout {
  const follower = new Follower(graph, runs);
  for (const { name, value } of graph.inputs) {
    const axis = axes[name];
    if (axis !== undefined) follower.axes.set(value, axis);
  }
  for (const node of graph.nodes) follower.follow(node);
  const all: Record<string, number> = { ...axes };
  for (const { name, value } of graph.outputs) {
    const axis = follower.axes.get(value);
    if (axis === undefined) throw new UnsupportedError(`output "${name}" is one for all runs of a batch`);
    all[name] = axis;
  }
  checkScale(graph, graphOf(runs + 1), runs, follower.axes);
  checkSteps(graph, graphOf(1));
  return { runs, axes: all };
}

function differs(origin: string): never {
  throw new UnsupportedError(`node "${origin}" depends on the number of runs in a batch`);
}

/** With one more run, all is the same but for as many more elements along the runs' axes. */
function checkScale(graph: KernelGraph, larger: KernelGraph, runs: number, axes: ReadonlyMap<Value, number>): void {
  const isScaled = (value: Value | undefined, other: Value | undefined): boolean => {
    if (!value || !other) return value === other;
    const axis = axes.get(value);
    if (axis === undefined && value.constant) return isSameConstant(value, other);
    const dims =
      axis === undefined ? value.dims : value.dims.with(axis, ((value.dims[axis] as number) / runs) * (runs + 1));
    return dims.join() === other.dims.join();
  };
  for (const [place, node] of graph.nodes.entries()) {
    const other = larger.nodes[place];
    const isSame =
      other?.inputs.length === node.inputs.length &&
      fixedPart(node.operation) === fixedPart(other.operation) &&
      node.inputs.every((value, index) => isScaled(value, other.inputs[index])) &&
      node.outputs.every((value, index) => isScaled(value, other.outputs[index]));
    if (!isSame) differs(node.origin);
  }
}

/** Those that only repeat one element may be of any size. */
function isSameConstant({ constant }: Value, other: Value): boolean {
  const [a, b] = [constant, other.constant];
  if (!a || !b) return false;
  if (a.key !== undefined && a.key === b.key) return true;
  const [first, second] = [a.tensor.data, b.tensor.data];
  if (first.length === second.length) return first.every((item, place) => Object.is(item, second[place]));
  return [...first, ...second].every((item) => Object.is(item, first[0]));
}

/** Without sizes, which the values have. */
function fixedPart(operation: Operation): string {
  return JSON.stringify(operation, (name, part) => (name === 'dims' || name === 'sizes' ? undefined : part));
}

/** They change or repeat shapes only, and may not be needed for one run. */
const SHAPING: ReadonlySet<Operation['kind']> = new Set(['reshape', 'transpose', 'expand', 'slice', 'concat']);

/** For one run the same is computed: no other branch was taken. */
function checkSteps(graph: KernelGraph, alone: KernelGraph): void {
  const stepsOf = ({ nodes }: KernelGraph): Node[] => nodes.filter(({ operation }) => !SHAPING.has(operation.kind));
  const others = stepsOf(alone);
  for (const [place, { origin, operation }] of stepsOf(graph).entries()) {
    const other = others[place];
    if (other?.origin !== origin || fixedPart(other.operation) !== fixedPart(operation)) differs(origin);
  }
}

class Follower {
  /** Values that are not here are the same for all runs. */
  readonly axes = new Map<Value, number>();
  readonly #runs: number;
  readonly #producers = new Map<Value, Node>();

  constructor(graph: KernelGraph, runs: number) {
    this.#runs = runs;
    for (const node of graph.nodes) for (const output of node.outputs) this.#producers.set(output, node);
  }

  follow(node: Node): void {
    if (!node.inputs.some((value) => value && this.axes.has(value))) return;
    const axes = this.#outputAxes(node);
    if (!axes) throw new UnsupportedError(`node "${node.origin}" (${node.operation.kind}) mixes the runs of a batch`);
    for (const [place, output] of node.outputs.entries()) this.axes.set(output, axes[place] ?? (axes[0] as number));
  }

  /** One for each output, or one for all; undefined when runs may mix. */
  #outputAxes(node: Node): readonly number[] | undefined {
    const { operation, inputs, outputs } = node;
    const [x, second] = inputs as readonly [Value, Value | undefined];
    const axis = this.axes.get(x);
    const output = outputs[0] as Value;
    const kept = (keeps: boolean): readonly number[] | undefined => (axis !== undefined && keeps ? [axis] : undefined);
    switch (operation.kind) {
      case 'unary':
      case 'cast':
      case 'bitCast':
      case 'binary':
      case 'compare':
      case 'where':
      case 'quantize':
      case 'requantize':
      case 'dequantize':
      case 'center':
        return this.#broadcast(inputs, output);
      case 'conv':
      case 'convTranspose':
      case 'convInteger':
        return kept(axis === 0 && this.#areShared(inputs.slice(1, 3)) && this.#isAlong(inputs[3], 0));
      case 'maxPool':
      case 'averagePool':
      case 'resize':
        return kept(axis === 0);
      case 'matMul':
      case 'product':
      case 'matMulInteger':
        return this.#matMul(inputs, output);
      case 'reduce':
        return kept(!operation.axes.includes(axis as number));
      case 'softmax':
      case 'argMax':
      case 'cumulate':
        return kept(operation.axis !== axis);
      case 'topK':
        return kept(operation.axis !== axis);
      case 'layerNorm':
        return kept(axis !== x.dims.length - 1 && this.#areShared(inputs.slice(1)));
      case 'reshape':
        return this.#reshape(x, output.dims);
      case 'transpose':
        return axis === undefined ? undefined : [operation.perm.indexOf(axis)];
      case 'slice': {
        const at = axis as number;
        return kept(operation.steps[at] === 1 && operation.sizes[at] === x.dims[at]);
      }
      case 'concat': {
        const along = inputs.map((value) => value && this.axes.get(value)).find((each) => each !== undefined);
        const fits = along !== operation.axis && inputs.every((value) => this.#isAlong(value, along as number));
        return fits ? [along as number] : undefined;
      }
      case 'pad':
        return kept(operation.begins[axis as number] === 0 && operation.ends[axis as number] === 0);
      case 'expand':
        return this.#broadcast(inputs, output);
      case 'gather':
        if (axis === undefined) return second && [operation.axis + (this.axes.get(second) as number)];
        if (second && this.axes.has(second)) return undefined;
        return kept(axis !== operation.axis) && [axis < operation.axis ? axis : axis - 1 + (second?.dims.length ?? 0)];
      case 'recurrent':
        return this.#recurrent(operation.name, inputs);
      default:
        return undefined;
    }
  }

  #areShared(values: readonly (Value | undefined)[]): boolean {
    return values.every((value) => !value || !this.axes.has(value));
  }

  /** Holds run after run along the axis, or the same for each. */
  #isAlong(value: Value | undefined, axis: number): boolean {
    if (!value) return true;
    return this.axes.has(value) ? this.axes.get(value) === axis : this.#isAlike(value, axis);
  }

  /** Elements are the same all along the axis. */
  #isAlike(value: Value, axis: number): boolean {
    const size = value.dims[axis] ?? 1;
    if (size === 1) return true;
    const producer = this.#producers.get(value);
    if (producer?.operation.kind === 'expand') {
      const source = producer.inputs[0] as Value;
      return this.#isAlike(source, axis - (value.dims.length - source.dims.length));
    }
    const data = value.constant?.tensor.data;
    const inner = elementCount(value.dims.slice(axis + 1));
    if (data?.length !== elementCount(value.dims)) return false;
    return data.every((item, place) => Math.floor(place / inner) % size === 0 || Object.is(item, data[place - inner]));
  }

  /** Operands of one shape, or that broadcast to that of the output. */
  #broadcast(inputs: readonly (Value | undefined)[], { dims }: Value): readonly number[] | undefined {
    const values = inputs.filter((value) => value !== undefined);
    const behind = (value: Value): number => dims.length - value.dims.length;
    const along = values.flatMap((value) => {
      const axis = this.axes.get(value);
      return axis === undefined ? [] : [axis + behind(value)];
    });
    const [axis = 0] = along;
    const fits = along.every((each) => each === axis);
    const others = values.every((value) => this.axes.has(value) || this.#isAlike(value, axis - behind(value)));
    return fits && others ? [axis] : undefined;
  }

  /** Rows of `a` are apart, and so are matrices. */
  #matMul(inputs: readonly (Value | undefined)[], output: Value): readonly number[] | undefined {
    const [a, b, bias, residual] = inputs as readonly [Value, Value, Value | undefined, Value | undefined];
    const last = output.dims.length;
    const axisOf = (value: Value): number | undefined => {
      const axis = this.axes.get(value);
      return axis === undefined ? undefined : axis + last - value.dims.length;
    };
    const [rows, columns] = [axisOf(a), axisOf(b)];
    const axis = rows ?? columns;
    if (axis === undefined || !this.#areShared([bias]) || !this.#isAlong(residual, axis)) return undefined;
    const isMatrix = axis < last - 2;
    if (columns !== undefined && (columns !== axis || !isMatrix)) return undefined;
    if (isMatrix) {
      const alike = [a, b].every(
        (value) => this.axes.has(value) || this.#isAlike(value, axis - last + value.dims.length),
      );
      return alike ? [axis] : undefined;
    }
    return axis === last - 2 ? [axis] : undefined;
  }

  /** What lies before the axis must lie before it still, and the axis must begin with whole runs. */
  #reshape(x: Value, dims: readonly number[]): readonly number[] | undefined {
    const axis = this.axes.get(x) as number;
    const before = elementCount(x.dims.slice(0, axis));
    let product = 1;
    for (const [place, size] of dims.entries()) {
      if (product === before && size !== 1 && size % this.#runs === 0) return [place];
      product *= size;
    }
    return undefined;
  }

  #recurrent(name: string, inputs: readonly (Value | undefined)[]): readonly number[] | undefined {
    const [gates, weights, state, third] = inputs as readonly [Value, Value, Value, Value | undefined];
    if (this.axes.get(gates) !== 1 || this.axes.has(weights) || !this.#isAlong(state, 0)) return undefined;
    const isCell = name === 'lstm';
    if (isCell ? !this.#isAlong(third, 0) : !this.#areShared([third])) return undefined;
    return this.#areShared(inputs.slice(4)) ? [1, 0] : undefined;
  }
}
