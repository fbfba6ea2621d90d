/**
 * Sequences of events as a node meets them, to be replayed: the policy decides the same each time, so that a replay measures it and
 * nothing else. A small node plays each sequence once: cores that take as long as drawn, and stop at once when they are told to.
 */

import type { Batching } from '../../runtime/schedule/batch.ts';
import type { RunRequest, SchedulerEvent, SchedulerSpec } from '../../runtime/schedule/events.ts';
import { Heap, type HeapItem } from '../../runtime/schedule/heap.ts';
import { Scheduler } from '../../runtime/schedule/scheduler.ts';
import { randomValues } from '../cases/random-values.ts';

export interface Recording {
  readonly spec: SchedulerSpec;
  readonly events: readonly SchedulerEvent[];
  readonly timesUs: Float64Array;
  /** What the policy decided while it was recorded, by kind. */
  readonly decided: Readonly<Record<string, number>>;
}

export interface Load {
  readonly name: string;
  readonly cores: number;
  /** Of all cores by what arrives; above 1 the rest is refused or waits. */
  readonly utilisation: number;
  readonly runs: number;
  /** Background runs that wait from the start. */
  readonly waiting: number;
}

const MEAN_US = 5000;
const TENANTS = ['line-1', 'line-2', 'office'];
/** Shares of the runs by class, most urgent first. */
const MIX = [0.1, 0.3, 0.4, 0.2];
const DEADLINES_US = [60_000, 200_000, 2_000_000, undefined];

interface Finish extends HeapItem {
  readonly core: number;
}

function specOf({ cores }: Load): SchedulerSpec {
  return {
    cores,
    memoryBytes: 1000,
    instructionUs: 250,
    tenants: TENANTS.map((name, i) => ({ name, weight: i + 1, runsMax: 1500 })),
    models: Array.from({ length: 8 }, (_, i) => ({ name: `model-${i}`, bytes: 100, pinned: true })),
  };
}

interface Arrival {
  readonly atUs: number;
  readonly request: RunRequest;
  readonly batching: Batching | undefined;
}

/** Of four models. */
const SIZES = [2, 4, 8].map((runs) => ({ runs, us: (MEAN_US * (1 + runs)) / 2 }));
const BATCHINGS = Array.from({ length: 4 }, () => ({ sizesAt: () => SIZES }));

function requestsOf({ cores, utilisation, runs, waiting }: Load): Arrival[] {
  const lots = randomValues(runs * 5 + waiting * 2).map((value) => value + 0.5);
  let at = 0;
  const next = (): number => lots[at++] as number;
  let atUs = 1000;
  const add = (request: Omit<RunRequest, 'model' | 'tenant'>): void => {
    const [place, tenant] = [Math.floor(next() * 8), TENANTS[Math.floor(next() * 3)] as string];
    requests.push({ atUs, request: { ...request, model: `model-${place}`, tenant }, batching: BATCHINGS[place] });
  };
  const requests: Arrival[] = [];
  for (let id = 0; id < waiting; id++) {
    add({ id, priority: 3, workUs: MEAN_US });
  }
  for (let id = waiting; id < waiting + runs; id++) {
    atUs += (-Math.log(1 - next()) * MEAN_US) / (utilisation * cores);
    const lot = next();
    const priority = MIX.findIndex((_, place) => lot < MIX.slice(0, place + 1).reduce((sum, part) => sum + part)) & 3;
    const workUs = next() * 2 * MEAN_US;
    const deadline = DEADLINES_US[priority];
    const deadlineUs = deadline && atUs + deadline;
    add({ id, priority, workUs, deadlineUs });
  }
  return requests;
}

/** Plays a load on a small node and takes down what the scheduler was told. */
export function record(load: Load): Recording {
  const spec = specOf(load);
  const scheduler = new Scheduler(spec, 0);
  const [events, timesUs]: [SchedulerEvent[], number[]] = [[], []];
  const decided: Record<string, number> = {};
  const requests = requestsOf(load);
  const workUs = new Map(requests.map(({ request }) => [request.id, request.workUs]));
  const finishes = new Heap<Finish>();
  const running = new Map<number, { finish: Finish; runs: readonly number[]; sinceUs: number }>();
  let sequence = 0;
  const stopping = new Set<number>();
  const step = (event: SchedulerEvent, nowUs: number): void => {
    if (event.kind === 'stopped') stopping.delete(event.core);
    events.push(event);
    timesUs.push(nowUs);
    const follow: SchedulerEvent[] = [];
    for (const decision of scheduler.step(event, nowUs)) {
      decided[decision.kind] = (decided[decision.kind] ?? 0) + 1;
      if (decision.kind === 'load') follow.push({ kind: 'loaded', model: decision.model });
      else if (decision.kind === 'start') {
        const [core] = decision.cores as [number];
        const needUs = Math.max(...decision.runs.map((run) => workUs.get(run) as number));
        const finish = { key: nowUs + needUs, sequence: sequence++, slot: -1, core };
        finishes.add(finish);
        running.set(core, { finish, runs: decision.runs, sinceUs: nowUs });
      } else if (decision.kind === 'suspend' && !stopping.has(decision.core)) {
        // Also where it need not after all: it has stopped already.
        stopping.add(decision.core);
        const { finish, runs, sinceUs } = running.get(decision.core) as {
          finish: Finish;
          runs: readonly number[];
          sinceUs: number;
        };
        finishes.remove(finish);
        for (const run of runs) workUs.set(run, Math.max(0, (workUs.get(run) as number) - (nowUs - sinceUs)));
        follow.push({ kind: 'stopped', core: decision.core, outcome: 'suspended' });
      }
    }
    for (const each of follow) step(each, nowUs);
  };
  step({ kind: 'tick' }, 0);
  let place = 0;
  for (;;) {
    const arrival = requests[place];
    const finish = finishes.first;
    if (!arrival) break;
    const wakeUs = scheduler.wakeUs;
    const atUs = Math.min(arrival.atUs, finish?.key ?? Infinity);
    if (wakeUs < atUs) step({ kind: 'tick' }, wakeUs);
    else if (finish && finish.key <= arrival.atUs) {
      finishes.remove(finish);
      step({ kind: 'stopped', core: finish.core, outcome: 'done' }, finish.key);
    } else {
      place++;
      step({ kind: 'submit', request: arrival.request, batching: arrival.batching }, arrival.atUs);
    }
  }
  return { spec, events, timesUs: Float64Array.from(timesUs), decided };
}

/** Nanoseconds that a step takes, over the whole sequence; the spec's own steps included. */
export function replay({ spec, events, timesUs }: Recording): number {
  const scheduler = new Scheduler(spec, 0);
  let decisions = 0;
  const started = performance.now();
  for (let i = 0; i < events.length; i++)
    decisions += scheduler.step(events[i] as SchedulerEvent, timesUs[i] as number).length;
  const ms = performance.now() - started;
  if (decisions === 0) throw new Error('assertion: the scheduler decided nothing');
  return (ms * 1e6) / events.length;
}
