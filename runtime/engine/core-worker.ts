/** The thread behind `Core`: holds the kernels and executes segments of programs over the shared memory. */
import { parentPort, workerData } from 'node:worker_threads';
import { type CoreSetup, nowMs, READY, type Segment, type Stop } from './core-messages.ts';
import { loadKernels, prepareV8 } from './kernels.ts';

const port = parentPort;
if (!port) throw new Error('core-worker.ts runs as a worker thread only');

const { memory, build, module } = workerData as CoreSetup;
// Not before: V8 keeps Node's own code ready-made for the flags that it was built with, and compiles it anew under others.
prepareV8(build);
const kernels = loadKernels(memory, { build, module });

port.on('message', ({ words, pc, bases, flag }: Segment) => {
  const startedMs = nowMs();
  let result = -2;
  let trap: string | undefined;
  try {
    result = kernels.execute(words, pc, bases, flag);
  } catch (error) {
    // A trap (an access beyond the memory) leaves the kernels usable: they keep no state between calls.
    trap = error instanceof Error ? error.message : String(error);
  }
  port.postMessage({ result, faultWord: kernels.faultWord(), trap, startedMs, endedMs: nowMs() } satisfies Stop);
});
port.postMessage(READY);
