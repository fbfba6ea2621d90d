/** Recipes: one element at a time. */
import type { DataType } from '../../../runtime/engine/tensor.ts';
import type { GraphValue } from './graph.ts';
import { broadcast, type Maker, type Recipes, tryBroadcast } from './maker.ts';

const floatOrWhole: readonly DataType[] = ['float32', 'float32', 'float32', 'int32', 'int64'];

/** A function that never falls, or that is bounded by its ends. */
function rising(operator: string, f: (x: number) => number, low = -1e4, high = 1e4): Recipes {
  return {
    [operator]: (maker) => {
      const x = maker.floatWithin(low, high);
      maker.node(operator, [x], {}, { dims: x.dims, low: f(x.low), high: f(x.high) });
    },
  };
}

/** A function whose results lie in [low, high] for arguments in [from, to]. */
function bounded(operator: string, [low, high]: readonly [number, number], from = -1e4, to = 1e4): Recipes {
  return {
    [operator]: (maker) => {
      const x = maker.floatWithin(from, to);
      maker.node(operator, [x], {}, { dims: x.dims, low, high });
    },
  };
}

/** With float attributes of random values; |f(x)| ≤ |x| · gain + offset. */
function shaped(operator: string, names: readonly string[], gain: number, offset: number, opset = 1): Recipes {
  return {
    [operator]: (maker) => {
      if (maker.opset < opset) return;
      const x = maker.float();
      const chosen = names.filter(() => maker.chance(0.6));
      const attributes = chosen.map((name) => [name, { float: Math.fround(0.1 + maker.random.next()) }]);
      const most = Math.max(Math.abs(x.low), Math.abs(x.high)) * gain + offset;
      maker.node(operator, [x], Object.fromEntries(attributes), { dims: x.dims, low: -most, high: most });
    },
  };
}

function extent({ low, high }: GraphValue): number {
  return Math.max(Math.abs(low), Math.abs(high));
}

/** `bound` gives the largest magnitude of the result. */
function binary(operator: string, bound: (a: number, b: number) => number): Recipes {
  return {
    [operator]: (maker) => {
      const a = maker.anyOf(floatOrWhole);
      const b = maker.partner(a);
      const most = bound(extent(a), extent(b));
      const order = maker.chance(0.5) ? [a, b] : [b, a];
      maker.node(operator, order, {}, { dims: broadcast(a.dims, b.dims), low: -most, high: most });
    },
  };
}

function compare(operator: string, types = floatOrWhole): Recipes {
  return {
    [operator]: (maker) => {
      const a = maker.anyOf(types);
      const b = maker.partner(a);
      maker.node(operator, [a, b], {}, { dims: broadcast(a.dims, b.dims), type: 'bool', low: 0, high: 1 });
    },
  };
}

function logical(operator: string): Recipes {
  return {
    [operator]: (maker) => {
      const a = maker.anyOf(['bool']);
      const b = maker.partner(a, 0, 1);
      maker.node(operator, [a, b], {}, { dims: broadcast(a.dims, b.dims), low: 0, high: 1 });
    },
  };
}

function variadic(operator: string): Recipes {
  return {
    [operator]: (maker) => {
      const first = maker.float();
      const values = [first];
      for (let more = maker.between(0, 3); more > 0; more--) {
        const next = maker.partner(first);
        if (tryBroadcast(...values.map(({ dims }) => dims), next.dims)) values.push(next);
      }
      const most = values.reduce((sum, value) => sum + extent(value), 0);
      const dims = broadcast(...values.map((value) => value.dims));
      maker.node(operator, values, {}, { dims, low: -most, high: most });
    },
  };
}

function div(maker: Maker): void {
  const a = maker.anyOf(floatOrWhole);
  const b = maker.fresh(a.type, a.dims.slice(maker.random.below(a.dims.length + 1)), 1, 5);
  // The standard leaves open which way a quotient of negative integers is cut.
  const most = extent(a);
  maker.node('Div', [a, b], {}, { dims: broadcast(a.dims, b.dims), low: -most, high: most });
}

