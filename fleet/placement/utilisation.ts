/** How busy a node may be so that runs wait no longer than they may: the capacity rows of the placement. */
import { erlangC, exponentialSecond, waitMGc, waitQuantile } from '../../runtime/schedule/queueing.ts';

export interface WaitTarget {
  /** Cores, or GPUs. */
  readonly servers: number;
  /** The longest mean residual service time of what a run may find under way: E[S²] / 2E[S], largest over the items. */
  readonly residualMs: number;
  readonly waitMsMax: number;
  /** Share of the runs that wait no longer than that. */
  readonly share: number;
  /** The most that more urgent classes may take, in servers: their later arrivals go before a run that waits. */
  readonly urgentMax: number;
}

/**
 * The highest load, in busy servers, of a class and all more urgent ones at which the class keeps its target.
 *
 * The wait in M/G/c depends on the mix of items only through E[S²] / 2E[S] (Lee and Longton; waitMGc), and that of a mix
 * is no larger than the largest of its items. So a load that is right for the item with the longest residual is right
 * for every mix, and the row is linear. Later arrivals of more urgent classes stretch the wait by 1 / (1 - their share)
 * (Kleinrock, Queueing Systems vol. 2, 1976, section 3.4).
 */
export function loadMax({ servers, residualMs, waitMsMax, share, urgentMax }: WaitTarget): number {
  // With exponential service times of this mean the residual is the mean itself.
  const second = exponentialSecond(residualMs);
  const keeps = (load: number): boolean => {
    const mean = waitMGc(servers, { rate: load / residualMs, mean: residualMs, second });
    const wait = waitQuantile(share, erlangC(servers, load), mean);
    return wait <= waitMsMax * (1 - Math.min(load, urgentMax) / servers);
  };
  let [fits, tooMuch] = [0, servers];
  // The wait grows with the load, so that the limit can be found by halving.
  while (tooMuch - fits > servers * 1e-4) {
    const load = (fits + tooMuch) / 2;
    if (keeps(load)) fits = load;
    else tooMuch = load;
  }
  return fits;
}
