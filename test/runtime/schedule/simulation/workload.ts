/** Random nodes and workloads, with everything in them that a node meets: overload, bad requests, faults, second thoughts. */
import * as assert from 'uvu/assert';
import { LOADING } from '../../../../runtime/engine/resident-models.ts';
import type { Batching } from '../../../../runtime/schedule/batch.ts';
import type { ModelSpec, SchedulerSpec, TenantSpec } from '../../../../runtime/schedule/events.ts';
import { Random } from '../../../random.ts';
import { checkAccount, checkOrder, Laws } from './laws.ts';
import type { Ended, PlannedRun } from './run.ts';
import { World } from './world.ts';

const MEGABYTE = 1_000_000;
/** Most runs are one program that is there. */
const USES = ['run', 'run', 'run', 'making', 'steps'] as const;

/** Where a model runs: on cores, on accelerators, or on both. */
function drawPlaces(random: Random, accelerators: readonly string[]): Pick<ModelSpec, 'accelerators' | 'onCores'> {
  const times = accelerators.filter(() => random.next() < 0.5).map((name) => [name, 1 + random.below(30_000)] as const);
  return { accelerators: Object.fromEntries(times), onCores: times.length === 0 || random.next() < 0.7 };
}

interface Drawn {
  readonly spec: SchedulerSpec;
  readonly isEngine: boolean;
  readonly runs: readonly PlannedRun[];
}

function draw(random: Random): Drawn {
  const isEngine = random.next() < 0.5;
  const accelerators = !isEngine && random.next() < 0.3 ? ['gpu', 'npu'].slice(0, 1 + random.below(2)) : [];
  const models: ModelSpec[] = Array.from({ length: 2 + random.below(5) }, (_, i) => ({
    name: `model-${i}`,
    bytes: (1 + random.below(i === 0 ? 20 : 60)) * MEGABYTE,
    pinned: i === 0 || (isEngine && random.next() < 0.1),
    loadUs: random.below(200_000),
    ...(i > 0 && accelerators.length > 0 ? drawPlaces(random, accelerators) : {}),
  }));
  const tenants: TenantSpec[] = Array.from({ length: 1 + random.below(3) }, (_, i) => ({
    name: `tenant-${i}`,
    weight: 1 + random.below(4),
    runsMax: random.next() < 0.2 ? 3 : 1000,
  }));
  const spec = {
    cores: 1 + random.below(4),
    accelerators,
    memoryBytes: ((isEngine ? 40 : 60) + random.below(100)) * MEGABYTE,
    instructionUs: 50 + random.below(1000),
    tenants: isEngine ? [...tenants, LOADING] : tenants,
    models,
  };
  const runs = drawRuns(random, { ...spec, tenants }, isEngine);
  return { spec, isEngine, runs: isEngine ? [...models.map(firstLoad), ...runs] : runs };
}

/** Each model is loaded when it becomes known, one after the other. */
function firstLoad({ name: model }: ModelSpec, place: number): PlannedRun {
  const request = { id: -1 - place, model, tenant: LOADING.name, priority: 'normal', workUs: 0 };
  return { request, arrivalUs: 40_000 * place, actualUs: 0, use: 'load' };
}

