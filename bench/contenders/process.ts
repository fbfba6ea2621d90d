/** The process behind one contender: makes jobs ready and runs them when it is asked to. Started by bench/rounds.ts. */
import type { ContenderName, Engine, Opened, Reply, Request, Sample } from './contender.ts';

/** The first runs find cold code and cold memory, however long they take. */
const WARM_UP_RUNS_MIN = 3;

/** Each contender imports its own library only: what the others load and set would change its figures. */
const engines: Record<ContenderName, () => Promise<Engine>> = {
  ours: async () => (await import('./own.ts')).ownEngine(),
  'ours-128': async () => (await import('./own.ts')).ownEngine('relaxed'),
  'ours-plain': async () => (await import('./own.ts')).ownEngine('plain'),
  'onnxruntime-web': async () => (await import('./onnxruntime.ts')).onnxruntimeWeb(),
  'onnxruntime-node': async () => (await import('./onnxruntime.ts')).onnxruntimeNode(),
  tfjs: async () => (await import('./tensorflow.ts')).tensorflow(false),
  'tfjs-flag': async () => (await import('./tensorflow.ts')).tensorflow(true),
};

const engine = await engines[process.argv[2] as ContenderName]();
let opened: Opened | undefined;
let isWarm = false;

async function turn(job: Opened, budgetMs: number, runsMax: number): Promise<Sample[]> {
  const samples: Sample[] = [];
  const end = performance.now() + budgetMs;
  do {
    const { ms, insideMs } = await job.run();
    samples.push({ ms, insideMs });
  } while (performance.now() < end && samples.length < runsMax);
  return samples;
}

async function answer(request: Request): Promise<Reply> {
  if (request.kind === 'close') {
    await opened?.close();
    opened = undefined;
    return { kind: 'closed' };
  }
  if (request.kind === 'open') {
    isWarm = false;
    opened = await engine.open(request.job);
    return { kind: 'opened', outputs: (await opened.run()).outputs };
  }
  if (!opened) throw new Error('assertion: a turn before a job');
  if (!isWarm) {
    for (let run = 0; run < WARM_UP_RUNS_MIN; run++) await opened.run();
    await turn(opened, request.warmUpMs, Infinity);
    isWarm = true;
  }
  return { kind: 'samples', samples: await turn(opened, request.budgetMs, request.runsMax) };
}

process.on('message', (request: Request) => {
  answer(request)
    .catch((error): Reply => ({ kind: 'refused', message: error instanceof Error ? error.message : String(error) }))
    .then((reply) => process.send?.(reply));
});
process.send?.({ kind: 'ready', about: engine.about } satisfies Reply);
