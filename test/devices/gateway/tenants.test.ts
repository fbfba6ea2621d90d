import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readTenants } from '../../../devices/gateway/tenants.ts';

test('tenants are named with their weights and quotas', () => {
  assert.equal(readTenants('line-1=3:64,reports=0.5'), [
    { name: 'line-1', weight: 3, runsMax: 64 },
    { name: 'reports', weight: 0.5, runsMax: 4096 },
  ]);
  assert.equal(readTenants(undefined), []);
});

test('what is no tenant is refused, with what was expected', () => {
  for (const [text, message] of [
    ['line-1', /expected NAME=WEIGHT or NAME=WEIGHT:RUNS, .* got "line-1"/],
    ['a=1,', /got ""/],
    ['a=-1', /got "a=-1"/],
    ['a b=1', /got "a b=1"/],
    ['a=0', /"a": expected a weight above 0, got 0/],
    ['a=1:0', /"a": expected 1 to 4096 runs, got 0/],
    ['a=1:5000', /"a": expected 1 to 4096 runs, got 5000/],
    ['a=1:1.5', /got "a=1:1.5"/],
    ['a=1,a=2', /expected "a" once/],
  ] as const)
    assert.throws(() => readTenants(text), message);
});

test.run();
