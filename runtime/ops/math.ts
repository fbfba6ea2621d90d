/** Element-wise operators. */
import { isInteger, numbersOf } from '../compile/evaluate.ts';
import type { Value } from '../compile/graph.ts';
import { isHalf } from '../compile/half.ts';
import type { BinaryName, CompareName, UnaryName } from '../compile/instructions.ts';
import { elementBytes } from '../engine/tensor.ts';
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

/** Sum, Min, Max: any number of operands, one at least. */
export function variadic(name: 'add' | 'min' | 'max'): Build {
  return (node) =>
    [node.input(0), ...node.inputs.slice(1).map((_, index) => node.input(index + 1))].reduce((result, value) =>
      node.builder.binary(name, result, value),
    );
}

export const mean: Build = (node) => node.builder.scale(variadic('add')(node) as Value, 1 / node.inputs.length, 0);

export const mod: Build = (node) =>
  node.builder.binary(node.flag('fmod') ? 'fmod' : 'mod', node.input(0), node.input(1));

export const bitShift: Build = (node) => {
  const direction = node.text('direction', ['LEFT', 'RIGHT', ''], '');
  if (direction === '') throw new Error('attribute "direction": expected LEFT or RIGHT, got none');
  return node.builder.binary(direction === 'LEFT' ? 'shiftLeft' : 'shiftRight', node.input(0), node.input(1));
};

export const bitwiseNot: Build = (node) => {
  const x = node.input(0);
  const ones = x.type.startsWith('u') ? 2 ** (8 * elementBytes(x.type)) - 1 : -1;
  return node.builder.binary('xor', x, node.builder.literal(x.type, [], [ones]));
};

/** Powers that have kernels of their own are faster and more exact. */
export const pow: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const exponent = node.input(1);
  const isFloat = x.type === 'float32' || isHalf(x.type);
  if (isFloat && exponent.constant && exponent.dims.every((size) => size === 1)) {
    const names = new Map<number, UnaryName>([
      [2, 'square'],
      [0.5, 'sqrt'],
      [-1, 'reciprocal'],
    ]);
    const name = names.get(numbersOf(exponent.constant.tensor)[0] as number);
    if (name && exponent.dims.length <= x.dims.length) return builder.unary(name, x);
  }
  // A whole number to the power of a fraction is computed as a float and cut.
  if (isInteger(x.type) && !isInteger(exponent.type)) {
    const [base, power] = [builder.cast(x, 'float64'), builder.cast(exponent, 'float64')];
    return builder.cast(builder.binary('pow', base, power), x.type);
  }
  return builder.binary('pow', x, builder.cast(exponent, x.type));
};

export function compare(name: CompareName): Build {
  return (node) => node.builder.add({ kind: 'compare', name }, [node.input(0), node.input(1)]);
}

export const not: Build = (node) => node.builder.binary('xor', node.input(0), node.builder.literal('bool', [], [1]));

export const where: Build = (node) =>
  node.builder.add({ kind: 'where' }, [node.input(0), node.input(1), node.input(2)]);

export const clipByAttributes: Build = (node) =>
  node.builder.unary('clip', node.input(0), node.float('min', -Infinity), node.float('max', Infinity));

/** Bounds are inputs from opset 11 on. */
export const clip: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const [low, high] = [node.optional(1), node.optional(2)];
  const isKnown = [low, high].every((bound) => !bound || bound.constant);
  if (isKnown && (x.type === 'float32' || isHalf(x.type))) {
    const bound = (value: Value | undefined, otherwise: number): number =>
      value?.constant ? (numbersOf(value.constant.tensor)[0] as number) : otherwise;
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

export const swiGlu: Build = (node) => node.builder.binary('mul', swish(node) as Value, node.input(1));

export const isNan: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const isEqual = builder.add({ kind: 'compare', name: 'equal' }, [x, x]);
  return builder.binary('xor', isEqual, builder.literal('bool', [], [1]));
};

export const isInf: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const equals = (value: number): Value =>
    builder.add({ kind: 'compare', name: 'equal' }, [x, builder.literal(x.type, [], [value])]);
  const [negative, positive] = [node.flag('detect_negative', true), node.flag('detect_positive', true)];
  if (negative && positive) return builder.binary('or', equals(-Infinity), equals(Infinity));
  if (negative || positive) return equals(negative ? -Infinity : Infinity);
  return builder.expand(builder.literal('bool', [], [0]), x.dims);
};

/** x + bias below -lambd, x - bias above lambd, 0 between. */
export const shrink: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const [bias, lambd] = [node.float('bias', 0), node.float('lambd', 0.5)];
  const is = (name: CompareName, value: number): Value =>
    builder.add({ kind: 'compare', name }, [x, builder.literal(x.type, [], [value])]);
  const zero = builder.literal(x.type, [], [0]);
  const shifted = (value: number): Value => builder.binary('add', x, builder.literal(x.type, [], [value]));
  const above = builder.add({ kind: 'where' }, [is('greater', lambd), shifted(-bias), zero]);
  return builder.add({ kind: 'where' }, [is('less', -lambd), shifted(bias), above]);
};

export const thresholdedRelu: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const limit = builder.literal(x.type, [], [node.float('alpha', 1)]);
  const isAbove = builder.add({ kind: 'compare', name: 'greater' }, [x, limit]);
  return builder.add({ kind: 'where' }, [isAbove, x, builder.literal(x.type, [], [0])]);
};
