import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  exponentialSecond,
  waitMMc,
  waitPreemptive,
  waitPreemptiveServers,
} from '../../../../runtime/schedule/queueing.ts';
import { type ClassOutcome, playNode, quantile } from './node-load.ts';
import { playPublished } from './published.ts';
import { exponential, type SteadyStream, simulateWaits } from './steady.ts';
import { playRandom } from './workload.ts';

const SEED = Number(process.env.SEED ?? 1);
const WORKLOADS = 300;
console.log(`seed ${SEED}`);

test('random workloads break no law', () => {
  const seen: Record<string, number> = {};
  for (let seed = SEED; seed < SEED + WORKLOADS; seed++) {
    const { outcomes } = playRandom(seed);
    for (const [outcome, count] of Object.entries(outcomes)) seen[outcome] = (seen[outcome] ?? 0) + count;
  }
  const kinds = [
    'done',
    'refused',
    'failed',
    'cancelled',
    'late',
    'preempted',
    'degraded',
    'handed over',
    'in a batch',
    'timed-out',
    'entries',
    'displaced',
  ];
  for (const outcome of kinds) assert.ok((seen[outcome] ?? 0) > 50, `saw only ${seen[outcome]} ${outcome}`);
});

/** Mean 1 ms each, sharing the utilisation of the cores equally. */
function streamsOf(utilisation: number, cores: number, count: number, second: number, draw: SteadyStream['draw']) {
  const rate = (utilisation * cores) / 1000 / count;
  return Array.from({ length: count }, (_, priority) => ({ priority, rate, mean: 1000, second, draw }));
}

function within(measured: readonly number[], predicted: readonly number[], what: string): void {
  for (const [i, wait] of measured.entries()) {
    const ratio = wait / (predicted[i] as number);
    assert.ok(Math.abs(ratio - 1) < 0.05, `${what}, class ${i}: measured by predicted wait ${ratio.toFixed(3)}`);
  }
}

// Few runs wait on an idle node, and long queues fade slowly on a full one: both need more runs for the same trust.
const counts = new Map([
  [0.3, 200_000],
  [0.6, 150_000],
  [0.9, 300_000],
]);

for (const [utilisation, count] of counts) {
  test(`at utilisation ${utilisation} the mean wait on three cores is within 5% of M/M/c`, () => {
    const draw: SteadyStream['draw'] = (random) => exponential(random, 1000);
    const streams = streamsOf(utilisation, 3, 1, exponentialSecond(1000), draw).map((stream) => ({
      ...stream,
      priority: 1,
    }));
    const measured = simulateWaits(3, streams, count, SEED);
    within(measured, [waitMMc(3, (utilisation * 3) / 1000, 1000)], 'M/M/3');
  });

  test(`at utilisation ${utilisation} the mean waits of two classes are within 5% of M/G/1 with preemption`, () => {
    // Half of the runs take 0.5 ms, half 1.5 ms.
    const draw: SteadyStream['draw'] = (random) => (random.next() < 0.5 ? 500 : 1500);
    const streams = streamsOf(utilisation, 1, 2, (500 ** 2 + 1500 ** 2) / 2, draw);
    within(simulateWaits(1, streams, count, SEED), waitPreemptive(streams), 'M/G/1');
  });
}

test('on three cores the mean waits of two exponential classes are within 5% of the formula', () => {
  const streams = streamsOf(0.6, 3, 2, exponentialSecond(1000), (random) => exponential(random, 1000));
  within(simulateWaits(3, streams, 200_000, SEED), waitPreemptiveServers(3, streams), 'M/M/3 with classes');
});

/** Safety first. */
function p99Of({ responsesUs }: ClassOutcome): number {
  return quantile(responsesUs, 0.99);
}

test('at 95% no admitted safety run is late, and waits are within a half of their predictions', () => {
  const { classes, forecasts, utilisation } = playNode({ minutes: 3, utilisation: 0.95, seed: SEED });
  assert.ok(utilisation > 0.9, `${utilisation} of the cores were busy`);
  for (const [place, { name, waitsUs }] of classes.entries()) {
    // Safety waits for little but the instruction that the cores are in, which the formulas do not know.
    if (place === 0) continue;
    const { p99WaitUs = 0, meanWaitUs = 0 } = forecasts[place] ?? {};
    const mean = waitsUs.reduce((sum, us) => sum + us, 0) / waitsUs.length;
    for (const [what, ratio] of [
      ['mean', meanWaitUs / mean],
      ['p99', p99WaitUs / quantile(waitsUs, 0.99)],
    ] as const)
      assert.ok(ratio > 2 / 3 && ratio < 1.5, `${name}, ${what}: predicted by measured ${ratio.toFixed(2)}`);
  }
});

test('twice what a node can do leaves safety as it was, and refuses the rest with reasons', () => {
  const [usual, twice] = [0.95, 2].map((utilisation) => playNode({ minutes: 1, utilisation, seed: SEED }).classes);
  const [before, after] = [usual?.[0] as ClassOutcome, twice?.[0] as ClassOutcome];
  const ratio = p99Of(after) / p99Of(before);
  assert.ok(ratio > 0.8 && ratio < 1.2, `p99 of safety ${ratio.toFixed(2)} times what it was`);
  assert.equal(after.refused, {});
  const refused = (twice ?? []).slice(1).map(({ refused }) => Object.keys(refused).length);
  assert.ok(
    refused.some((causes) => causes > 0),
    'nothing was refused',
  );
});

test('in the published workload shape preemption completes the urgent tasks and more frames', () => {
  const [without, with_] = [false, true].map((preemptive) => playPublished('uniform', preemptive, SEED));
  assert.ok((with_?.high ?? 0) >= 0.99, `${with_?.high} of the urgent tasks`);
  assert.ok((with_?.frames ?? 0) > (without?.frames ?? 1), `${with_?.frames} of the frames`);
});

test.run();
