/** A gateway at a stated load, through the real scheduler: what becomes of every class, beside what the formulas predict. */
import * as assert from 'uvu/assert';
import { type ClassForecast, forecast } from '../../../../runtime/schedule/capacity.ts';
import type { EndOutcome, RefusalCause, RunRequest, SchedulerSpec } from '../../../../runtime/schedule/events.ts';
import { PRIORITIES } from '../../../../runtime/schedule/priorities.ts';
import type { Timeline } from '../../../../runtime/schedule/timeline.ts';
import { Random } from '../../../random.ts';
import type { PlannedRun } from './run.ts';
import { exponential } from './steady.ts';
import { World } from './world.ts';

export interface NodeLoad {
  readonly minutes: number;
  /** Of the cores, by everything that arrives. */
  readonly utilisation: number;
  readonly seed: number;
  readonly timeline?: Timeline;
}

export interface ClassOutcome {
  readonly name: string;
  submitted: number;
  readonly ended: Partial<Record<EndOutcome, number>>;
  readonly refused: Partial<Record<RefusalCause, number>>;
  degraded: number;
  /** From submission to the end less the work, sorted, of runs that are done. */
  readonly waitsUs: number[];
  readonly responsesUs: number[];
}

export interface NodeOutcome {
  readonly classes: readonly ClassOutcome[];
  readonly forecasts: readonly ClassForecast[];
  readonly simulatedUs: number;
  readonly utilisation: number;
}

const CORES = 2;
/** The share of the utilisation that safety takes, and what the others share. Mean times of a run. */
const SAFETY_UTILISATION = 0.25;
const STREAMS = [
  { priority: 0, meanUs: 4000, deadlineUs: 40_000 },
  { priority: 1, meanUs: 8000, deadlineUs: 300_000, part: 0.35 },
  { priority: 2, meanUs: 20_000, deadlineUs: 3_000_000, part: 0.4 },
  { priority: 3, meanUs: 60_000, deadlineUs: undefined, part: 0.25 },
] as const;

const SPEC: SchedulerSpec = {
  cores: CORES,
  memoryBytes: 100,
  instructionUs: 250,
  tenants: [
    { name: 'line', weight: 2, runsMax: 500 },
    { name: 'office', weight: 1, runsMax: 500 },
  ],
  models: PRIORITIES.map(({ name }) => ({ name, bytes: 10, pinned: true })),
};

/** Poisson streams; a safety run takes at most the bound that it states, the others about their estimate. */
function* arrivals({ minutes, utilisation, seed }: NodeLoad): Generator<PlannedRun> {
  const random = new Random(seed);
  const rates = STREAMS.map((stream) => {
    const share = 'part' in stream ? (utilisation - SAFETY_UTILISATION) * stream.part : SAFETY_UTILISATION;
    return (share * CORES) / stream.meanUs;
  });
  const nextUs = rates.map((rate) => 1000 + exponential(random, 1 / rate));
  for (let id = 0; ; id++) {
    const place = nextUs.indexOf(Math.min(...nextUs));
    const { priority, meanUs, deadlineUs } = STREAMS[place] as (typeof STREAMS)[number];
    const arrivalUs = nextUs[place] as number;
    if (arrivalUs > minutes * 60e6) return;
    nextUs[place] = arrivalUs + exponential(random, 1 / (rates[place] as number));
    // Between half and one and a half of the mean: models take about the same time for every picture.
    const actualUs = meanUs * (0.5 + random.next());
    const request: RunRequest = {
      id,
      model: (PRIORITIES[priority] as { name: string }).name,
      tenant: random.next() < 0.6 ? 'line' : 'office',
      priority,
      workUs: priority === 0 ? meanUs * 1.5 : meanUs,
      deadlineUs: deadlineUs && arrivalUs + deadlineUs,
    };
    yield { request, arrivalUs, actualUs };
  }
}

/** Plays a load. Throws when a run is lost, ends twice, or a safety run that was admitted misses its deadline. */
export function playNode(load: NodeLoad): NodeOutcome {
  const classes = PRIORITIES.map(
    ({ name }): ClassOutcome => ({
      name,
      submitted: 0,
      ended: {},
      refused: {},
      degraded: 0,
      waitsUs: [],
      responsesUs: [],
    }),
  );
  const of = ({ request }: PlannedRun): ClassOutcome => classes[request.priority as number] as ClassOutcome;
  let busyUs = 0;
  let lastUs = 0;
  let forecasts: readonly ClassForecast[] = [];
  const world = new World(SPEC, new Random(load.seed + 1), {
    timeline: load.timeline,
    onEnd: ({ plan, outcome, account }) => {
      const { ended, waitsUs, responsesUs } = of(plan);
      ended[outcome] = (ended[outcome] ?? 0) + 1;
      busyUs += account.runUs;
      lastUs = account.endedUs;
      if (outcome !== 'done') return;
      responsesUs.push(account.endedUs - account.submittedUs);
      waitsUs.push(account.endedUs - account.submittedUs - plan.actualUs);
    },
    onRefuse: (plan, { cause, reason }) => {
      assert.ok(reason.length > 20);
      const { refused } = of(plan);
      refused[cause] = (refused[cause] ?? 0) + 1;
    },
  });
  const counted = function* (): Generator<PlannedRun> {
    for (const plan of arrivals(load)) {
      of(plan).submitted++;
      yield plan;
    }
    forecasts = forecast(CORES, world.scheduler.measured());
  };
  world.play(counted());
  for (const { name, submitted, ended, refused, waitsUs, responsesUs } of classes) {
    const sum = [...Object.values(ended), ...Object.values(refused)].reduce((total, count) => total + count, 0);
    assert.is(sum, submitted, `${name}: ${submitted} runs submitted, ${sum} ended or refused`);
    for (const list of [waitsUs, responsesUs]) list.sort((a, b) => a - b);
  }
  const [safety] = classes as [ClassOutcome];
  assert.is(safety.ended.late ?? 0, 0, 'a safety run that was admitted missed its deadline');
  return { classes, forecasts, simulatedUs: lastUs, utilisation: busyUs / (CORES * lastUs) };
}

export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
