/** Places that compute runs of several urgencies: our engine, and pools of threads around onnxruntime. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { createEngine } from '../../runtime/engine/engine.ts';
import { recycle } from '../../runtime/engine/result-memory.ts';
import { fileSource } from '../../runtime/onnx/file-io.ts';
import type { Job } from '../contenders/contender.ts';
import type { Arrangement } from './protocol.ts';

export interface RunWish {
  /** 0 safety … 3 background. */
  readonly priority: number;
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

export interface Station {
  readonly about: string;
  run(job: string, wish: RunWish): Promise<{ readonly queueMs?: number }>;
  close(): Promise<void>;
}

export async function openStation(arrangement: Arrangement, jobs: readonly Job[], cores: number): Promise<Station> {
  if (arrangement === 'ours') return ownStation(jobs);
  const [library = '', way] = arrangement.split(', ');
  return poolStation(library, jobs, cores, way === 'thread');
}

async function ownStation(jobs: readonly Job[]): Promise<Station> {
  const engine = await createEngine();
  const models = new Map(
    await Promise.all(
      jobs.map(async ({ name, model, inputs }) => {
        const file = typeof model === 'string' ? fileSource(model) : model;
        return [name, { model: await engine.load(file, { name }), inputs }] as const;
      }),
    ),
  );
  return {
    about: [engine.info.build, ...engine.info.notes].join('; '),
    async run(job, wish) {
      const { model, inputs } = models.get(job) as NonNullable<ReturnType<typeof models.get>>;
      const { outputs, queueMs } = await model.run(inputs, wish);
      // As a trigger does.
      recycle(Object.values(outputs));
      return { queueMs };
    },
    close: () => engine.close(),
  };
}

interface Waiting {
  readonly job: string;
  readonly priority: number;
  readonly answer: PromiseWithResolvers<object>;
}

/** Threads that each take the most urgent run that waits and compute it to its end. */
async function poolStation(
  library: string,
  jobs: readonly Job[],
  cores: number,
  hasOwnThread: boolean,
): Promise<Station> {
  const waiting: Waiting[] = [];
  const workers = Array.from({ length: cores + (hasOwnThread ? 1 : 0) }, (_, place) => {
    const worker = new Worker(new URL('./session-worker.ts', import.meta.url), { workerData: { library, jobs } });
    const takes = (priority: number): boolean => !hasOwnThread || (place === cores) === (priority === 0);
    return { worker, takes, current: undefined as Waiting | undefined };
  });
  const serve = (): void => {
    for (const each of workers) {
      if (each.current) continue;
      const place = waiting.findIndex(({ priority }) => each.takes(priority));
      if (place < 0) continue;
      [each.current] = waiting.splice(place, 1);
      each.worker.postMessage(each.current?.job);
    }
  };
  const [about = ''] = await Promise.all(
    workers.map(async ({ worker }) => {
      const [said] = await once(worker, 'message');
      return said as string;
    }),
  );
  for (const each of workers)
    each.worker.on('message', (error: string | undefined) => {
      const { answer } = each.current as Waiting;
      each.current = undefined;
      serve();
      if (error === undefined) answer.resolve({});
      else answer.reject(new Error(error));
    });
  return {
    about,
    run(job, { priority }) {
      const answer = Promise.withResolvers<object>();
      const behind = waiting.findIndex((other) => other.priority > priority);
      waiting.splice(behind < 0 ? waiting.length : behind, 0, { job, priority, answer });
      serve();
      return answer.promise;
    },
    async close() {
      await Promise.all(workers.map(({ worker }) => worker.terminate()));
    },
  };
}
