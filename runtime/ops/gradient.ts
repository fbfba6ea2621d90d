/**
 * ai.onnx.preview.training's Gradient: derivatives of y's sum by xs, backwards through the kernel operations that lead from
 * them to y (reverse accumulation; A. Griewank, A. Walther, Evaluating Derivatives, 2008, chapter 3).
 */
import type { Builder } from '../compile/builder.ts';
import type { Node, Operation, Value } from '../compile/graph.ts';
import type { BinaryName, UnaryName } from '../compile/instructions.ts';
import { sameDims } from '../compile/strides.ts';
import type { Build } from './context.ts';

/** The parts of a node's inputs in the slope, from the slope of its output; absent where there is none. */
type Backward = (builder: Builder, node: Node, slope: Value) => readonly (Value | undefined)[];

/** Sums over the axes along which a value of shape `dims` was repeated. */
function gathered(builder: Builder, slope: Value, dims: readonly number[]): Value {
  const missing = slope.dims.length - dims.length;
  const axes = slope.dims.flatMap((size, i) => (i < missing || (dims[i - missing] === 1 && size !== 1) ? [i] : []));
  return builder.reshape(axes.length === 0 ? slope : builder.reduce('sum', slope, axes), dims);
}

const unary: Partial<Record<UnaryName, (builder: Builder, x: Value, y: Value, alpha: number) => Value>> = {
  neg: (builder, x) => builder.expand(builder.scalar(-1), x.dims),
  exp: (_, __, y) => y,
  log: (builder, x) => builder.unary('reciprocal', x),
  sqrt: (builder, _, y) => builder.scale(builder.unary('reciprocal', y), 0.5, 0),
  reciprocal: (builder, _, y) => builder.unary('neg', builder.unary('square', y)),
  square: (builder, x) => builder.scale(x, 2, 0),
  scale: (builder, x, _, alpha) => builder.expand(builder.scalar(alpha), x.dims),
  tanh: (builder, _, y) => builder.scale(builder.unary('square', y), -1, 1),
  sigmoid: (builder, _, y) => builder.binary('mul', y, builder.scale(y, -1, 1)),
  softplus: (builder, x) => builder.unary('sigmoid', x),
  abs: (builder, x) => builder.unary('sign', x),
  sin: (builder, x) => builder.unary('cos', x),
  cos: (builder, x) => builder.unary('neg', builder.unary('sin', x)),
  relu: (builder, x) => isPositive(builder, x, 0),
  leakyRelu: (builder, x, _, alpha) => isPositive(builder, x, alpha),
};

/** 1 above zero, `otherwise` from there down. */
function isPositive(builder: Builder, x: Value, otherwise: number): Value {
  const above = builder.add({ kind: 'compare', name: 'greater' }, [x, builder.literal(x.type, [], [0])]);
  return builder.add({ kind: 'where' }, [above, builder.scalar(1), builder.scalar(otherwise)]);
}

const binary: Partial<Record<BinaryName, (builder: Builder, a: Value, b: Value, slope: Value) => [Value, Value]>> = {
  add: (_, __, ___, slope) => [slope, slope],
  sub: (builder, _, __, slope) => [slope, builder.unary('neg', slope)],
  mul: (builder, a, b, slope) => [builder.binary('mul', slope, b), builder.binary('mul', slope, a)],
  div: (builder, a, b, slope) => {
    const part = builder.binary('div', slope, b);
    return [part, builder.unary('neg', builder.binary('mul', part, builder.binary('div', a, b)))];
  },
};

/** The last two axes change places. */
function turned(builder: Builder, x: Value): Value {
  const rank = x.dims.length;
  return builder.transpose(x, [...Array(rank - 2).keys(), rank - 1, rank - 2]);
}

function backwardMatMul(
  builder: Builder,
  node: Node,
  slope: Value,
  transposeB: boolean,
): readonly (Value | undefined)[] {
  const [a, b, bias, residual] = node.inputs as [Value, Value, Value?, Value?];
  const byA = builder.matMul(slope, b, !transposeB);
  const byB = transposeB ? builder.matMul(turned(builder, slope), a) : builder.matMul(turned(builder, a), slope);
  return [
    gathered(builder, byA, a.dims),
    gathered(builder, byB, b.dims),
    bias && gathered(builder, slope, bias.dims),
    residual && slope,
  ];
}

function backwardSoftmax(builder: Builder, node: Node, slope: Value, axis: number, log: boolean): Value {
  const y = node.outputs[0] as Value;
  if (log) {
    const sum = builder.reduce('sum', slope, [axis]);
    return builder.binary('sub', slope, builder.binary('mul', builder.unary('exp', y), sum));
  }
  const sum = builder.reduce('sum', builder.binary('mul', slope, y), [axis]);
  return builder.binary('mul', y, builder.binary('sub', slope, sum));
}

