import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { WorkEstimate } from '../../../runtime/schedule/work-estimate.ts';

const SECOND = 1e6;

test('nothing is known before the first run, and little from it', () => {
  const work = new WorkEstimate();
  assert.is(work.meanUs(0), 0);
  assert.is(work.boundUs(0), undefined);
  work.note(90_000, 0);
  work.note(1000, 10);
  work.note(1000, 20);
  assert.ok(Math.abs(work.meanUs(20) - 1000) < 1);
  assert.ok(Math.abs((work.boundUs(20) as number) - 1200) < 1);
});

test('the bound keeps what was long for a while, the mean does not', () => {
  const work = new WorkEstimate();
  for (let i = 0; i < 50; i++) work.note(1000, i);
  work.note(5000, 50);
  assert.ok(work.meanUs(50) < 1600);
  assert.ok((work.boundUs(50) as number) > 5900);
  for (let i = 1; i <= 60; i++) work.note(1000, i * SECOND);
  assert.ok((work.boundUs(60 * SECOND) as number) < 1300);
});

test('what has not run for long is tried again', () => {
  const work = new WorkEstimate();
  for (let i = 0; i < 3; i++) work.note(100_000, i);
  assert.ok((work.boundUs(SECOND) as number) > 100_000);
  assert.ok((work.boundUs(600 * SECOND) as number) < 1000);
});

test.run();
