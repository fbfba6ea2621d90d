/** A process that computes what `npm run bench -- preemption` asks of it, in one arrangement. */
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { RunError } from '../../runtime/engine/run-error.ts';
import { preferThisThread } from '../../runtime/engine/thread-priority-io.ts';
import type { Arrangement, LoadReply, LoadRequest, Served, Stream } from './protocol.ts';
import { openStation, type Station } from './station.ts';

const BACKGROUND = 3;
let station: Station | undefined;
let cores = 1;
let seed = 1;

function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Calls `arrived` with the time of each arrival; resolves after the last. */
async function arrivals(perSecond: number, seconds: number, arrived: (atMs: number) => void): Promise<void> {
  const data = { perSecond, seconds, seed: seed++ };
  const worker = new Worker(new URL('./arrivals-worker.ts', import.meta.url), { workerData: data });
  worker.on('message', arrived);
  await once(worker, 'exit');
}

async function phase(
  { run }: Station,
  { seconds, heavy, inFlight, urgent, urgentPerSecond }: Extract<LoadRequest, { kind: 'phase' }>,
): Promise<LoadReply> {
  const [responsesMs, queuesMs]: [number[], number[]] = [[], []];
  let heavyRuns = 0;
  let over = false;
  const loop = async (first: number): Promise<void> => {
    for (let turn = first; !over; turn++) {
      await run(heavy[turn % heavy.length] as string, { priority: BACKGROUND });
      if (!over) heavyRuns++;
    }
  };
  const loops = heavy.length === 0 ? [] : Array.from({ length: inFlight }, (_, i) => loop(i));
  const startedMs = nowMs();
  const cpu = process.cpuUsage();
  const answers: Promise<void>[] = [];
  const answer = async (atMs: number): Promise<void> => {
    const { queueMs } = await run(urgent as string, { priority: 0 });
    responsesMs.push(nowMs() - atMs);
    if (queueMs !== undefined) queuesMs.push(queueMs);
  };
  if (urgent === undefined) await setTimeout(seconds * 1000);
  else await arrivals(urgentPerSecond, seconds, (atMs) => answers.push(answer(atMs)));
  await Promise.all(answers);
  over = true;
  const elapsed = (nowMs() - startedMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  await Promise.all(loops);
  return { kind: 'measured', responsesMs, queuesMs, heavyRuns, seconds: elapsed, cpuMs: (user + system) / 1000 };
}

/** The engine works on the job, once for each core; one more run waits. One job is cancelled, and the one that waits begins: how long did that take? */
async function cancel(
  { run }: Station,
  { job, next, count }: Extract<LoadRequest, { kind: 'cancel' }>,
): Promise<LoadReply> {
  const freeMs: number[] = [];
  // Compiles, and starts the threads of all cores.
  for (const name of [job, next])
    await Promise.all(Array.from({ length: cores * 2 }, () => run(name, { priority: 2 })));
  for (let i = 0; i < count; i++) {
    const aborts = Array.from({ length: cores }, () => new AbortController());
    const cancelled = aborts.map(({ signal }) => run(job, { priority: 2, signal }).catch(() => {}));
    await setTimeout(60 + (i % 7) * 10);
    const submittedMs = nowMs();
    const waiting = run(next, { priority: 2 });
    await setTimeout(5);
    const abortedMs = nowMs();
    const reason = new Error('the bench cancels it');
    aborts[0]?.abort(reason);
    const { queueMs = Number.NaN } = await waiting;
    // One that began before has seen a job come to its end.
    if (submittedMs + queueMs > abortedMs) freeMs.push(submittedMs + queueMs - abortedMs);
    for (const abort of aborts) abort.abort(reason);
    await Promise.all(cancelled);
  }
  return { kind: 'cancelled', freeMs };
}

async function serve({ run }: Station, seconds: number, streams: readonly Stream[]): Promise<LoadReply> {
  const cpu = process.cpuUsage();
  const startedMs = nowMs();
  const served = await Promise.all(
    streams.map(async ({ job, priority, perSecond, deadlineMs }): Promise<Served> => {
      const refused: Record<string, number> = {};
      const responsesMs: number[] = [];
      let [submitted, late, endedLate] = [0, 0, 0];
      const answers: Promise<void>[] = [];
      const answer = async (atMs: number): Promise<void> => {
        submitted++;
        const leftMs = deadlineMs === undefined ? undefined : deadlineMs - (nowMs() - atMs);
        try {
          await run(job, { priority, deadlineMs: leftMs === undefined ? undefined : Date.now() + leftMs });
          const responseMs = nowMs() - atMs;
          responsesMs.push(responseMs);
          if (deadlineMs !== undefined && responseMs > deadlineMs) late++;
        } catch (error) {
          if (error instanceof RunError && error.outcome === 'late') endedLate++;
          // Figures differ from run to run; what is said about them does not.
          const reason = (error as Error).message.replace(/\d+(\.\d+)?/g, 'N').slice(0, 160);
          refused[reason] = (refused[reason] ?? 0) + 1;
        }
      };
      await arrivals(perSecond, seconds, (atMs) => answers.push(answer(atMs)));
      await Promise.all(answers);
      return { submitted, responsesMs, late, endedLate, refused };
    }),
  );
  const elapsedMs = nowMs() - startedMs;
  const { user, system } = process.cpuUsage(cpu);
  return {
    kind: 'served',
    streams: served,
    seconds: elapsedMs / 1000,
    busyShare: (user + system) / 1000 / elapsedMs / cores,
  };
}

async function answer(request: LoadRequest): Promise<LoadReply> {
  if (request.kind === 'open') {
    cores = request.cores;
    station = await openStation(process.argv[2] as Arrangement, request.jobs, cores);
    // As a node does when it has started. Whoever computes here has the same of it.
    preferThisThread();
    return { kind: 'ready', about: station.about };
  }
  if (!station) throw new Error('expected to be told to open first');
  if (request.kind === 'phase') return phase(station, request);
  if (request.kind === 'cancel') return cancel(station, request);
  return serve(station, request.seconds, request.streams);
}

process.on('message', async (request: LoadRequest) => {
  try {
    process.send?.(await answer(request));
  } catch (error) {
    process.send?.({ kind: 'failed', message: (error as Error).message } satisfies LoadReply);
  }
});
