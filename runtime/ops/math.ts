/** Element-wise operators. */
import type { Value } from '../compile/graph.ts';
import type { BinaryName, CompareName, UnaryName } from '../compile/instructions.ts';
import type { Build } from './context.ts';

export function unary(name: UnaryName): Build {
  return (node) => node.builder.unary(name, node.input(0));
}

type Attribute = readonly [name: string, otherwise: number];

/** A function with parameters, given as attributes with the defaults of the standard. */
export function unaryWith(name: UnaryName, alpha: Attribute, beta?: Attribute): Build {
  return (node) => node.builder.unary(name, node.input(0), node.float(...alpha), beta && node.float(...beta));
}

export function binary(name: BinaryName): Build {
  return (node) => node.builder.binary(name, node.input(0), node.input(1));
}

/** Sum, Min, Max: any number of operands. */
export function variadic(name: BinaryName): Build {
  return (node) =>
    node.inputs
      .map((_, index) => node.input(index))
      .reduce((result, value) => node.builder.binary(name, result, value));
}

export const mean: Build = (node) => node.builder.scale(variadic('add')(node) as Value, 1 / node.inputs.length, 0);

export const mod: Build = (node) =>
  node.builder.add({ kind: 'binary', name: node.flag('fmod') ? 'fmod' : 'mod' }, [node.input(0), node.input(1)]);

/** Powers that have kernels of their own are faster and more exact. */
export const pow: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const exponent = node.input(1);
  if (x.type === 'float32' && exponent.constant && exponent.dims.every((size) => size === 1)) {
    const names = new Map<number, UnaryName>([
      [2, 'square'],
      [0.5, 'sqrt'],
      [-1, 'reciprocal'],
    ]);
    const name = names.get(Number(exponent.constant.tensor.data[0]));
    if (name && exponent.dims.length <= x.dims.length) return builder.unary(name, x);
  }
  return builder.binary('pow', x, builder.cast(exponent, x.type));
};

export function compare(name: CompareName): Build {
  return (node) => {
    const inputs = [node.input(0), node.input(1)];
    // Booleans compare as 0 and 1.
    const operands = inputs.map((x) => (x.type === 'bool' ? node.builder.cast(x, 'float32') : x));
    return node.builder.add({ kind: 'compare', name }, operands);
  };
}

/** Booleans that are known at compile time are combined there; at run time they are reckoned with as 0 and 1. */
export function logic(name: 'and' | 'or' | 'xor'): Build {
  return (node) => {
    const { builder } = node;
    const inputs = [node.input(0), node.input(1)] as const;
    if (inputs.every((input) => input.constant)) return builder.add({ kind: 'logic', name }, inputs);
    const [a, b] = inputs.map((input) => builder.cast(input, 'float32')) as [Value, Value];
    const combined = builder.binary(name === 'and' ? 'mul' : name === 'or' ? 'add' : 'sub', a, b);
    return builder.add({ kind: 'compare', name: 'greater' }, [builder.unary('abs', combined), builder.scalar(0)]);
  };
}

export const not: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  if (x.constant) return builder.add({ kind: 'logic', name: 'not' }, [x]);
  return builder.add({ kind: 'compare', name: 'equal' }, [builder.cast(x, 'float32'), builder.scalar(0)]);
};

export const where: Build = (node) =>
  node.builder.add({ kind: 'where' }, [node.input(0), node.input(1), node.input(2)]);

export const clipByAttributes: Build = (node) =>
  node.builder.unary('clip', node.input(0), node.float('min', -Infinity), node.float('max', Infinity));

/** Bounds are inputs from opset 11 on. */
export const clip: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const [low, high] = [node.optional(1), node.optional(2)];
  if ([low, high].every((bound) => !bound || bound.constant)) {
    const bound = (value: Value | undefined, otherwise: number): number =>
      value ? Number(value.constant?.tensor.data[0]) : otherwise;
    return builder.unary('clip', x, bound(low, -Infinity), bound(high, Infinity));
  }
  const raised = low ? builder.binary('max', x, low) : x;
  return high ? builder.binary('min', raised, high) : raised;
};

export const gelu: Build = (node) =>
  node.builder.unary(
    node.text('approximate', ['none', 'tanh'], 'none') === 'tanh' ? 'geluTanh' : 'gelu',
    node.input(0),
  );

/** x · sigmoid(alpha · x) */
export const swish: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  return builder.binary('mul', x, builder.unary('sigmoid', builder.scale(x, node.float('alpha', 1), 0)));
};

/** alpha · elu(x / alpha) */
export const celu: Build = (node) => {
  const alpha = node.float('alpha', 1);
  const { builder } = node;
  return builder.scale(builder.unary('elu', builder.scale(node.input(0), 1 / alpha, 0), 1), alpha, 0);
};

/** x · tanh(softplus(x)) */
export const mish: Build = (node) => {
  const x = node.input(0);
  return node.builder.binary('mul', x, node.builder.unary('tanh', node.builder.unary('softplus', x)));
};

export const tan: Build = (node) => {
  const x = node.input(0);
  return node.builder.binary('div', node.builder.unary('sin', x), node.builder.unary('cos', x));
};
