import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { forecast, room } from '../../../runtime/schedule/capacity.ts';
import { Meter } from '../../../runtime/schedule/measure.ts';
import { waitMMc } from '../../../runtime/schedule/queueing.ts';
import { Random } from '../../random.ts';

const SEED = Number(process.env.SEED ?? 7);
console.log(`seed ${SEED}`);

test('rates and moments follow what arrives, and meters add up', () => {
  const random = new Random(SEED);
  const [all, odd, even] = [new Meter(0), new Meter(0), new Meter(0)];
  let nowUs = 0;
  for (let i = 0; i < 40_000; i++) {
    nowUs += -Math.log(1 - random.next()) * 10_000;
    const serviceUs = -Math.log(1 - random.next()) * 3000;
    for (const meter of [all, i % 2 ? odd : even]) {
      meter.arrived(nowUs);
      meter.served(nowUs, serviceUs);
    }
  }
  const { rate, mean = 0, second = 0 } = all.read(nowUs);
  // Two minutes of memory hold about 12,000 arrivals: a deviation of 1%, of which five are allowed.
  assert.ok(Math.abs(rate * 10_000 - 1) < 0.05, `rate ${rate}`);
  assert.ok(Math.abs(mean / 3000 - 1) < 0.05, `mean ${mean}`);
  assert.ok(Math.abs(second / 18e6 - 1) < 0.2, `second moment ${second}`);
  odd.merge(even, nowUs);
  const merged = odd.read(nowUs);
  assert.ok(Math.abs(merged.rate / rate - 1) < 1e-9);
  assert.ok(Math.abs((merged.mean ?? 0) / mean - 1) < 1e-9);
});

test('a rate is right soon after the start', () => {
  const meter = new Meter(0);
  for (let i = 1; i <= 50; i++) meter.arrived(i * 100_000);
  assert.ok(Math.abs(meter.read(5_000_000).rate * 100_000 - 1) < 0.1);
});

test('a forecast says how long a class waits and how many more cameras fit', () => {
  const camera = { priority: 1, rate: 5e-6, mean: 20_000, second: 2 * 20_000 ** 2 };
  const [, interactive] = forecast(2, [], [{ ...camera, rate: camera.rate * 10 }]);
  assert.ok(Math.abs((interactive?.utilisation ?? 0) - 0.5) < 1e-12);
  assert.ok(Math.abs((interactive?.meanWaitUs ?? 0) - waitMMc(2, 50e-6, 20_000)) < 1e-6);
  assert.ok((interactive?.p99WaitUs ?? 0) > (interactive?.meanWaitUs ?? 0));
  const count = room(2, [], camera, { mostUs: 20_000, most: 1000 });
  assert.ok(waitMMc(2, count * camera.rate, camera.mean) <= 20_000);
  assert.ok(waitMMc(2, (count + 1) * camera.rate, camera.mean) > 20_000);
});

test.run();
