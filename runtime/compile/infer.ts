/** Type and shape of what an operation gives. Refuses operands that do not fit, in the words of the caller's model. */
import type { DataType } from '../engine/tensor.ts';
import type { Operation, Value } from './graph.ts';
import type { Window2d } from './instructions.ts';
import { inferRare } from './rare-operations.ts';
import { type RecurrentName, recurrentCells } from './recurrent.ts';
import { broadcastDims, sameDims } from './strides.ts';

export interface TypeAndDims {
  readonly type: DataType;
  readonly dims: readonly number[];
}

const show = (dims: readonly number[]): string => `[${dims.join(', ')}]`;

/** A kernel reads both operands as of the type of the first. */
function expectAlike(a: Value, b: Value): void {
  if (a.type !== b.type) throw new Error(`expected operands of one type, got ${a.type} and ${b.type}`);
}

/** Output size of a window sliding over a padded axis, rounded down (or up: ceil_mode). */
export function slidingSize(size: number, window: Window2d, axis: 0 | 1, ceil = false): number {
  const reach = (window.kernel[axis] - 1) * window.dilations[axis] + 1;
  const room = size + window.pads[axis] + window.pads[(axis + 2) as 2 | 3] - reach;
  const steps = ceil ? Math.ceil(room / window.strides[axis]) : Math.floor(room / window.strides[axis]);
  return steps + 1;
}

function operand(inputs: readonly (Value | undefined)[], index: number): Value {
  const value = inputs[index];
  if (!value) throw new Error(`expected an input ${index}, found none`);
  return value;
}

function broadcast(...values: readonly Value[]): number[] {
  const dims = broadcastDims(...values.map((value) => value.dims));
  if (!dims)
    throw new Error(`expected shapes that broadcast, got ${values.map(({ dims }) => show(dims)).join(' and ')}`);
  return dims;
}

function expectTypes(what: string, value: Value, types: readonly DataType[]): void {
  if (!types.includes(value.type)) throw new Error(`expected ${what} of ${types.join(' or ')}, got ${value.type}`);
}

/** Optional operands whose shape follows from the others: a kernel would read beyond one that is too small. */
function expectDims(what: string, value: Value | undefined, dims: readonly number[]): void {
  if (value && !sameDims(value.dims, dims))
    throw new Error(`expected ${what} of shape ${show(dims)}, got ${show(value.dims)}`);
}

function inferConv(
  operation: Operation & { kind: 'conv' | 'convInteger' | 'convQuantized' },
  inputs: readonly (Value | undefined)[],
): TypeAndDims {
  const x = operand(inputs, 0);
  const weights = operand(inputs, 1);
  const [n = 0, h = 0, w = 0, c = 0] = x.dims;
  const [m = 0, perGroup = 0] = weights.dims;
  const { group, window } = operation;
  if (x.dims.length !== 4 || weights.dims.length !== 4 || perGroup * group !== c || m % group !== 0) {
    throw new Error(
      `expected weights for ${c} input channels in ${group} groups, got shape ${show(weights.dims)} for x with ${c} channels`,
    );
  }
  const dims = [n, slidingSize(h, window, 0), slidingSize(w, window, 1), m];
  if (dims.some((size) => size < 0))
    throw new Error(`expected an input at least as large as the kernel, got ${h} x ${w}`);
  expectDims('a bias', inputs[2], [m]);
  expectDims('a residual', inputs[3], dims);
  return { type: x.type, dims };
}

function inferConvTranspose(
  operation: Operation & { kind: 'convTranspose' },
  inputs: readonly (Value | undefined)[],
): TypeAndDims {
  const x = operand(inputs, 0);
  const weights = operand(inputs, 1);
  const [n = 0, , , c = 0] = x.dims;
  const { window, group, outputSize } = operation;
  const channels = (weights.dims[1] ?? 0) * group;
  expectDims('weights', weights, [c, channels / group, ...window.kernel]);
  expectDims('a bias', inputs[2], [channels]);
  return { type: x.type, dims: [n, ...outputSize, channels] };
}

