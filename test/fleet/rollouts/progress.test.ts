/** How far a node is with what a rollout brings it, from what it reports. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { progressOf } from '../../../fleet/rollouts/progress.ts';
import { simModel, simTrigger } from '../../../fleet/simulator/quality.ts';

const wanted = { kind: 'model', model: 'm', version: 2 } as const;
const desired = { version: 7, at: 0, files: '', models: [simModel('m', 2)], triggers: [simTrigger('t', 'm', 1)] };
type Reported = NonNullable<Parameters<typeof progressOf>[2]>;
const report = (model: object, trigger: object): Reported =>
  ({
    desiredVersion: 7,
    models: [{ name: 'm', version: 2, ...model }],
    triggers: [{ name: 't', ...trigger }],
  }) as Reported;
const executionOf = (model: object, trigger: object): string =>
  progressOf(wanted, desired, report(model, trigger)).execution;

test('a node that has reached the version with a download to be tried again is done only when the model serves', () => {
  const failed = { state: 'failed', error: 'no room (trying again)', retrying: true };
  assert.is(executionOf(failed, { state: 'failed', error: 'its model failed' }), 'download');
  assert.is(executionOf({ state: 'downloading' }, { state: 'waiting' }), 'download');
  assert.is(executionOf({ state: 'loading' }, { state: 'waiting' }), 'proceeding');
  assert.is(executionOf({ state: 'ready' }, { state: 'loading' }), 'proceeding');
  assert.is(executionOf({ state: 'ready' }, { state: 'ready', provisional: true }), 'proceeding');
  assert.equal(progressOf(wanted, desired, report({ state: 'ready' }, { state: 'ready' })), {
    ...{ execution: 'closed', finished: 'success', details: null },
  });
});

test('what failed by its own word has failed', () => {
  const { finished, details } = progressOf(
    wanted,
    desired,
    report({ state: 'failed', error: 'no such operator' }, { state: 'waiting' }),
  );
  assert.equal([finished, details], ['failure', 'no such operator']);
});

test.run();
