/**
 * What the tiers of a node have in common as linear rows. A node that serves tier t keeps its load up to t within that
 * tier's cap; one that does not serve t need not. With the share load / max(caps from its own tier to t) for everything
 * up to t, the sum of shares is at most 1 on every node: let u be the last tier up to t that the node serves; no maximum
 * is below the cap of u, so the sum is at most (load up to u) / cap of u. The rows hold for every placement, and are as
 * tight as they can be where a node serves one tier.
 */
import type { Instance } from './instance.ts';

/** Whether tier t has a row of its own; the next one implies it where its cap is no larger. */
export function hasRow({ poolEnd }: Pick<Instance, 'poolEnd'>, caps: readonly number[], t: number): boolean {
  if ((caps[t] as number) === 0) return false;
  return t + 1 === poolEnd[t] || (caps[t + 1] as number) > (caps[t] as number);
}

/** Calls back with what a unit of load of each tier counts in the row of tier t, as a share of a node. */
export function eachShare(
  { tiers }: Pick<Instance, 'tiers'>,
  caps: readonly number[],
  t: number,
  onShare: (tier: number, share: number) => void,
): void {
  let largest = 0;
  for (let tier = t; tier >= 0 && tiers[tier]?.pool === tiers[t]?.pool; tier--) {
    largest = Math.max(largest, caps[tier] as number);
    if (largest > 0) onShare(tier, 1 / largest);
  }
}
