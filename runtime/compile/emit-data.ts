/** Operations that move data. */
import { elementBytes, elementCount } from '../engine/tensor.ts';
import { type Emission, type Emitter, inputOf, type OperationOf, outputOf, requireFloat32 } from './emission.ts';
import { tensorOf } from './evaluate.ts';
import type { Node, Value } from './graph.ts';
import type { Address } from './instructions.ts';
import { RANK_MAX } from './limits.ts';
import { UnsupportedError } from './program.ts';
import { broadcastStrides, joinAxes, stridesOf } from './strides.ts';

interface Move {
  readonly x: Address;
  readonly y: Address;
  readonly shape: readonly number[];
  readonly xStrides: readonly number[];
  readonly yStrides: readonly number[];
  readonly xOffset?: number;
  readonly yOffset?: number;
}

function move({ assembler, node }: Emission, call: Move): void {
  if (elementCount(call.shape) === 0) return;
  const { shape, strides } = joinAxes(call.shape, [call.xStrides, call.yStrides]);
  const [xStrides, yStrides] = strides as [number[], number[]];
  if (shape.length > RANK_MAX)
    throw new UnsupportedError(`node "${node.origin}": ${shape.length} axes that move apart are not supported`);
  assembler.copy({ ...call, shape, xStrides, yStrides, elementBytes: elementBytes(outputOf(node).type) });
}

export const transpose: Emitter<OperationOf<'transpose'>> = {
  emit(emission) {
    const { node, operation, at, pixelStride } = emission;
    const [x, y] = [inputOf(node, 0), outputOf(node)];
    const strides = stridesOf(x.dims, pixelStride(x));
    const xStrides = operation.perm.map((axis) => strides[axis] as number);
    move(emission, { x: at(x), y: at(y), shape: y.dims, xStrides, yStrides: stridesOf(y.dims, pixelStride(y)) });
  },
};

/** Also a cast of bits: the elements stay as they are. */
export const reshape: Emitter<OperationOf<'reshape' | 'bitCast'>> = {
  emit(emission) {
    const { node, at, isView } = emission;
    const [x, y] = [inputOf(node, 0), outputOf(node)];
    if (isView) return;
    move(emission, { x: at(x), y: at(y), shape: [elementCount(y.dims)], xStrides: [1], yStrides: [1] });
  },
};

export const slice: Emitter<OperationOf<'slice'>> = {
  emit(emission) {
    const { node, operation, at, pixelStride, isView } = emission;
    const [x, y] = [inputOf(node, 0), outputOf(node)];
    if (isView) return;
    const strides = stridesOf(x.dims);
    const xStrides = strides.map((stride, axis) => stride * (operation.steps[axis] as number));
    const xOffset = strides.reduce((sum, stride, axis) => sum + stride * (operation.starts[axis] as number), 0);
    const yStrides = stridesOf(y.dims, pixelStride(y));
    move(emission, { x: at(x), y: at(y), shape: y.dims, xStrides, yStrides, xOffset });
  },
};

export const concat: Emitter<OperationOf<'concat'>> = {
  emit(emission) {
    const { node, operation, at, pixelStride, isInPlace } = emission;
    const y = outputOf(node);
    const yStrides = stridesOf(y.dims, pixelStride(y));
    let begin = 0;
    for (const input of node.inputs as Value[]) {
      const yOffset = begin * (yStrides[operation.axis] as number);
      const xStrides = stridesOf(input.dims, pixelStride(input));
      if (!isInPlace(input)) move(emission, { x: at(input), y: at(y), shape: input.dims, xStrides, yStrides, yOffset });
      begin += input.dims[operation.axis] as number;
    }
  },
};

export const expand: Emitter<OperationOf<'expand'>> = {
  emit(emission) {
    const { node, at } = emission;
    const [x, y] = [inputOf(node, 0), outputOf(node)];
    const xStrides = broadcastStrides(x.dims, y.dims);
    move(emission, { x: at(x), y: at(y), shape: y.dims, xStrides, yStrides: stridesOf(y.dims) });
  },
};

function fillAll(emission: Emission, value: number): void {
  const { assembler, node, at } = emission;
  const y = outputOf(node);
  const words = Math.ceil((elementCount(y.dims) * elementBytes(y.type)) / 4);
  // The kernel fills with float32; zero is the same in every type, and buffers end at whole words.
  if (y.type === 'float32' || value === 0) {
    assembler.fill(at(y), words, value);
    return;
  }
  const x = assembler.table(tensorOf(y.type, [], [value]).data);
  move(emission, { x, y: at(y), shape: [elementCount(y.dims)], xStrides: [0], yStrides: [1] });
}

/**
 * The borders along one axis, taken from what lies in y already: `inside` is the part of y that is filled so far.
 * Returns source row for each row before and after the inner part.
 */
