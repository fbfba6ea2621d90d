/** Element-wise operations, reductions and normalisation. */
import { type DataType, elementBytes, elementCount } from '../engine/tensor.ts';
import { isLong } from './assemble-along-axis.ts';
import { type Emission, type Emitter, inputOf, type OperationOf, outputOf, requireFloat32 } from './emission.ts';
import type { Node, Value } from './graph.ts';
import type { Address, ReduceName } from './instructions.ts';
import { UnsupportedError } from './program.ts';
import { broadcastStrides, joinAxes, stridesOf } from './strides.ts';
import { ELEMENTS_MAX } from './writer.ts';

const FLOAT_BYTES = 4;
/** Elements of a row that is normalised in one instruction. */
const LONG_ROW = 8 * ELEMENTS_MAX;

/** The type of both operands. Those of the graph's operations are one; those of a model may not be. */
function commonType(node: Node, a: Value, b: Value): DataType {
  if (a.type !== b.type)
    throw new UnsupportedError(
      `node "${node.origin}": ${node.operation.kind} of ${a.type} and ${b.type} values is not supported`,
    );
  return a.type;
}

export const unary: Emitter<OperationOf<'unary'>> = {
  emit({ assembler, node, operation, at }) {
    const x = inputOf(node, 0);
    const { name, alpha, beta } = operation;
    const { type } = x;
    if (type !== 'float32' && type !== 'float64')
      throw new UnsupportedError(`node "${node.origin}": ${name} of ${type} values is not supported`);
    assembler.unary(name, at(x), at(outputOf(node)), elementCount(x.dims), alpha, beta, type);
  },
};

/** Few long axes, and the strides with which each operand walks them. */
function walkTogether(y: Value, ...operands: readonly Value[]): { shape: number[]; strides: number[][] } {
  return joinAxes(
    y.dims,
    operands.map((operand) => broadcastStrides(operand.dims, y.dims)),
  );
}

export const binary: Emitter<OperationOf<'binary'>> = {
  emit({ assembler, node, operation, at, pixelStride }) {
    const y = outputOf(node);
    const { name } = operation;
    let [a, b] = [inputOf(node, 0), inputOf(node, 1)];
    const type = commonType(node, a, b);
    // The plan may have put the output over the second operand, for operations where their order does not matter.
    if (!b.constant && at(b) === at(y) && (a.constant || at(a) !== at(y))) [a, b] = [b, a];
    const yStrides = stridesOf(y.dims, pixelStride(y));
    const operands = [a, b].map((each) => broadcastStrides(each.dims, y.dims, pixelStride(each)));
    const { shape, strides } = joinAxes(y.dims, [...operands, yStrides]);
    const [aStrides, bStrides] = strides as [number[], number[]];
    const yPixelStride = pixelStride(y) === y.dims.at(-1) ? undefined : pixelStride(y);
    assembler.binary(name, at(a), at(b), at(y), shape, aStrides, bStrides, type, { yPixelStride });
  },
};

export const compare: Emitter<OperationOf<'compare'>> = {
  emit({ assembler, node, operation, at }) {
    const [a, b, y] = [inputOf(node, 0), inputOf(node, 1), outputOf(node)];
    const type = commonType(node, a, b);
    const { shape, strides } = walkTogether(y, a, b);
    const [first, second] = strides as [number[], number[]];
    assembler.compare(operation.name, at(a), at(b), at(y), shape, first, second, type);
  },
};

export const where: Emitter<OperationOf<'where'>> = {
  emit({ assembler, node, at }) {
    const [condition, a, b, y] = [inputOf(node, 0), inputOf(node, 1), inputOf(node, 2), outputOf(node)];
    const bytes = elementBytes(commonType(node, a, b));
    const { shape, strides } = walkTogether(y, condition, a, b);
    const [first, second, third] = strides as [number[], number[], number[]];
    assembler.where(at(condition), at(a), at(b), at(y), shape, first, second, third, bytes);
  },
};

export const cast: Emitter<OperationOf<'cast'>> = {
  emit({ assembler, node, operation, at }) {
    const [x, y] = [inputOf(node, 0), outputOf(node)];
    assembler.cast(at(x), x.type, at(y), operation.to, elementCount(x.dims), operation.mode);
  },
};

