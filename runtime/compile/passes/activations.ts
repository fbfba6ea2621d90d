/** Activation functions that exporters write out as several operations become one again. */
import type { Builder } from '../builder.ts';
import type { Value } from '../graph.ts';
import type { BinaryName, UnaryName } from '../instructions.ts';
import { asGeluTanh, asQuickGelu } from './gelu.ts';
import { madeBy, type Pass, rewrite, scalarOf, type Visit } from './rewrite.ts';

interface Applied {
  readonly x: Value;
  readonly alpha: number;
  readonly beta: number;
}

/** The argument and parameters when `value` is this function of something. */
function applied(builder: Builder, value: Value | undefined, name: UnaryName): Applied | undefined {
  const made = madeBy(builder, value, 'unary');
  if (!made || made.operation.name !== name) return undefined;
  return { x: made.inputs[0] as Value, alpha: made.operation.alpha ?? 0, beta: made.operation.beta ?? 0 };
}

/** A value as alpha · x + beta; anything is 1 · itself + 0. */
function scaled(builder: Builder, value: Value): Applied {
  return applied(builder, value, 'scale') ?? { x: value, alpha: 1, beta: 0 };
}

function near(a: number, b: number): boolean {
  return Math.abs(a - b) <= 1e-6 * Math.abs(b);
}

/** clip(alpha · x + beta, 0, 1) */
function asHardSigmoid({ builder, node, inputs }: Visit): Value | undefined {
  if (node.operation.kind !== 'unary') return undefined;
  const x = inputs[0] as Value;
  const { name, alpha = 0, beta = 0 } = node.operation;
  if (name === 'clip' && alpha === 0 && near(beta, 1)) {
    const inner = applied(builder, x, 'scale');
    return inner && builder.unary('hardSigmoid', inner.x, inner.alpha, inner.beta);
  }
  // clip(x + 3, 0, 6) / 6
  if (name !== 'scale' || beta !== 0) return undefined;
  const clip = applied(builder, x, 'clip');
  const inner = clip && applied(builder, clip.x, 'scale');
  if (!inner || clip.alpha !== 0 || !near(clip.beta * alpha, 1)) return undefined;
  return builder.unary('hardSigmoid', inner.x, inner.alpha * alpha, inner.beta * alpha);
}

/** x · gate(x), or alpha · x · gate(x) where the gate is written as a clip. */
function gated(builder: Builder, factor: Value, gate: Value): Value | undefined {
  const x = factor;
  if (applied(builder, gate, 'sigmoid')?.x === x) return builder.unary('silu', x);
  const hard = applied(builder, gate, 'hardSigmoid');
  if (hard?.x === x) return builder.unary('hardSwish', x, hard.alpha, hard.beta);
  const clip = applied(builder, gate, 'clip');
  const inner = clip && scaled(builder, clip.x);
  const outer = inner?.x === x ? { x, alpha: 1, beta: 0 } : scaled(builder, factor);
  if (!inner || inner.x !== outer.x || outer.beta !== 0 || clip.alpha !== 0) return undefined;
  if (!(clip.beta > 0) || !Number.isFinite(clip.beta)) return undefined;
  const swish = builder.unary('hardSwish', outer.x, inner.alpha / clip.beta, inner.beta / clip.beta);
  return builder.scale(swish, Math.fround(clip.beta * outer.alpha), 0);
}

/** factor · x · (1 + erf(x / √2)), with the factor 1/2 here or behind; source: Hendrycks and Gimpel, GELU, 2016. */
function asGelu(builder: Builder, factor: Value, gate: Value): Value | undefined {
  const plus = applied(builder, gate, 'scale');
  const erf = plus && applied(builder, plus.x, 'erf');
  if (!erf || plus.alpha !== plus.beta) return undefined;
  const argument = scaled(builder, erf.x);
  const outer = scaled(builder, factor);
  if (argument.x !== outer.x || argument.beta !== 0 || outer.beta !== 0 || argument.alpha === 0) return undefined;
  // With t = √2 · argument: outer · (1 + erf(t / √2)) = 2 · (outer / t) · gelu(t).
  const stretch = argument.alpha * Math.SQRT2;
  const t = near(stretch, 1) ? outer.x : builder.scale(outer.x, stretch, 0);
  return builder.scale(builder.unary('gelu', t), Math.fround((2 * outer.alpha * plus.alpha) / stretch), 0);
}

/** A slope or a bound that is the same for all elements is a parameter, and those of a function go with what comes before. */
function withNumber(builder: Builder, name: BinaryName, x: Value, number: number | undefined): Value | undefined {
  if (number === undefined || x.type !== 'float32') return undefined;
  if (name === 'prelu') return builder.unary('leakyRelu', x, number);
  if (name === 'max') return number === 0 ? builder.unary('relu', x) : builder.unary('clip', x, number, Infinity);
  return name === 'min' ? builder.unary('clip', x, -Infinity, number) : undefined;
}

const forms = [gated, asGelu, asGeluTanh, asQuickGelu];

function combine(visit: Visit): Value | undefined {
  const { builder, node, inputs, isOnlyReader } = visit;
  if (node.operation.kind === 'binary') {
    const [x, number] = inputs as [Value, Value];
    if (number.dims.length <= x.dims.length) {
      const found = withNumber(builder, node.operation.name, x, scalarOf(number));
      if (found) return found;
    }
  }
  if (node.operation.kind !== 'binary' || node.operation.name !== 'mul') return asHardSigmoid(visit);
  const [a, b] = inputs as [Value, Value];
  const find = (factor: Value, gate: Value): Value | undefined => {
    for (const form of forms) {
      const found = form(builder, factor, gate);
      if (found) return found;
    }
    return undefined;
  };
  return (isOnlyReader(1) ? find(a, b) : undefined) ?? (isOnlyReader(0) ? find(b, a) : undefined);
}

export const joinActivations: Pass = (graph, keys) => rewrite(graph, keys, combine);
