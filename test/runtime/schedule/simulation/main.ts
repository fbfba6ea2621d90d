/**
 * Random workloads against the real scheduler.
 *   npm run schedule-sim -- [--workloads 10000] [--seed 1]
 */
import { parseArgs } from 'node:util';
import { playRandom } from './workload.ts';

const { values } = parseArgs({
  options: { workloads: { type: 'string', default: '10000' }, seed: { type: 'string', default: '1' } },
});
const first = Number(values.seed);
const workloads = Number(values.workloads);
if (!Number.isInteger(first) || !Number.isInteger(workloads) || workloads < 1)
  throw new Error(`expected whole numbers, got --seed ${values.seed} --workloads ${values.workloads}`);

const outcomes: Record<string, number> = {};
let [runs, steps] = [0, 0];
const started = performance.now();
for (let seed = first; seed < first + workloads; seed++) {
  try {
    const played = playRandom(seed);
    runs += played.runs;
    steps += played.steps;
    for (const [outcome, count] of Object.entries(played.outcomes))
      outcomes[outcome] = (outcomes[outcome] ?? 0) + count;
  } catch (cause) {
    throw new Error(`seed ${seed} breaks a law; repeat it with --workloads 1 --seed ${seed}`, { cause });
  }
}
console.log(`seeds ${first} to ${first + workloads - 1}: ${runs} runs, ${steps} steps, no law broken`);
console.log(
  Object.entries(outcomes)
    .map(([outcome, count]) => `${outcome} ${count}`)
    .join(', '),
);
console.log(`${((performance.now() - started) / 1000).toFixed(1)} s`);
