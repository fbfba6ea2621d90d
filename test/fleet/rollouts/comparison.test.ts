/** Two forms on the same messages: what counts as agreement, and what the drift of a mean is. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { judge } from '../../../fleet/rollouts/comparison.ts';
import { rolloutSpecSchema } from '../../../fleet/rollouts/spec.ts';
import { Comparison, type Handled } from '../../../runtime/node/comparison.ts';
import { Shadows } from '../../../runtime/node/shadow.ts';
import type { Pipeline } from '../../../runtime/triggers/pipeline.ts';

const handled = (value: object, ms = 1): Handled => ({
  results: [
    {
      ...{ topic: 'out', qos: 0, retain: false, summary: '' },
      payload: new TextEncoder().encode(JSON.stringify({ ...value, meta: { ms: Math.random() } })),
    },
  ],
  ms,
});
const gates = rolloutSpecSchema.parse({ target: { kind: 'model', model: 'm', version: 2 }, compare: { messages: 10 } })
  .compare as NonNullable<ReturnType<typeof rolloutSpecSchema.parse>['compare']>;
const verdict = (comparison: Comparison) =>
  judge(gates, [{ id: 'r', trigger: 't', state: 'running', compared: comparison.read() }]);

test('numbers agree within 5%, texts and shapes exactly, whatever the meta says', () => {
  const comparison = new Comparison();
  comparison.add(handled({ score: 100, label: 'a' }), handled({ score: 104, label: 'a' }));
  comparison.add(handled({ score: 100, label: 'a' }), handled({ score: 120, label: 'a' }));
  comparison.add(handled({ label: 'a' }), handled({ label: 'b' }));
  comparison.add(handled({ list: [1, 2] }), handled({ list: [1] }));
  comparison.add({ results: [], ms: 1 }, handled({ label: 'a' }));
  comparison.add({ error: 'bad' }, { error: 'bad too' });
  const { messages, agreed, failuresNew } = comparison.read();
  assert.equal([messages, agreed, failuresNew], [6, 2, 1]);
});

test("a mean's drift is counted in standard deviations of what was before", () => {
  const comparison = new Comparison();
  // Mean 10, standard deviation 2 (population); the new mean is 11.
  for (const value of [8, 12, 8, 12]) comparison.add(handled({ value }), handled({ value: value + 1 }));
  assert.ok(Math.abs(comparison.read().drift - 0.5) < 1e-9);
});

test('a canary passes when enough messages agree, and fails as soon as too many do not', () => {
  const good = new Comparison();
  for (let index = 0; index < 9; index++) good.add(handled({ v: index }), handled({ v: index }));
  assert.equal(verdict(good), { state: 'open', details: '9 of 10 messages compared' });
  good.add(handled({ v: 1 }), handled({ v: 1 }));
  assert.is(verdict(good).state, 'passed');
  const other = new Comparison();
  other.add(handled({ v: 'a' }), handled({ v: 'b' }));
  assert.match(verdict(other).details, /^0\.0% of 1 messages agree, at least 95% must$/);
  const failing = new Comparison();
  for (let index = 0; index < 60; index++)
    failing.add(handled({ v: 1 }), index < 58 ? handled({ v: 1 }) : { error: 'no' });
  assert.match(verdict(failing).details, /2 of 60 messages more fail than before, at most 1% may/);
  const slow = new Comparison();
  for (let index = 0; index < 10; index++) slow.add(handled({ v: 1 }, 1), handled({ v: 1 }, 3));
  assert.match(verdict(slow).details, /takes 3\.00 times as long, at most 2 times/);
});

test('the new form sees what the trigger sees, and its results go nowhere else', async () => {
  const shadows = new Shadows();
  const answering = (label: string): Pipeline => ({
    priority: 2,
    handle: async () => {
      const made = handled({ label });
      return { results: 'results' in made ? made.results : [], waitMs: 0, preemptions: 0 };
    },
  });
  const followed = shadows.follow('t', answering('old'));
  shadows.start('t', answering('new'));
  const message = { topic: 'in', payload: new Uint8Array(), receivedAt: 0 };
  for (let index = 0; index < 5; index++) {
    const { results } = await followed.handle(message);
    assert.match(new TextDecoder().decode(results[0]?.payload), /"old"/);
  }
  await new Promise((resolve) => setImmediate(resolve));
  const compared = shadows.read().get('t');
  assert.equal([compared?.messages, compared?.agreed, compared?.skipped], [5, 0, 0]);
  shadows.stop('t');
  await shadows.quiet();
  await followed.handle(message);
  assert.is(shadows.read().size, 0);
});

test.run();
