/** Processes that start, answer once and end: what a start costs, and how much memory a life takes. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { serialize } from 'node:v8';
import { bundle } from '../scripts/bundle.mjs';
import type { BenchCase } from './cases/model-cases.ts';
import { compareAnswers } from './contenders/answers.ts';
import type { ContenderName, Tensors } from './contenders/contender.ts';
import type { FreshOrder, FreshReply } from './contenders/fresh-starter.ts';
import { type Figures, figuresOf } from './statistics.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'build/bench/fresh');
const cache = join(folder, 'cache');
const peers = fileURLToPath(new URL('./peers/package.json', import.meta.url));
const starterFile = fileURLToPath(new URL('./contenders/fresh-starter.ts', import.meta.url));
const RELATIVE_MAX = 1e-3;

export const freshContenders: readonly ContenderName[] = ['onnxruntime-web', 'ours', 'onnxruntime-node'];

type Life = Extract<FreshReply, { kind: 'lived' }>;

async function live(starter: ChildProcess, name: ContenderName, job: string, runs: number): Promise<Life> {
  // What we keep from one start to the next shall be this bundle's own.
  const environment = { XDG_CACHE_HOME: cache };
  const words = [join(folder, 'fresh-process.js'), name, job, peers, String(runs)];
  starter.send({ words, environment } satisfies FreshOrder);
  const [reply] = (await once(starter, 'message')) as [FreshReply];
  if (reply.kind === 'failed') throw new Error(`${name}: ${reply.error}`);
  return reply;
}

export interface FreshFigures {
  readonly about: string;
  readonly wholeMs: Figures;
  /** Of the very first process, when nothing is kept from an earlier one. */
  readonly firstEverMs: number;
  /** The engine, the model and the first run, without loading the library's code. */
  readonly engineMs: Figures;
  readonly firstRunMs: Figures;
  readonly firstPeakBytes: Figures;
  readonly peakBytes: Figures;
}

function figuresOfLives(lives: readonly Life[]): FreshFigures {
  const of = (value: (life: Life) => number): Figures => figuresOf(lives.map(value));
  return {
    about: lives[0]?.about ?? '',
    wholeMs: of(({ wholeMs }) => wholeMs),
    firstEverMs: lives[0]?.wholeMs ?? 0,
    engineMs: of(({ marks }) => marks.openMs + marks.firstRunMs),
    firstRunMs: of(({ marks }) => marks.firstRunMs),
    firstPeakBytes: of(({ marks }) => marks.firstPeakBytes),
    peakBytes: of((life) => life.peakBytes),
  };
}

/** One process after the other, contenders in turns. A process runs its job `runs` times after the first answer. */
export async function freshFigures(
  cases: readonly BenchCase[],
  contenders: readonly ContenderName[],
  { rounds, runs }: { rounds: number; runs: number },
): Promise<Map<string, Map<ContenderName, FreshFigures>>> {
  // As a gateway runs it. The others come as they are installed, which is bundled too.
  await bundle(folder, {
    entries: {
      'fresh-process': 'bench/contenders/fresh-process.ts',
      'compile-worker': 'runtime/engine/compile-worker.ts',
    },
    workers: { 'core-worker': 'runtime/engine/core-worker.ts' },
  });
  rmSync(cache, { recursive: true, force: true });
  const result = new Map<string, Map<ContenderName, FreshFigures>>();
  const starter = fork(starterFile, { serialization: 'advanced', execArgv: [] });
  const job = mkdtempSync(join(tmpdir(), 'llmasos-bench-'));
  try {
    for (const each of cases) {
      process.stderr.write(`${each.name} …\n`);
      const made = await each.job().catch((error: Error) => console.log(`skipped: ${each.name} (${error.message})`));
      if (!made) continue;
      const { model, inputs } = made;
      if (typeof model === 'string') copyFileSync(model, join(job, 'model.onnx'));
      else writeFileSync(join(job, 'model.onnx'), model);
      writeFileSync(join(job, 'inputs'), serialize(inputs));
      const lives = new Map(contenders.map((name): [ContenderName, Life[]] => [name, []]));
      let reference: Tensors | undefined;
      for (let round = 0; round < rounds; round++)
        for (const [name, its] of lives) {
          const life = await live(starter, name, job, runs);
          reference ??= life.outputs;
          const { error } = compareAnswers(life.outputs, reference);
          if (error > RELATIVE_MAX) throw new Error(`${each.name}: the answer of ${name} differs by ${error}`);
          its.push(life);
        }
      result.set(each.name, new Map([...lives].map(([name, its]) => [name, figuresOfLives(its)])));
    }
  } finally {
    starter.disconnect();
    rmSync(job, { recursive: true });
  }
  return result;
}
