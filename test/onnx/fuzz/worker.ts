/** A process that damages models and tries them: `node worker.ts FIRST COUNT`. Says on standard output what it is about to do and what came. */
import { writeSync } from 'node:fs';
import { SeedModels } from './seeds.ts';
import { attempt, type Outcome } from './target.ts';

export interface Report {
  readonly seed: number;
  /** Absent: begun. */
  readonly outcome?: Outcome;
}

/** Of processor time, so that other work on the machine does not count. */
const TIME_MAX_MS = 1000;
const MEMORY_MAX_KB = 1_500_000;
/** Compiling the compiler takes its time once. */
const WARM_UP = 20;

const [first = 1, count = 1] = process.argv.slice(2).map(Number);
const models = new SeedModels();

/** Arrives even when the next step ends the process. */
function say(report: Report): void {
  const line = Buffer.from(`${JSON.stringify(report)}\n`);
  for (let at = 0; at < line.length; )
    try {
      at += writeSync(1, line, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
}

function measured(seed: number): Outcome {
  const { bytes, random } = models.damaged(seed);
  const before = process.cpuUsage();
  const outcome = attempt(bytes, random);
  const { user, system } = process.cpuUsage(before);
  const ms = (user + system) / 1000;
  if (outcome.kind === 'violation') return outcome;
  if (ms > TIME_MAX_MS && seed - first > WARM_UP) return { kind: 'violation', why: `took ${ms.toFixed(0)} ms` };
  const { maxRSS } = process.resourceUsage();
  if (maxRSS > MEMORY_MAX_KB) {
    say({ seed, outcome: { kind: 'violation', why: `memory rose to ${maxRSS} KB` } });
    process.exit(0);
  }
  return outcome;
}

for (let seed = first; seed < first + count; seed++) {
  say({ seed });
  say({ seed, outcome: measured(seed) });
}
