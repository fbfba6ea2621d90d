/** Capacity rows against the formulas that they come from, and against a simulated queue. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadMax } from '../../../fleet/placement/utilisation.ts';
import { Random } from '../../random.ts';

const target = { servers: 1, residualMs: 10, waitMsMax: 46.05, share: 0.99, urgentMax: 0 };

test('one server meets its target exactly where the formula of M/M/1 says', () => {
  // P(wait > t) = a·exp(-(1 - a)·t / mean): Kleinrock, Queueing Systems vol. 1, 1975, section 5.12.
  for (const waitMsMax of [20, 50, 200, 1_000]) {
    const load = loadMax({ ...target, waitMsMax });
    assert.ok(Math.abs(load * Math.exp((-(1 - load) * waitMsMax) / 10) - 0.01) < 2e-4, `${waitMsMax}: ${load}`);
  }
});

test('more patience, more servers, shorter runs and fewer urgent ones each allow more load', () => {
  const base = loadMax({ ...target, servers: 4, urgentMax: 2 });
  assert.ok(loadMax({ ...target, servers: 4, urgentMax: 2, waitMsMax: 100 }) > base);
  assert.ok(loadMax({ ...target, servers: 5, urgentMax: 2 }) > base);
  assert.ok(loadMax({ ...target, servers: 4, urgentMax: 2, residualMs: 5 }) > base);
  assert.ok(loadMax({ ...target, servers: 4, urgentMax: 1 }) > base);
  assert.ok(loadMax({ ...target, servers: 4, urgentMax: 2, share: 0.9 }) > base);
  assert.ok(loadMax({ ...target, servers: 4, waitMsMax: 1e6 }) > 3.99);
  assert.ok(loadMax({ ...target, waitMsMax: 1e-6 }) < 0.011, 'who may not wait at all finds a free server');
});

test('in a simulated queue at the allowed load, the promised share waits short enough', () => {
  const seed = 20261130;
  console.log(`seed ${seed}`);
  const random = new Random(seed);
  const exponential = (mean: number): number => -mean * Math.log(1 - random.next());
  for (const servers of [1, 2, 4]) {
    const waitMsMax = 60;
    const load = loadMax({ ...target, servers, waitMsMax });
    const free = new Float64Array(servers);
    let [now, late] = [0, 0];
    const arrivals = 400_000;
    for (let n = 0; n < arrivals; n++) {
      now += exponential(10 / load);
      const first = free.indexOf(Math.min(...free));
      const start = Math.max(now, free[first] as number);
      if (start - now > waitMsMax) late++;
      free[first] = start + exponential(10);
    }
    assert.ok(
      Math.abs(late / arrivals - 0.01) < 0.002,
      `${servers} servers at ${load}: ${late / arrivals} waited longer`,
    );
  }
});

test.run();
