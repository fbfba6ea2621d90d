/** The approximations of GELU that exporters write out. Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016. */
import type { Builder } from '../builder.ts';
import type { Value } from '../graph.ts';
import type { UnaryName } from '../instructions.ts';
import { madeBy, scalarOf } from './rewrite.ts';

const CUBIC = 0.044715;
const STRETCH = Math.sqrt(2 / Math.PI);

function near(a: number, b: number): boolean {
  return Math.abs(a - b) <= 1e-4 * Math.abs(b);
}

interface Scaled {
  readonly x: Value;
  readonly alpha: number;
  readonly beta: number;
}

function scaled(builder: Builder, value: Value): Scaled {
  const made = madeBy(builder, value, 'unary');
  if (made?.operation.name !== 'scale') return { x: value, alpha: 1, beta: 0 };
  return { x: made.inputs[0] as Value, alpha: made.operation.alpha ?? 1, beta: made.operation.beta ?? 0 };
}

function argumentOf(builder: Builder, value: Value, name: UnaryName): Value | undefined {
  const made = madeBy(builder, value, 'unary');
  return made?.operation.name === name ? made.inputs[0] : undefined;
}

/** value = factor · x^power, for the x that is asked for. */
function monomial(builder: Builder, value: Value, x: Value): { factor: number; power: number } | undefined {
  if (value === x) return { factor: 1, power: 1 };
  const outer = scaled(builder, value);
  if (outer.x !== value) {
    const inner = outer.beta === 0 ? monomial(builder, outer.x, x) : undefined;
    return inner && { factor: inner.factor * outer.alpha, power: inner.power };
  }
  if (argumentOf(builder, value, 'square') === x) return { factor: 1, power: 2 };
  const made = madeBy(builder, value, 'binary');
  const [a, b] = (made?.inputs ?? []) as [Value, Value];
  if (made?.operation.name === 'pow') {
    const power = scalarOf(b);
    return a === x && power !== undefined ? { factor: 1, power } : undefined;
  }
  if (made?.operation.name !== 'mul') return undefined;
  const [left, right] = [monomial(builder, a, x), monomial(builder, b, x)];
  return left && right && { factor: left.factor * right.factor, power: left.power + right.power };
}

/** Whether value = √(2/π) · (x + 0.044715 · x³), as a sum, or as x times 1 + 0.044715 · x². */
function isCubic(builder: Builder, value: Value, x: Value): boolean {
  const { x: inner, alpha, beta } = scaled(builder, value);
  const made = madeBy(builder, inner, 'binary');
  if (!made || beta !== 0) return false;
  const [a, b] = made.inputs as [Value, Value];
  if (made.operation.name === 'add') {
    const terms = [monomial(builder, a, x), monomial(builder, b, x)].toSorted(
      (one, other) => (one?.power ?? 0) - (other?.power ?? 0),
    );
    const [linear, cubic] = terms;
    if (linear?.power !== 1 || cubic?.power !== 3) return false;
    return near(alpha * linear.factor, STRETCH) && near(cubic.factor / linear.factor, CUBIC);
  }
  if (made.operation.name !== 'mul') return false;
  return [
    [a, b],
    [b, a],
  ].some(([one, other]) => {
    const linear = monomial(builder, one as Value, x);
    const polynomial = scaled(builder, other as Value);
    const square = monomial(builder, polynomial.x, x);
    if (linear?.power !== 1 || square?.power !== 2) return false;
    const constant = polynomial.beta;
    const ratio = (polynomial.alpha * square.factor) / constant;
    return near(alpha * linear.factor * constant, STRETCH) && near(ratio, CUBIC);
  });
}

/** outer · x · (1 + tanh(√(2/π) · (x + 0.044715 · x³))) · any factor */
export function asGeluTanh(builder: Builder, factor: Value, gate: Value): Value | undefined {
  const plus = scaled(builder, gate);
  const argument = argumentOf(builder, plus.x, 'tanh');
  const outer = scaled(builder, factor);
  if (!argument || plus.alpha !== plus.beta || outer.beta !== 0 || !isCubic(builder, argument, outer.x))
    return undefined;
  return builder.scale(builder.unary('geluTanh', outer.x), Math.fround(2 * outer.alpha * plus.alpha), 0);
}

/** x · sigmoid(alpha · x) = silu(alpha · x) / alpha */
export function asQuickGelu(builder: Builder, factor: Value, gate: Value): Value | undefined {
  const argument = argumentOf(builder, gate, 'sigmoid');
  const inner = argument && scaled(builder, argument);
  if (inner?.x !== factor || inner.beta !== 0 || inner.alpha === 0) return undefined;
  return builder.scale(builder.unary('silu', argument as Value), Math.fround(1 / inner.alpha), 0);
}