function inferMatMul(
  operation: Operation & { kind: 'matMul' | 'product' | 'matMulInteger' },
  inputs: readonly (Value | undefined)[],
): TypeAndDims {
  const a = operand(inputs, 0);
  const b = operand(inputs, 1);
  const [m = 0, k] = a.dims.slice(-2);
  const [rows, columns] = b.dims.slice(-2);
  const [kb, n = 0] = operation.transposeB ? [columns, rows] : [rows, columns];
  const batch = broadcastDims(a.dims.slice(0, -2), b.dims.slice(0, -2));
  if (k !== kb || !batch) throw new Error(`expected matrices that multiply, got ${show(a.dims)} and ${show(b.dims)}`);
  const dims = [...batch, m, n];
  expectDims('a bias', inputs[2], [n]);
  expectDims('a residual', inputs[3], dims);
  return { type: a.type, dims };
}

function inferConcat(axis: number, inputs: readonly (Value | undefined)[]): TypeAndDims {
  const first = operand(inputs, 0);
  let size = 0;
  for (const value of inputs) {
    const fits = value && value.dims.length === first.dims.length && value.type === first.type;
    if (!fits || !value.dims.every((dim, i) => i === axis || dim === first.dims[i]))
      throw new Error(
        `expected inputs alike but for axis ${axis}, got ${inputs.map((input) => show(input?.dims ?? [])).join(', ')}`,
      );
    size += value.dims[axis] as number;
  }
  return { type: first.type, dims: first.dims.map((dim, i) => (i === axis ? size : dim)) };
}

function inferReshape(x: Value, dims: readonly number[]): TypeAndDims {
  const count = (sizes: readonly number[]): number => sizes.reduce((product, size) => product * size, 1);
  if (count(dims) !== count(x.dims))
    throw new Error(`expected a shape of as many elements as ${show(x.dims)}, got ${show(dims)}`);
  return { type: x.type, dims };
}

function inferScaled(type: DataType, inputs: readonly (Value | undefined)[]): TypeAndDims {
  const [x, ...parameters] = inputs as [Value, ...Value[]];
  if (!sameDims(broadcast(x, ...parameters), x.dims))
    throw new Error(
      `expected scale and zero point that broadcast to ${show(x.dims)}, got ${show(parameters[0]?.dims ?? [])}`,
    );
  return { type, dims: x.dims };
}

function inferRecurrent(
  { name }: { readonly name: RecurrentName },
  inputs: readonly (Value | undefined)[],
): TypeAndDims[] {
  const [gates, h] = [operand(inputs, 0), operand(inputs, 2)];
  const [time = 0, batch = 0] = gates.dims;
  const hidden = h.dims[1] ?? 0;
  const cell = recurrentCells[name];
  expectDims('gates', gates, [time, batch, cell.gates * hidden]);
  expectDims('state weights', operand(inputs, 1), [cell.stateGates * hidden, hidden]);
  expectDims('an initial state', h, [batch, hidden]);
  const second = { lstm: [batch, hidden], gru: [hidden, hidden], gruResetAfter: [3 * hidden], rnn: [] }[name];
  expectDims('a second operand', inputs[3], second);
  expectDims('peephole weights', inputs[4], [3 * hidden]);
  const y = { type: gates.type, dims: [time, batch, hidden] };
  return name === 'lstm' ? [y, { type: gates.type, dims: [batch, hidden] }] : [y];
}

function expectFilled(x: Value, axis: number): void {
  if (x.dims[axis] === 0 && !x.dims.some((size, i) => size === 0 && i !== axis))
    throw new Error(`expected axis ${axis} to have elements, got shape ${show(x.dims)}`);
}

