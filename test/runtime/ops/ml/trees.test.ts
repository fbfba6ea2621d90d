/** Random ensembles of trees against onnxruntime. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AttributeSpec } from '../../../../bench/write-model.ts';
import type { Tensor } from '../../../../runtime/engine/tensor.ts';
import { readModel } from '../../../../runtime/onnx/read.ts';
import { Random } from '../../../random.ts';
import { TestModel } from '../../compile/run-program.ts';
import { floats, int, ints, rawTensor, tensor, text, texts } from '../../onnx/attributes.ts';
import { agrees, bytesOf, float32, type SingleNode } from '../single-node.ts';

const SEED = Number(process.env.SEED ?? 1);
console.log(`seed ${SEED}`);

const modes = ['BRANCH_LEQ', 'BRANCH_LT', 'BRANCH_GTE', 'BRANCH_GT', 'BRANCH_EQ', 'BRANCH_NEQ'];
const FEATURES = 4;

interface Drawn {
  readonly attributes: AttributeSpec[];
  readonly leaves: readonly (readonly [tree: number, node: number])[];
}

/** Trees of up to depth 5; features and thresholds are small whole numbers, so that equality happens. */
function drawTrees(random: Random, count: number, wide: boolean): Drawn {
  const nodes: { tree: number; id: number; mode: string; feature: number; value: number; yes: number; no: number }[] =
    [];
  for (let tree = 0; tree < count; tree++) {
    const first = nodes.length;
    const grow = (depth: number): number => {
      const id = nodes.length - first;
      const isLeaf = depth === 0 || random.below(4) === 0;
      const mode = isLeaf ? 'LEAF' : random.pick([...modes, 'BRANCH_LEQ']);
      const node = { tree, id, mode, feature: random.below(FEATURES), value: random.below(7) - 3, yes: 0, no: 0 };
      nodes.push(node);
      if (!isLeaf) {
        node.yes = grow(depth - 1);
        node.no = grow(depth - 1);
      }
      return id;
    };
    grow(1 + random.below(5));
  }
  const missing = nodes.map(({ mode }) => (mode === 'LEAF' ? 0 : random.below(2)));
  const values = nodes.map(({ value }) => value);
  const attributes = [
    ints(
      'nodes_treeids',
      nodes.map((each) => each.tree),
    ),
    ints(
      'nodes_nodeids',
      nodes.map((each) => each.id),
    ),
    ints(
      'nodes_featureids',
      nodes.map((each) => each.feature),
    ),
    texts(
      'nodes_modes',
      nodes.map((each) => each.mode),
    ),
    ints(
      'nodes_truenodeids',
      nodes.map((each) => each.yes),
    ),
    ints(
      'nodes_falsenodeids',
      nodes.map((each) => each.no),
    ),
    ints('nodes_missing_value_tracks_true', missing),
    wide
      ? tensor(
          'nodes_values_as_tensor',
          rawTensor('v', { type: 'float64', dims: [values.length], data: Float64Array.from(values) }),
        )
      : floats('nodes_values', values),
  ];
  return { attributes, leaves: nodes.flatMap(({ mode, tree, id }) => (mode === 'LEAF' ? [[tree, id] as const] : [])) };
}

function weightsOf(
  random: Random,
  prefix: string,
  leaves: Drawn['leaves'],
  ids: readonly number[],
  low: number,
  wide: boolean,
): AttributeSpec[] {
  const entries = leaves.flatMap(([tree, node]) => ids.map((id) => ({ tree, node, id, weight: low + random.next() })));
  const weights = entries.map(({ weight }) => weight);
  return [
    ints(
      `${prefix}_treeids`,
      entries.map(({ tree }) => tree),
    ),
    ints(
      `${prefix}_nodeids`,
      entries.map(({ node }) => node),
    ),
    ints(
      `${prefix}_ids`,
      entries.map(({ id }) => id),
    ),
    wide
      ? tensor(
          `${prefix}_weights_as_tensor`,
          rawTensor('w', { type: 'float64', dims: [weights.length], data: Float64Array.from(weights) }),
        )
      : floats(`${prefix}_weights`, weights),
  ];
}