function drawRuns(random: Random, { models, tenants, cores }: SchedulerSpec, isEngine: boolean): PlannedRun[] {
  const count = 20 + random.below(80);
  const meanUs = 1000 + random.below(40_000);
  const utilisation = 0.2 + random.next() * 2;
  let arrivalUs = 300_000;
  const batchings = new Map(models.map(({ name }) => [name, drawBatching(random, meanUs)]));
  return Array.from({ length: count }, (_, id) => {
    arrivalUs += (-Math.log(1 - random.next()) * meanUs) / (utilisation * cores);
    const priority = random.below(4);
    const model = priority === 0 && random.next() < 0.9 ? 'model-0' : random.pick(models).name;
    const workUs = 1 + random.next() * 2 * meanUs;
    const bad = random.next();
    const request = {
      id,
      model: bad < 0.01 ? 'unknown' : model,
      tenant: bad > 0.99 ? 'nobody' : random.pick(tenants).name,
      priority: bad > 0.48 && bad < 0.49 ? 'urgent' : priority,
      workUs,
      deadlineUs:
        random.next() < (priority === 0 ? 0.9 : 0.4) ? arrivalUs - 1000 + random.next() * 20 * meanUs : undefined,
      timeoutUs: random.next() < 0.05 ? 1 + random.next() * 20 * meanUs : undefined,
      cores: 1 + (random.next() < 0.3 ? random.below(4) : 0),
      instead: !isEngine && random.next() < 0.2 ? [{ model: random.pick(models).name, workUs: workUs / 4 }] : undefined,
    };
    return {
      request,
      batching: batchings.get(model),
      arrivalUs,
      // Safety states an upper bound, the others an estimate.
      actualUs: workUs * (priority === 0 ? random.next() : 0.3 + 1.7 * random.next()),
      cancelUs: random.next() < 0.1 ? arrivalUs + random.next() * 10 * meanUs : undefined,
      fails: random.next() < 0.03,
      use: random.pick(USES),
    };
  });
}

/** Programs for some numbers of runs, of which most save time. */
function drawBatching(random: Random, meanUs: number): Batching | undefined {
  if (random.next() < 0.5) return undefined;
  const share = random.next();
  const numbers = [2, 3, 4, 8].filter(() => random.next() < 0.7);
  const sizes = numbers.map((runs) => ({ runs, us: meanUs * (1 + share * (runs - 1)) }));
  return { sizesAt: () => sizes };
}

export interface Played {
  readonly runs: number;
  readonly steps: number;
  readonly outcomes: Readonly<Record<string, number>>;
}

/** Draws a workload, plays it and holds it to the laws. Throws when one is broken. */
export function playRandom(seed: number): Played {
  const random = new Random(seed);
  const { spec, isEngine, runs } = draw(random);
  const laws = new Laws();
  const outcomes: Record<string, number> = {};
  const count = (what: string): void => {
    outcomes[what] = (outcomes[what] ?? 0) + 1;
  };
  const world = new World(spec, random, {
    isEngine,
    handOverShare: random.next() < 0.7 ? random.next() : 0,
    watch: (each) => laws.check(each),
    onStart: checkOrder,
    onRefuse: (_, { reason }) => {
      assert.match(reason, /expected|quota|promised/);
      count('refused');
    },
    onEnd: (ended) => {
      checkPromise(ended);
      checkAccount(ended);
      count(ended.outcome);
      if (ended.account.preemptions > 0) count('preempted');
      if (ended.account.slices.some(({ batch }) => batch > 1)) count('in a batch');
    },
  });
  world.play(runs[Symbol.iterator]());
  assert.is(world.live.size, 0);
  assert.is(world.ended + world.refused, runs.length, 'every run ends once');
  if (world.degraded > 0) outcomes.degraded = world.degraded;
  outcomes['handed over'] = world.handOvers;
  outcomes['gave way'] = world.gaveWay;
  outcomes['went on'] = world.wentOn;
  if (world.entries > 0) Object.assign(outcomes, { entries: world.entries, displaced: world.displaced });
  return { runs: runs.length, steps: world.steps, outcomes };
}

/** A safety run with a deadline that was admitted ends in time, unless its caller gave it up or it broke. */
function checkPromise({ plan, outcome, account }: Ended): void {
  const { priority, deadlineUs, id } = plan.request;
  if (deadlineUs === undefined) return;
  // The policy looks a microsecond after a deadline: one that ends within it is done.
  if (outcome === 'done') assert.ok(account.endedUs <= deadlineUs + 1, `run ${id} ended after its deadline`);
  if (priority === 0) assert.is.not(outcome, 'late', `safety run ${id} missed its deadline`);
}
