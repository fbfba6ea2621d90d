/** TreeEnsembleClassifier, TreeEnsembleRegressor, TreeEnsemble. */
import type { Value } from '../../compile/graph.ts';
import type { TreesName } from '../../compile/rare-operations.ts';
import type { Build, OperatorContext } from '../context.ts';
import { type Ensemble, numbersAt, readListedTrees, readNamedTrees, walk } from './ensemble.ts';
import {
  asFloat,
  asRows,
  bothClasses,
  choose,
  column,
  exceeds,
  isNumber,
  labelsOf,
  largest,
  named,
  type Transform,
  transformed,
  transformOf,
  transforms,
} from './scores.ts';

const aggregates = ['AVERAGE', 'SUM', 'MIN', 'MAX'] as const;
type Aggregate = (typeof aggregates)[number];
const names: Record<Aggregate, TreesName> = { AVERAGE: 'sum', SUM: 'sum', MIN: 'min', MAX: 'max' };

/** Rows as float32, or as float64 where they are that. */
function rowsOf(node: OperatorContext): Value {
  const x = asRows(node, node.input(0));
  return x.type === 'float64' ? x : asFloat(node, x);
}

function zeroWhereAbsent(node: OperatorContext, scores: Value): Value {
  return choose(node, isNumber(node, scores), scores, node.builder.literal(scores.type, [], [0]));
}

interface Regression {
  readonly ensemble: Ensemble;
  readonly targets: number;
  readonly aggregate: Aggregate;
  readonly base: readonly number[];
  readonly transform: Transform;
}

function regression(node: OperatorContext, { ensemble, targets, aggregate, base, transform }: Regression): Value {
  const { builder } = node;
  const x = rowsOf(node);
  const raw = zeroWhereAbsent(node, walk(node, x, ensemble, targets, names[aggregate]));
  const joined = aggregate === 'AVERAGE' ? builder.scale(raw, 1 / ensemble.roots.length, 0) : raw;
  if (base.length > 0 && base.length !== targets)
    throw new Error(`attribute "base_values": expected ${targets} numbers, got ${base.length}`);
  const based = base.length > 0 ? builder.binary('add', joined, builder.literal(x.type, [targets], base)) : joined;
  return transformed(node, based, transform);
}

export const treeEnsembleRegressor: Build = (node) =>
  asFloat(
    node,
    regression(node, {
      ensemble: readNamedTrees(node, 'target'),
      targets: node.int('n_targets', 1),
      aggregate: node.text('aggregate_function', aggregates, 'SUM'),
      base: numbersAt(node, 'base_values'),
      transform: transformOf(node),
    }),
  );

export const treeEnsemble: Build = (node) => {
  const [aggregate, transform] = [
    aggregates[node.int('aggregate_function', 1)],
    transforms[node.int('post_transform', 0)],
  ];
  if (!aggregate || !transform)
    throw new Error('expected an aggregate function from 0 to 3 and a transform from 0 to 4');
  const ensemble = readListedTrees(node);
  return regression(node, { ensemble, targets: node.int('n_targets', 1), aggregate, base: [], transform });
};

/** Ids of the classes that leaves have weights for, and whether all weights are 0 or more. */
function classesUsed({ nodes }: Ensemble): { used: ReadonlySet<number>; positive: boolean } {
  const weights = nodes.flatMap((each) => ('weights' in each ? each.weights : []));
  return { used: new Set(weights.map(([id]) => id)), positive: weights.every(([, weight]) => weight >= 0) };
}

/** More than two classes: the largest score wins; a class that no leaf spoke of cannot. */
function manyClasses(node: OperatorContext, raw: Value, base: readonly number[], labels: readonly number[]): Value[] {
  const { builder } = node;
  const scores = zeroWhereAbsent(node, raw);
  const based =
    base.length > 0 ? builder.binary('add', scores, builder.literal(raw.type, [base.length], base)) : scores;
  const none = builder.literal(raw.type, [], [-Infinity]);
  const eligible = base.length > 0 ? based : choose(node, isNumber(node, raw), raw, none);
  return [named(node, largest(node, eligible), labels), transformed(node, based, transformOf(node))];
}

/**
 * Two classes, of which leaves often score one only: then the other's score follows. The standard leaves open how; this is
 * what onnxruntime does.
 */
function twoClasses(
  node: OperatorContext,
  raw: Value,
  base: readonly number[],
  labels: readonly number[],
  ensemble: Ensemble,
): Value[] {
  const { builder } = node;
  const { used, positive } = classesUsed(ensemble);
  // What these mean the standard does not say, and onnxruntime leaves some of the numbers out.
  if (base.length === 2 || (base.length === 1 && !used.has(0)))
    throw node.unsupported('these base values of two classes');
  const scores = zeroWhereAbsent(node, raw);
  const first = builder.scale(column(node, scores, 0), 1, base[0] ?? 0);
  const second = used.has(1) ? column(node, scores, 1) : undefined;
  const isProbability = used.size === 1 && positive;
  const won = exceeds(node, second ?? first, isProbability ? 0.5 : 0);
  const label = named(node, builder.cast(builder.reshape(won, [raw.dims[0] as number]), 'int64'), labels);
  const transform = transformOf(node);
  if (second) return [label, transformed(node, builder.concat([first, second], 1), transform)];
  return [label, bothClasses(node, first, isProbability, transform)];
}

export const treeEnsembleClassifier: Build = (node) => {
  const labels = labelsOf(node, 'classlabels_int64s');
  const ensemble = readNamedTrees(node, 'class');
  const base = numbersAt(node, 'base_values');
  if (labels.length < 2) throw node.unsupported('a classifier of one class');
  if (base.length > labels.length)
    throw new Error(`attribute "base_values": expected at most ${labels.length} numbers, got ${base.length}`);
  const raw = walk(node, rowsOf(node), ensemble, labels.length, 'sum');
  const [label, scores] =
    labels.length === 2 ? twoClasses(node, raw, base, labels, ensemble) : manyClasses(node, raw, base, labels);
  return [label as Value, asFloat(node, scores as Value)];
};
