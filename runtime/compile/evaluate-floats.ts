/** What exporters leave of weight arithmetic, on float32: these are the constants that are large. */
import { elementCount, type Tensor } from '../engine/tensor.ts';
import type { BinaryName } from './instructions.ts';
import { broadcastStrides, walkRows } from './strides.ts';

/** A row of results from a row of each operand, whose elements lie `iStep` and `jStep` apart. */
type FloatRow = (
  to: Float32Array,
  ...parts: [
    first: number,
    count: number,
    a: Float32Array,
    i: number,
    iStep: number,
    b: Float32Array,
    j: number,
    jStep: number,
  ]
) => void;

/**
 * What weights are multiplied and moved by, without a call for each element: V8 puts each number that is passed to a function it does not
 * know on the heap, some 200 MB of garbage in folding the weights of a model of 10 MB.
 */
const floatRows: Partial<Record<BinaryName, FloatRow>> = {
  add(to, first, count, a, i, iStep, b, j, jStep) {
    for (let n = 0; n < count; n++) to[first + n] = (a[i + n * iStep] as number) + (b[j + n * jStep] as number);
  },
  sub(to, first, count, a, i, iStep, b, j, jStep) {
    for (let n = 0; n < count; n++) to[first + n] = (a[i + n * iStep] as number) - (b[j + n * jStep] as number);
  },
  mul(to, first, count, a, i, iStep, b, j, jStep) {
    for (let n = 0; n < count; n++) to[first + n] = (a[i + n * iStep] as number) * (b[j + n * jStep] as number);
  },
  div(to, first, count, a, i, iStep, b, j, jStep) {
    for (let n = 0; n < count; n++) to[first + n] = (a[i + n * iStep] as number) / (b[j + n * jStep] as number);
  },
};

/** Undefined for other types, and for operations that are rare in weights. */
export function combineFloats(name: BinaryName, x: Tensor, y: Tensor, dims: readonly number[]): Tensor | undefined {
  const [a, b, row] = [x.data, y.data, floatRows[name]];
  if (!row || !(a instanceof Float32Array && b instanceof Float32Array)) return undefined;
  const values = new Float32Array(elementCount(dims));
  const strides = [x, y].map((operand) => broadcastStrides(operand.dims, dims));
  walkRows(dims, strides, (first, length, [i = 0, j = 0], [iStep = 0, jStep = 0]) =>
    row(values, first, length, a, i, iStep, b, j, jStep),
  );
  return { type: 'float32', dims, data: values };
}

/** x · alpha + beta */
export function scaleFloats(data: Float32Array, dims: readonly number[], alpha: number, beta: number): Tensor {
  const values = new Float32Array(data.length);
  for (let n = 0; n < values.length; n++) values[n] = alpha * (data[n] as number) + beta;
  return { type: 'float32', dims, data: values };
}
