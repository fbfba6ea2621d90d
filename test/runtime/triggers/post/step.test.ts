import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { elementCount, type Tensor } from '../../../../runtime/engine/tensor.ts';
import { postSteps } from '../../../../runtime/triggers/post/index.ts';
import { floatsOf, itemDims, outputOf, rounded } from '../../../../runtime/triggers/post/step.ts';
import { randomFrom } from '../../../random.ts';
import { asIs, run, tensor } from './inputs.ts';

test('every element type reads as numbers', () => {
  const tensors: Tensor[] = [
    { type: 'float64', dims: [2], data: Float64Array.of(1, -2.5) },
    // 1 and −2.5 in IEEE 754 binary16, and in bfloat16.
    { type: 'float16', dims: [2], data: Uint16Array.of(0x3c00, 0xc100) },
    { type: 'bfloat16', dims: [2], data: Uint16Array.of(0x3f80, 0xc020) },
  ];
  for (const one of tensors) assert.equal([...floatsOf(one)], [1, -2.5], one.type);
  assert.equal([...floatsOf({ type: 'int64', dims: [2], data: BigInt64Array.of(-3n, 7n) })], [-3, 7]);
  assert.equal([...floatsOf({ type: 'bool', dims: [2], data: Uint8Array.of(0, 1) })], [0, 1]);
  const same = tensor([1], [4]);
  assert.is(floatsOf(same), same.data, 'float32 is not copied');
});

test('an output is found by name, or because it is the only one', () => {
  const one = { outputs: { a: tensor([1], [1]) } };
  const two = { outputs: { a: tensor([1], [1]), b: tensor([1], [2]) } };
  assert.is(outputOf('x', one), one.outputs.a);
  assert.is(outputOf('x', two, 'b'), two.outputs.b);
  assert.throws(() => outputOf('x', two), 'x: expected option "output" to choose one of a, b');
  assert.throws(() => outputOf('x', two, 'c'), 'x: the model has no output "c", it has a, b');
});

test('a batch of several items is refused', () => {
  assert.equal(itemDims('x', tensor([1, 1, 2, 3], [1, 2, 3, 4, 5, 6]), 2), [2, 3]);
  assert.equal(itemDims('x', tensor([2, 3], [1, 2, 3, 4, 5, 6]), 2), [2, 3]);
  assert.throws(
    () => itemDims('x', tensor([2, 1, 3], [1, 2, 3, 4, 5, 6]), 2),
    /one item of 2 dimensions, got shape \[2, 1, 3\]/,
  );
  assert.throws(() => itemDims('x', tensor([6], [1, 2, 3, 4, 5, 6]), 2), /got shape \[6\]/);
});

test('every step names itself when the output is missing or makes no sense, and knows its options', () => {
  const input = { outputs: { strange: tensor([2, 3, 5, 7], new Float32Array(210)) }, placement: asIs(10, 10) };
  let seen = 0;
  for (const [name, step] of Object.entries(postSteps)) {
    assert.ok(step.summary.length > 10);
    assert.not(step.options.safeParse({ unknownOption: 1 }).success, `${name} takes any option`);
    if (name !== 'raw') {
      const options = name === 'anomaly' ? { threshold: 1 } : {};
      assert.throws(() => run(name, input, options), new RegExp(`^${name}: `), name);
    }
    seen++;
  }
  assert.is(seen, 10);
});

/** Shapes that a step takes, for an input of 64x32 pixels; the storm below also offers each step the others'. */
const shapes = [
  [1, 2],
  [1, 42, 7],
  [1, 6, 3],
  [1, 6, 4],
  [1, 1, 32, 64],
  [1, 3, 8, 16],
  [1, 1],
  [1, 0, 4],
];

test('a seeded storm of outputs gives results that JSON carries, or errors that name the step', () => {
  const seed = 4242;
  const next = randomFrom(seed);
  const strange = [Number.NaN, Infinity, -Infinity, 0, 1, -1, 1e30];
  const values = (dims: number[]) => {
    const wild = next(3) === 0;
    return tensor(
      dims,
      Array.from({ length: elementCount(dims) }, () => (wild ? strange[next(7)] : next(1000) / 999) as number),
    );
  };
  const options: Record<string, object> = {
    anomaly: { threshold: 1, output: 'output', input: 'x' },
    'ssd-boxes': { background: -1, scoreMin: 0.2 },
    'text-regions': { output: 'output', scoreMin: 0 },
  };
  let [results, errors] = [0, 0];
  for (let round = 0; round < 400; round++) {
    const dims = shapes[next(shapes.length)] as number[];
    const outputs = { output: values(dims), scores: values([1, 6, 3]), boxes: values([1, 6, 4]) };
    const window = { start: round * 512, length: 512, rate: 16_000 };
    const input = { outputs, inputs: { x: values(dims) }, placement: asIs(64, 32), window, labels: ['a', 'b', 'c'] };
    for (const name of Object.keys(postSteps)) {
      const given = options[name] ?? (name === 'raw' ? {} : { output: 'output' });
      try {
        const { result } = run(name, input, given);
        assert.equal(JSON.parse(JSON.stringify(result)), result, `seed ${seed}, round ${round}, ${name}`);
        results++;
      } catch (error) {
        if (!(error instanceof Error) || error.message.includes('seed')) throw error;
        assert.ok(error.message.startsWith(`${name}: `), `seed ${seed}, round ${round}, ${name}: ${error.stack}`);
        errors++;
      }
    }
  }
  console.log(`seed ${seed}: ${results} results, ${errors} errors`);
  assert.is(results + errors, 4000);
  assert.ok(results > 1000 && errors > 1000);
});

test('numbers are rounded for the wire', () => {
  assert.equal([rounded(0.123456), rounded(12.345, 1), rounded(1e9 + 0.5, 0)], [0.1235, 12.3, 1e9 + 1]);
});

test.run();
