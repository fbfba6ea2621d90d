/** Which cores are told to stop, so that what waits and is more urgent gets them. */
import type { Job, Slice } from './job.ts';
import type { Pool } from './pool.ts';

/** Tells cores to stop until, at every level, each job that waits has a core to come from less urgent work. */
export function suspendJobs(
  { cores, ready, floors, levelOf }: Pool,
  nowUs: number,
  suspend: (slice: Slice) => void,
): void {
  const { slices } = cores;
  if (ready.total === 0) {
    const narrow = cores.idle > 0 ? cores.narrow(nowUs) : undefined;
    if (narrow) suspend(narrow);
    return;
  }
  let coming = cores.idle;
  for (let i = 0; i < slices.length; i++) {
    const slice = slices[i] as Slice;
    if (slice.stopping) coming += slice.cores.length;
  }
  const { order } = floors;
  for (let place = 0; place < order.length; place++) {
    const priority = order[place] as number;
    const waiting = ready.of(priority).length;
    while (waiting > coming) {
      const victim = cores.victim(levelOf(priority), levelOf);
      if (!victim) break;
      const waits = ready.of(priority).first as Job;
      victim.stoppedFor = waits.runs[0]?.request.id;
      suspend(victim);
      // One that is as urgent goes on with one core: it only gives back those that it had beyond.
      coming += victim.cores.length - (levelOf(victim.job.priority) <= levelOf(priority) ? 1 : 0);
    }
    coming = Math.max(0, coming - waiting);
  }
}

/** A run of the job has a core: who was to stop for it need not any more. */
export function letGoOn({ pool, runs }: Job): readonly Slice[] {
  const isFor = ({ stoppedFor }: Slice): boolean =>
    stoppedFor !== undefined && runs.some(({ request }) => request.id === stoppedFor);
  const slices = pool.cores.slices.filter(isFor);
  for (const slice of slices) {
    slice.stopping = false;
    slice.stoppedFor = undefined;
  }
  return slices;
}