function pow(maker: Maker): void {
  const x = maker.floatWithin(0.1, 8);
  const y = maker.partner(x, -2, 2);
  maker.node('Pow', [x, y], {}, { dims: broadcast(x.dims, y.dims), low: 0, high: 100 });
}

function mod(maker: Maker): void {
  const a = maker.anyOf(['int32', 'int64']);
  const b = maker.fresh(a.type, a.dims.slice(maker.random.below(a.dims.length + 1)), 1, 7);
  const fmod = maker.random.below(2);
  maker.node('Mod', [a, b], { fmod: { int: fmod } }, { dims: broadcast(a.dims, b.dims), low: -7, high: 7 });
}

function prelu(maker: Maker): void {
  const x = maker.float(1);
  const slope = maker.fresh(
    'float32',
    x.dims.map((size, axis) => (axis > 0 && maker.chance(0.5) ? 1 : size)),
    -1,
    1,
  );
  const most = extent(x);
  maker.node('PRelu', [x, slope], {}, { dims: x.dims, low: -most, high: most });
}

function clip(maker: Maker): void {
  const x = maker.anyOf(floatOrWhole);
  const low = maker.chance(0.7) ? maker.constant(x.type, [], [-maker.between(0, 2)]) : undefined;
  const high = maker.chance(0.7) ? maker.constant(x.type, [], [maker.between(0, 3)]) : undefined;
  const bounds = { low: Math.max(x.low, low?.low ?? x.low), high: Math.min(x.high, high?.high ?? x.high) };
  maker.node('Clip', high ? [x, low, high] : low ? [x, low] : [x], {}, { dims: x.dims, ...bounds });
}

function where(maker: Maker): void {
  const a = maker.anyOf([...floatOrWhole, 'uint8']);
  const b = maker.partner(a, a.type === 'uint8' ? 0 : -2);
  const dims = broadcast(a.dims, b.dims);
  const condition = maker.pick(
    (value) => value.type === 'bool' && tryBroadcast(value.dims, dims)?.join() === dims.join(),
    () => maker.fresh('bool', dims.slice(maker.random.below(dims.length + 1)), 0, 1),
  );
  const most = Math.max(extent(a), extent(b));
  maker.node('Where', [condition, a, b], {}, { dims, type: a.type, low: -most, high: most });
}

/** Types whose elements survive: what a cast of NaN or of too large a number gives is not defined. */
function cast(maker: Maker): void {
  const x = maker.anyOf(['float32', 'float32', 'int32', 'int64', 'bool', 'uint8', 'float16']);
  const targets: DataType[] = ['float32', 'float32', 'int32', 'int64', 'float16'];
  if (extent(x) < 100 || x.type === 'bool') targets.push('int8', 'int16', 'bool');
  if (x.low >= 0 && x.high < 200) targets.push('uint8', 'bool');
  const type = maker.random.pick(targets);
  const bounds = type === 'bool' ? { low: 0, high: 1 } : { low: Math.floor(x.low), high: Math.ceil(x.high) };
  maker.node('Cast', [x], { to: { int: codes[type] as number } }, { dims: x.dims, type, ...bounds });
}

const codes: Partial<Record<DataType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
};

function bitShift(maker: Maker): void {
  const x = maker.anyOf(['uint32', 'uint8']);
  const by = maker.fresh(x.type, x.dims, 0, 4);
  const direction = maker.random.pick(['LEFT', 'RIGHT']);
  maker.node('BitShift', [x, by], { direction: { text: direction } }, { dims: x.dims, low: 0, high: 144 });
}

function not(maker: Maker): void {
  const x = maker.anyOf(['bool']);
  maker.node('Not', [x], {}, { dims: x.dims, low: 0, high: 1 });
}

function question(operator: string): Recipes {
  return {
    [operator]: (maker) => {
      const x = maker.float();
      maker.node(operator, [x], {}, { dims: x.dims, type: 'bool', low: 0, high: 1 });
    },
  };
}

