/** Damages and tries models in processes of their own, so that a crash or a hang is seen and survived. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Outcome } from './target.ts';
import type { Report } from './worker.ts';

const worker = fileURLToPath(new URL('./worker.ts', import.meta.url));
/** A model that takes longer than this hangs, however busy the machine is. */
const HANG_MS = 20_000;
/** Models for one process: memory that grows little by little is given back. */
const BATCH = 5000;

export interface Summary {
  readonly counts: Record<Outcome['kind'], number>;
  readonly violations: { readonly seed: number; readonly why: string }[];
}

/** Tries the models of `count` seeds from `first` on; `progress` hears how many are done. */
export async function fuzz(first: number, count: number, progress: (done: number) => void): Promise<Summary> {
  const summary: Summary = { counts: { answered: 0, compiled: 0, refused: 0, violation: 0 }, violations: [] };
  const take = (seed: number, outcome: Outcome) => {
    summary.counts[outcome.kind]++;
    if (outcome.kind === 'violation') summary.violations.push({ seed, why: outcome.why });
  };
  for (let next = first; next < first + count; ) {
    next = await runBatch(next, Math.min(BATCH, first + count - next), take);
    progress(next - first);
  }
  return summary;
}

/** Gives the seed to go on with. */
function runBatch(first: number, count: number, take: (seed: number, outcome: Outcome) => void): Promise<number> {
  const child = spawn(process.execPath, ['--max-old-space-size=1024', worker, String(first), String(count)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let begun = first;
  let next = first;
  let hung = false;
  const end = () => {
    hung = true;
    child.kill('SIGKILL');
  };
  let timer = setTimeout(end, HANG_MS);
  createInterface({ input: child.stdout }).on('line', (line) => {
    clearTimeout(timer);
    timer = setTimeout(end, HANG_MS);
    const { seed, outcome } = JSON.parse(line) as Report;
    begun = seed;
    if (!outcome) return;
    take(seed, outcome);
    next = seed + 1;
  });
  return new Promise((resolve) => {
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (next < first + count && next === begun) {
        take(begun, {
          kind: 'violation',
          why: hung ? `hung for ${HANG_MS} ms` : `the process ended with ${signal ?? code}`,
        });
        next++;
      }
      resolve(next);
    });
  });
}