function borderSource(
  mode: 'reflect' | 'edge' | 'wrap',
  begin: number,
  size: number,
): { before: number[]; after: number[] } {
  switch (mode) {
    case 'edge':
      return { before: [begin, 0], after: [begin + size - 1, 0] };
    case 'reflect':
      return { before: [2 * begin, -1], after: [begin + size - 2, -1] };
    case 'wrap':
      return { before: [size, 1], after: [begin, 1] };
  }
}

function padBorders(emission: Emission<OperationOf<'pad'>>, mode: 'reflect' | 'edge' | 'wrap'): void {
  const { node, operation, at } = emission;
  const [x, y] = [inputOf(node, 0), outputOf(node)];
  const strides = stridesOf(y.dims);
  const most = { reflect: -1, edge: Infinity, wrap: 0 }[mode];
  operation.begins.forEach((begin, axis) => {
    const [size, end] = [x.dims[axis] as number, operation.ends[axis] as number];
    if (size === 0 && Math.max(begin, end) > 0)
      throw new Error(`node "${node.origin}": expected elements to pad with along axis ${axis}, got shape [${x.dims}]`);
    if (Math.max(begin, end) > size + most)
      throw new UnsupportedError(
        `node "${node.origin}": padding of ${Math.max(begin, end)} by "${mode}" of an axis of size ${size} is not supported`,
      );
    const stride = strides[axis] as number;
    const { before, after } = borderSource(mode, begin, size);
    const fill = (count: number, [from, step]: number[], to: number): void => {
      if (count === 0) return;
      // Axes before this one are whole by now, those behind it hold the inner part only.
      const shape = y.dims.map((each, i) => (i === axis ? count : i < axis ? each : (x.dims[i] as number)));
      const corner = strides.reduce(
        (sum, each, i) => (i > axis ? sum + each * (operation.begins[i] as number) : sum),
        0,
      );
      move(emission, {
        x: at(y),
        y: at(y),
        shape,
        xStrides: strides.map((each, i) => (i === axis ? each * (step as number) : each)),
        yStrides: strides,
        xOffset: corner + (from as number) * stride,
        yOffset: corner + to * stride,
      });
    };
    fill(begin, before, 0);
    fill(end, after, begin + size);
  });
}

export const pad: Emitter<OperationOf<'pad'>> = {
  emit(emission) {
    const { node, operation, at } = emission;
    const [x, y] = [inputOf(node, 0), outputOf(node)];
    if (operation.mode === 'constant') fillAll(emission, operation.value);
    const yStrides = stridesOf(y.dims);
    const yOffset = yStrides.reduce((sum, stride, axis) => sum + stride * (operation.begins[axis] as number), 0);
    move(emission, { x: at(x), y: at(y), shape: x.dims, xStrides: stridesOf(x.dims), yStrides, yOffset });
    if (operation.mode !== 'constant') padBorders(emission, operation.mode);
  },
};

export const gather: Emitter<OperationOf<'gather'>> = {
  emit({ assembler, node, operation, at }) {
    const [x, indices, y] = [inputOf(node, 0), inputOf(node, 1), outputOf(node)];
    if (indices.type !== 'int32' && indices.type !== 'int64')
      throw new UnsupportedError(`node "${node.origin}": indices of type ${indices.type} are not supported`);
    const { axis } = operation;
    const outer = elementCount(x.dims.slice(0, axis));
    const innerBytes = elementCount(x.dims.slice(axis + 1)) * elementBytes(x.type);
    const count = elementCount(indices.dims);
    assembler.gather(at(x), at(indices), indices.type, at(y), outer, x.dims[axis] as number, count, innerBytes);
  },
};

/** Pairs of lower neighbour (int32) and weight of the upper one (float32). */
function linearTable(sources: readonly number[]): ArrayBufferView {
  const table = new DataView(new ArrayBuffer(sources.length * 8));
  sources.forEach((source, i) => {
    const lower = Math.floor(source);
    table.setInt32(i * 8, lower, true);
    table.setFloat32(i * 8 + 4, source - lower, true);
  });
  return table;
}

function sizesOf(node: Node) {
  const [batch = 0, inputHeight = 0, inputWidth = 0, channels = 0] = inputOf(node, 0).dims;
  const [, outputHeight = 0, outputWidth = 0] = outputOf(node).dims;
  return { batch, inputHeight, inputWidth, channels, outputHeight, outputWidth };
}

export const resize: Emitter<OperationOf<'resize'>> = {
  emit({ assembler, node, operation, at, pixelStride, table }) {
    const x = inputOf(node, 0);
    requireFloat32(node, x);
    const form = operation.mode === 'linear' ? linearTable : (sources: readonly number[]) => Int32Array.from(sources);
    const [rows, columns] = [operation.rows, operation.columns].map((sources) =>
      table(sources, () => form(sources)),
    ) as [Address, Address];
    const [xPixelStride, yPixelStride] = [pixelStride(x), pixelStride(outputOf(node))];
    const places = { x: at(x), xPixelStride, y: at(outputOf(node)), yPixelStride };
    const call = { ...places, ...sizesOf(node), rows, columns };
    if (operation.mode === 'linear') assembler.resizeLinear(call);
    else assembler.resizeNearest(call);
  },
};
