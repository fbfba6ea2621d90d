/**
 * Moves transpositions towards the outputs. Convolutions, pools and Resize come with transpositions to and from NHWC
 * around them; pushed through the operations in between, they meet and cancel, so that a network transposes only at
 * its edges.
 */
import { elementCount } from '../../engine/tensor.ts';
import type { Builder } from '../builder.ts';
import type { Operation, Value } from '../graph.ts';
import { invertPerm } from '../strides.ts';
import { madeBy, type OperationOf, type Pass, rewrite, type Visit } from './rewrite.ts';

/** A value that is a transposition of another one. */
interface View {
  readonly source: Value;
  readonly perm: readonly number[];
}

function viewOf(builder: Builder, value: Value | undefined): View | undefined {
  const made = madeBy(builder, value, 'transpose');
  if (made) return { source: made.inputs[0] as Value, perm: made.operation.perm };
  const source = madeBy(builder, value, 'reshape')?.inputs[0];
  const perm = source && value && unitPerm(source.dims, value.dims);
  return perm && { source, perm };
}

/** A reshape that only moves axes of size 1 is a transposition as well. */
function unitPerm(from: readonly number[], to: readonly number[]): number[] | undefined {
  if (from.length !== to.length) return undefined;
  const axes = (unit: boolean): number[] => from.flatMap((size, axis) => ((size === 1) === unit ? [axis] : []));
  const [units, others] = [axes(true), axes(false)];
  const perm = to.map((size) => (size === 1 ? units : others).shift());
  return perm.every((axis, i) => axis !== undefined && from[axis] === to[i]) ? (perm as number[]) : undefined;
}

/** Per-axis numbers of the transposed value, in the order of the source's axes. */
function atSource(perm: readonly number[], perAxis: readonly number[]): number[] {
  return invertPerm(perm).map((axis) => perAxis[axis] as number);
}

/** The same operation on the source of a transposition, or `undefined` when it cannot move before it. */
function onSource(operation: Operation, { perm }: View): Operation | undefined {
  const axis = (at: number): number => perm[at] as number;
  const last = perm.length - 1;
  switch (operation.kind) {
    case 'unary':
    case 'cast':
      return operation;
    case 'slice': {
      const { starts, steps, sizes } = operation;
      return {
        kind: 'slice',
        starts: atSource(perm, starts),
        steps: atSource(perm, steps),
        sizes: atSource(perm, sizes),
      };
    }
    case 'pad':
      return { ...operation, begins: atSource(perm, operation.begins), ends: atSource(perm, operation.ends) };
    case 'expand':
      return operation.dims.length === perm.length
        ? { kind: 'expand', dims: atSource(perm, operation.dims) }
        : undefined;
    case 'reduce':
      return { ...operation, axes: operation.axes.map(axis).sort((a, b) => a - b) };
    case 'softmax':
    case 'argMax':
      // Along the innermost axis they are fastest: one that is there already stays.
      return operation.axis === last && axis(last) !== last ? undefined : { ...operation, axis: axis(operation.axis) };
    default:
      return undefined;
  }
}

/** Operations of several inputs that all have to be transposed alike. */
function pushJoint({ builder, node, inputs }: Visit): Value | undefined {
  const output = node.outputs[0] as Value;
  const { operation } = node;
  const rank = output.dims.length;
  const whole = (value: Value): boolean =>
    operation.kind === 'concat' || elementCount(value.dims) === elementCount(output.dims);
  const values = inputs as readonly Value[];
  const viewed = values.filter((value) => value.dims.length === rank && viewOf(builder, value));
  const allViewed = values.every((value) => value.constant || viewed.includes(value));
  const [leading] = viewed
    .filter((value) => allViewed || whole(value))
    .toSorted((a, b) => elementCount(b.dims) - elementCount(a.dims));
  const view = viewOf(builder, leading);
  if (!view) return undefined;
  const inverse = invertPerm(view.perm);
  const operands = values.map((value) => {
    if (value.dims.every((size) => size === 1) && operation.kind !== 'concat') return value;
    const missing = new Array<number>(rank - value.dims.length).fill(1);
    return builder.transpose(builder.reshape(value, [...missing, ...value.dims]), inverse);
  });
  const moved = operation.kind === 'concat' ? { ...operation, axis: view.perm[operation.axis] as number } : operation;
  return builder.transpose(builder.add(moved, operands), view.perm);
}

