import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { resultOf, tensor } from './inputs.ts';

/** One row for each step: `probability` for the class, the rest shared by the others. */
function path(classes: number[], count: number, probability = 0.9) {
  const rows = classes.flatMap((chosen) =>
    Array.from({ length: count }, (_, index) => (index === chosen ? probability : (1 - probability) / count)),
  );
  return { outputs: { y: tensor([1, classes.length, count], rows) } };
}

test('paths collapse as in the paper: B(a−ab−) = B(−aa−−abb) = aab', () => {
  const labels = ['a', 'b'];
  const [blank, a, b] = [0, 1, 2];
  for (const classes of [
    [a, blank, a, b, blank],
    [blank, a, a, blank, blank, a, b, b],
  ]) {
    assert.equal(resultOf('ctc-text', path(classes, 3), { labels }), { text: 'aab', confidence: 0.9 });
  }
});

test('the confidence is the mean over kept characters, and 0 without any', () => {
  const input = { outputs: { y: tensor([1, 3, 2], [0.2, 0.8, 0.4, 0.6, 0.99, 0.01]) }, labels: ['x'] };
  assert.equal(resultOf('ctc-text', input), { text: 'x', confidence: 0.8 });
  assert.equal(resultOf('ctc-text', { ...path([0, 0], 2), labels: ['x'] }), { text: '', confidence: 0 });
});

test('one class more than characters is the space, and the blank may stand elsewhere', () => {
  assert.equal(resultOf('ctc-text', path([1, 3, 2], 4), { labels: ['a', 'b'] }), { text: 'a b', confidence: 0.9 });
  assert.equal(resultOf('ctc-text', path([0, 2, 0, 1], 3), { labels: ['a', 'b'], blank: 2 }), {
    text: 'aab',
    confidence: 0.9,
  });
});

test('characters that are missing or do not fit the classes are refused', () => {
  assert.throws(() => resultOf('ctc-text', path([1], 4)), /expected the list of characters/);
  assert.throws(
    () => resultOf('ctc-text', path([1], 6), { labels: ['a', 'b'] }),
    /expected 5 characters for 6 classes, got 2/,
  );
});

test.run();
