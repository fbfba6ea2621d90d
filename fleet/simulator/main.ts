/** Simulated fleets, one a seed (simulation.ts), on as many threads as there are cores. */
import { availableParallelism } from 'node:os';
import { readFlags, refuseFlag } from '../cli/usage.ts';
import { simulateOffline } from './offline.ts';
import { type SimulationResult, simulate } from './simulation.ts';
import { simulateAll } from './threads-io.ts';
import { CRASH_POINTS } from './world.ts';

/** How often it is said how far a long run is. */
const PROGRESS_MS = 10_000;

const USAGE = `Simulated fleets, one a seed: in its first half everything goes wrong, in its second nothing does.

  --seeds N          how many fleets (100)
  --from SEED        the first one (1)
  --nodes N          of each fleet (50)
  --minutes N        virtual ones of each half (10)
  --jobs N           threads (as many as there are cores)
  --seed SEED        one fleet again, in place of --seeds and --from
  --trace            what happens in it, line by line
  --offline-days N   instead: nodes that are cut off for so many virtual days, and restarted now and then

  npm run sim -- --seeds 500
  npm run sim -- --seed 17 --trace
  npm run sim -- --offline-days 90 --nodes 1 --seeds 10
`;

const text = { type: 'string' } as const;
const { values } = readFlags(USAGE, {
  options: {
    ...{ seeds: { ...text, default: '100' }, from: { ...text, default: '1' }, nodes: { ...text, default: '50' } },
    ...{ seed: text, trace: { type: 'boolean' }, minutes: { ...text, default: '10' } },
    ...{ 'offline-days': text, jobs: { ...text, default: `${availableParallelism()}` } },
  },
});

function wholeNumber(
  flag: 'seeds' | 'from' | 'nodes' | 'seed' | 'minutes' | 'offline-days' | 'jobs',
  least = 0,
): number {
  const number = Number(values[flag]);
  if (!Number.isInteger(number) || number < least)
    refuseFlag(`--${flag}: expected a whole number of at least ${least}, got "${values[flag]}"`);
  return number;
}

const nodes = wholeNumber('nodes');
const first = values.seed === undefined ? wholeNumber('from') : wholeNumber('seed');
const seeds = values.seed === undefined ? wholeNumber('seeds') : 1;
const times = { faultMs: wholeNumber('minutes') * 60_000, healMs: wholeNumber('minutes') * 60_000 };
const trace = values.trace ? (line: string) => process.stdout.write(`${line}\n`) : undefined;

function offline(days: number): number {
  let violations = 0;
  for (let seed = first; seed < first + seeds; seed++) {
    const result = simulateOffline({ seed, nodes, days, trace });
    violations += result.violations.length;
    console.log(`seed ${seed}: nodes restarted ${result.restarts} times, seen serving ${result.looks} times`);
    for (const violation of result.violations.slice(0, 5)) console.log(`seed ${seed}, ${violation}`);
  }
  console.log(`${days} days offline: ${seeds} seeds, ${violations} violations`);
  return violations;
}

if (values['offline-days'] !== undefined) process.exit(offline(wholeNumber('offline-days')) > 0 ? 1 : 0);

const crashes = new Map<string, number>();
const tasks: Record<string, number> = {};
const rollouts: Record<string, number> = {};
const trials = { proved: 0, givenUp: 0 };
let [violations, steps, lived] = [0, 0, 0];

function count(seed: number, result: SimulationResult): void {
  lived++;
  steps += result.steps;
  violations += result.violations.length;
  trials.proved += result.trials.proved;
  trials.givenUp += result.trials.givenUp;
  for (const [point, times] of result.crashes) crashes.set(point, (crashes.get(point) ?? 0) + times);
  for (const [state, times] of Object.entries(result.tasks)) tasks[state] = (tasks[state] ?? 0) + times;
  for (const [state, times] of Object.entries(result.rollouts)) rollouts[state] = (rollouts[state] ?? 0) + times;
  for (const violation of result.violations.slice(0, 5)) console.log(`seed ${seed}, ${violation}`);
  if (result.violations.length > 0)
    console.log(`  again: npm run sim -- --seed ${seed} --nodes ${nodes} --minutes ${values.minutes} --trace`);
}

const startedMs = performance.now();
const telling = setInterval(() => {
  const leftMin = ((performance.now() - startedMs) / lived / 60_000) * (seeds - lived);
  const rest = lived > 0 ? `, some ${Math.ceil(leftMin)} minutes left` : '';
  console.error(`${lived} of ${seeds} seeds, ${violations} violations${rest}`);
}, PROGRESS_MS);
// A trace is written in the order in which things happen.
if (trace || seeds <= 1)
  for (let seed = first; seed < first + seeds; seed++) count(seed, simulate({ seed, nodes, ...times, trace }));
else {
  const all = Array.from({ length: seeds }, (_, index) => first + index);
  await simulateAll(all, { nodes, ...times }, Math.min(seeds, wholeNumber('jobs', 1)), count);
}
clearInterval(telling);

console.log('\ncrash point: stops there');
for (const point of Object.keys(CRASH_POINTS)) console.log(`${String(crashes.get(point) ?? 0).padStart(8)}  ${point}`);
const visited = Object.keys(CRASH_POINTS).filter((point) => crashes.has(point)).length;
console.log(`${visited} of ${Object.keys(CRASH_POINTS).length} crash points visited`);
const textOf = (counts: Record<string, number>): string =>
  Object.entries(counts)
    .map(([state, count]) => `${count} ${state}`)
    .join(', ');
console.log(`${steps} steps; tasks: ${textOf(tasks)}; rollouts: ${textOf(rollouts)}`);
console.log(`versions of nodes' programs: ${trials.proved} proved, ${trials.givenUp} given up`);
console.log(`simulation: ${seeds} seeds, ${violations} violations`);
if (violations > 0) process.exitCode = 1;