function backwardConcat(builder: Builder, node: Node, slope: Value, axis: number): readonly Value[] {
  let start = 0;
  return node.inputs.map((input) => {
    const size = input?.dims[axis] ?? 0;
    start += size;
    return builder.sliceAxis(slope, axis, start - size, start);
  });
}

function backwardReduce(
  builder: Builder,
  x: Value,
  slope: Value,
  operation: Operation & { kind: 'reduce' },
): Value | undefined {
  const count = operation.axes.reduce((product, axis) => product * (x.dims[axis] as number), 1);
  const spread = builder.expand(slope, x.dims);
  if (operation.name === 'sum') return spread;
  if (operation.name === 'mean') return builder.scale(spread, 1 / count, 0);
  if (operation.name === 'sumSquare') return builder.binary('mul', spread, builder.scale(x, 2, 0));
  return undefined;
}

/** `undefined` for an operation whose derivative is not known here. */
const backward = (builder: Builder, node: Node, slope: Value): ReturnType<Backward> | undefined => {
  const { operation, inputs, outputs } = node;
  const [x, y] = [inputs[0] as Value, outputs[0] as Value];
  switch (operation.kind) {
    case 'unary': {
      const factor = unary[operation.name]?.(builder, x, y, operation.alpha ?? 0);
      return factor && [builder.binary('mul', slope, factor)];
    }
    case 'binary': {
      const [a, b] = inputs as [Value, Value];
      const parts = binary[operation.name]?.(builder, a, b, slope);
      return parts && [gathered(builder, parts[0], a.dims), gathered(builder, parts[1], b.dims)];
    }
    case 'matMul':
      return operation.activation ? undefined : backwardMatMul(builder, node, slope, operation.transposeB);
    case 'reduce': {
      const part = backwardReduce(builder, x, slope, operation);
      return part && [part];
    }
    case 'softmax':
      return [backwardSoftmax(builder, node, slope, operation.axis, operation.log)];
    case 'reshape':
      return [builder.reshape(slope, x.dims)];
    case 'expand':
      return [gathered(builder, slope, x.dims)];
    case 'transpose':
      return [
        builder.transpose(
          slope,
          operation.perm.map((_, axis) => operation.perm.indexOf(axis)),
        ),
      ];
    case 'concat':
      return backwardConcat(builder, node, slope, operation.axis);
    case 'where':
      return [
        undefined,
        ...[1, 2].map((branch) => {
          const zero = builder.scalar(0);
          const chosen = branch === 1 ? [x, slope, zero] : [x, zero, slope];
          return gathered(builder, builder.add({ kind: 'where' }, chosen), (inputs[branch] as Value).dims);
        }),
      ];
    default:
      return undefined;
  }
};

/** The nodes between xs and y, the last first. What is `fixed` does not change with what it was computed from. */
function pathBetween(builder: Builder, xs: readonly Value[], fixed: ReadonlySet<Value>, y: Value): Node[] {
  const reached = new Set(xs);
  const forward = builder.nodes.filter((node) => {
    const isReached =
      node.inputs.some((input) => input && reached.has(input)) && !node.outputs.some((each) => fixed.has(each));
    if (isReached) for (const output of node.outputs) reached.add(output);
    return isReached;
  });
  const needed = new Set([y]);
  return forward.toReversed().filter((node) => {
    const isNeeded = node.outputs.some((output) => needed.has(output));
    if (isNeeded) for (const input of node.inputs) if (input) needed.add(input);
    return isNeeded;
  });
}

/** Inputs: the values of xs, then of zs, which stay fixed. Outputs: one derivative for each of xs, of its shape. */
export const gradient: Build = (node) => {
  const { builder } = node;
  const names = node.texts('xs') ?? [];
  const y = node.named(node.anyText('y'));
  const xs = names.map((_, index) => node.input(index));
  const float = [y, ...xs].find((value) => value.type !== 'float32');
  if (float) throw node.unsupported(`a gradient of ${float.type} values`);
  const slopes = new Map<Value, Value>([[y, builder.expand(builder.scalar(1), y.dims)]]);
  for (const each of pathBetween(builder, xs, new Set(node.inputs.map((_, index) => node.input(index))), y)) {
    const slope = slopes.get(each.outputs[0] as Value);
    if (!slope) continue;
    const parts = backward(builder, each, slope);
    if (!parts) throw node.unsupported(`the gradient of ${describe(each.operation)} at "${each.origin}"`);
    each.inputs.forEach((input, index) => {
      const part = parts[index];
      if (!input || !part || input.constant) return;
      const before = slopes.get(input);
      slopes.set(input, before ? builder.binary('add', before, part) : part);
    });
  }
  return xs.map((x) => {
    const slope = slopes.get(x) ?? builder.expand(builder.scalar(0), x.dims);
    if (!sameDims(slope.dims, x.dims)) throw new Error(`assertion: a slope [${slope.dims}] of a value [${x.dims}]`);
    return slope;
  });
};

function describe(operation: Operation): string {
  return 'name' in operation ? `${operation.kind} ${operation.name}` : operation.kind;
}