function drawInput(random: Random, wide: boolean): Tensor {
  const rows = random.pick([1, 3, 40]);
  const x = float32([rows, FEATURES], () => (random.below(12) === 0 ? Number.NaN : random.below(7) - 3));
  return wide ? { ...x, type: 'float64', data: Float64Array.from(x.data as Float32Array) } : x;
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

const node = (
  operator: string,
  attributes: AttributeSpec[],
  x: Tensor,
  outputs: string[],
  version = 3,
): SingleNode => ({
  ...{ operator, domain: 'ai.onnx.ml', version, attributes, inputs: [x], outputs },
});

test('TreeEnsembleRegressor gives onnxruntime’s numbers for every aggregate, comparison and missing value', async () => {
  const random = new Random(SEED);
  let seen = 0;
  for (let index = 0; index < 120; index++) {
    const [wide, targets] = [index % 3 === 2, random.pick([1, 1, 2, 3])];
    const { attributes, leaves } = drawTrees(random, 1 + random.below(12), wide);
    const transforms = targets === 1 ? ['NONE'] : ['NONE', 'SOFTMAX', 'LOGISTIC', 'SOFTMAX_ZERO'];
    const all = [
      ...attributes,
      ...weightsOf(random, 'target', leaves, range(targets), -0.5, wide),
      int('n_targets', targets),
      text('aggregate_function', random.pick(['SUM', 'AVERAGE', 'MIN', 'MAX'])),
      text('post_transform', random.pick(transforms)),
      ...(!wide && random.below(2) === 0
        ? [
            floats(
              'base_values',
              range(targets).map(() => random.next()),
            ),
          ]
        : []),
    ];
    seen += await agrees(node('TreeEnsembleRegressor', all, drawInput(random, wide), ['float32']), 1e-5);
  }
  assert.ok(seen > 1000, `saw only ${seen} numbers`);
});

test('TreeEnsembleClassifier gives onnxruntime’s labels and scores for two and more classes', async () => {
  const random = new Random(SEED);
  let seen = 0;
  for (let index = 0; index < 160; index++) {
    const [wide, classes] = [index % 3 === 2, random.pick([2, 2, 3, 5])];
    const { attributes, leaves } = drawTrees(random, 1 + random.below(12), wide);
    const ids = classes === 2 ? random.pick([[0], [1], [0, 1]]) : range(classes);
    const base = random.pick(classes > 2 ? [0, classes] : ids[0] === 0 ? [0, 1] : [0]);
    const all = [
      ...attributes,
      ...weightsOf(random, 'class', leaves, ids, random.pick([0, -0.5]), wide),
      // With weights for both of two classes onnxruntime answers 0 and 1 whatever the labels are; ours are the labels.
      ints('classlabels_int64s', ids.length === 2 ? [0, 1] : range(classes).map((i) => 10 - i)),
      text('post_transform', random.pick(['NONE', 'SOFTMAX', 'LOGISTIC', 'SOFTMAX_ZERO'])),
      ...(!wide && base > 0
        ? [
            floats(
              'base_values',
              range(base).map(() => random.next() - 0.5),
            ),
          ]
        : []),
    ];
    const x = drawInput(random, wide);
    seen += await agrees(node('TreeEnsembleClassifier', all, x, ['int64', 'float32']), 1e-5).catch((cause) => {
      throw new Error(`case ${index}: ${classes} classes, ids ${ids}, base ${base}: ${cause.message}`, { cause });
    });
  }
  assert.ok(seen > 1000, `saw only ${seen} numbers`);
});

test('trees that lead back to themselves, or beyond their tables, are refused', () => {
  const refuses = (attributes: AttributeSpec[], reason: RegExp): void => {
    const x = float32([1, 2], () => 0);
    const model = readModel(bytesOf(node('TreeEnsembleRegressor', attributes, x, ['float32'])));
    assert.throws(() => new TestModel(model).run({ x0: x }), reason);
  };
  const tree = (yes: number, no: number, feature = 0, target = 0): AttributeSpec[] => [
    ...[ints('nodes_treeids', [0, 0, 0]), ints('nodes_nodeids', [0, 1, 2]), ints('nodes_featureids', [0, feature, 0])],
    texts('nodes_modes', ['BRANCH_LEQ', 'BRANCH_LEQ', 'LEAF']),
    ...[ints('nodes_truenodeids', [1, yes, 0]), ints('nodes_falsenodeids', [2, no, 0])],
    ...[floats('nodes_values', [0, 0, 0]), ints('target_treeids', [0]), ints('target_nodeids', [2])],
    ...[ints('target_ids', [target]), floats('target_weights', [1])],
  ];
  refuses(tree(1, 2), /lead back to themselves/);
  refuses(tree(0, 2), /at least one tree|lead back/);
  refuses(tree(7, 2), /a node 7 in tree 0, found none/);
  refuses(tree(2, 2, 9), /a feature below 2.*got 9/);
  refuses(tree(2, 2, 0, 3), /targets below 1, got 3/);
});

test.run();
