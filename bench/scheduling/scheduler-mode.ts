/**
 * `npm run bench -- scheduler`: decisions per second of the policy. A decision is one call of `step`: one event in (a run arrives, a core
 * has stopped, time has passed), and out comes what every core does next, which models are loaded, and what was refused or has ended.
 */
import type { ModeOptions, ModeResult } from '../modes.ts';
import { compareQueues } from './queues.ts';
import { type Load, record, replay } from './recording.ts';

const loads: readonly Load[] = [
  { name: '2 cores, 30% used', cores: 2, utilisation: 0.3, runs: 40_000, waiting: 0 },
  { name: '2 cores, 90% used', cores: 2, utilisation: 0.9, runs: 40_000, waiting: 0 },
  { name: '16 cores, 90% used', cores: 16, utilisation: 0.9, runs: 40_000, waiting: 0 },
  { name: '2 cores, twice what they can', cores: 2, utilisation: 2, runs: 40_000, waiting: 0 },
  { name: '2 cores, 90% used, 4,000 runs waiting', cores: 2, utilisation: 0.9, runs: 20_000, waiting: 4000 },
];
const QUICK_RUNS = 500;
const PAIRS = 400_000;

export async function scheduler({ rounds, quick }: ModeOptions): Promise<ModeResult> {
  const figures = loads.map((load) => {
    const recording = record(quick ? { ...load, runs: QUICK_RUNS, waiting: Math.min(load.waiting, QUICK_RUNS) } : load);
    let bestNs = Number.POSITIVE_INFINITY;
    for (let round = 0; round <= rounds; round++) bestNs = Math.min(bestNs, replay(recording));
    return { load: load.name, events: recording.events.length, decided: recording.decided, nsPerDecision: bestNs };
  });
  const perSecond = (ns: number): string => `${(1e3 / ns).toFixed(2)} M/s`;
  const worst = figures.reduce((a, b) => (b.nsPerDecision > a.nsPerDecision ? b : a));
  const mean = Math.exp(figures.reduce((sum, { nsPerDecision: ns }) => sum + Math.log(ns), 0) / figures.length);
  const queues = compareQueues(rounds, quick ? PAIRS / 100 : PAIRS);
  const sizes = [...new Set(queues.map(({ items }) => items))];
  return {
    tables: [
      {
        header: ['load', 'events', 'starts', 'preemptions', 'refusals', 'ns per decision', 'decisions'],
        rows: figures.map(({ load, events, decided, nsPerDecision }) => [
          load,
          `${events}`,
          `${decided.start ?? 0}`,
          `${decided.suspend ?? 0}`,
          `${decided.refuse ?? 0}`,
          nsPerDecision.toFixed(0),
          perSecond(nsPerDecision),
        ]),
      },
      {
        header: ['pop and push', ...sizes.map((items) => `${items} items`)],
        rows: [...new Set(queues.map(({ name }) => name))].map((name) => [
          name,
          ...sizes.map((size) =>
            perSecond(queues.find((each) => each.name === name && each.items === size)?.nsPerPair ?? Number.NaN),
          ),
        ]),
      },
    ],
    notes: [],
    lines: [
      `scheduler decisions per second: ${(1e9 / mean).toFixed(0)} (worst ${(1e9 / worst.nsPerDecision).toFixed(0)}, ${worst.load})`,
    ],
    record: { figures, queues },
  };
}
