/**
 * Memory plan: where every value of a graph lies in the run's arena. Buffers are shared by values whose lives do not
 * overlap; reshapes and contiguous slices lie inside their source; element-wise operations write over their operand. Nodes that are
 * worked on together live at the same time, and what only they read may have less room than all of it. Operands of concatenations lie
 * inside the result where they can.
 */
import { elementBytes, elementCount } from '../engine/tensor.ts';
import type { KernelGraph, Node, Value } from './graph.ts';
import { SPACE_BYTES_MAX } from './limits.ts';
import { sameDims, stridesOf } from './strides.ts';

/** A cache line. Kernels need 16; a part of a buffer may begin at any multiple of 16. */
const ALIGNMENT = 64;
const VIEW_ALIGNMENT = 16;

export interface Scratch {
  readonly offset: number;
  readonly bytes: number;
}

export interface Plan {
  readonly arenaBytes: number;
  /** Byte offset in the arena of a value that is no constant. */
  offsetOf(value: Value): number;
  /** Whether the node's output lies inside its input, so that nothing has to be moved. */
  isView(node: Node): boolean;
  /** A node's scratch memory in the arena; nodes that are done together have one, with the results that are never there as a whole. */
  scratchOf(node: Node): Scratch;
}

/** Nodes [first, last] of a graph, done together. */
export interface Group {
  readonly first: number;
  readonly last: number;
  /** Bytes of results that are never there as a whole. */
  readonly buffers: ReadonlyMap<Value, number>;
}

/** Where a value lies inside another. */
export interface Part {
  readonly host: Value;
  readonly offsetBytes: number;
}

/** Bytes that are alive from one node to another, both included. Inputs live from node -1 on, until they were read for the last time. */
interface Buffer {
  readonly bytes: number;
  readonly from: number;
  to: number;
  offset: number;
}

interface Place {
  readonly buffer: Buffer;
  readonly offset: number;
}

export function bytesOf(value: Value): number {
  return elementCount(value.dims) * elementBytes(value.type);
}

/** The elements stay as they are; only the shape, or what their bits mean, is another. */
export function isReshape({ operation }: Node): boolean {
  return operation.kind === 'reshape' || operation.kind === 'bitCast';
}

/** Byte offset of the output inside the first input, for operations that need not move anything. */
function viewOffset(node: Node): number | undefined {
  const { operation } = node;
  const source = node.inputs[0];
  if (!source || source.constant) return undefined;
  if (isReshape(node)) return 0;
  if (operation.kind !== 'slice' || operation.steps.some((step) => step !== 1)) return undefined;
  // Contiguous when everything behind the outermost axis that is cut is whole, and everything before it has size 1.
  const cut = operation.sizes.findIndex((size, axis) => size !== source.dims[axis]);
  const before = source.dims.slice(0, Math.max(cut, 0));
  const behind = operation.sizes.slice(cut + 1);
  if (before.some((size) => size !== 1) || !sameDims(behind, source.dims.slice(cut + 1))) return undefined;
  const strides = stridesOf(source.dims);
  const offset = (operation.starts[cut] as number) * (strides[cut] as number) * elementBytes(source.type);
  return offset % VIEW_ALIGNMENT === 0 ? offset : undefined;
}

const commutative: ReadonlySet<string> = new Set(['add', 'mul', 'min', 'max', 'and', 'or', 'xor']);

/** Inputs that the kernel can write its output over. */
function writableInputs(node: Node): readonly (Value | undefined)[] {
  const { operation, inputs } = node;
  if (operation.kind === 'unary') return inputs;
  if (operation.kind === 'binary') return commutative.has(operation.name) ? inputs : inputs.slice(0, 1);
  if (operation.kind === 'matMul') return inputs.slice(3, 4);
  return [];
}