/** Types and shapes of the outputs. Throws an Error that says what does not fit. */
export function inferOutputs(operation: Operation, inputs: readonly (Value | undefined)[]): readonly TypeAndDims[] {
  const x = operand(inputs, 0);
  switch (operation.kind) {
    case 'unary':
      return [x];
    case 'softmax':
      expectFilled(x, operation.axis);
      return [x];
    case 'layerNorm':
      expectDims('scale and bias', inputs[1], x.dims.slice(-1));
      expectDims('scale and bias', inputs[2], x.dims.slice(-1));
      return [x];
    case 'binary':
      expectAlike(x, operand(inputs, 1));
      return [{ type: x.type, dims: broadcast(x, operand(inputs, 1)) }];
    case 'compare':
      expectAlike(x, operand(inputs, 1));
      return [{ type: 'bool', dims: broadcast(x, operand(inputs, 1)) }];
    case 'where':
      expectTypes('a condition', x, ['bool']);
      expectAlike(operand(inputs, 1), operand(inputs, 2));
      return [{ type: operand(inputs, 1).type, dims: broadcast(x, operand(inputs, 1), operand(inputs, 2)) }];
    case 'cast':
    case 'bitCast':
      return [{ type: operation.to, dims: x.dims }];
    case 'conv':
      return [inferConv(operation, inputs)];
    case 'convTranspose':
      return [inferConvTranspose(operation, inputs)];
    case 'maxPool':
    case 'averagePool':
      return [{ type: x.type, dims: [x.dims[0] ?? 0, ...operation.outputSize, x.dims[3] ?? 0] }];
    case 'resize':
      return [
        { type: x.type, dims: [x.dims[0] ?? 0, operation.rows.length, operation.columns.length, x.dims[3] ?? 0] },
      ];
    case 'matMul':
    case 'product':
      return [inferMatMul(operation, inputs)];
    case 'attention': {
      const [q, k, v, mask] = inputs;
      const scores = inferMatMul({ kind: 'matMul', transposeB: operation.transposeK }, [q, k]);
      if (mask && !sameDims(broadcast(mask, scores), scores.dims))
        throw new Error(`expected a mask for scores ${show(scores.dims)}, got ${show(mask.dims)}`);
      return [inferMatMul({ kind: 'matMul', transposeB: false }, [scores, v])];
    }
    case 'reduce':
      return [{ type: x.type, dims: x.dims.map((size, axis) => (operation.axes.includes(axis) ? 1 : size)) }];
    case 'argMax':
      expectFilled(x, operation.axis);
      return [{ type: 'int64', dims: x.dims.map((size, axis) => (axis === operation.axis ? 1 : size)) }];
    case 'reshape':
      return [inferReshape(x, operation.dims)];
    case 'transpose':
      return [{ type: x.type, dims: operation.perm.map((axis) => x.dims[axis] as number) }];
    case 'slice':
      return [{ type: x.type, dims: operation.sizes }];
    case 'concat':
      return [inferConcat(operation.axis, inputs)];
    case 'pad':
      return [
        {
          type: x.type,
          dims: x.dims.map(
            (size, axis) => size + (operation.begins[axis] as number) + (operation.ends[axis] as number),
          ),
        },
      ];
    case 'expand':
      return [{ type: x.type, dims: operation.dims }];
    case 'gather': {
      const { axis } = operation;
      const indices = operand(inputs, 1);
      expectTypes('indices', indices, ['int32', 'int64']);
      if (!(axis >= 0 && axis < x.dims.length)) throw new Error(`expected an axis ${axis}, got shape ${show(x.dims)}`);
      return [{ type: x.type, dims: [...x.dims.slice(0, axis), ...indices.dims, ...x.dims.slice(axis + 1)] }];
    }
    case 'quantize':
    case 'requantize':
      return [inferScaled(operation.to, inputs)];
    case 'dequantize':
      return [inferScaled('float32', inputs)];
    case 'center':
      return [inferScaled('int16', inputs)];
    case 'convInteger':
      return [{ type: 'int32', dims: inferConv(operation, inputs).dims }];
    case 'convQuantized':
      return [{ type: operation.to, dims: inferConv(operation, inputs.slice(0, 3)).dims }];
    case 'matMulInteger':
      return [{ type: 'int32', dims: inferMatMul(operation, inputs).dims }];
    case 'recurrent':
      return inferRecurrent(operation, inputs);
    default:
      return inferRare(operation, inputs);
  }
}
