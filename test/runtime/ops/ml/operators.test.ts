/** The other numeric operators of ai.onnx.ml on random models, against onnxruntime. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AttributeSpec } from '../../../../bench/write-model.ts';
import type { Tensor } from '../../../../runtime/engine/tensor.ts';
import { readModel } from '../../../../runtime/onnx/read.ts';
import { Random } from '../../../random.ts';
import { TestModel } from '../../compile/run-program.ts';
import { float, floats, int, ints, rawTensor, tensor, text } from '../../onnx/attributes.ts';
import { agrees, bytesOf, float32, randomFloats, type SingleNode } from '../single-node.ts';

const SEED = Number(process.env.SEED ?? 1);
const CASES = 25;
console.log(`seed ${SEED}`);

interface Drawn {
  readonly attributes: readonly AttributeSpec[];
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly string[];
  readonly version?: number;
}

const many = (random: Random, count: number): number[] => Array.from({ length: count }, () => random.next() * 2 - 1);
const whole = (random: Random, dims: readonly number[], type: 'int64' | 'int32' = 'int64'): Tensor => {
  const values = Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => random.below(6));
  return { type, dims, data: type === 'int64' ? BigInt64Array.from(values, BigInt) : Int32Array.from(values) };
};
const rows = (random: Random, width: number): Tensor => randomFloats(random, [1 + random.below(9), width], 2);
const transforms = ['NONE', 'LOGISTIC', 'SOFTMAX', 'SOFTMAX_ZERO'];

function kernel(random: Random): AttributeSpec[] {
  const kind = random.pick(['LINEAR', 'POLY', 'RBF', 'SIGMOID']);
  return [text('kernel_type', kind), floats('kernel_params', [0.3, 0.5, random.pick([2, 3])])];
}

const draws: Readonly<Record<string, (random: Random) => Drawn>> = {
  ArrayFeatureExtractor: (random) => ({
    attributes: [],
    inputs: [rows(random, 6), whole(random, [1, 4])],
    outputs: ['float32'],
  }),
  Binarizer: (random) => ({
    attributes: [float('threshold', 0.25)],
    inputs: [rows(random, 5)],
    outputs: ['float32'],
  }),
  FeatureVectorizer: (random) => ({
    attributes: [ints('inputdimensions', [3, 2])],
    inputs: [randomFloats(random, [4, 3]), randomFloats(random, [4, 2])],
    outputs: ['float32'],
  }),
  Imputer: (random) => {
    const isNan = random.below(2) === 0;
    const bad = isNan ? Number.NaN : 7;
    const x = float32([3, 4], () => (random.below(3) === 0 ? bad : random.next()));
    const values = random.pick([[9], [1, 2, 3, 4]]);
    return {
      attributes: [floats('imputed_value_floats', values), float('replaced_value_float', bad)],
      inputs: [x],
      outputs: ['float32'],
    };
  },
  LabelEncoder: (random) => {
    if (random.below(2) === 0)
      return {
        attributes: [ints('keys_int64s', [1, 3, 5]), floats('values_floats', [0.5, -2, 9]), float('default_float', 4)],
        inputs: [whole(random, [7])],
        outputs: ['float32'],
        version: 2,
      };
    const keys = rawTensor(
      'k',
      float32([3], (i) => [0.5, Number.NaN, 2][i] as number),
    );
    const values = rawTensor('v', { type: 'int64', dims: [3], data: BigInt64Array.of(4n, 5n, 6n) });
    const otherwise = rawTensor('d', { type: 'int64', dims: [1], data: BigInt64Array.of(-7n) });
    return {
      attributes: [tensor('keys_tensor', keys), tensor('values_tensor', values), tensor('default_tensor', otherwise)],
      inputs: [float32([2, 5], () => random.pick([0.5, 1, 2, Number.NaN]))],
      outputs: ['int64'],
      version: 4,
    };
  },
  LinearClassifier: (random) => {
    const [width, classes] = [1 + random.below(6), random.pick([1, 2, 3, 5])];
    const labels = Array.from({ length: Math.max(classes, 2) }, (_, i) => 9 - i);
    return {
      attributes: [
        floats('coefficients', many(random, width * classes)),
        floats('intercepts', many(random, classes)),
        ints('classlabels_ints', labels),
        text('post_transform', random.pick(classes === 1 ? ['NONE', 'LOGISTIC'] : transforms)),
      ],
      inputs: [rows(random, width)],
      outputs: ['int64', 'float32'],
    };
  },
  LinearRegressor: (random) => {
    const [width, targets] = [1 + random.below(6), random.pick([1, 1, 3])];
    return {
      attributes: [
        floats('coefficients', many(random, width * targets)),
        ...(random.below(2) === 0 ? [floats('intercepts', many(random, targets))] : []),
        int('targets', targets),
        text('post_transform', targets === 1 ? 'NONE' : random.pick(transforms)),
      ],
      inputs: [rows(random, width)],
      outputs: ['float32'],
    };
  },
  Normalizer: (random) => ({
    attributes: [text('norm', random.pick(['MAX', 'L1', 'L2']))],
    inputs: [float32([3, 5], (i) => (i < 5 ? 0 : random.next()))],
    outputs: ['float32'],
  }),
  OneHotEncoder: (random) => ({
    attributes: [ints('cats_int64s', [0, 2, 3])],
    inputs: [whole(random, [random.pick([1, 4])])],
    outputs: ['float32'],
  }),
  SVMClassifier: (random) => {
    const [width, classes] = [1 + random.below(4), random.pick([2, 2, 3, 4])];
    const perClass = Array.from({ length: classes }, () => 1 + random.below(3));
    const total = perClass.reduce((a, b) => a + b, 0);
    const pairs = (classes * (classes - 1)) / 2;
    return {
      attributes: [
        ...kernel(random),
        ints('vectors_per_class', perClass),
        floats('support_vectors', many(random, total * width)),
        floats('coefficients', many(random, total * (classes - 1))),
        floats('rho', many(random, pairs)),
        ints(
          'classlabels_ints',
          Array.from({ length: classes }, (_, i) => i),
        ),
      ],
      inputs: [rows(random, width)],
      outputs: ['int64', 'float32'],
    };
  },
  SVMRegressor: (random) => {
    const [width, count] = [1 + random.below(4), random.pick([0, 3, 5])];
    const linear = [
      floats('coefficients', many(random, width)),
      text('kernel_type', 'LINEAR'),
      floats('kernel_params', [0, 0, 0]),
    ];
    const supported = [
      ...kernel(random),
      floats('support_vectors', many(random, count * width)),
      floats('coefficients', many(random, count)),
      int('n_supports', count),
    ];
    return {
      attributes: [...(count === 0 ? linear : supported), floats('rho', [0.3]), int('one_class', random.below(2))],
      inputs: [rows(random, width)],
      outputs: ['float32'],
    };
  },
  Scaler: (random) => ({
    attributes: random.pick([
      [floats('offset', [1, 2, 3]), floats('scale', [0.5, 2, 1])],
      [floats('offset', [1]), floats('scale', [0.5])],
    ]),
    inputs: [random.pick([rows(random, 3), whole(random, [2, 3])])],
    outputs: ['float32'],
  }),
};

for (const [operator, draw] of Object.entries(draws))
  test(`${operator} gives onnxruntime's numbers`, async () => {
    const random = new Random(SEED);
    let seen = 0;
    for (let index = 0; index < CASES; index++) {
      const { version = 1, ...drawn } = draw(random);
      seen += await agrees(
        { operator, domain: 'ai.onnx.ml', version, ...drawn },
        operator === 'SVMClassifier' ? 5e-3 : 2e-5,
      );
    }
    assert.ok(seen >= CASES, `saw only ${seen} numbers`);
  });

/** Three or four classes of one support vector each, with Platt's numbers for every pair. */
function likelyClasses(random: Random, classes: number): SingleNode {
  const pairs = (classes * (classes - 1)) / 2;
  const attributes = [
    ...[text('kernel_type', 'LINEAR'), floats('kernel_params', [1, 0, 0])],
    ints('vectors_per_class', new Array<number>(classes).fill(1)),
    floats('support_vectors', many(random, 2 * classes)),
    floats('coefficients', many(random, classes * (classes - 1))),
    floats('rho', many(random, pairs)),
    ints(
      'classlabels_ints',
      Array.from({ length: classes }, (_, i) => i),
    ),
    floats('prob_a', many(random, pairs)),
    floats('prob_b', many(random, pairs)),
  ];
  const [inputs, outputs] = [[rows(random, 2)], ['int64', 'float32']];
  return { operator: 'SVMClassifier', domain: 'ai.onnx.ml', version: 1, attributes, inputs, outputs };
}