/** On half-precision floats, which are storage: computed in float32 and rounded. */
function half(maker: Maker): void {
  const x = maker.anyOf(['float16']);
  const operator = maker.random.pick(['Relu', 'Sigmoid', 'Tanh', 'Neg', 'Abs']);
  const most = Math.max(extent(x), 1);
  maker.node(operator, [x], {}, { dims: x.dims, low: -most, high: most });
}

const PI2 = Math.PI / 2;

export const elementwise: Recipes = {
  ...rising('Relu', (x) => Math.max(x, 0)),
  ...rising('Sigmoid', (x) => 1 / (1 + Math.exp(-x))),
  ...rising('Tanh', Math.tanh),
  ...rising('Exp', Math.exp, -20, 9),
  ...rising('Log', Math.log, 0.01, 1e4),
  ...rising('Sqrt', Math.sqrt, 0, 1e4),
  ...rising('Ceil', Math.ceil),
  ...rising('Floor', Math.floor),
  ...rising('Round', Math.round),
  ...rising('Sinh', Math.sinh, -5, 5),
  ...rising('Asinh', Math.asinh, -100, 100),
  ...rising('Acosh', Math.acosh, 1.1, 100),
  ...rising('Atanh', Math.atanh, -0.9, 0.9),
  ...rising('Asin', Math.asin, -0.99, 0.99),
  ...rising('Atan', Math.atan),
  ...rising('Identity', (x) => x),
  ...rising('Softplus', (x) => Math.max(x, 0) + 0.7, -80, 80),
  ...rising('Softsign', (x) => x / (1 + Math.abs(x))),
  ...bounded('Reciprocal', [-10, 10], 0.1, 100),
  ...bounded('Acos', [0, Math.PI], -0.99, 0.99),
  ...bounded('Sin', [-1, 1], -50, 50),
  ...bounded('Cos', [-1, 1], -50, 50),
  ...bounded('Tan', [-15, 15], -1.5, 1.5),
  ...bounded('Cosh', [1, 80], -5, 5),
  ...bounded('Erf', [-1, 1]),
  ...bounded('Sign', [-1, 1]),
  ...bounded('Atan', [-PI2, PI2]),
  ...shaped('Abs', [], 1, 0),
  ...shaped('Neg', [], 1, 0),
  ...shaped('HardSwish', [], 1, 1, 14),
  ...shaped('Gelu', [], 1, 1, 20),
  ...shaped('Mish', [], 1, 1, 18),
  ...shaped('Elu', ['alpha'], 1, 2),
  ...shaped('Celu', ['alpha'], 1, 2),
  ...shaped('Selu', ['alpha', 'gamma'], 2, 2),
  ...shaped('LeakyRelu', ['alpha'], 1.1, 0),
  ...shaped('ThresholdedRelu', ['alpha'], 1, 0),
  ...shaped('HardSigmoid', ['alpha', 'beta'], 0, 1),
  ...shaped('Shrink', ['bias', 'lambd'], 1, 2),
  ...binary('Add', (a, b) => a + b),
  ...binary('Sub', (a, b) => a + b),
  ...binary('Mul', (a, b) => a * b),
  // Whether two results of float arithmetic are equal is decided by their last digits.
  ...compare('Equal', ['int32', 'int64']),
  ...compare('Greater'),
  ...compare('Less'),
  ...compare('GreaterOrEqual'),
  ...compare('LessOrEqual'),
  ...logical('And'),
  ...logical('Or'),
  ...logical('Xor'),
  ...variadic('Max'),
  ...variadic('Min'),
  ...variadic('Sum'),
  ...variadic('Mean'),
  ...question('IsNaN'),
  ...question('IsInf'),
  Div: div,
  Pow: pow,
  Mod: mod,
  PRelu: prelu,
  Clip: clip,
  Where: where,
  Cast: cast,
  BitShift: bitShift,
  Not: not,
  half,
};
