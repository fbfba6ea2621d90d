/** Poisson streams through the real scheduler: how long runs wait, to be set beside the formulas. */
import type { Stream } from '../../../../runtime/schedule/queueing.ts';
import { Random } from '../../../random.ts';
import type { PlannedRun } from './run.ts';
import { World } from './world.ts';

export interface SteadyStream extends Stream {
  readonly priority: number;
  readonly draw: (random: Random) => number;
}

export function exponential(random: Random, mean: number): number {
  return -Math.log(1 - random.next()) * mean;
}

/** Mean wait of each stream, over `count` runs in all after a tenth as many to settle. */
export function simulateWaits(cores: number, streams: readonly SteadyStream[], count: number, seed: number): number[] {
  const random = new Random(seed);
  const settled = count / 10;
  const sums = streams.map(() => ({ waited: 0, runs: 0 }));
  const spec = {
    cores,
    memoryBytes: 1,
    // The formulas know no instructions: work is set aside at once.
    instructionUs: 0,
    tenants: [{ name: 'one', weight: 1, runsMax: Number.POSITIVE_INFINITY }],
    models: [{ name: 'pinned', bytes: 1, pinned: true }],
  };
  const world = new World(spec, random, {
    onEnd: ({ plan, account }) => {
      if (plan.request.id < settled) return;
      const sum = sums[streams.findIndex(({ priority }) => priority === plan.request.priority)] as {
        waited: number;
        runs: number;
      };
      sum.waited += account.endedUs - account.submittedUs - plan.actualUs;
      sum.runs++;
    },
  });
  world.play(arrivals(streams, count * 1.1, random));
  return sums.map(({ waited, runs }) => waited / runs);
}

function* arrivals(streams: readonly SteadyStream[], count: number, random: Random): Generator<PlannedRun> {
  const total = streams.reduce((sum, { rate }) => sum + rate, 0);
  let arrivalUs = 1000;
  for (let id = 0; id < count; id++) {
    arrivalUs += exponential(random, 1 / total);
    const stream = pick(streams, random.next() * total);
    const actualUs = stream.draw(random);
    const { priority } = stream;
    yield { arrivalUs, actualUs, request: { id, model: 'pinned', tenant: 'one', priority, workUs: actualUs } };
  }
}

/** The stream in whose rate the lot falls. */
function pick(streams: readonly SteadyStream[], lot: number): SteadyStream {
  let end = 0;
  for (const stream of streams) {
    end += stream.rate;
    if (lot < end) return stream;
  }
  return streams.at(-1) as SteadyStream;
}
