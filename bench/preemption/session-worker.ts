/** A thread with a session of onnxruntime for each job: told a name, it computes the job and says when it is done. */
import { parentPort, workerData } from 'node:worker_threads';
import { renouncePreference } from '../../runtime/engine/thread-priority-io.ts';
import type { Job } from '../contenders/contender.ts';
import { onnxruntimeNode, onnxruntimeWeb } from '../contenders/onnxruntime.ts';

renouncePreference();
const { library, jobs } = workerData as { library: string; jobs: readonly Job[] };
const engine = await (library === 'onnxruntime-web' ? onnxruntimeWeb() : onnxruntimeNode());
const opened = new Map<string, Awaited<ReturnType<typeof engine.open>>>();
for (const job of jobs) opened.set(job.name, await engine.open(job));

parentPort?.on('message', async (name: string) => {
  try {
    await opened.get(name)?.run();
    parentPort?.postMessage(undefined);
  } catch (error) {
    parentPort?.postMessage((error as Error).message);
  }
});
parentPort?.postMessage(engine.about);
