/** What a node can take: how long each class waits, and would wait with more of it. */
import type { Measured } from './measure.ts';
import { PRIORITIES } from './priorities.ts';
import { erlangC, merge, type Stream, waitMGc, waitPreemptiveServers, waitQuantile } from './queueing.ts';

/** A class as predicted from what was measured. Times in microseconds. */
export interface ClassForecast {
  readonly name: string;
  /** Share of the cores that the class takes. */
  readonly utilisation: number;
  /** Infinite when the class gets more than the cores can do. */
  readonly meanWaitUs: number;
  readonly p50WaitUs: number;
  readonly p99WaitUs: number;
}

/** More runs of a class, as a camera would bring them. */
export interface Addition extends Stream {
  readonly priority: number;
}

/** By class, the more urgent interrupts the other; by arrival, all wait for those before them. */
export type ServiceOrder = 'class' | 'arrival';

/**
 * Forecasts every class on `cores` cores. A class of which nothing ended yet counts as empty. Floors, batches and
 * models that wait for memory are left out: the first shift a wait, the second shorten it, the third is no steady state.
 */
export function forecast(
  cores: number,
  measured: readonly Measured[],
  additions: readonly Addition[] = [],
  order: ServiceOrder = 'class',
): ClassForecast[] {
  const streams = PRIORITIES.map((_, priority) => {
    const { rate = 0, mean = 0, second = 0 } = measured[priority] ?? {};
    return merge([
      { rate: mean > 0 ? rate : 0, mean, second },
      ...additions.filter((addition) => addition.priority === priority),
    ]);
  });
  const all = merge(streams);
  const waits = order === 'class' ? waitPreemptiveServers(cores, streams) : streams.map(() => waitMGc(cores, all));
  let load = 0;
  return PRIORITIES.map(({ name }, priority) => {
    const { rate, mean } = streams[priority] as Stream;
    load += rate * mean;
    const meanWaitUs = waits[priority] as number;
    // A run is delayed when the classes down to its own keep every core busy, or all of them do.
    const waiting = erlangC(cores, order === 'class' ? load : all.rate * all.mean);
    const [p50WaitUs, p99WaitUs] = [0.5, 0.99].map((share) => waitQuantile(share, waiting, meanWaitUs)) as [
      number,
      number,
    ];
    return { name, utilisation: (rate * mean) / cores, meanWaitUs, p50WaitUs, p99WaitUs };
  });
}

/** How many of the same additions the node can take before a class waits longer than `mostUs` on average; at most `most`. */
export function room(
  cores: number,
  measured: readonly Measured[],
  addition: Addition,
  { mostUs, most, order = 'class' }: { mostUs: number; most: number; order?: ServiceOrder },
): number {
  // The wait grows with every addition, so that the limit can be found by halving.
  let [fits, tooMany] = [0, most + 1];
  while (tooMany - fits > 1) {
    const count = (fits + tooMany) >> 1;
    const waits = forecast(cores, measured, [{ ...addition, rate: addition.rate * count }], order);
    const wait = (waits[addition.priority] as ClassForecast).meanWaitUs;
    if (wait <= mostUs) fits = count;
    else tooMany = count;
  }
  return fits;
}
