/** Operations on images that make a few rows of their result from a few rows of their inputs, and need nothing else. */
import { elementBytes, elementCount } from '../engine/tensor.ts';
import { shapeOf } from './emit-matrix.ts';
import type { Node, Operation, Value } from './graph.ts';
import type { Window2d } from './instructions.ts';
import { sameDims } from './strides.ts';
import { isWinograd } from './winograd.ts';

/** Rows [begin, end) of an image. */
export interface Rows {
  readonly begin: number;
  readonly end: number;
}

/** Addresses of kernels are multiples of this, so rows of an image that is worked on in parts have to be. */
const ROW_ALIGNMENT = 16;

export function heightOf({ dims }: Value): number {
  return dims[1] as number;
}

export function rowBytesOf({ dims, type }: Value): number {
  return elementCount(dims.slice(2)) * elementBytes(type);
}

/** One picture, [1, height, width, channels]; one of a single column may be worked on as if it lay on its side. */
function isImage(value: Value): boolean {
  const [batch, height = 0, width = 0] = value.dims;
  if (value.dims.length !== 4 || batch !== 1 || height < 2 || width < 2) return false;
  return rowBytesOf(value) > 0 && rowBytesOf(value) % ROW_ALIGNMENT === 0;
}

/** Whether input `index` is an image of which the operation reads some rows; otherwise it reads all of it, every time. */
export function readsRows({ operation, inputs, outputs }: Node, index: number): boolean {
  const [value, output] = [inputs[index], outputs[0] as Value];
  if (!value || value.constant) return false;
  switch (operation.kind) {
    case 'conv':
      return index === 0 || index === 3;
    case 'binary':
      return sameDims(value.dims, output.dims);
    default:
      return true;
  }
}

/** Whether all windows reach into the image; ceil_mode and wide padding make some that do not. */
function meetsImage({ kernel, strides, dilations, pads }: Window2d, image: Value, output: Value): boolean {
  const lastTop = (heightOf(output) - 1) * strides[0] - pads[0];
  return (kernel[0] - 1) * dilations[0] >= pads[0] && lastTop < heightOf(image);
}

function isConvByRows(node: Node, { window, group }: Extract<Operation, { kind: 'conv' }>): boolean {
  if (!meetsImage(window, node.inputs[0] as Value, node.outputs[0] as Value)) return false;
  // Tiles of Winograd's algorithm begin where the image does.
  return node.inputs[1]?.constant !== undefined && !isWinograd(shapeOf(node, window, group));
}

/** Whether the operand of an element-wise operation is an image, or one and the same for every row. */
function isAlikeInRows(operand: Value, output: Value): boolean {
  return sameDims(operand.dims, output.dims) || (operand.dims.at(-3) ?? 1) === 1;
}

/** Whether the node can be worked on row by row, with the same results to the last bit. */
export function worksByRows(node: Node): boolean {
  const { operation, inputs, outputs } = node;
  const [output] = outputs as [Value];
  if (outputs.length !== 1 || !isImage(output)) return false;
  const images = inputs.filter((value, index): value is Value => value !== undefined && readsRows(node, index));
  if (images.length === 0 || !images.every(isImage)) return false;
  switch (operation.kind) {
    case 'conv':
      return isConvByRows(node, operation);
    case 'binary':
      return inputs.every((value) => value && isAlikeInRows(value, output));
    case 'softmax':
    case 'concat':
      return operation.axis !== 1 && images.length === inputs.length;
    case 'maxPool':
    case 'averagePool':
      return meetsImage(operation.window, inputs[0] as Value, output);
    case 'resize':
      return operation.rows.every((row, i) => i === 0 || row >= (operation.rows[i - 1] as number));
    case 'unary':
      return true;
    default:
      return false;
  }
}

function underWindow({ kernel, strides, dilations, pads }: Window2d, rows: Rows, height: number): Rows {
  const begin = rows.begin * strides[0] - pads[0];
  const end = (rows.end - 1) * strides[0] - pads[0] + (kernel[0] - 1) * dilations[0] + 1;
  return { begin: Math.max(begin, 0), end: Math.min(end, height) };
}

/** The rows of image `index` that rows of the result are made of. */
export function rowsNeeded({ operation, inputs }: Node, index: number, rows: Rows): Rows {
  const height = heightOf(inputs[index] as Value);
  switch (operation.kind) {
    case 'conv':
      return index === 0 ? underWindow(operation.window, rows, height) : rows;
    case 'maxPool':
    case 'averagePool':
      return underWindow(operation.window, rows, height);
    case 'resize': {
      const [first, last] = [operation.rows[rows.begin] as number, operation.rows[rows.end - 1] as number];
      return {
        begin: Math.floor(first),
        end: Math.min(height, Math.floor(last) + (operation.mode === 'linear' ? 2 : 1)),
      };
    }
    default:
      return rows;
  }
}

/** What lies beyond the image is padding still; what the window does not reach counts as none. */
function partOfWindow(window: Window2d, rows: Rows, needed: Rows, height: number): Window2d {
  const { kernel, strides, dilations, pads } = window;
  const top = Math.max(0, needed.begin - (rows.begin * strides[0] - pads[0]));
  const reach = (rows.end - 1) * strides[0] - pads[0] + (kernel[0] - 1) * dilations[0] + 1;
  const bottom = Math.min(pads[2], Math.max(0, reach - height));
  return { ...window, pads: [top, pads[1], bottom, pads[3]] };
}

function partOfOperation({ operation, inputs, outputs }: Node, rows: Rows, needed: Rows): Operation {
  switch (operation.kind) {
    case 'conv':
      return { ...operation, window: partOfWindow(operation.window, rows, needed, heightOf(inputs[0] as Value)) };
    case 'maxPool':
    case 'averagePool': {
      const window = partOfWindow(operation.window, rows, needed, heightOf(inputs[0] as Value));
      const [, , width = 0] = (outputs[0] as Value).dims;
      return { ...operation, window, outputSize: [rows.end - rows.begin, width] };
    }
    case 'resize': {
      const sources = operation.rows.slice(rows.begin, rows.end).map((source) => source - needed.begin);
      return { ...operation, rows: sources };
    }
    default:
      return operation;
  }
}

function partOfValue({ type, dims }: Value, { begin, end }: Rows): Value {
  return { type, dims: dims.with(1, end - begin) };
}

export interface Part {
  /** The same operation on smaller images. */
  readonly node: Node;
  /** Of each image of that node, the one that it is a part of and where it begins there. */
  readonly images: ReadonlyMap<Value, { readonly whole: Value; readonly row: number }>;
}

/** The node that makes these rows of the result. */
export function partOf(node: Node, rows: Rows): Part {
  const images = new Map<Value, { whole: Value; row: number }>();
  const part = (whole: Value, needed: Rows): Value => {
    const value = partOfValue(whole, needed);
    images.set(value, { whole, row: needed.begin });
    return value;
  };
  const inputs = node.inputs.map((value, index) =>
    value && readsRows(node, index) ? part(value, rowsNeeded(node, index, rows)) : value,
  );
  const operation = partOfOperation(node, rows, rowsNeeded(node, 0, rows));
  const outputs = [part(node.outputs[0] as Value, rows)];
  return { node: { origin: node.origin, operation, inputs, outputs }, images };
}
