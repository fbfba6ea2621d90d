/**
 * A form of a trigger is its definition and the models that it runs on. A new form is provisional until it has proved itself;
 * the last good one is kept on the disk meanwhile, with its models, and comes back when the new one does not start, fails
 * more messages than its predecessor, or takes the process down again and again. The first form of a trigger has nothing to
 * go back to: it is good as it is, and provisional all the same, since whoever rolls it out must not take it for proved.
 * No I/O and no clock.
 */
import type { Trigger } from '../triggers/schema.ts';
import type { NodeState, WantedModel } from './node-state.ts';

/** How long a form is provisional, and how many answered messages prove it earlier. */
export const PROOF = { ms: 30_000, messages: 20 };
export const LOOK_MS = 1_000;
/** So many failures, and such a share of the messages beyond twice the share before, are too many. */
const FAILURES = { min: 5, share: 0.1 };
/** Processes that may end while a form is tried: fewer where there is another one to serve. */
export const STARTS_MAX = { successor: 3, first: 10 };

export interface Form {
  readonly key: string;
  readonly trigger: Trigger;
  readonly models: readonly WantedModel[];
}

export interface Proof {
  readonly good?: Form & { readonly isUnproved?: true };
  /** `starts`: processes that have tried it. */
  readonly provisional?: { readonly key: string; readonly starts: number };
  readonly rejected?: { readonly key: string; readonly error: string };
  /** Processes that have run a form beside the one that serves, and have yet to show that they outlive it. */
  readonly trial?: { readonly key: string; readonly starts: number };
}

/** By trigger. */
export type Proofs = ReadonlyMap<string, Proof>;

/** Messages since the process began. */
export interface Served {
  readonly answered: number;
  readonly failed: number;
}

/** The process begins to try a form that is not the good one. */
export function begun(proof: Proof, key: string): Proof {
  const starts = proof.provisional?.key === key ? proof.provisional.starts : 0;
  const { rejected: _, ...rest } = proof;
  if (starts < (proof.good ? STARTS_MAX.successor : STARTS_MAX.first))
    return { ...rest, provisional: { key, starts: starts + 1 } };
  return rejected(proof, key, stoppedText(starts));
}

export function stoppedText(starts: number): string {
  return `the node stopped each of the ${starts} times that it was tried, before it had proved itself`;
}

export function rejected({ good }: Proof, key: string, error: string): Proof {
  return { ...(good && { good }), rejected: { key, error } };
}

/**
 * What a look at a provisional form says: proved, too bad, or (undefined) neither yet.
 * @param before the share of messages that failed before it
 */
export function verdict(
  from: Served,
  now: Served,
  elapsedMs: number,
  before = from.failed / Math.max(1, from.answered + from.failed),
): { healthy: true } | { healthy: false; error: string } | undefined {
  const failed = now.failed - from.failed;
  const messages = now.answered - from.answered + failed;
  if (failed >= FAILURES.min && failed / messages > FAILURES.share + 2 * before) {
    const share = `${failed} of ${messages} messages failed, before it ${(100 * before).toFixed(0)}%`;
    return { healthy: false, error: share };
  }
  return elapsedMs >= PROOF.ms || messages - failed >= PROOF.messages ? { healthy: true } : undefined;
}

/** Looks at every provisional form that runs. Returns whether a proof has changed. */
export function look(state: NodeState, served: ReadonlyMap<string, Served>, now: number): boolean {
  const proofs = new Map(state.proofs);
  let changed = false;
  for (const [name, slot] of state.triggers) {
    const { proving, running } = slot;
    if (!proving || running?.key !== proving.key || now < proving.lookAtMs) continue;
    const counts = served.get(name) ?? { answered: 0, failed: 0 };
    proving.from ??= counts;
    proving.lookAtMs = now + LOOK_MS;
    const proof = proofs.get(name) ?? {};
    const isFirst = proof.good?.key === running.key;
    const found = verdict(proving.from, counts, now - proving.sinceMs, isFirst ? 0 : undefined);
    if (!found) continue;
    if (!found.healthy && isFirst) {
      // The first words stay, so that a sensor without rest does not make a report every few seconds.
      slot.proving = { ...proving, sinceMs: now, from: counts, error: proving.error ?? found.error };
      continue;
    }
    delete slot.proving;
    // A first form may be proved while another one is tried, or after that was rejected.
    const proved = { ...(isFirst && proof), good: plain(running) };
    proofs.set(name, found.healthy ? proved : rejected(proof, running.key, found.error));
    changed = true;
  }
  state.proofs = proofs;
  return changed;
}

function plain({ key, trigger, models }: Form): Form {
  return { key, trigger, models };
}
