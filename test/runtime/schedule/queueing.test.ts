import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  erlangB,
  erlangC,
  exponentialSecond,
  merge,
  type Stream,
  waitMGc,
  waitMMc,
  waitNonPreemptive,
  waitPreemptive,
  waitPreemptiveServers,
  waitQuantile,
} from '../../../runtime/schedule/queueing.ts';

function near(actual: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual}, expected ${expected} ± ${tolerance}`);
}

test('Erlang B agrees with the published traffic table for 1% blocking', () => {
  const table = [
    [1, 0.0101],
    [2, 0.153],
    [5, 1.361],
    [10, 4.461],
    [20, 12.03],
    [50, 37.9],
    [100, 84.06],
  ] as const;
  for (const [servers, load] of table) near(erlangB(servers, load), 0.01, 0.0001);
});

test('M/M/c agrees with the clinic of Gross and Harris, Fundamentals of Queueing Theory, section 2.3', () => {
  // Three doctors, six patients an hour, twenty minutes each: 8/9 of a patient waits on average.
  near(waitMMc(3, 6, 1 / 3) * 6, 8 / 9, 1e-12);
  near(erlangC(3, 2), 4 / 9, 1e-12);
});

test('Erlang C agrees with the table of delay probabilities in Tijms, Stochastic Models', () => {
  near(erlangC(5, 4), 0.5541, 5e-5);
  near(erlangC(10, 8), 0.4092, 5e-5);
  near(erlangC(10, 9), 0.6687, 5e-5);
});

test('one server with any service times waits as Pollaczek and Khinchine say', () => {
  near(waitMGc(1, { rate: 0.5, mean: 1, second: 1 }), 0.5, 1e-12);
  near(waitMGc(1, { rate: 0.9, mean: 1, second: exponentialSecond(1) }), 9, 1e-9);
});

const three: readonly Stream[] = [
  { rate: 0.2, mean: 1, second: 1 },
  { rate: 0.3, mean: 0.5, second: 0.9 },
  { rate: 0.1, mean: 4, second: 20 },
];

test('priorities without preemption keep the work of all classes as it is (Kleinrock, conservation law)', () => {
  const waits = waitNonPreemptive(three);
  const sum = three.reduce((total, { rate, mean }, i) => total + rate * mean * (waits[i] as number), 0);
  const load = three.reduce((total, { rate, mean }) => total + rate * mean, 0);
  const residual = three.reduce((total, { rate, second }) => total + (rate * second) / 2, 0);
  near(sum, (load * residual) / (1 - load), 1e-12);
});

test('the most urgent class waits under preemption as if it were alone', () => {
  const [first] = waitPreemptive(three) as [number];
  near(first, waitMGc(1, three[0] as Stream), 1e-12);
  near(waitPreemptiveServers(4, three)[0] as number, waitMGc(4, three[0] as Stream), 1e-12);
});

test('exponential classes of one mean wait on several servers as all of them together do', () => {
  const classes = [0.7, 0.6, 1.1].map((rate) => ({ rate, mean: 1, second: exponentialSecond(1) }));
  const waits = waitPreemptiveServers(3, classes);
  const sum = classes.reduce((total, { rate }, i) => total + rate * (waits[i] as number), 0);
  near(sum, merge(classes).rate * waitMMc(3, 2.4, 1), 1e-9);
});

test('an overloaded class waits for ever and the more urgent ones do not notice', () => {
  const waits = waitPreemptive([
    { rate: 0.5, mean: 1, second: 2 },
    { rate: 0.6, mean: 1, second: 2 },
  ]);
  near(waits[0] as number, 1, 1e-12);
  assert.is(waits[1], Number.POSITIVE_INFINITY);
  assert.is(waitMMc(2, 2, 1), Number.POSITIVE_INFINITY);
});

test('half the runs do not wait when less than half find all servers busy', () => {
  assert.is(waitQuantile(0.5, 0.4, 3), 0);
  near(waitQuantile(0.99, 0.5, 1), 2 * Math.log(50), 1e-12);
});

test.run();
