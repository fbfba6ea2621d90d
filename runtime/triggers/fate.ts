/** How the runs fared that a message needed, for results that tell of it. Times are in milliseconds. */
import type { RunAccount } from '../schedule/events.ts';
import { waitParts } from '../schedule/timeline.ts';

/** A picture may have a thousand regions, each with its runs. */
export const FATES_MAX = 100;
const US = 1000;

export interface RunFate {
  readonly stage: string;
  readonly model: string;
  /** Until it began. */
  readonly waitedMs: number;
  /** For more urgent runs, after it had begun. */
  readonly setAsideMs: number;
  readonly computedMs: number;
  readonly preemptions: number;
  /** When it was computed, counted from its submission, and by which cores; by none of them when it was short. */
  readonly slices: readonly { readonly fromMs: number; readonly ms: number; readonly cores: readonly number[] }[];
}

export function fateOf(stage: string, model: string, account: RunAccount): RunFate {
  const { coreUs, memoryUs, asideUs, computingUs } = waitParts(account);
  return {
    ...{ stage, model, preemptions: account.preemptions },
    waitedMs: rounded(coreUs + memoryUs),
    setAsideMs: rounded(asideUs),
    computedMs: rounded(computingUs),
    slices: account.slices.map(({ fromUs, untilUs, cores }) => ({
      fromMs: rounded(fromUs - account.submittedUs),
      ms: rounded(untilUs - fromUs),
      cores,
    })),
  };
}

/** To microseconds: more is noise. */
function rounded(us: number): number {
  return Math.round(us) / US;
}
