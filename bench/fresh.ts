/** Processes that start, answer once and end: what a start costs, and how much memory a life takes. */
import { fork } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { serialize } from 'node:v8';
import { type BuildOptions, build } from 'esbuild';
import type { BenchCase } from './cases/model-cases.ts';
import { compareAnswers } from './contenders/answers.ts';
import type { ContenderName, Tensors } from './contenders/contender.ts';
import type { FreshMarks, FreshMessage } from './contenders/fresh-process.ts';
import { type Figures, figuresOf } from './statistics.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'build/bench/fresh');
const cache = join(folder, 'cache');
const peers = fileURLToPath(new URL('./peers/package.json', import.meta.url));
const RELATIVE_MAX = 1e-3;
const LIFE_MS_MAX = 60_000;

export const freshContenders: readonly ContenderName[] = ['onnxruntime-web', 'ours', 'onnxruntime-node'];

/** As a gateway runs it: bundled. The others come as they are installed, which is bundled too. */
async function bundle(): Promise<void> {
  mkdirSync(`${folder}/kernels`, { recursive: true });
  const options: BuildOptions = {
    absWorkingDir: root,
    outdir: folder,
    bundle: true,
    minify: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    external: ['onnxruntime-web', 'onnxruntime-node'],
    logLevel: 'warning',
  };
  await build({
    ...options,
    entryPoints: { 'fresh-process': 'bench/contenders/fresh-process.ts' },
    splitting: true,
  });
  await build({ ...options, entryPoints: { 'core-worker': 'runtime/engine/core-worker.ts' } });
  for (const name of ['kernels-plain.wasm', 'kernels-relaxed.wasm'])
    copyFileSync(join(root, 'build', name), join(folder, 'kernels', name));
}

interface Life {
  /** From the start of the process to its first answer. */
  readonly wholeMs: number;
  readonly marks: FreshMarks;
  readonly about: string;
  readonly outputs: Tensors;
  readonly peakBytes: number;
}

function live(name: ContenderName, job: string, runs: number): Promise<Life> {
  const { promise, resolve, reject } = Promise.withResolvers<Life>();
  const started = performance.now();
  const child = fork(join(folder, 'fresh-process.js'), [name, job, peers, String(runs)], {
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    execArgv: [],
    // What we keep from one start to the next shall be this bundle's own.
    env: { ...process.env, XDG_CACHE_HOME: cache },
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), LIFE_MS_MAX);
  let answered: Omit<Life, 'peakBytes'> | undefined;
  child.on('message', (message: FreshMessage) => {
    if (message.kind === 'answered') answered = { wholeMs: performance.now() - started, ...message };
    else if (answered) resolve({ ...answered, peakBytes: message.peakBytes });
  });
  child.on('exit', (code) => {
    clearTimeout(timer);
    reject(new Error(`${name} ended with code ${code} before its work was done`));
  });
  return promise;
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
  await bundle();
  rmSync(cache, { recursive: true, force: true });
  const result = new Map<string, Map<ContenderName, FreshFigures>>();
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
          const life = await live(name, job, runs);
          reference ??= life.outputs;
          const { error } = compareAnswers(life.outputs, reference);
          if (error > RELATIVE_MAX) throw new Error(`${each.name}: the answer of ${name} differs by ${error}`);
          its.push(life);
        }
      result.set(each.name, new Map([...lives].map(([name, its]) => [name, figuresOfLives(its)])));
    }
  } finally {
    rmSync(job, { recursive: true });
  }
  return result;
}
