/** Months without a line. `npm run sim -- --offline-days 90` does more nodes and seeds. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { simulateOffline } from '../../../fleet/simulator/offline.ts';

test('a node that is cut off for 90 days, and restarted several times a day, serves throughout and comes back by itself', () => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`seed ${seed}`);
  const { violations, restarts, looks } = simulateOffline({ seed, nodes: 1, days: 90 });
  assert.equal(violations, []);
  assert.ok(restarts > 200, `${restarts} restarts`);
  assert.ok(looks > 10_000, `seen ${looks} times`);
});

test.run();
