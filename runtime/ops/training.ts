/** One step of an optimiser (ai.onnx.preview.training): rate, step count, then groups of tensors that belong together. */
import type { Value } from '../compile/graph.ts';
import type { Build, OperatorContext } from './context.ts';

/** New values of one parameter and of what the optimiser remembers about it. */
type Update = (node: OperatorContext, rate: Value, step: Value, tensors: readonly Value[]) => readonly Value[];

/** Inputs come by kind, all parameters, then all gradients …, and so do outputs. */
function eachParameter(kinds: number, update: Update): Build {
  return (node) => {
    const { builder } = node;
    const count = (node.inputs.length - 2) / kinds;
    if (!Number.isInteger(count) || count < 1)
      throw new Error(
        `expected a rate, a step count and ${kinds} tensors a parameter, got ${node.inputs.length} inputs`,
      );
    const rate = builder.reshape(node.input(0), []);
    const step = builder.reshape(node.input(1), []);
    const updates = Array.from({ length: count }, (_, parameter) => {
      const tensors = Array.from({ length: kinds }, (__, kind) => node.input(2 + kind * count + parameter));
      return update(node, rate, step, tensors);
    });
    return Array.from({ length: kinds - 1 }, (_, kind) => updates.map((results) => results[kind] as Value)).flat();
  };
}

/** gradient + norm_coefficient · parameter: the derivative of half the squared norm. */
function regularised(node: OperatorContext, gradient: Value, x: Value): Value {
  return node.builder.binary('add', gradient, node.builder.scale(x, node.float('norm_coefficient', 0), 0));
}

/** factor ^ step */
function power({ builder }: OperatorContext, factor: number, step: Value): Value {
  return builder.binary('pow', builder.scalar(factor), builder.cast(step, 'float32'));
}

/** J. Duchi et al., 2011. Inputs X, G, H. */
export const adagrad: Build = eachParameter(3, (node, rate, step, [x, g, h]) => {
  const { builder } = node;
  const [parameter, gradient, sums] = [x, g, h] as [Value, Value, Value];
  const decay = builder.scale(builder.cast(step, 'float32'), node.float('decay_factor', 0), 1);
  const slope = regularised(node, gradient, parameter);
  const grown = builder.binary('add', sums, builder.unary('square', slope));
  const scale = builder.scale(builder.unary('sqrt', grown), 1, node.float('epsilon', 0));
  const change = builder.binary('div', builder.binary('mul', builder.binary('div', rate, decay), slope), scale);
  return [builder.binary('sub', parameter, change), grown];
});

/** D. Kingma, J. Ba, 2015. Inputs X, G, V, H; the bias is corrected from the first step on. */
export const adam: Build = eachParameter(4, (node, rate, step, [x, g, v, h]) => {
  const { builder } = node;
  const [parameter, gradient, first, second] = [x, g, v, h] as [Value, Value, Value, Value];
  const [alpha, beta] = [node.float('alpha', 0.9), node.float('beta', 0.999)];
  const slope = regularised(node, gradient, parameter);
  const mixed = (before: Value, now: Value, share: number): Value =>
    builder.binary('add', builder.scale(before, share, 0), builder.scale(now, 1 - share, 0));
  const mean = mixed(first, slope, alpha);
  const variance = mixed(second, builder.unary('square', slope), beta);
  const missing = (factor: number): Value => builder.scale(power(node, factor, step), -1, 1);
  const corrected = builder.binary('div', builder.unary('sqrt', missing(beta)), missing(alpha));
  const isFirst = builder.add({ kind: 'compare', name: 'greater' }, [builder.cast(step, 'float32'), builder.scalar(0)]);
  const adjusted = builder.add({ kind: 'where' }, [isFirst, builder.binary('mul', rate, corrected), rate]);
  const scale = builder.scale(builder.unary('sqrt', variance), 1, node.float('epsilon', 0));
  const moved = builder.binary('sub', parameter, builder.binary('div', builder.binary('mul', adjusted, mean), scale));
  return [builder.scale(moved, 1 - node.float('norm_coefficient_post', 0), 0), mean, variance];
});

/** Gradient descent with momentum, also as Y. Nesterov's. Inputs X, G, V. */
export const momentum: Build = eachParameter(3, (node, rate, step, [x, g, v]) => {
  const { builder } = node;
  const [parameter, gradient, velocity] = [x, g, v] as [Value, Value, Value];
  const [alpha, beta] = [node.float('alpha', 0), node.float('beta', 0)];
  const slope = regularised(node, gradient, parameter);
  // The first gradient counts whole.
  const isLater = builder.add({ kind: 'compare', name: 'greater' }, [builder.cast(step, 'float32'), builder.scalar(0)]);
  const share = builder.add({ kind: 'where' }, [isLater, builder.scalar(beta), builder.scalar(1)]);
  const moved = builder.binary('add', builder.scale(velocity, alpha, 0), builder.binary('mul', share, slope));
  const isNesterov = node.text('mode', ['standard', 'nesterov'], 'standard') === 'nesterov';
  const direction = isNesterov ? builder.binary('add', slope, builder.scale(moved, alpha, 0)) : moved;
  return [builder.binary('sub', parameter, builder.binary('mul', rate, direction)), moved];
});