interface Run {
  readonly outer: number;
  readonly axis: number;
  readonly inner: number;
}

/** Runs of neighbouring reduced axes, the last first; axes of size 1 do not count. */
function reducedRuns(dims: readonly number[], axes: readonly number[]): Run[] {
  const runs: Run[] = [];
  let left = [...dims];
  for (let axis = dims.length - 1; axis >= 0; axis--) {
    const reduced = (each: number): boolean => axes.includes(each) || left[each] === 1;
    if (!axes.includes(axis) || left[axis] === 1) continue;
    let first = axis;
    while (first > 0 && reduced(first - 1)) first--;
    const [outer, size, inner] = [left.slice(0, first), left.slice(first, axis + 1), left.slice(axis + 1)].map(
      elementCount,
    );
    runs.push({ outer: outer as number, axis: size as number, inner: inner as number });
    left = left.map((each, i) => (i >= first && i <= axis ? 1 : each));
    axis = first;
  }
  return runs.length > 0 ? runs : [{ outer: elementCount(dims), axis: 1, inner: 1 }];
}

/**
 * A run that one instruction would take too long for, in two: equal parts of the axis, which cores may share, then their results. What lies in
 * the cache is walked over again and again instead of the whole image. An axis of a prime size is cut by the assembler, one part after the other.
 */
function inBounds(run: Run): readonly Run[] {
  const { outer, axis, inner } = run;
  if (axis * inner <= ELEMENTS_MAX) return [run];
  let parts = Math.ceil((axis * inner) / ELEMENTS_MAX);
  while (axis % parts !== 0 && parts < axis) parts++;
  if (parts >= axis) return [run];
  return [{ outer: outer * parts, axis: axis / parts, inner }, ...inBounds({ outer, axis: parts, inner })];
}

/** The mean of integers is rounded once. */
function runsOf({ dims, type }: Value, { axes }: OperationOf<'reduce'>): readonly Run[] {
  const runs = reducedRuns(dims, axes);
  return type === 'float32' ? runs.flatMap(inBounds) : runs;
}

/** Sums of squares are summed up; every other reduction of reductions is of the same kind. */
function laterName(name: ReduceName): ReduceName {
  return name === 'sumSquare' ? 'sum' : name;
}

export const reduce: Emitter<OperationOf<'reduce'>> = {
  /** Intermediate results, the largest first: two halves in turn. */
  scratchBytes(node, operation) {
    const runs = runsOf(inputOf(node, 0), operation);
    const [first] = runs as [Run];
    return runs.length > 1 ? 2 * halfBytes(first, inputOf(node, 0).type) : 0;
  },
  emit({ assembler, node, operation, scratch, at }) {
    const x = inputOf(node, 0);
    const runs = runsOf(x, operation);
    const half = halfBytes(runs[0] as Run, x.type);
    let from = at(x);
    runs.forEach(({ outer, axis, inner }, index) => {
      const to = index === runs.length - 1 ? at(outputOf(node)) : scratch + (index % 2) * half;
      const name = index === 0 ? operation.name : laterName(operation.name);
      assembler.reduce(name, from, to, outer, axis, inner, x.type);
      from = to;
    });
  },
};

function halfBytes({ outer, inner }: Run, type: DataType): number {
  return Math.ceil((outer * inner * elementBytes(type)) / 16) * 16;
}

function alongAxis(
  { node, at }: Emission,
  axis: number,
): [x: Address, y: Address, outer: number, size: number, inner: number] {
  const x = inputOf(node, 0);
  const [outer, inner] = [elementCount(x.dims.slice(0, axis)), elementCount(x.dims.slice(axis + 1))];
  return [at(x), at(outputOf(node)), outer, x.dims[axis] as number, inner];
}

function runAlong({ dims }: Value, axis: number): Run {
  const [outer, inner] = [dims.slice(0, axis), dims.slice(axis + 1)].map(elementCount) as [number, number];
  return { outer, axis: dims[axis] as number, inner };
}

/** One number for each row along an axis. */
function rowBytes({ outer, inner }: Run): number {
  return Math.ceil((outer * inner * FLOAT_BYTES) / 64) * 64;
}