export function planMemory(
  graph: KernelGraph,
  scratchBytes: (node: Node) => number,
  groups: readonly Group[] = [],
  inside: ReadonlyMap<Value, Part> = new Map(),
): Plan {
  const places = new Map<Value, Place>();
  const buffers: Buffer[] = [];
  const views = new Set<Node>();
  const allocate = (bytes: number, from: number, to: number): Buffer => {
    const buffer = { bytes: Math.max(bytes, 1), from, to, offset: 0 };
    buffers.push(buffer);
    return buffer;
  };
  const groupAt = new Map(groups.flatMap((group) => range(group).map((index) => [index, group] as const)));
  const lastUses = findLastUses(graph, groupAt);
  for (const { value } of graph.inputs)
    if (!places.has(value))
      places.set(value, { buffer: allocate(bytesOf(value), -1, lastUses.get(value) ?? -1), offset: 0 });
  const hosts = new Map<Value, Buffer>();
  const wholes = [...inside.values()].map(({ host }) => [host, { host, offsetBytes: 0 }] as const);
  const parts = new Map<Value, Part>([...wholes, ...inside]);
  const scratch = new Map<Node, Buffer>();
  for (const group of groups) {
    const nodes = graph.nodes.slice(group.first, group.last + 1);
    let end = Math.max(...nodes.map(scratchBytes));
    const offsets = [...group.buffers].map(([value, bytes]) => {
      const offset = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
      end = offset + bytes;
      return [value, offset] as const;
    });
    const shared = allocate(end, group.first, group.last);
    for (const node of nodes) scratch.set(node, shared);
    for (const [value, offset] of offsets) places.set(value, { buffer: shared, offset });
  }
  graph.nodes.forEach((node, index) => {
    const group = groupAt.get(index);
    if (group) {
      for (const output of node.outputs) {
        const last = lastUses.get(output) ?? group.last;
        if (!places.has(output))
          places.set(output, { buffer: allocate(bytesOf(output), group.first, last), offset: 0 });
      }
      return;
    }
    const [first] = node.outputs as [Value];
    const part = parts.get(first);
    if (part) {
      const buffer = hosts.get(part.host) ?? allocate(bytesOf(part.host), index, index);
      hosts.set(part.host, buffer);
      buffer.to = Math.max(buffer.to, lastUses.get(first) ?? index);
      places.set(first, { buffer, offset: part.offsetBytes });
      if (isReshape(node)) views.add(node);
      return;
    }
    const view = viewOffset(node);
    const source = view === undefined ? undefined : places.get(node.inputs[0] as Value);
    const inPlace = source ? undefined : dyingOperand(node, index, places, lastUses);
    for (const output of node.outputs) {
      const last = lastUses.get(output) ?? index;
      if (source && output === first) {
        views.add(node);
        places.set(output, { buffer: source.buffer, offset: source.offset + (view as number) });
        source.buffer.to = Math.max(source.buffer.to, last);
      } else if (inPlace && output === first) {
        places.set(output, { buffer: inPlace, offset: 0 });
        inPlace.to = last;
      } else places.set(output, { buffer: allocate(bytesOf(output), index, last), offset: 0 });
    }
  });
  graph.nodes.forEach((node, index) => {
    const bytes = scratchBytes(node);
    if (bytes > 0 && !groupAt.has(index)) scratch.set(node, allocate(bytes, index, index));
  });
  const arenaBytes = place(buffers);
  return {
    arenaBytes,
    offsetOf(value) {
      const found = places.get(value);
      if (!found) throw new Error('assertion: a value without a place');
      return found.buffer.offset + found.offset;
    },
    isView: (node) => views.has(node),
    scratchOf: (node) => scratch.get(node) ?? { offset: 0, bytes: 0 },
  };
}

function range({ first, last }: Group): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** Index of the last node that reads a value, or of the end for outputs. Views count as reads of what they show. */
function findLastUses(graph: KernelGraph, groupAt: ReadonlyMap<number, Group>): Map<Value, number> {
  const last = new Map<Value, number>();
  graph.nodes.forEach((node, index) => {
    for (const input of node.inputs) if (input) last.set(input, groupAt.get(index)?.last ?? index);
  });
  for (const { value } of graph.outputs) last.set(value, graph.nodes.length);
  return last;
}

/** The buffer of an operand that nobody reads after this node and that has the output's size, if there is one. */
function dyingOperand(
  node: Node,
  index: number,
  places: ReadonlyMap<Value, Place>,
  lastUses: ReadonlyMap<Value, number>,
): Buffer | undefined {
  const [output] = node.outputs as [Value];
  for (const input of writableInputs(node)) {
    if (!input || input.constant || !sameDims(input.dims, output.dims) || input.type !== output.type) continue;
    const place = places.get(input) as Place;
    const whole = place.offset === 0 && place.buffer.bytes === bytesOf(output);
    const dies = place.buffer.to === index && lastUses.get(input) === index;
    const readLater = node.inputs.some(
      (other, i) => other && places.get(other)?.buffer === place.buffer && isReadLater(node, other, i),
    );
    if (whole && dies && !readLater) return place.buffer;
  }
  return undefined;
}

/** Whether the kernel still reads input `i` where it has written already, if both lie in one buffer. */
function isReadLater({ operation, outputs }: Node, input: Value, i: number): boolean {
  // A matrix product must not overwrite what it multiplies, even when that is its residual as well.
  if (operation.kind === 'matMul') return i < 3;
  // Element by element a value is read before it is overwritten; a part of it, broadcast, is read again and again.
  return !sameDims(input.dims, (outputs[0] as Value).dims);
}

/** Largest first, each into the tightest gap among those that live at the same time. Returns the arena's size. */
function place(buffers: Buffer[]): number {
  const placed: Buffer[] = [];
  let arenaBytes = 0;
  for (const buffer of buffers.toSorted((a, b) => b.bytes - a.bytes)) {
    const neighbours = placed.filter((other) => other.from <= buffer.to && buffer.from <= other.to);
    neighbours.sort((a, b) => a.offset - b.offset);
    buffer.offset = tightestGap(neighbours, buffer.bytes);
    placed.push(buffer);
    arenaBytes = Math.max(arenaBytes, buffer.offset + buffer.bytes);
  }
  if (arenaBytes >= SPACE_BYTES_MAX)
    throw new Error(
      `expected a run to need less than ${SPACE_BYTES_MAX} bytes, got ${arenaBytes}; try a smaller input`,
    );
  return Math.ceil(arenaBytes / ALIGNMENT) * ALIGNMENT;
}

/** Offset for `bytes` between neighbours that are sorted by offset (and may overlap each other), or behind them all. */
function tightestGap(neighbours: readonly Buffer[], bytes: number): number {
  let best = -1;
  let bestGap = Infinity;
  let free = 0;
  for (const other of neighbours) {
    const gap = other.offset - free;
    if (gap >= bytes && gap < bestGap) {
      best = free;
      bestGap = gap;
    }
    free = Math.max(free, Math.ceil((other.offset + other.bytes) / ALIGNMENT) * ALIGNMENT);
  }
  return best >= 0 ? best : free;
}