test('SVMClassifier gives probabilities of more classes, as near as onnxruntime’s iteration comes', async () => {
  const random = new Random(SEED);
  let seen = 0;
  for (let index = 0; index < CASES; index++) {
    const node = likelyClasses(random, 3 + (index % 2));
    seen += await agrees(node, 5e-3);
  }
  assert.ok(seen >= CASES * 3, `saw only ${seen} numbers`);
});

test('probabilities of pairs that fit to those of the classes give these exactly', () => {
  const wanted = [0.5, 0.3, 0.15, 0.05];
  const classes = wanted.length;
  const odds = wanted.flatMap((p, i) => wanted.slice(i + 1).map((q) => Math.log(q / p)));
  const attributes = [
    ...[text('kernel_type', 'LINEAR'), floats('kernel_params', [1, 0, 0])],
    ints('vectors_per_class', new Array<number>(classes).fill(1)),
    floats('support_vectors', new Array<number>(classes).fill(0)),
    floats('coefficients', new Array<number>(classes * (classes - 1)).fill(0)),
    ...[
      floats(
        'rho',
        odds.map(() => 0),
      ),
      ints('classlabels_ints', [5, 6, 7, 8]),
    ],
    ...[
      floats(
        'prob_a',
        odds.map(() => 1),
      ),
      floats('prob_b', odds),
    ],
  ];
  const inputs = [float32([1, 1], () => 1)];
  const node = { operator: 'SVMClassifier', domain: 'ai.onnx.ml', version: 1, attributes, inputs };
  const model = new TestModel(readModel(bytesOf({ ...node, outputs: ['int64', 'float32'] })));
  const { y1: probabilities } = model.run({ x0: inputs[0] as Tensor });
  wanted.forEach((p, i) => {
    assert.ok(Math.abs(((probabilities as Tensor).data[i] as number) - p) < 1e-6, `${i}: ${probabilities?.data}`);
  });
});

test('SVMClassifier gives probabilities of two classes', async () => {
  const attributes = [
    ...[text('kernel_type', 'LINEAR'), floats('kernel_params', [1, 0, 0]), ints('vectors_per_class', [1, 1])],
    ...[floats('support_vectors', [1, 2]), floats('coefficients', [1, -1]), floats('rho', [0.2])],
    ...[ints('classlabels_ints', [0, 1]), floats('prob_a', [-1.3]), floats('prob_b', [0.2])],
  ];
  // onnxruntime's iteration stops a few thousandths away from the answer.
  const inputs = [float32([6, 1], (i) => [-2, -1, -0.5, 1, 2, 3][i] as number)];
  const outputs = ['int64', 'float32'];
  const svm = { operator: 'SVMClassifier', domain: 'ai.onnx.ml', version: 1, attributes, inputs, outputs };
  assert.is(await agrees(svm, 5e-3), 18);
});

test.run();
