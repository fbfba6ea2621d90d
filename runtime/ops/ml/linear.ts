/** LinearClassifier, LinearRegressor, SVMClassifier, SVMRegressor: products of matrices. */
import type { Value } from '../../compile/graph.ts';
import type { Build, OperatorContext } from '../context.ts';
import { coupled } from './coupling.ts';
import {
  asFloat,
  asRows,
  bothClasses,
  choose,
  column,
  exceeds,
  labelsOf,
  largest,
  named,
  transformed,
  transformOf,
} from './scores.ts';

function rowsOf(node: OperatorContext): Value {
  return asFloat(node, asRows(node, node.input(0)));
}

function matrix(node: OperatorContext, values: readonly number[], rows: number, columns: number): Value {
  if (values.length !== rows * columns)
    throw new Error(`expected ${rows} x ${columns} coefficients, got ${values.length}`);
  const { builder } = node;
  const data = Float32Array.from(values);
  return builder.constant({ type: 'float32', dims: [rows, columns], data }, `coefficients ${builder.origin}`);
}

function required(node: OperatorContext, name: string): number[] {
  const values = node.floats(name) ?? [];
  if (values.length === 0) throw new Error(`attribute "${name}": expected numbers, found none`);
  return values;
}

/** x · coefficientsᵀ + intercepts, one row of coefficients a target. */
function linear(node: OperatorContext, targets: number): Value {
  const { builder } = node;
  const x = rowsOf(node);
  const coefficients = required(node, 'coefficients');
  const product = builder.matMul(x, matrix(node, coefficients, targets, x.dims[1] as number), true);
  const intercepts = node.floats('intercepts') ?? [];
  if (intercepts.length === 0) return product;
  if (intercepts.length !== targets)
    throw new Error(`attribute "intercepts": expected ${targets} numbers, got ${intercepts.length}`);
  return builder.binary('add', product, builder.literal('float32', [targets], intercepts));
}

export const linearRegressor: Build = (node) =>
  transformed(node, linear(node, node.int('targets', 1)), transformOf(node));

export const linearClassifier: Build = (node) => {
  const { builder } = node;
  const labels = labelsOf(node, 'classlabels_ints');
  const width = asRows(node, node.input(0)).dims[1] as number;
  const rows = Math.round(required(node, 'coefficients').length / Math.max(width, 1));
  const scores = linear(node, rows);
  const transform = transformOf(node);
  if (rows === 1) {
    if (labels.length !== 2) throw node.unsupported(`one score for ${labels.length} classes`);
    const won = builder.reshape(exceeds(node, scores, 0), [scores.dims[0] as number]);
    return [named(node, builder.cast(won, 'int64'), labels), bothClasses(node, scores, true, transform)];
  }
  if (labels.length !== rows) throw new Error(`expected ${rows} class labels, got ${labels.length}`);
  return [named(node, largest(node, scores), labels), transformed(node, scores, transform)];
};

const kernels = ['LINEAR', 'POLY', 'RBF', 'SIGMOID'] as const;

/** K(x, v) of every row with every support vector, as [rows, vectors]. */
function kernelOf(node: OperatorContext, x: Value, vectors: Value): Value {
  const { builder } = node;
  const [gamma = 0, offset = 0, degree = 0] = node.floats('kernel_params') ?? [];
  const kind = node.text('kernel_type', kernels, 'LINEAR');
  const product = builder.matMul(x, vectors, true);
  switch (kind) {
    case 'LINEAR':
      return product;
    case 'POLY':
      return builder.binary('pow', builder.scale(product, gamma, offset), builder.scalar(degree));
    case 'SIGMOID':
      return builder.unary('tanh', builder.scale(product, gamma, offset));
    case 'RBF': {
      // |x - v|² = |x|² - 2 x·v + |v|²; rounding may leave a little below zero.
      const squares = builder.reduce('sumSquare', x, [1]);
      const others = builder.reshape(builder.reduce('sumSquare', vectors, [1]), [1, vectors.dims[0] as number]);
      const sum = builder.binary('add', builder.binary('add', builder.scale(product, -2, 0), squares), others);
      return builder.unary('exp', builder.scale(builder.unary('relu', sum), -gamma, 0));
    }
  }
}

export const svmRegressor: Build = (node) => {
  const { builder } = node;
  const x = rowsOf(node);
  const width = x.dims[1] as number;
  const count = node.int('n_supports', 0);
  const coefficients = required(node, 'coefficients');
  const [rho = 0] = node.floats('rho') ?? [];
  if (count > 0 && coefficients.length !== count)
    throw new Error(`attribute "coefficients": expected ${count} numbers, got ${coefficients.length}`);
  const scores =
    count > 0
      ? builder.matMul(
          kernelOf(node, x, matrix(node, required(node, 'support_vectors'), count, width)),
          builder.literal('float32', [count, 1], coefficients),
        )
      : builder.matMul(x, matrix(node, coefficients, 1, width), true);
  const y = builder.scale(scores, 1, rho);
  if (!node.flag('one_class')) return transformed(node, y, transformOf(node));
  return choose(node, exceeds(node, y, 0), builder.scalar(1), builder.scalar(-1));
};

