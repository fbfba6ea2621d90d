/**
 * Concatenations without a copy: their operands are written where the result has them. Along the outermost axis that is a part of the
 * result; along the channels every pixel of the operand lies among those of the others, so that whoever writes or reads it steps over them.
 */
import { elementBytes, elementCount } from '../engine/tensor.ts';
import { shapeOf } from './emit-matrix.ts';
import type { KernelGraph, Node, Value } from './graph.ts';
import { isPointwise } from './pack.ts';
import { type Group, isReshape, type Part } from './plan.ts';
import { stridesOf } from './strides.ts';

/** Kernels that need aligned addresses need this; where products are stored any float will do. */
const ALIGNMENT = 16;

/** The host lies in no other value. */
export interface Inside extends Part {
  /** Elements from one pixel (a row of the innermost axis) to the next. */
  readonly pixelStride: number;
  /** The concatenation that finds the value in its place. */
  readonly concat: Node;
}

function writesPixelsApart({ operation }: Node): boolean {
  switch (operation.kind) {
    case 'conv':
    case 'binary':
    case 'maxPool':
    case 'averagePool':
    case 'resize':
    case 'transpose':
    case 'slice':
    case 'concat':
      return true;
    default:
      return false;
  }
}

function readsPixelsApart(node: Node, index: number): boolean {
  const { operation } = node;
  switch (operation.kind) {
    case 'conv':
      return index === 0 && isPointwise(shapeOf(node, operation.window, operation.group));
    // Not pools: the pixels that a window meets, a power of two apart, would take each other's place in the first-level cache.
    case 'binary':
    case 'resize':
    case 'transpose':
    case 'concat':
      return true;
    default:
      return false;
  }
}

interface Reader {
  readonly node: Node;
  readonly index: number;
}

/** Who makes and who reads the values of a graph. */
class Links {
  readonly #makers = new Map<Value, Node>();
  readonly #readers = new Map<Value, Reader[]>();
  readonly #ends: ReadonlySet<Value>;
  readonly #grouped: ReadonlySet<Node>;

  constructor(graph: KernelGraph, groups: readonly Group[]) {
    for (const node of graph.nodes) {
      for (const output of node.outputs) this.#makers.set(output, node);
      node.inputs.forEach((value, index) => {
        if (value) this.#readers.set(value, [...this.readersOf(value), { node, index }]);
      });
    }
    this.#ends = new Set([...graph.inputs, ...graph.outputs].map(({ value }) => value));
    this.#grouped = new Set(groups.flatMap(({ first, last }) => graph.nodes.slice(first, last + 1)));
  }

  /** Absent for constants, and for what comes in or goes out as it is. */
  makerOf(value: Value): Node | undefined {
    return this.#ends.has(value) ? undefined : this.#makers.get(value);
  }

  readersOf(value: Value): readonly Reader[] {
    return this.#readers.get(value) ?? [];
  }

  /** Done in bands, by which images are known as their rows. */
  isGrouped(node: Node): boolean {
    return this.#grouped.has(node);
  }
}

/** An operand, and what it is a reshape of, up to the value that an operation writes. */
function chainOf(links: Links, operand: Value, isDense: boolean): Value[] {
  const chain = [operand];
  for (;;) {
    const value = chain.at(-1) as Value;
    const maker = links.makerOf(value);
    const source = maker && isReshape(maker) ? maker.inputs[0] : undefined;
    if (!source) return chain;
    if (source.type !== value.type || (!isDense && source.dims.at(-1) !== value.dims.at(-1))) return chain;
    chain.push(source);
  }
}

/** Whether every value of the chain may lie apart, for those that write and read it. */
function fits(links: Links, chain: readonly Value[], concat: Node, isDense: boolean, isAligned: boolean): boolean {
  const root = chain.at(-1) as Value;
  const maker = links.makerOf(root);
  if (!maker || maker.outputs.length > 1 || links.isGrouped(maker)) return false;
  if (isReshape(maker)) return false;
  if (isDense) return isAligned && chain.every((value) => links.makerOf(value));
  const isStored = maker.operation.kind === 'conv' && maker.operation.group === 1;
  if (!writesPixelsApart(maker) || (root.dims.at(-1) ?? 1) < 2 || !(isAligned || isStored)) return false;
  return chain.every((value, i) => {
    if (!links.makerOf(value)) return false;
    const others = links.readersOf(value).filter(({ node }) => node !== concat && node.outputs[0] !== chain[i - 1]);
    return others.every(({ node, index }) => isAligned && !links.isGrouped(node) && readsPixelsApart(node, index));
  });
}

/** All values that lie inside another one. */
export function findInside(graph: KernelGraph, groups: readonly Group[]): Map<Value, Inside> {
  const links = new Links(graph, groups);
  const found = new Map<Value, Inside>();
  // The last first: the result of one may be the operand of another.
  for (const concat of graph.nodes.toReversed()) {
    const { operation, inputs, outputs } = concat;
    if (operation.kind !== 'concat' || links.isGrouped(concat)) continue;
    const [y] = outputs as [Value];
    const { axis } = operation;
    const channels = y.dims.at(-1) ?? 1;
    const own = found.get(y) ?? { host: y, offsetBytes: 0, pixelStride: channels };
    const isDense = elementCount(y.dims.slice(0, axis)) === 1 && own.pixelStride === channels;
    if (!isDense && axis !== y.dims.length - 1) continue;
    let begin = 0;
    for (const operand of inputs as readonly Value[]) {
      const offset = begin * (stridesOf(y.dims)[axis] as number) * elementBytes(y.type);
      begin += operand.dims[axis] as number;
      const offsetBytes = own.offsetBytes + offset;
      const chain = chainOf(links, operand, isDense);
      // A value lies in one place; where it is wanted in several it is copied.
      const isRepeated = inputs.filter((value) => value === operand).length > 1;
      if (isRepeated || chain.some((value) => found.has(value))) continue;
      if (!fits(links, chain, concat, isDense, offsetBytes % ALIGNMENT === 0)) continue;
      for (const value of chain) {
        const pixelStride = isDense ? (value.dims.at(-1) ?? 1) : own.pixelStride;
        found.set(value, { host: own.host, offsetBytes, pixelStride, concat });
      }
    }
  }
  return found;
}