interface Group {
  readonly from: number[];
  readonly to: number[];
}

/** The smallest groups of neighbouring axes that a reshape turns into each other; axes of size 1 belong to none. */
function reshapeGroups(from: readonly number[], to: readonly number[]): Group[] {
  const longer = (dims: readonly number[]): number[] => dims.flatMap((size, axis) => (size === 1 ? [] : [axis]));
  const [left, right] = [longer(from), longer(to)];
  const groups: Group[] = [];
  while (left.length > 0) {
    const group: Group = { from: [left.shift() as number], to: [right.shift() as number] };
    const size = (dims: readonly number[], axes: readonly number[]): number =>
      elementCount(axes.map((axis) => dims[axis] as number));
    let [before, after] = [size(from, group.from), size(to, group.to)];
    while (before !== after) {
      if (before < after) group.from.push(left.shift() as number);
      else group.to.push(right.shift() as number);
      [before, after] = [size(from, group.from), size(to, group.to)];
    }
    groups.push(group);
  }
  return groups;
}

/** A reshape moves before the transposition when it joins or splits only axes that lie side by side in the source. */
function pushReshape(builder: Builder, x: Value, { source, perm }: View, dims: readonly number[]): Value | undefined {
  if (elementCount(dims) === 0) return undefined;
  const order = perm.filter((axis) => source.dims[axis] !== 1).sort((a, b) => a - b);
  const position = (axis: number): number => order.indexOf(perm[axis] as number);
  const groups = reshapeGroups(x.dims, dims);
  const together = groups.every(({ from }) =>
    from.every((axis, i) => i === 0 || position(axis) === position(from[i - 1] as number) + 1),
  );
  if (!together) return undefined;
  const inOrder = groups.toSorted((a, b) => position(a.from[0] as number) - position(b.from[0] as number));
  const ones = dims.flatMap((size, axis) => (size === 1 ? [axis] : []));
  const axes = [...ones, ...inOrder.flatMap(({ to }) => to)];
  const reshaped = builder.reshape(
    source,
    axes.map((axis) => dims[axis] as number),
  );
  return builder.transpose(
    reshaped,
    dims.map((_, axis) => axes.indexOf(axis)),
  );
}

/** A second factor that is transposed in its last two axes is read as it lies. */
function pushMatMul({ builder, inputs }: Visit, operation: OperationOf<'matMul'>): Value | undefined {
  const view = viewOf(builder, inputs[1]);
  if (!view) return undefined;
  const last = view.perm.length - 1;
  const swapped = view.perm.every((axis, i) => axis === (i === last ? last - 1 : i === last - 1 ? last : i));
  if (!swapped) return undefined;
  return builder.add({ ...operation, transposeB: !operation.transposeB }, inputs.with(1, view.source));
}

function push(visit: Visit): Value | undefined {
  const { builder, node, inputs } = visit;
  const { operation } = node;
  switch (operation.kind) {
    case 'binary':
    case 'compare':
    case 'where':
    case 'concat':
    case 'quantize':
    case 'dequantize':
    case 'requantize':
    case 'center':
      return pushJoint(visit);
    case 'matMul':
      return pushMatMul(visit, operation);
  }
  const x = inputs[0] as Value;
  const view = viewOf(builder, x);
  if (!view) return undefined;
  if (operation.kind === 'reshape') return pushReshape(builder, x, view, operation.dims);
  if (operation.kind === 'gather') {
    const axis = view.perm[operation.axis] as number;
    if (inputs[1]?.dims.length !== 1) return undefined;
    return builder.transpose(builder.add({ kind: 'gather', axis }, [view.source, inputs[1]]), view.perm);
  }
  const moved = onSource(operation, view);
  return moved && builder.transpose(builder.add(moved, [view.source]), view.perm);
}

export const moveTransposes: Pass = (graph, keys) => rewrite(graph, keys, push);
