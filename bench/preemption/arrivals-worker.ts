/** A thread that lets something arrive at random times, as a network would: it sleeps between, and says when it spoke. */
import { parentPort, workerData } from 'node:worker_threads';
import { preferThisThread } from '../../runtime/engine/thread-priority-io.ts';
import { randomValues } from '../cases/random-values.ts';

const { perSecond, seconds, seed } = workerData as { perSecond: number; seconds: number; seed: number };
const nap = new Int32Array(new SharedArrayBuffer(4));
const gaps = randomValues(Math.ceil(perSecond * seconds * 2) + 16, seed);

function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

// A network does not wait for processors.
preferThisThread();
const startedMs = nowMs();
let dueMs = startedMs;
for (const gap of gaps) {
  // Poisson arrivals: exponential gaps.
  dueMs += (-Math.log(0.5 - gap) * 1000) / perSecond;
  if (dueMs - startedMs > seconds * 1000) break;
  const restMs = dueMs - nowMs();
  if (restMs > 0) Atomics.wait(nap, 0, 0, restMs);
  parentPort?.postMessage(nowMs());
}
parentPort?.close();
