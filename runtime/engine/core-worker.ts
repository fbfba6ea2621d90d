/** The thread behind `Core`: holds the kernels, and computes the run of its own core or helps with that of another one. */
import { parentPort, workerData } from 'node:worker_threads';
import { CoreBlock } from './core-block.ts';
import { type CoreSetup, nowMs, READY, type Stop, WENT_ON } from './core-messages.ts';
import { loadKernels, prepareV8 } from './kernels.ts';
import { NextRun, type NextSegment } from './next-run.ts';
import { renouncePreference } from './thread-priority-io.ts';

const port = parentPort;
if (!port) throw new Error('core-worker.ts runs as a worker thread only');

renouncePreference();
const { memory, build, module, blocks, index } = workerData as CoreSetup;
// Not before: V8 keeps Node's own code ready-made for the flags that it was built with, and compiles it anew under others.
prepareV8(build);
const kernels = loadKernels(memory, { build, module });
const block = new CoreBlock(memory, blocks, index);
const next = new NextRun(memory, blocks);

function run(): Stop {
  const startedMs = nowMs();
  const { words, pc } = block.segment;
  let result = -2;
  let trap: string | undefined;
  try {
    result = block.isShared
      ? kernels.executeShared(words, pc, block.board())
      : kernels.execute(words, pc, block.bases, block.flag);
  } catch (error) {
    // A trap (an access beyond the memory) leaves the kernels usable: they keep no state between calls.
    trap = error instanceof Error ? error.message : String(error);
    kernels.abandon(block.board());
  }
  return { result, faultWord: kernels.faultWord(), trap, startedMs, endedMs: nowMs() };
}

/** Computes the run that was ordered, and others in its place as long as there are. */
function serve(): void {
  for (let stop = run(); ; ) {
    const isSetAside = stop.trap === undefined && stop.result >= 0;
    const goesOn = stop.trap === undefined && goOn(stop);
    if (goesOn === 'next') {
      // To tell wakes the thread that decides, which then may have this one's processor before the next run has begun: 0.2 ms. When that
      // thread told this one to stop it looks by itself soon, and nobody waits for the run that was set aside.
      if (!isSetAside) port?.postMessage(WENT_ON);
      stop = run();
      if (isSetAside) port?.postMessage(WENT_ON);
    } else if (goesOn === 'own') stop = { ...run(), startedMs: stop.startedMs };
    else {
      port?.postMessage(stop);
      return;
    }
  }
}

/** With which run, after one has stopped: what is on offer, its own because another core was first, or none by itself. */
function goOn(stop: Stop): 'next' | 'own' | false {
  const isOver = stop.result < 0;
  const own = isOver ? undefined : { ...block.alone, pc: stop.result };
  let { asking } = block;
  const prepare = (segment: NextSegment): void => {
    block.alone = segment;
    block.setLeft(stop, nowMs());
  };
  const may = (givesWay: boolean): boolean => {
    ({ asking } = block);
    const asked = block.asked(asking);
    return isOver || asked === 'stop' || asked === 'make way' || (asked === 'give way' && givesWay);
  };
  const taken = next.take(index, prepare, may);
  if (taken === 'own') {
    // What it is asked from now on is about the next run.
    block.answered(asking);
    return 'next';
  }
  const asked = block.asked(asking);
  const isFree = asked === 'make way' ? taken === 'others' && next.run === block.askedFor : asked !== 'stop';
  if (!own || !isFree || !block.answered(asking)) return false;
  block.alone = own;
  return 'own';
}

function help(owner: number, rings: number): void {
  try {
    kernels.help(block.board(owner), block.laneIn(owner), block.bell, rings);
  } catch {
    kernels.failChunk(block.board(owner), block.laneIn(owner));
  }
}

port.postMessage(READY);
for (let carriedOut = 0; ; ) {
  const { rings } = block;
  const { order, index: owner } = block.ordered;
  if (order !== 0 && owner !== index) help(owner, rings);
  else if (order === carriedOut) block.sleep(rings);
  else serve();
  carriedOut = order;
}
