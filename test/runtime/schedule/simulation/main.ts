/**
 * Virtual nodes against the real scheduler.
 *   npm run schedule-sim -- [--workloads 10000] [--seed 1]     random workloads, held to the laws
 *   npm run schedule-sim -- hour [--minutes 60] [--seed 1]     a node at 95%: predictions beside what happens
 *   npm run schedule-sim -- overload [--minutes 10]            twice what it can do, beside the same without overload
 *   npm run schedule-sim -- published                          the workload shape of arXiv 2504.16792
 *   npm run schedule-sim -- timeline [--svg FILE] [--trace FILE]  half a second of the node at 95%: a Gantt chart, a trace for Perfetto
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createStyle, wantsColour } from '../../../../fleet/cli/style.ts';
import { explainRun, Timeline } from '../../../../runtime/schedule/timeline.ts';
import { timelineChart } from '../../../../runtime/schedule/timeline-chart.ts';
import { timelineTrace } from '../../../../runtime/schedule/timeline-trace.ts';
import { type ClassOutcome, type NodeOutcome, playNode, quantile } from './node-load.ts';
import { playPublished, traces } from './published.ts';
import { playRandom } from './workload.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    workloads: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string' },
    svg: { type: 'string' },
    trace: { type: 'string' },
  },
});
const style = createStyle(wantsColour(process.env, process.stdout.isTTY));
const seed = wholeNumber('seed', values.seed);

function wholeNumber(flag: string, text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number > 0) return number;
  throw new Error(`--${flag}: expected a whole number above 0, got "${text}"`);
}

function count(outcomes: Record<string, number>, more: Readonly<Record<string, number>>): void {
  for (const [outcome, number] of Object.entries(more)) outcomes[outcome] = (outcomes[outcome] ?? 0) + number;
}

const listed = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([outcome, number]) => `${outcome} ${number}`)
    .join(', ');

function workloads(): void {
  const number = wholeNumber('workloads', values.workloads);
  const outcomes: Record<string, number> = {};
  let [runs, steps] = [0, 0];
  for (let each = seed; each < seed + number; each++) {
    try {
      const played = playRandom(each);
      runs += played.runs;
      steps += played.steps;
      count(outcomes, played.outcomes);
    } catch (cause) {
      throw new Error(`seed ${each} breaks a law; repeat it with --workloads 1 --seed ${each}`, { cause });
    }
  }
  console.log(`${number} workloads from seed ${seed}: ${runs} runs, ${steps} steps, 0 violations`);
  console.log(listed(outcomes));
}

const ms = (us: number): string => (us / 1000).toFixed(2);

function printNode({ classes, forecasts, utilisation }: NodeOutcome): void {
  const rows = classes.map(({ name, submitted, ended, refused, waitsUs, responsesUs }, priority) => {
    const mean = waitsUs.reduce((sum, us) => sum + us, 0) / waitsUs.length;
    const { meanWaitUs = 0, p99WaitUs = 0 } = forecasts[priority] ?? {};
    const figures = [
      mean,
      meanWaitUs,
      quantile(waitsUs, 0.5),
      quantile(waitsUs, 0.99),
      p99WaitUs,
      quantile(responsesUs, 0.99),
    ];
    return [name, `${submitted}`, listed({ ...ended }), listed({ ...refused }), ...figures.map(ms)];
  });
  const waits = ['mean wait', '(formula)', 'p50', 'p99', '(formula)', 'p99 response'];
  console.log(style.table(['class', 'submitted', 'ended', 'refused', ...waits], rows));
  console.log(`cores ${(utilisation * 100).toFixed(1)}% busy; times in ms\n`);
}

function hour(): void {
  const minutes = wholeNumber('minutes', values.minutes ?? '60');
  console.log(`${minutes} minutes simulated, 2 cores, 95% of them asked for, seed ${seed}`);
  const outcome = playNode({ minutes, utilisation: 0.95, seed });
  printNode(outcome);
  const [{ ended, refused }] = outcome.classes as [ClassOutcome];
  console.log(
    `deadline misses of admitted safety runs: ${ended.late ?? 0} of ${ended.done}; ${refused.deadline ?? 0} refused at submission`,
  );
}

function overload(): void {
  const minutes = wholeNumber('minutes', values.minutes ?? '10');
  const [usual, twice] = [0.95, 2].map((utilisation) => {
    console.log(`${minutes} minutes simulated, 2 cores, ${utilisation * 100}% of them asked for, seed ${seed}`);
    const outcome = playNode({ minutes, utilisation, seed });
    printNode(outcome);
    return quantile((outcome.classes[0] as ClassOutcome).responsesUs, 0.99);
  }) as [number, number];
  console.log(
    `safety, p99 of the response: ${ms(usual)} ms at 95%, ${ms(twice)} ms at 200%: ${(twice / usual).toFixed(2)}`,
  );
}

function published(): void {
  const percent = (share: number): string => `${(share * 100).toFixed(1)}%`;
  const rows = traces.map((trace) => {
    const [without, with_] = [false, true].map((preemptive) => playPublished(trace, preemptive, seed));
    const pairs = (['high', 'low', 'frames'] as const).flatMap((key) => [
      percent(without?.[key] ?? 0),
      percent(with_?.[key] ?? 0),
    ]);
    return [trace, ...pairs, `+${(((with_?.frames ?? 0) - (without?.frames ?? 0)) * 100).toFixed(1)} points`];
  });
  const header = ['without → with preemption', 'high', '', 'low', '', 'frames', '', 'frames gained'];
  console.log(
    style.table(header, [...rows, ['published (arXiv 2504.16792)', '', 'up to 99%', '', '', '', '', '+3 to 8%']]),
  );
  console.log(
    'Four nodes, 1,296 frames. Ours is simulated with service times and traces of our own choice (published.ts says which);\ntheirs was measured on four Raspberry Pi 2, with a network that could be full, and moves runs that are set aside.',
  );
}

/** What the cores do in half a second, and why the runs that waited longest did. */
function timeline(): void {
  const line = new Timeline();
  playNode({ minutes: 0.5 / 60, utilisation: 0.95, seed, timeline: line });
  if (values.svg) writeFileSync(values.svg, timelineChart(line.runs, 'Two cores, 95% of them asked for'));
  if (values.trace) writeFileSync(values.trace, JSON.stringify(timelineTrace(line.runs)));
  const lasted = ({ account }: (typeof line.runs)[number]): number =>
    account ? account.endedUs - account.submittedUs : 0;
  for (const run of line.runs.toSorted((a, b) => lasted(b) - lasted(a)).slice(0, 5)) console.log(explainRun(run));
}

const modes: Readonly<Record<string, () => void>> = { workloads, hour, overload, published, timeline };
const [mode = 'workloads'] = positionals;
if (!Object.hasOwn(modes, mode)) throw new Error(`mode "${mode}": expected ${Object.keys(modes).join(', ')}`);
const started = performance.now();
modes[mode]?.();
console.log(`${((performance.now() - started) / 1000).toFixed(1)} s`);