/** y = x with its row's number, in `rows`. */
function withRows(
  { assembler }: Emission,
  name: 'add' | 'sub' | 'mul' | 'div',
  x: Address,
  rows: Address,
  y: Address,
  run: Run,
) {
  const { outer, axis, inner } = run;
  assembler.binary(name, x, rows, y, [outer, axis, inner], [axis * inner, inner, 1], [inner, 0, 1]);
}

/** By instructions that are cut: the largest of each row, exponentials, their sum, and what is to be done with it. */
function longSoftmax(emission: Emission<OperationOf<'softmax'>>, run: Run): void {
  const { assembler, node, operation, scratch, at } = emission;
  const { outer, axis, inner } = run;
  const [x, y, most, sum] = [at(inputOf(node, 0)), at(outputOf(node)), scratch, scratch + rowBytes(run)];
  assembler.reduce('max', x, most, outer, axis, inner);
  withRows(emission, 'sub', x, most, y, run);
  assembler.unary('exp', y, y, outer * axis * inner);
  assembler.reduce('sum', y, sum, outer, axis, inner);
  if (!operation.log) {
    withRows(emission, 'div', y, sum, y, run);
    return;
  }
  assembler.unary('log', sum, sum, outer * inner);
  withRows(emission, 'sub', x, most, y, run);
  withRows(emission, 'sub', y, sum, y, run);
}

export const softmax: Emitter<OperationOf<'softmax'>> = {
  scratchBytes(node, operation) {
    const run = runAlong(inputOf(node, 0), operation.axis);
    return isLong(run.axis, run.inner) ? 2 * rowBytes(run) : 0;
  },
  emit(emission) {
    const { axis, log } = emission.operation;
    const x = inputOf(emission.node, 0);
    requireFloat32(emission.node, x);
    const run = runAlong(x, axis);
    if (isLong(run.axis, run.inner)) longSoftmax(emission, run);
    else emission.assembler.softmax(...alongAxis(emission, axis), log);
  },
};

export const argMax: Emitter<OperationOf<'argMax'>> = {
  emit(emission) {
    const { node, operation } = emission;
    emission.assembler.argMax(...alongAxis(emission, operation.axis), inputOf(node, 0).type, operation);
  },
};

/** By instructions that are cut: mean and variance of each row, in scratch, then what is done with all elements. */
function longLayerNorm(emission: Emission<OperationOf<'layerNorm'>>, run: Run): void {
  const { assembler, node, operation, scratch, at } = emission;
  const { outer: rows, axis: size } = run;
  const [x, scale, bias] = [0, 1, 2].map((index) => at(inputOf(node, index))) as [Address, Address, Address];
  const y = at(outputOf(node));
  const from = operation.uncentred ? x : y;
  if (!operation.uncentred) {
    assembler.reduce('mean', x, scratch, rows, size, 1);
    withRows(emission, 'sub', x, scratch, y, run);
  }
  assembler.reduce('sumSquare', from, scratch, rows, size, 1);
  assembler.unary('scale', scratch, scratch, rows, 1 / size, operation.epsilon);
  assembler.unary('sqrt', scratch, scratch, rows);
  withRows(emission, 'div', from, scratch, y, run);
  assembler.binary('mul', y, scale, y, [rows, size], [size, 1], [0, 1]);
  assembler.binary('add', y, bias, y, [rows, size], [size, 1], [0, 1]);
}

function rowsOf(x: Value): Run {
  return { outer: elementCount(x.dims.slice(0, -1)), axis: x.dims.at(-1) ?? 1, inner: 1 };
}

export const layerNorm: Emitter<OperationOf<'layerNorm'>> = {
  scratchBytes(node) {
    const run = rowsOf(inputOf(node, 0));
    return run.axis > LONG_ROW ? rowBytes(run) : 0;
  },
  emit(emission) {
    const { assembler, node, operation, at } = emission;
    const [x, scale, bias] = [inputOf(node, 0), inputOf(node, 1), inputOf(node, 2)];
    requireFloat32(node, x, scale, bias);
    const { outer: rows, axis: size } = rowsOf(x);
    const { epsilon, uncentred } = operation;
    if (size > LONG_ROW) {
      longLayerNorm(emission, rowsOf(x));
      return;
    }
    const places = { x: at(x), y: at(outputOf(node)), scale: at(scale), bias: at(bias) };
    assembler.layerNorm({ ...places, rows, size, epsilon, uncentred });
  },
};