interface Pairs {
  /** [rows, pairs]: positive where the first class of the pair wins. */
  readonly decisions: Value;
  readonly pairs: readonly (readonly [first: number, second: number])[];
}

/** One decision for every pair of classes (libsvm: C.-C. Chang, C.-J. Lin, 2011, section 4.2.2 and 7). */
function decide(node: OperatorContext, x: Value, perClass: readonly number[]): Pairs {
  const { builder } = node;
  const classes = perClass.length;
  const total = perClass.reduce((sum, count) => sum + count, 0);
  const width = x.dims[1] as number;
  const coefficients = required(node, 'coefficients');
  const rho = required(node, 'rho');
  if (coefficients.length !== (classes - 1) * total)
    throw new Error(`attribute "coefficients": expected ${(classes - 1) * total} numbers, got ${coefficients.length}`);
  const starts = perClass.map((_, i) => perClass.slice(0, i).reduce((sum, count) => sum + count, 0));
  const pairs = perClass.flatMap((_, i) => perClass.slice(i + 1).map((_, j) => [i, i + 1 + j] as const));
  if (rho.length !== pairs.length)
    throw new Error(`attribute "rho": expected ${pairs.length} numbers, got ${rho.length}`);
  // Column p holds what each support vector counts in pair p.
  const table = new Float32Array(total * pairs.length);
  pairs.forEach(([i, j], p) => {
    const fill = (own: number, row: number): void => {
      for (let k = 0; k < (perClass[own] as number); k++) {
        const vector = (starts[own] as number) + k;
        table[vector * pairs.length + p] = coefficients[row * total + vector] as number;
      }
    };
    fill(i, j - 1);
    fill(j, i);
  });
  const kernel = kernelOf(node, x, matrix(node, required(node, 'support_vectors'), total, width));
  const weights = { type: 'float32', dims: [total, pairs.length], data: table } as const;
  const sums = builder.matMul(kernel, builder.constant(weights, `pairs ${builder.origin}`));
  return { decisions: builder.binary('add', sums, builder.literal('float32', [pairs.length], rho)), pairs };
}

/** Votes of every class, as [rows, classes]. */
function votesOf(node: OperatorContext, { decisions, pairs }: Pairs, classes: number): Value {
  const { builder } = node;
  const won = builder.cast(exceeds(node, decisions, 0), 'float32');
  const lost = builder.scale(won, -1, 1);
  const table = (side: 0 | 1): Value =>
    builder.literal(
      'float32',
      [pairs.length, classes],
      pairs.flatMap((pair) => Array.from({ length: classes }, (_, i) => (pair[side] === i ? 1 : 0))),
    );
  return builder.binary('add', builder.matMul(won, table(0)), builder.matMul(lost, table(1)));
}

/** How likely the first class of each pair is: Platt's sigmoid of the decision, kept away from 0 and 1 as libsvm does. */
function wonOf(node: OperatorContext, { decisions, pairs }: Pairs): Value {
  const { builder } = node;
  const [a, b] = ['prob_a', 'prob_b'].map((name) => {
    const values = required(node, name);
    if (values.length !== pairs.length)
      throw new Error(`attribute "${name}": expected ${pairs.length} numbers, got ${values.length}`);
    return builder.literal(
      'float32',
      [pairs.length],
      values.map((value) => -value),
    );
  }) as [Value, Value];
  const sigmoid = builder.unary('sigmoid', builder.binary('add', builder.binary('mul', decisions, a), b));
  return builder.unary('clip', sigmoid, 1e-7, 1 - 1e-7);
}

export const svmClassifier: Build = (node) => {
  const { builder } = node;
  const labels = labelsOf(node, 'classlabels_ints');
  const perClass = node.ints('vectors_per_class') ?? [];
  if (perClass.length === 0) throw node.unsupported('a classifier without support vectors');
  if (perClass.length !== labels.length || perClass.some((count) => count < 0))
    throw new Error(`attribute "vectors_per_class": expected ${labels.length} counts, got [${perClass}]`);
  if (labels.length < 2 || labels.length > 64) throw node.unsupported(`a classifier of ${labels.length} classes`);
  const rows = rowsOf(node);
  const pairs = decide(node, rows, perClass);
  const winner = largest(node, votesOf(node, pairs, labels.length));
  if ((node.floats('prob_a') ?? []).length > 0) {
    const won = wonOf(node, pairs);
    // With two classes the pair's probability is the answer; libsvm iterates towards it and stops a few thousandths away.
    if (labels.length === 2) {
      const both = builder.concat([won, builder.scale(won, -1, 1)], 1);
      return [named(node, largest(node, both), labels), transformed(node, both, transformOf(node))];
    }
    // The label is that of the votes, as in scikit-learn's `predict` and onnxruntime, whatever is likeliest.
    const all = coupled(node, won, labels.length);
    return [named(node, winner, labels), transformed(node, all, transformOf(node))];
  }
  if (labels.length > 2) return [named(node, winner, labels), transformed(node, pairs.decisions, transformOf(node))];
  const score = column(node, pairs.decisions, 0);
  return [
    named(node, winner, labels),
    transformed(node, builder.concat([builder.unary('neg', score), score], 1), transformOf(node)),
  ];
};
